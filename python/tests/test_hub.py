"""Models from the hub, by the test hub on this machine: fetched, cached, refused, and what huggingface_hub would raise."""

import asyncio
import os
import shutil
import sys
import threading

import numpy as np
import pytest
from conftest import SOURCE, TINY

from stella_cpp import StellaEmbeddingModel, StellaError, errors

sys.path.insert(0, str(SOURCE / "tests/python"))
from hub_support import Hub  # noqa: E402

REPO = "org/name"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Starts a hub of the tiny checkpoint with options, and an empty cache beside it."""
    hubs = []

    def start(*options, folder=TINY):
        hubs.append(Hub(os.environ["STELLA_HUB_SERVER"], {REPO: folder}, *options))
        monkeypatch.setenv("HF_ENDPOINT", hubs[-1].endpoint)
        return hubs[-1]

    for name in list(os.environ):
        if name.startswith("HF_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    yield start
    for made in hubs:
        made.__exit__()


def local():
    with StellaEmbeddingModel(TINY, precision="f32") as model:
        return model.encode("a text", truncate_dim=256)


def test_fetched_once_and_then_offline(hub, tmp_path):
    started = hub()
    with StellaEmbeddingModel(REPO, precision="f32", cache_folder=tmp_path / "cache") as model:
        assert np.array_equal(model.encode("a text", truncate_dim=256), local())
    assert (tmp_path / "cache/models--org--name").is_dir()
    requests = len(started.log())
    with StellaEmbeddingModel(REPO, cache_folder=tmp_path / "cache", local_files_only=True) as model:
        assert np.array_equal(model.encode("a text", truncate_dim=256), local())
    assert len(started.log()) == requests, "the hub was asked"
    with pytest.raises((errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)):
        StellaEmbeddingModel(REPO, cache_folder=tmp_path / "other", local_files_only=True).encode("a text")


def test_many_threads_and_tasks_fetch_once(hub):
    started = hub()
    model = StellaEmbeddingModel(REPO, precision="f32")
    rows = []
    threads = [threading.Thread(target=lambda: rows.append(model.encode("a text", truncate_dim=256))) for _ in range(6)]
    for thread in threads:
        thread.start()

    async def tasks():
        return await asyncio.gather(*(model.aencode("a text", truncate_dim=256) for _ in range(6)))

    rows += asyncio.run(tasks())
    for thread in threads:
        thread.join(60)
    assert len(rows) == 12 and all(np.array_equal(row, local()) for row in rows)
    size = (TINY / "model.safetensors").stat().st_size
    fetched = started.file_bytes("model.safetensors") - started.file_bytes("2_Dense")
    assert fetched <= size, "the weights were fetched twice"
    model.close()


def test_what_the_hub_refuses(hub):
    hub("--gated", f"{REPO}=secret")
    with pytest.raises(errors.GatedRepoError) as caught:
        StellaEmbeddingModel(REPO, token=False).encode("a text")
    assert caught.value.code == "gated_repo" and caught.value.context["http_status"] in (401, 403)
    assert isinstance(caught.value, (errors.RepositoryNotFoundError, OSError))
    with pytest.raises(errors.RepositoryNotFoundError):
        StellaEmbeddingModel("org/nothing").encode("a text")
    with StellaEmbeddingModel(REPO, token="secret") as model:
        assert model.encode("a text", truncate_dim=256).shape == (256,)
    with pytest.raises(errors.RevisionNotFoundError):
        StellaEmbeddingModel(REPO, token="secret", revision="no-such-branch").encode("a text")


def test_a_token_comes_from_the_environment_unless_it_is_refused(hub, tmp_path, monkeypatch):
    hub("--gated", f"{REPO}=secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    with StellaEmbeddingModel(REPO) as model:
        assert model.get_embedding_dimension() > 0
    with pytest.raises(errors.GatedRepoError):
        StellaEmbeddingModel(REPO, token=False, cache_folder=tmp_path / "other").encode("a text")


def test_a_file_that_is_missing(hub, tmp_path):
    folder = tmp_path / "repo"
    shutil.copytree(TINY, folder)
    (folder / "tokenizer.json").unlink()
    hub(folder=folder)
    with pytest.raises(errors.EntryNotFoundError) as caught:
        StellaEmbeddingModel(REPO).encode("a text")
    assert "tokenizer.json" in str(caught.value)


def test_untrusted_certificates_are_refused(hub):
    hub("--tls", "untrusted")
    with pytest.raises(StellaError) as caught:
        StellaEmbeddingModel(REPO).encode("a text")
    assert "certificate" in str(caught.value).lower()


def test_a_certificate_authority_of_ones_own(hub, tmp_path, monkeypatch):
    hub("--tls", "trusted", "--ca-out", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with StellaEmbeddingModel(REPO) as model:
        assert model.encode("a text", truncate_dim=256).shape == (256,)


def test_cancelling_a_download(hub):
    """A slow hub: the task is cancelled while the weights are on their way, and the next one gets them."""
    started = hub("--rate", "20000")

    async def main():
        model = StellaEmbeddingModel(REPO, precision="f32")
        task = asyncio.ensure_future(model.aload())
        while not started.log():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not model._running
        model.close()

    asyncio.run(asyncio.wait_for(main(), 60))
