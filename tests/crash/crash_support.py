"""What both tests of this folder need: a model large enough for its packed weights to be kept, and one run's vectors."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

SOURCE = pathlib.Path(os.environ["STELLA_SOURCE"])
sys.path[:0] = [str(SOURCE / "tests/python"), str(SOURCE / "tests/cli")]

from cli_support import PROGRAM, SMALL, cosine, environment  # noqa: E402, F401

REPO = "org/small"
KEPT_FROM = 33 << 20  # smaller encoders are packed at each start
TEXTS = ("a text", "and another")


def make_model(folder, seed):
    """The small checkpoint with one more tensor that no model asks for, of bytes that are no zeros."""
    shutil.copytree(SMALL, folder, ignore=shutil.ignore_patterns("goldens"))
    path = folder / "model.safetensors"
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + length])
    end = len(content) - 8 - length
    header["padding"] = {"dtype": "F32", "shape": [KEPT_FROM // 4], "data_offsets": [end, end + KEPT_FROM]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length:] + seed.randbytes(KEPT_FROM))
    return folder


class World:
    """Runs the program in one folder after another, with the hub."""

    def __init__(self, folder, hub):
        self.folder, self.hub = folder, hub

    def start(self, home, *arguments):
        return subprocess.Popen([PROGRAM, *map(str, arguments)], env=environment(home, HF_ENDPOINT=self.hub.endpoint),
                                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def run(self, home, *arguments, status=0):
        done = subprocess.run([PROGRAM, *map(str, arguments)], env=environment(home, HF_ENDPOINT=self.hub.endpoint), cwd=self.folder,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240)
        assert status is None or done.returncode == status, f"{arguments}: status {done.returncode}: {done.stderr}{done.stdout}"
        return done

    def embed_arguments(self, *more):
        precision = () if "--precision" in more else ("--precision", "int16")
        return ("embed", "--model", REPO, "--dim", "256", *precision, *more, *TEXTS)

    def embed(self, home, *more):
        lines = self.run(home, *self.embed_arguments("--format", "jsonl", *more)).stdout.splitlines()
        return [json.loads(line)["embedding"] for line in lines]
