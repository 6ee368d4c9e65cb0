"""What documents show is run as written."""

import re

import pytest
from conftest import SOURCE, run_python

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name):
    return BLOCK.findall((SOURCE / name).read_text())


@pytest.mark.parametrize("name", ["docs/python.md", "README.md"])
def test_examples_in_documents(name):
    found = blocks(name)
    assert len(found) == 2, "one of plain calls, one of asyncio"
    for code in found:
        assert len(code.strip().splitlines()) <= 6
        done = run_python(code)
        assert done.stdout and done.stderr == "", code


def test_quickstart(tmp_path):
    import subprocess
    import sys

    done = subprocess.run([sys.executable, SOURCE / "examples/python/quickstart.py"], capture_output=True, text=True,
                          timeout=100, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines()[0].endswith("Yeast turns sugar into carbon dioxide, which makes dough rise.")
