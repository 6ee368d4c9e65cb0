"""Node's openai package, unchanged, as npm installs it. Skipped where node and npm are not there."""

import json
import os
import pathlib
import shutil
import subprocess
import unittest

from server_support import SMALL, TIME_LIMIT, ServerTest, command_line

PACKAGE = "openai@6.49.0"
PACKAGES = pathlib.Path(os.environ["STELLA_NODE_PACKAGES"])
TEXTS = ["What are safetensors?", "a red car"]


@unittest.skipUnless(shutil.which("node") and shutil.which("npm"), "node and npm are not installed (Debian: nodejs, npm)")
class NodeOpenAi(ServerTest):
    ARGUMENTS = ("--api-key", "secret", "--served-model-name", "org/model")

    def test_vectors_and_errors(self):
        PACKAGES.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--prefix", PACKAGES, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE],
                       check=True, timeout=TIME_LIMIT, stdout=subprocess.DEVNULL)
        script = pathlib.Path(__file__).with_name("node_client.mjs")
        done = subprocess.run(["node", script, PACKAGES, self.server.url + "/v1", "secret", "org/model", *TEXTS],
                              check=True, timeout=TIME_LIMIT, capture_output=True, text=True)
        got = json.loads(done.stdout)
        rows = [row["embedding"] for row in command_line("--model", SMALL, "--task", "none", "--format", "json", *TEXTS)]
        for vectors in (got["standard"], got["float"]):
            for vector, row in zip(vectors, rows, strict=True):
                self.assertLess(max(abs(a - b) for a, b in zip(vector, row, strict=True)), 1e-6)
        self.assertEqual(got["models"], ["org/model"])
        self.assertEqual(got["unknownModel"], {"name": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model"})
        self.assertEqual((got["unknownSize"]["name"], got["unknownSize"]["param"]), ("BadRequestError", "dimensions"))


if __name__ == "__main__":
    unittest.main()
