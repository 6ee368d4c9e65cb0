"""stella_cpp.ray on a local cluster of two workers."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[4] / "python/tests"))
from bulk_support import OPTIONS, ROWS, TINY, check, make_source, make_wanted, stamps, text_of  # noqa: E402

from stella_cpp import ray as stella_ray  # noqa: E402

QUIET = dict(include_dashboard=False, log_to_driver=False, configure_logging=False)


@pytest.fixture
def source(tmp_path):
    return make_source(tmp_path)


@pytest.fixture(scope="module")
def wanted():
    return make_wanted()


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, object_store_memory=100 << 20, **QUIET)
    yield
    ray.shutdown()


def actor_processes():
    """Processes of actors that embed, by their title."""
    found = []
    for folder in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{folder}/cmdline", "rb") as file:
                title = file.read()
        except OSError:
            continue
        if title.startswith(b"ray::_Embedding"):
            found.append(int(folder))
    return found


def test_embedder_in_map_batches(cluster, wanted):
    rows = [row for row in range(ROWS) if text_of(row) is not None]
    dataset = ray.data.from_items([{"id": row, "text": text_of(row)} for row in rows], override_num_blocks=6)
    dataset = dataset.map_batches(
        stella_ray.Embedder,
        fn_constructor_args=(str(TINY),),
        fn_constructor_kwargs=dict(dimension=256, precision="f32"),
        batch_size=64,
        concurrency=2,
        num_cpus=1,
    )
    found = sorted(dataset.take_all(), key=lambda row: row["id"])
    assert [row["id"] for row in found] == rows
    vectors = np.stack([row["embedding"] for row in found])
    assert vectors.dtype == np.float32
    assert (vectors.view(np.uint32) == wanted[rows].view(np.uint32)).all()


def test_the_documents_example(cluster, source, tmp_path, monkeypatch):
    text = (pathlib.Path(__file__).resolve().parents[4] / "docs/scale.md").read_text()
    [code] = re.findall(r"^```python\n(import ray\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for shown, here in (("NovaSearch/stella_en_400M_v5", str(TINY)), ("concurrency=8, num_cpus=8", "concurrency=1, num_cpus=1"),
                        ("texts/", str(tmp_path / "source/b"))):
        assert code.count(shown) == 1
        code = code.replace(shown, here)
    pq.write_table(pa.table({"text": ["one", "two", "three"]}), tmp_path / "source/b/second.parquet")
    names = {}
    exec(code, names)
    rows = names["dataset"].take_all()
    assert sorted(row["text"] for row in rows) == ["one", "three", "two"]
    assert all(len(row["embedding"]) == 1024 for row in rows)


def test_an_actor_that_is_killed_is_made_anew(cluster, source, tmp_path, wanted):
    killed = []

    def kill_all(_):
        if not killed:
            for process in actor_processes():
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    report = stella_ray.embed_parquet(source, tmp_path / "out", workers=2, threads=1, progress=kill_all, **OPTIONS)
    assert len(killed) == 2
    assert report.restarts >= 1
    assert (report.parts, report.rows) == (11, ROWS)
    check(tmp_path / "out", wanted)


JOB = f"""
import sys
import ray
from stella_cpp import ray as stella_ray
ray.init(num_cpus=2, object_store_memory=100 << 20, **{QUIET!r})
def told(state):
    print("finished", state.parts_finished, flush=True)
stella_ray.embed_parquet(sys.argv[1], sys.argv[2], model=sys.argv[3], dimension=256, task="document", precision="f32",
                         workers=2, threads=1, progress=told)
print("complete", flush=True)
"""


def run_job(source, out, stop_after):
    """Runs the job in a cluster of its own, and kills all of it after so many parts; whether it came to its end."""
    process = subprocess.Popen([sys.executable, "-c", JOB, source, out, TINY], stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    complete = False
    for line in process.stdout:
        complete = complete or line.startswith("complete")
        if line.startswith("finished"):
            stop_after -= 1
            if stop_after == 0:
                break
    if not complete:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    while actor_processes():  # Ray ends what has lost its job
        time.sleep(0.05)
    return complete


def test_a_job_that_is_killed_goes_on(source, tmp_path, wanted):
    out = tmp_path / "out"
    assert not run_job(source, out, 3)
    before = stamps(out)
    assert 3 <= len(before) < 11
    assert not json.loads((out / "manifest.json").read_text())["complete"]
    assert run_job(source, out, 100)
    after = stamps(out)
    assert {name: after[name] for name in before} == before, "finished parts are untouched"
    check(out, wanted)
