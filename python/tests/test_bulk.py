"""stella_cpp.bulk: every row once, with the right vector, whatever ends a run."""

import hashlib
import inspect
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_support import OPTIONS, ROWS, SOURCE, TINY, check, make_source, make_wanted, read, stamps, text_of, vectors_of

from stella_cpp import _destination, _workers, bulk, ray
from stella_cpp.errors import EmptyTextError, InputError, StellaError

@pytest.fixture
def source(tmp_path):
    return make_source(tmp_path)


@pytest.fixture(scope="module")
def wanted():
    return make_wanted()


def test_all_rows_with_two_workers_and_again(source, tmp_path, wanted):
    seen = []
    report = bulk.embed_parquet(source, tmp_path / "out", workers=2, threads=1, progress=seen.append, **OPTIONS)
    check(tmp_path / "out", wanted)
    assert (report.parts, report.parts_found, report.parts_damaged, report.rows, report.restarts) == (11, 0, 0, ROWS, 0)
    assert (report.precision, report.dimension) == ("f32", 256)
    assert [state.parts_finished for state in seen] == list(range(1, 12))
    assert seen[0].eta_seconds > 0
    assert seen[-1].rows_finished == ROWS
    assert seen[-1].eta_seconds == 0
    before = stamps(tmp_path / "out")
    again = bulk.embed_parquet(source, tmp_path / "out", **OPTIONS)
    assert (again.parts_found, again.tokens) == (11, 0)
    assert stamps(tmp_path / "out") == before


def test_a_part_says_what_is_in_it(source, tmp_path):
    part = bulk.embed_part(source / "first.parquet", 2, tmp_path / "out", threads=1, **OPTIONS)
    assert os.path.basename(part.path) == "first-rg00002.parquet"
    assert (part.rows, part.embedded, part.was_finished) == (50, 49, False)
    about = json.loads(pq.read_metadata(part.path).metadata[b"stella"])
    settings = json.loads((tmp_path / "out/manifest.json").read_text())["settings"]
    assert about["settings"] == settings
    assert (settings["dimension"], settings["precision"], settings["task"], settings["normalize"]) == (256, "f32", "document", True)
    assert about["counts"] == {"embedded": 49, "tokens": part.tokens, "truncated": 0}
    table = pq.read_table(part.path)
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 256)
    texts = hashlib.sha256()
    for text in table["text"].to_pylist():
        data = b"" if text is None else text.encode()
        texts.update((-1 if text is None else len(data)).to_bytes(8, "little", signed=True) + data)
    assert about["texts_sha256"] == texts.hexdigest()
    assert about["vectors_sha256"] == hashlib.sha256(vectors_of(table, 256, "<f4").tobytes()).hexdigest()
    before = stamps(tmp_path / "out")
    again = bulk.embed_part(source / "first.parquet", 2, tmp_path / "out", threads=1, **OPTIONS)
    assert again._replace(seconds=0) == part._replace(seconds=0, was_finished=True)
    assert stamps(tmp_path / "out") == before
    # A source that is another one by now makes the part anew.
    table = pq.read_table(source / "first.parquet").slice(0, 300)
    pq.write_table(table, source / "first.parquet", row_group_size=50)
    assert not bulk.embed_part(source / "first.parquet", 2, tmp_path / "out", threads=1, **OPTIONS).was_finished


def spoil(path, place):
    """Changes a bit of the file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_damaged_parts_are_done_again(source, tmp_path, wanted, caplog):
    out = tmp_path / "out"
    bulk.embed_parquet(source, out, workers=1, threads=1, **OPTIONS)
    about = json.loads(pq.read_metadata(out / "first-rg00000.parquet").metadata[b"stella"])
    content = (out / "first-rg00000.parquet").read_bytes()
    digest = about["file_sha256"].encode()
    assert content.count(digest) == 1
    assert hashlib.sha256(content.replace(digest, b"0" * 64)).hexdigest() == about["file_sha256"]
    before = stamps(out)
    damaged = {f"first-rg0000{i}.parquet" for i in (0, 1, 2, 4, 5, 6)}
    spoil(out / "first-rg00000.parquet", 500)  # pages
    spoil(out / "first-rg00001.parquet", -9)  # the footer's last byte
    footer = int.from_bytes((out / "first-rg00002.parquet").read_bytes()[-8:-4], "little")
    spoil(out / "first-rg00002.parquet", -8 - footer)  # its first
    spoil(out / "first-rg00004.parquet", (out / "first-rg00004.parquet").read_bytes().index(b'"file_sha256": "') + 20)
    os.truncate(out / "first-rg00005.parquet", 1000)
    os.truncate(out / "first-rg00006.parquet", 0)
    report = bulk.embed_parquet(source, out, workers=2, threads=1, **OPTIONS)
    assert (report.parts, report.parts_found, report.parts_damaged) == (11, 11 - len(damaged), len(damaged))
    said = {os.path.basename(record.args[0]) for record in caplog.records if record.levelname == "WARNING"}
    assert said == damaged
    check(out, wanted)
    after = stamps(out)
    assert {name for name in before if after[name] != before[name]} == damaged
    caplog.clear()
    spoil(out / "first-rg00007.parquet", 100)
    part = bulk.embed_part(source / "first.parquet", 7, out, threads=1, **OPTIONS)
    assert not part.was_finished
    assert "first-rg00007.parquet is damaged" in caplog.text
    check(out, wanted)


def test_files_of_others_stay(source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    digits = ".0123456789abcdef.tmp"
    own = {".notes.tmp", f".first-rg00008.parquet{digits}", ".first-rg00000.parquet.old.tmp", f"first-rg00000.parquet{digits}"}
    for name in own | {f".first-rg00000.parquet{digits}", f".manifest.json{digits}"}:
        (out / name).write_text("text")
    bulk.embed_parquet(source, out, workers=1, threads=1, **OPTIONS)
    assert {path.name for path in out.iterdir() if path.name.endswith(".tmp")} == own


@pytest.mark.parametrize(("dtype", "width", "kind"), [("float16", 256, np.float16), ("bits", 32, np.uint8)])
def test_smaller_numbers(source, tmp_path, wanted, dtype, width, kind):
    bulk.embed_parquet(source, tmp_path / "out", dtype=dtype, columns=["id"], workers=1, threads=1, **OPTIONS)
    table = read(tmp_path / "out")
    assert table.column_names == ["id", "embedding"]
    expected = wanted.astype(np.float16) if dtype == "float16" else np.packbits(wanted > 0, axis=1)
    assert (vectors_of(table, width, kind) == expected).all()


def test_other_settings_are_refused_and_the_precision_is_the_firsts(source, tmp_path):
    first = source / "first.parquet"
    options = {**OPTIONS, "precision": "int16"}
    bulk.embed_part(first, 0, tmp_path / "out", threads=1, **options)
    for changed, says in ((dict(dimension=1024), "dimension 256, and this run has 1024"), (dict(task="s2p"), 'task "document"'),
                          (dict(normalize=False), "normalize true"), (dict(dtype="float16"), 'dtype "float32"'),
                          (dict(precision="f32"), 'precision "int16"'), (dict(output_column="v"), "output_column")):
        with pytest.raises(InputError, match=says):
            bulk.embed_part(first, 1, tmp_path / "out", threads=1, **{**options, **changed})
    part = bulk.embed_part(first, 1, tmp_path / "out", threads=1, **{**options, "precision": "auto"})
    assert json.loads(pq.read_metadata(part.path).metadata[b"stella"])["settings"]["precision"] == "int16"


def test_what_cannot_be_done_is_said(source, tmp_path):
    out = tmp_path / "out"
    for changed, says in ((dict(column="txt"), "no column 'txt'; it has id, text"), (dict(columns=["x"]), "no column 'x'"),
                          (dict(output_column="id"), "has a column 'id' already"), (dict(dtype="int4"), "float32, float16, bits"),
                          (dict(prompt="p"), "both task and prompt")):
        with pytest.raises(InputError, match=says):
            bulk.embed_part(source / "first.parquet", 0, tmp_path / "none", threads=1, **{**OPTIONS, **changed})
        assert not (tmp_path / "none").exists(), "nothing was begun"
    with pytest.raises(InputError, match="row_group is 8"):
        bulk.embed_part(source / "first.parquet", 8, out, threads=1, **OPTIONS)
    with pytest.raises(FileNotFoundError):
        bulk.embed_parquet(tmp_path / "nowhere", out, **OPTIONS)
    with pytest.raises(InputError, match="workers is 0"):
        bulk.embed_parquet(source, out, workers=0, **OPTIONS)
    pq.write_table(pa.table({"text": ["a", None, "", "b"]}), tmp_path / "bad.parquet")
    with pytest.raises(EmptyTextError, match=r"bad\.parquet, row group 0, row 2: "):
        bulk.embed_part(tmp_path / "bad.parquet", 0, out, threads=1, **OPTIONS)
    with pytest.raises(EmptyTextError, match=r"bad\.parquet, row group 0, row 2: "):
        bulk.embed_parquet(tmp_path / "bad.parquet", out, threads=1, **OPTIONS)
    broken = pa.array([b"fine", None, b"ok \xff"], pa.binary())
    broken = pa.StringArray.from_buffers(3, broken.buffers()[1], broken.buffers()[2], broken.buffers()[0])
    pq.write_table(pa.table({"text": broken}), tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=r"bad\.parquet, row group 0, row 2: not valid UTF-8 \(.*, at byte 3\)"):
        bulk.embed_part(tmp_path / "bad.parquet", 0, out, threads=1, **OPTIONS)
    for values, kind in (([1, 2], "int64"), ([b"a"], "binary"), ([["a"]], "list<")):
        pq.write_table(pa.table({"text": values}), tmp_path / "bad.parquet")
        with pytest.raises(InputError, match=f"column 'text' of .*bad\\.parquet is {kind}.*; a column of strings is wanted"):
            bulk.embed_part(tmp_path / "bad.parquet", 0, out, threads=1, **OPTIONS)
    (out / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="is no manifest"):
        bulk.embed_part(source / "first.parquet", 0, out, threads=1, **OPTIONS)


def test_workers_that_are_killed_are_replaced(source, tmp_path, wanted):
    killed = []

    def kill_all(_):
        if not killed:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
                killed.append(child.pid)

    report = bulk.embed_parquet(source, tmp_path / "out", workers=2, threads=1, progress=kill_all, **OPTIONS)
    assert report.restarts >= 1
    check(tmp_path / "out", wanted)


def end_at_once(_):
    os._exit(9)


def test_a_job_that_ends_every_worker_ends_the_run():
    with pytest.raises(StellaError, match="3 workers ended while they worked on job"):
        _workers.Pool(1, end_at_once).run(["job"], print)


JOB = """
import sys
from stella_cpp import bulk
if __name__ == "__main__":
    def told(state):
        print(state.parts_finished, flush=True)
    bulk.embed_parquet(sys.argv[1], sys.argv[2], model=sys.argv[3], dimension=256, task="document", precision="f32",
                       workers=2, threads=1, progress=told)
"""


def test_a_run_that_is_killed_goes_on(source, tmp_path, wanted):
    script = tmp_path / "job.py"
    script.write_text(JOB)
    out = tmp_path / "out"
    before = {}
    kills = 0
    while True:
        process = subprocess.Popen([sys.executable, script, source, out, TINY], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.stdout.readline()
        process.kill()
        process.wait()
        process.stdout.close()
        while workers_of(out):  # they notice that nobody is there any more
            time.sleep(0.02)
        after = stamps(out)
        assert {name: after[name] for name in before} == before, "finished parts are untouched"
        before = after
        if process.returncode == 0:
            break
        kills += 1
    assert kills >= 2
    report = bulk.embed_parquet(source, out, **OPTIONS)
    assert report.parts_found == len(before)
    check(out, wanted)


def test_the_documents_example(tmp_path):
    [code] = re.findall(r"^```python\n(from stella_cpp import bulk\n.*?)^```$", (SOURCE / "docs/scale.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "job.py").write_text(code)
    make_source(tmp_path).rename(tmp_path / "texts")
    done = subprocess.run([sys.executable, "job.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout == f"{ROWS} f32\n"
    assert f"{ROWS}/{ROWS}" in done.stderr, "tqdm's"
    assert len(list((tmp_path / "vectors").glob("*.parquet"))) == 11


def workers_of(out):
    """Whether a process still has a file in the folder, or the folder, open."""
    for folder in os.listdir("/proc"):
        if folder.isdigit() and int(folder) != os.getpid():
            try:
                for name in os.listdir(f"/proc/{folder}/fd"):
                    if os.readlink(f"/proc/{folder}/fd/{name}").startswith(str(out)):
                        return True
            except OSError:
                pass
    return False


def test_two_runs_in_one_folder(source, tmp_path):
    with _destination.locked(tmp_path / "out"), pytest.raises(InputError, match="another run works in"):
        bulk.embed_parquet(source, tmp_path / "out", **OPTIONS)


def test_processors_by_affinity_and_quota(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    assert _workers.available_processors(tmp_path) == 12
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert _workers.available_processors(tmp_path) == 12
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert _workers.available_processors(tmp_path) == 3
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("400000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert _workers.available_processors(tmp_path) == 4


def test_processors_are_shared_out():
    for machines, workers, threads, shares in (
        ([20], None, None, (3, 6)),
        ([20], 5, None, (5, 4)),
        ([20], None, 4, (5, 4)),
        ([20], 2, 2, (2, 2)),
        ([20], 30, None, (30, 1)),
        ([4, 4], None, None, (2, 4)),  # a worker has to lie on one machine
        ([4, 4], 1, None, (1, 4)),
        ([16, 4], None, None, (5, 4)),
        ([7, 7], None, 4, (2, 4)),
    ):
        assert _workers.share_out(workers, threads, machines) == shares, machines
    for wrong in (dict(workers=0, threads=None), dict(workers=None, threads=-1)):
        with pytest.raises(InputError, match="at least 1"):
            _workers.share_out(**wrong, machines=[2])


def test_all_ways_take_the_same_settings():
    def options_of(function):
        return {name: p.default for name, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}

    here = options_of(bulk.embed_parquet)
    assert options_of(ray.embed_parquet) == here
    part = options_of(bulk.embed_part)
    assert {name: here[name] for name in part if name not in ("model", "name")} == {
        name: value for name, value in part.items() if name not in ("model", "name")
    }
    assert set(here) - set(part) == {"workers", "progress"}


def test_wrongly_typed_settings_are_told_by_name(tmp_path):
    for function in (bulk.embed_parquet, ray.embed_parquet, lambda *a, **o: bulk.embed_part(a[0], 0, a[1], **o)):
        for name, value in (("dimension", "256"), ("normalize", "x"), ("max_length", 2.5), ("task", 3), ("dtype", 16),
                            ("precision", 32), ("columns", "id"), ("column", 3), ("model", 3)):
            with pytest.raises(TypeError, match=f"^{name} is "):
                function(tmp_path, tmp_path / "out", **{"model": str(TINY), name: value})
    assert not (tmp_path / "out").exists()


def private_kilobytes(process):
    """What a process has written to itself; what it maps of a file is the machine's."""
    with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:"))


def test_workers_share_their_weights(tmp_path, monkeypatch):
    """Six layers of full size: 530 MB of weights, beside which Python and its packages are small."""
    model, source = tmp_path / "model", tmp_path / "source.parquet"
    tool = SOURCE / "tools/make_full_checkpoint.py"
    subprocess.run([sys.executable, tool, "small", model, "--layers", "6", "--dims", "256"], check=True, timeout=120)
    pq.write_table(pa.table({"text": [text_of(row) for row in range(40)]}), source, row_group_size=10)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    weights = (model / "model.safetensors").stat().st_size
    seen = {}

    def look(_):
        seen.update((child.pid, private_kilobytes(child.pid)) for child in multiprocessing.active_children())

    bulk.embed_parquet(source, tmp_path / "out", workers=2, threads=1, progress=look, **{**OPTIONS, "model": str(model)})
    [packed] = (tmp_path / "home/stella").glob("*.packed")
    assert packed.stat().st_size > weights / 2
    assert len(seen) == 2
    assert max(seen.values()) * 1024 < weights / 3, (seen, weights)
    shutil.rmtree(model)  # which is much to leave behind
    shutil.rmtree(tmp_path / "home")


def test_the_embedder_of_ray_needs_no_ray(wanted):
    embedder = ray.Embedder(str(TINY), dimension=256, precision="f32", threads=1)
    rows = [row for row in range(20) if text_of(row) is not None]
    batch = {"id": np.array(rows), "text": np.array([text_of(row) for row in rows], object)}
    out = embedder(batch)
    assert list(out) == ["id", "text", "embedding"]
    with pytest.raises(TypeError, match="text at index 1 is None"):
        embedder({"text": np.array(["a", None], object)})
    assert (out["embedding"].view(np.uint32) == wanted[rows].view(np.uint32)).all()
