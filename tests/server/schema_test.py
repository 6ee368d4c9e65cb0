"""schemathesis over the OpenAPI document, as its program runs: no answer of 500 and up, none that the document does not have. Bounded, and the same requests every time."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["STELLA_PROGRAM"], os.environ["STELLA_SOURCE"] = sys.argv[1:3]
sys.argv[1:] = []

from server_support import TIME_LIMIT, ServerTest

SCHEMATHESIS = pathlib.Path(sys.executable).with_name("schemathesis")
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance",
          "unsupported_method", "allow_header_conformance")


class OpenApi(ServerTest):
    ARGUMENTS = ("--api-key", "secret")

    def run_schemathesis(self, document, *options):
        with tempfile.TemporaryDirectory(prefix="stella-schema-") as folder:
            file = pathlib.Path(folder, "openapi.json")
            file.write_text(json.dumps(document))
            done = subprocess.run([SCHEMATHESIS, "run", file, "--url", self.server.url, "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
                                   "--max-examples", "10", "--generation-deterministic", "--no-shrink", "--continue-on-failure", "--no-color", *options],
                                  cwd=folder, capture_output=True, text=True, timeout=TIME_LIMIT, env=os.environ | {"HOME": folder})
        return done.returncode, done.stdout + done.stderr

    def test_answers_are_as_documented(self):
        document = self.server.get("/api-doc/openapi.json").json()
        # Whether a deadline of a millisecond is kept, which is a 504, depends on the machine; a model of any name is a 404, and nothing else of the request is looked at.
        left_out = ("Timeout", "Model")
        for name in left_out:
            del document["components"]["parameters"][name]
        for operation in (one for methods in document["paths"].values() for one in methods.values()):
            operation["parameters"] = [one for one in operation.get("parameters", []) if one.get("$ref", "").rpartition("/")[2] not in left_out]
        status, said = self.run_schemathesis(document, "--header", "Authorization: Bearer secret")
        self.assertEqual(status, 0, said)

    def test_it_would_fail(self):
        """Without the key, and with a document that does not know of keys."""
        document = self.server.get("/api-doc/openapi.json").json()
        del document["paths"]["/info"]["get"]["responses"]["401"]
        status, said = self.run_schemathesis(document, "--include-path", "/info")
        self.assertEqual(status, 1, said)
        self.assertIn("401", said)


if __name__ == "__main__":
    unittest.main()
