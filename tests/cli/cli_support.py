"""Runs the command line as a user would: a process, its two streams, its exit status. Standard library only."""

import array
import json
import math
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["STELLA_PROGRAM"]
SOURCE = pathlib.Path(os.environ["STELLA_SOURCE"])
CHECKPOINTS = SOURCE / "tests/data/checkpoints"
SMALL = str(CHECKPOINTS / "stella-small-tiny")
LARGE = str(CHECKPOINTS / "stella-large-tiny")
BERT = str(CHECKPOINTS / "bert-tiny")
DEMO = SOURCE / "models/stella-demo"
TIME_LIMIT = 240


def take_signals():
    """A test runner in the background ignores SIGINT, and its children would inherit that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def environment(home, **changes):
    """Nothing of the caller's settings, and a hub that nobody serves."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_HOME": str(home / "hf"), "HF_ENDPOINT": "http://127.0.0.1:1"}
    variables.update({name: str(value) for name, value in changes.items()})
    return variables


class CliTest(unittest.TestCase):
    """A test with a folder of its own, which is also its home and its working directory."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="stella-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_stella(self, *arguments, stdin=b"", env=None, stdout=subprocess.PIPE, **options):
        if isinstance(stdin, str):
            stdin = stdin.encode()
        return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, stdout=stdout, stderr=subprocess.PIPE,
                              env=environment(self.folder, **(env or {})), cwd=self.folder, timeout=TIME_LIMIT,
                              preexec_fn=take_signals, **options)

    def start_stella(self, *arguments, env=None, **options):
        settings = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=take_signals)
        settings.update(options)
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], env=environment(self.folder, **(env or {})),
                                   cwd=self.folder, **settings)

        def end():
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        pass
        self.addCleanup(end)
        return process

    def succeed(self, *arguments, **options):
        done = self.run_stella(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout

    def fail_with(self, status, *arguments, says=(), **options):
        """The program fails with `status` and one line on standard error that holds every string of `says`."""
        done = self.run_stella(*arguments, **options)
        self.check_failure(done.returncode, done.stderr, status, says)
        return done

    def check_failure(self, returncode, stderr, status, says=()):
        lines = stderr.decode().splitlines()
        self.assertEqual(returncode, status, lines)
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith("stella: "), lines[0])
        for part in (says,) if isinstance(says, str) else says:
            self.assertIn(part, lines[0])

    def rows(self, *arguments, **options):
        """The rows of `embed` in jsonl or json."""
        out = self.succeed("embed", *arguments, **options).decode()
        if out.startswith('{"model"'):
            return json.loads(out)["data"]
        return [json.loads(line) for line in out.splitlines()]

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def copy_checkpoint(self, source=SMALL, name="broken"):
        target = self.folder / name
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("goldens"))
        return target


class Goldens:
    """The reference's token ids and vectors of a checkpoint."""

    def __init__(self, checkpoint):
        folder = pathlib.Path(checkpoint) / "goldens"
        content = json.loads((folder / "goldens.json").read_text(encoding="utf-8"))
        self.texts = content["texts"]
        self.cases = content["cases"]
        self._vectors = read_safetensors(folder / "goldens.safetensors")

    def vector(self, text, task, dimension, max_len=512):
        return self._vectors[f"{text}.{task}.{max_len}.{dimension}"]

    def ids(self, text, task, max_len=512):
        wanted = dict(text=text, task=task, max_len=max_len)
        return next(case["ids"] for case in self.cases if wanted.items() <= case.items())


def read_safetensors(path):
    """Float32 tensors as arrays, whatever their shape."""
    content = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        tensors[name] = array.array("f", content[8 + length + begin:8 + length + end])
    return tensors


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def difference(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def floats(content):
    values = array.array("f")
    values.frombytes(content)
    return values


def read_npy(path):
    """(shape, values) of a float32 .npy file in C order."""
    content = pathlib.Path(path).read_bytes()
    assert content[:8] == b"\x93NUMPY\x01\x00", content[:8]
    (length,) = struct.unpack_from("<H", content, 8)
    header = eval(content[10:10 + length], {"__builtins__": {}})  # a literal, as NumPy's own reader takes it
    assert (10 + length) % 64 == 0 and header["descr"] == "<f4" and header["fortran_order"] is False, header
    return header["shape"], floats(content[10 + length:])
