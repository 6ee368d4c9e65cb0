"""The examples over embed_part() with the engines themselves: every row once, with the right vector."""

import importlib.util
import pathlib
import shutil
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[4]
sys.path[:0] = [str(SOURCE / "python/tests"), str(SOURCE / "examples/scale")]
from bulk_support import ROWS, TINY, make_source, make_wanted, read, vectors_of, whole_text_of  # noqa: E402


def is_here(engine):
    if engine == "spark":
        return importlib.util.find_spec("pyspark") and shutil.which("java")
    return engine != "beam" or importlib.util.find_spec("apache_beam")


@pytest.mark.parametrize("engine", ["dask", "daft", "spark", "beam"])
def test_engine(engine, tmp_path, monkeypatch):
    if not is_here(engine):
        pytest.skip("large: install pyspark (and Java) or apache-beam into this environment to run it")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    source = make_source(tmp_path, whole_text_of)  # pyarrow before 26 cannot read null vectors
    example = importlib.import_module(f"with_{engine}")
    rows = example.main(str(source), str(tmp_path / "out"), str(TINY), dimension=256, precision="f32")
    assert rows == ROWS or engine == "beam"  # which prints them
    table = read(tmp_path / "out")
    assert table["id"].to_pylist() == list(range(ROWS))
    assert (vectors_of(table, 256, "f4") == make_wanted(whole_text_of)).all()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    example.main(str(source), str(tmp_path / "out"), str(TINY), dimension=256, precision="f32")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")} == before
