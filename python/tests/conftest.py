"""What the package's tests share. STELLA_PROGRAM is the command line, which is the oracle for vectors."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from stella_cpp import StellaEmbeddingModel

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TINY = SOURCE / "tests/data/checkpoints/stella-small-tiny"

TEXTS = [
    "What are safetensors?",
    "A file format for tensors that is safe to load.",
    "Der Zug hält in Gößnitz — 你好, мир!",
    "short",
    "How do I fix a flat tire on my bike? " * 60,
    " ",
]


def program():
    path = os.environ.get("STELLA_PROGRAM")
    assert path, "STELLA_PROGRAM has to name the command line"
    return path


def command_line_rows(texts, *options, model="demo"):
    """(n, dim) float32, as `stella embed` writes them."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run(
        [program(), "embed", "--model", model, "--precision", "f32", "--input", "-", "--input-format", "jsonl"]
        + ["--quiet", "--format", "f32", *options],
        input=lines.encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    return np.frombuffer(done.stdout, "<f4").reshape(len(texts), -1)


def run_python(code, *, timeout=60, check=True, env=None, **options):
    """Runs the code in a new interpreter with this one's packages."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        **options,
    )
    if check:
        assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def model():
    with StellaEmbeddingModel("demo", precision="f32") as made:
        yield made
