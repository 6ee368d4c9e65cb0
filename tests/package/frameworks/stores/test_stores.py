"""The worked examples of examples/python, each with the real store: the same three passages, in the same order."""

import pathlib
import sqlite3
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[4] / "examples/python"
STORES = ["faiss", "lancedb", "chroma", "qdrant", "sqlite_vec", "duckdb"]


@pytest.mark.parametrize("store", STORES)
def test_store(store, tmp_path):
    if store == "sqlite_vec" and not hasattr(sqlite3.Connection, "enable_load_extension"):
        pytest.skip("this Python's sqlite3 was built without extensions; Debian's has them")
    done = subprocess.run([sys.executable, EXAMPLES / f"store_{store}.py"], capture_output=True, text=True, timeout=300,
                          cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Yeast turns sugar into carbon dioxide, which makes dough rise.\n"


def test_every_example_is_run():
    assert sorted(path.stem for path in EXAMPLES.glob("store_*.py")) == sorted(f"store_{name}" for name in STORES)
