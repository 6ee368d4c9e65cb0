"""Errors: their classes, their context, the index of the text that is to blame, and that they can be pickled."""

import asyncio
import json
import pickle
import shutil
import socket

import numpy as np
import pytest
from conftest import TINY, run_python

from stella_cpp import StellaEmbeddingModel, StellaError, _process, errors

LONG = "word " * 5000


def test_classes():
    kin = {
        errors.InputError: ValueError,
        errors.UnsupportedDimensionError: errors.InputError,
        errors.EmptyTextError: errors.InputError,
        errors.TextTooLongError: errors.InputError,
        errors.TextTooLargeError: errors.InputError,
        errors.CheckpointError: OSError,
        errors.HfHubHTTPError: OSError,
        errors.RepositoryNotFoundError: errors.HfHubHTTPError,
        errors.GatedRepoError: errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError: errors.HfHubHTTPError,
        errors.FileMetadataError: errors.HfHubHTTPError,
        errors.LocalEntryNotFoundError: FileNotFoundError,
        errors.OfflineModeIsEnabled: ConnectionError,
    }
    for kind, base in kin.items():
        assert issubclass(kind, base) and issubclass(kind, StellaError)
    assert issubclass(errors.LocalEntryNotFoundError, errors.EntryNotFoundError)
    assert not issubclass(errors.EntryNotFoundError, OSError)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_can_be_pickled(name):
    made = getattr(errors, name)("what went wrong", code="a_code", context={"file": "x", "index": 3})
    copied = pickle.loads(pickle.dumps(made))
    assert type(copied) is type(made) and str(copied) == "what went wrong"
    assert (copied.code, copied.context) == ("a_code", {"file": "x", "index": 3})


@pytest.mark.parametrize("at", [0, 2, 1500])
@pytest.mark.parametrize(
    ("bad", "kind", "code"),
    [
        ("", errors.EmptyTextError, "empty_text"),
        ("\ud800", errors.InputError, "invalid_utf8"),
        ("x" * 20_000_000, errors.TextTooLargeError, "text_too_large"),
    ],
)
def test_a_bad_text_is_told_by_its_index(model, at, bad, kind, code):
    texts = ["fine"] * at + [bad, "fine"]
    calls = (model.encode, model.embed, lambda t: list(model.encode_iter(t)), model.encode_document)
    for call in calls:
        with pytest.raises(kind, match=f"index {at}") as caught:
            call(texts)
        assert caught.value.code == code and caught.value.context["index"] == at


def test_too_long_a_text(model):
    with pytest.raises(errors.TextTooLongError) as caught:
        model.embed(["short", LONG], on_long="error")
    assert caught.value.code == "text_too_long" and caught.value.context["index"] == 1
    with pytest.raises(ValueError, match="truncate"):
        model.embed(["short"], on_long="ignore")


def test_one_text_has_no_index_in_its_message(model):
    with pytest.raises(errors.EmptyTextError) as caught:
        model.encode("")
    assert "index" not in str(caught.value)


@pytest.mark.parametrize("bad", [3, None, b"bytes", ["list"]])
def test_wrong_types_are_type_errors(model, bad):
    for texts in ([bad], ["fine", bad], ["fine"] * 2000 + [bad]):
        with pytest.raises(TypeError, match=f"index {len(texts) - 1} is .* of type {type(bad).__name__}; it has to be a str"):
            model.encode(texts)
        with pytest.raises(TypeError, match=f"index {len(texts) - 1}"):
            list(model.encode_iter(texts))


@pytest.mark.parametrize(("texts", "kind"), [(b"a", "bytes"), (bytearray(b"a"), "bytearray"), (3, "int"), (np.array("a"), "ndarray")])
def test_what_holds_no_texts_is_told_by_its_type(model, texts, kind):
    either = f"is .* of type {kind}; it has to be a str or an iterable of str"
    for call in (model.encode, model.encode_query, model.encode_document, lambda t: asyncio.run(model.aencode(t))):
        with pytest.raises(TypeError, match=f"^inputs {either}$"):
            call(texts)
    with pytest.raises(TypeError, match=f"^sentences {either}$"):
        model.encode(sentences=texts)
    for call in (model.encode_iter, model.embed, model.tokenize):
        with pytest.raises(TypeError, match=f"is .* of type {kind}; it has to be an iterable of str$"):
            call(texts)
        with pytest.raises(TypeError, match="is one text, and several are expected"):
            call("a text")


COUNT, FLAG, STRING, TEXTS = "a whole number", "True or False", "a str or None", "a mapping"


@pytest.mark.parametrize(
    ("call", "name", "value", "wanted"),
    [
        ("encode", "normalize_embeddings", "x", FLAG),
        ("encode", "normalize_embeddings", None, FLAG),
        ("encode", "prompt_name", 3, STRING),
        ("encode", "prompt", b"p", STRING),
        ("encode", "truncate_dim", "256", COUNT),
        ("encode", "truncate_dim", True, COUNT),
        ("encode", "batch_size", 2.5, COUNT),
        ("encode_query", "normalize_embeddings", 1, FLAG),
        ("encode_document", "truncate_dim", [256], COUNT),
        ("embed", "task", 3, STRING),
        ("embed", "dimension", "256", COUNT),
        ("embed", "normalize", "x", FLAG),
        ("embed", "max_length", "9", COUNT),
        ("embed", "on_long", 1, "one of truncate, error"),
        ("tokenize", "task", ["s2p"], STRING),
        ("tokenize", "max_length", 9.0, COUNT),
        (StellaEmbeddingModel, "revision", 3, STRING),
        (StellaEmbeddingModel, "precision", 32, "one of auto, f32, bf16, int16, int8"),
        (StellaEmbeddingModel, "threads", "2", COUNT),
        (StellaEmbeddingModel, "truncate_dim", 256.0, COUNT),
        (StellaEmbeddingModel, "prompts", ["p"], TEXTS),
        (StellaEmbeddingModel, "prompts", {"p": 3}, TEXTS),
        (StellaEmbeddingModel, "default_prompt_name", 3, STRING),
        (StellaEmbeddingModel, "token", 3, "a str, True, False or None"),
        (StellaEmbeddingModel, "cache_folder", 3, "a str or a path"),
        (StellaEmbeddingModel, "local_files_only", "yes", FLAG),
        (StellaEmbeddingModel, "model_kwargs", "x", "a mapping or None"),
    ],
)
def test_wrongly_typed_options_are_told_by_name(model, call, name, value, wanted):
    made = (lambda **options: call("demo", **options)) if callable(call) else (lambda **options: getattr(model, call)(["a"], **options))
    with pytest.raises(TypeError, match=rf"^{name} is .* of type {type(value).__name__}; it has to be {wanted}"):
        made(**{name: value})


def test_other_types_that_mean_the_same(model):
    wanted = model.encode("a", truncate_dim=256, normalize_embeddings=False)
    assert (model.encode("a", truncate_dim=np.int64(256), normalize_embeddings=np.bool_(False)) == wanted).all()
    assert (model.embed(["a"], task="document", dimension=np.int32(256), normalize=np.False_, max_length=np.int16(99)).vectors[0] == wanted).all()
    with pytest.raises(TypeError, match="^model is b'demo' of type bytes; it has to be a str or a path"):
        StellaEmbeddingModel(b"demo")
    for wrong in (0, -1, 1 << 63, 1 << 200):
        with pytest.raises(errors.InputError, match=f"max_length is {wrong}; it has to be"):
            model.embed(["a"], max_length=wrong)


def test_a_model_survives_its_errors(model):
    for _ in range(3):
        with pytest.raises(StellaError):
            model.encode(["fine", ""])
    assert model.encode(["fine"]).shape == (1, 1024)


def test_a_damaged_checkpoint(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(errors.CheckpointError) as caught:
        StellaEmbeddingModel(folder).encode("short")
    assert caught.value.code == "malformed_file" and caught.value.context["file"].endswith("model.safetensors")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "gpt5"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(OSError, match="gpt5"):
        StellaEmbeddingModel(folder).encode("short")


def hub_error(tmp_path, monkeypatch, **options):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StellaError) as caught:
        StellaEmbeddingModel("org/name", **options).encode("short")
    return caught.value


def test_the_hub_cannot_be_asked(tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        error = hub_error(tmp_path, monkeypatch)
    assert isinstance(error, (errors.LocalEntryNotFoundError, errors.HfHubHTTPError))
    error = hub_error(tmp_path, monkeypatch, local_files_only=True)
    assert isinstance(error, (FileNotFoundError, ConnectionError))


def test_certificates(tmp_path, monkeypatch):
    fedora = tmp_path / "ca-bundle.crt"
    fedora.write_text("")
    assert _process.certificates((str(tmp_path / "none"), str(fedora))) == (str(fedora), "")
    monkeypatch.setitem(__import__("sys").modules, "certifi", None)
    file, problem = _process.certificates((str(tmp_path / "none"),))
    assert file == "" and "SSL_CERT_FILE" in problem


def test_without_certificates_the_hub_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(_process, "certificates", lambda: ("", "no certificate authorities were found"))
    monkeypatch.setenv("HF_ENDPOINT", "https://127.0.0.1:9")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    error = hub_error(tmp_path, monkeypatch)
    assert "no certificate authorities" in str(error)


def test_nothing_is_printed_and_remarks_go_to_logging(tmp_path):
    done = run_python(
        "import logging, stella_cpp\n"
        "lines = []\n"
        "class Handler(logging.Handler):\n"
        "    def emit(self, record): lines.append(record.getMessage())\n"
        "logger = logging.getLogger('stella_cpp'); logger.addHandler(Handler()); logger.propagate = False\n"
        "logger.setLevel(logging.DEBUG)\n"
        "try: stella_cpp.StellaEmbeddingModel('org/name').encode('x')\n"
        "except stella_cpp.StellaError: pass\n"
        "stella_cpp.StellaEmbeddingModel('demo').encode(['x'] * 10)\n"
        "assert any('127.0.0.1' in line for line in lines), lines\n"
        "logger.removeHandler(logger.handlers[-1]); logger.propagate = True\n"
        "logger.warning('where nobody listens')\n",
        env={"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"},
    )
    assert done.stdout == "" and done.stderr == ""


def test_progress_only_where_asked_for_and_installed():
    code = (
        "import sys, logging, stella_cpp\n"
        "if sys.argv[1:] == ['none']: sys.modules['tqdm'] = None; sys.modules['tqdm.auto'] = None\n"
        "stella_cpp.StellaEmbeddingModel('demo').encode(['x'] * 10, show_progress_bar=True)\n"
    )
    assert "10/10" in run_python(code).stderr
    assert run_python(code.replace("sys.argv[1:] == ['none']", "True")).stderr == ""
