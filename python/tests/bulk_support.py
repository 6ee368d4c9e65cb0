"""What the tests of bulk work share: a table with nulls in eleven row groups, its vectors, and how a result is checked."""

import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stella_cpp import StellaEmbeddingModel

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TINY = SOURCE / "tests/data/checkpoints/stella-small-tiny"
ROWS = 600
OPTIONS = dict(model=str(TINY), dimension=256, task="document", precision="f32")


def text_of(row):
    return None if row % 97 == 13 else f"text number {row} " + "word " * (row * 7 % 40)


def whole_text_of(row):
    return text_of(row) or f"in place of null {row}"


def make_source(folder, text_of=text_of):
    """Two files in two folders, eleven row groups, some texts null."""
    table = pa.table({"id": pa.array(range(ROWS), pa.int32()), "text": [text_of(row) for row in range(ROWS)]})
    (folder / "source/b").mkdir(parents=True)
    pq.write_table(table.slice(0, 400), folder / "source/first.parquet", row_group_size=50)
    pq.write_table(table.slice(400), folder / "source/b/second.parquet", row_group_size=80)
    return folder / "source"


def make_wanted(text_of=text_of):
    """(ROWS, 256), and zeros where there is no text."""
    rows = [row for row in range(ROWS) if text_of(row) is not None]
    vectors = np.zeros((ROWS, 256), np.float32)
    with StellaEmbeddingModel(str(TINY), precision="f32") as model:
        vectors[rows] = model.encode_document([text_of(row) for row in rows], truncate_dim=256)
    return vectors


def read(destination):
    return pa.concat_tables([pq.read_table(path) for path in sorted(destination.glob("*.parquet"))]).sort_by("id")


def vectors_of(table, width, dtype):
    column = table["embedding"].combine_chunks()
    return np.stack([np.zeros(width, dtype) if value is None else np.asarray(value, dtype) for value in column.to_pylist()])


def check(destination, wanted):
    table = read(destination)
    assert table["id"].to_pylist() == list(range(ROWS)), "every row once"
    assert table["text"].to_pylist() == [text_of(row) for row in range(ROWS)]
    assert [value is None for value in table["embedding"].to_pylist()] == [text_of(row) is None for row in range(ROWS)]
    found = vectors_of(table, 256, np.float32)
    assert (found.view(np.uint32) == wanted.view(np.uint32)).all(), "the same bits"
    assert not [path for path in destination.iterdir() if path.name.startswith(".")], "nothing is left over"
    assert json.loads((destination / "manifest.json").read_text())["complete"]


def stamps(destination):
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in destination.glob("*.parquet")}
