"""Vectors and forms. Vectors are compared with the command line's, bit for bit, and with PyTorch's goldens."""

import copy
import itertools
import json
import pickle
import threading
import weakref

import numpy as np
import pytest
from conftest import SOURCE, TEXTS, TINY, command_line_rows

from stella_cpp import Embeddings, StellaEmbeddingModel, errors

DIMENSIONS = (256, 768, 1024, 2048, 4096, 6144, 8192)


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("task", ["none", "s2p", "s2s"])
def test_every_head_and_task_equals_the_command_line(model, task, dimension):
    expected = command_line_rows(TEXTS, "--task", task, "--dim", str(dimension))
    assert np.array_equal(model.encode(TEXTS, prompt_name=task, truncate_dim=dimension), expected)


def test_prompts_are_sentence_transformers(model):
    none = command_line_rows(TEXTS, "--task", "none")
    query = command_line_rows(TEXTS, "--task", "s2p")
    assert not np.array_equal(none, query)
    assert np.array_equal(model.encode(TEXTS), none)
    assert np.array_equal(model.encode_document(TEXTS), none)
    assert np.array_equal(model.encode_query(TEXTS), query)
    assert np.array_equal(model.encode(TEXTS, prompt_name="s2p_query"), query)
    assert np.array_equal(model.encode(TEXTS, prompt=model.prompts["s2p_query"]), query)
    assert np.array_equal(model.encode(TEXTS, "s2p_query", ""), none), "a prompt given wins over a name"


def test_embed_has_the_command_lines_default_task_and_counts(model):
    got = model.embed(TEXTS, max_length=24)
    assert isinstance(got, Embeddings)
    assert np.array_equal(got.vectors, command_line_rows(TEXTS, "--max-length", "24"))
    assert got.tokens.dtype == np.uint32 and got.full_tokens.dtype == np.uint32 and got.truncated.dtype == np.bool_
    ids = model.tokenize(TEXTS, task="s2p", max_length=8192)
    assert [len(i) for i in ids] == got.full_tokens.tolist()
    assert got.tokens.tolist() == [min(24, n) for n in got.full_tokens.tolist()]
    assert got.truncated.tolist() == [n > 24 for n in got.full_tokens.tolist()]
    assert np.array_equal(model.embed(TEXTS, task="none", dimension=256, normalize=False).vectors,
                          command_line_rows(TEXTS, "--task", "none", "--dim", "256", "--no-normalize"))


def test_goldens_of_pytorch():
    """Vectors that the PyTorch reference computed from the same checkpoint."""
    from safetensors.numpy import load_file

    goldens = json.loads((TINY / "goldens/goldens.json").read_text())
    expected = load_file(TINY / "goldens/goldens.safetensors")
    with StellaEmbeddingModel(TINY, precision="f32") as tiny:
        compared = 0
        for name, vector in expected.items():
            text, task, length, dimension = name.rsplit(".", 3)
            if dimension == "pooled" or not goldens["texts"][int(text)]:
                continue
            got = tiny.embed([goldens["texts"][int(text)]], task=task, dimension=int(dimension), max_length=int(length))
            assert np.abs(got.vectors[0] - vector).max() <= 2e-5, name
            compared += 1
        assert compared > 10


def test_batches_orders_threads_and_streams_change_no_bit(model):
    texts = [f"{text} {i}" if text.strip() else text for i in range(40) for text in TEXTS]
    expected = command_line_rows(texts, "--task", "none")
    assert np.array_equal(model.encode(texts), expected)
    assert np.array_equal(model.encode(texts[::-1])[::-1], expected)
    assert np.array_equal(model.encode(texts, batch_size=1), expected)
    assert np.array_equal(np.stack([model.encode(text) for text in texts[:20]]), expected[:20])
    assert np.array_equal(np.stack(list(model.encode_iter(iter(texts), batch_size=7))), expected)
    with StellaEmbeddingModel("demo", precision="f32", threads=1) as one:
        assert np.array_equal(one.encode(texts), expected)
    results = {}
    threads = [threading.Thread(target=lambda i=i: results.update({i: model.encode(texts[i::4])})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(results[i], expected[i::4]) for i in range(4))


def test_more_texts_than_one_request_takes(model):
    texts = [f"text number {i}" for i in range(3000)]
    rows = model.encode(texts, truncate_dim=256)
    for i in (0, 1023, 1024, 2047, 2048, 2999):
        assert np.array_equal(rows[i], model.encode(texts[i], truncate_dim=256)), i


def owns(array):
    return array.dtype == np.float32 and array.flags.c_contiguous and array.flags.owndata


def test_forms(model):
    one = model.encode("short")
    assert one.shape == (1024,) and owns(one)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    two = model.encode(["short", "long"])
    assert two.shape == (2, 1024) and owns(two) and np.array_equal(two[0], one)
    assert model.encode([]).shape == (0, 1024) and owns(model.encode([]))
    assert model.encode([], truncate_dim=256).shape == (0, 256)
    assert model.embed([]).vectors.shape == (0, 1024) and model.embed([]).tokens.shape == (0,)
    for texts in (("short", "long"), iter(["short", "long"]), (t for t in ["short", "long"]), {"short": 1, "long": 2}):
        assert np.array_equal(model.encode(texts), two)
    assert np.array_equal(model.encode(np.array(["short", "long"])), two)
    assert np.array_equal(model.encode(sentences=["short", "long"]), two)
    longer = model.encode(["short"], normalize_embeddings=False)[0]
    assert np.allclose(longer / np.linalg.norm(longer), one, atol=1e-6)
    assert abs(np.linalg.norm(longer) - 1) > 1e-3
    assert all(owns(row) and row.shape == (1024,) for row in model.encode_iter(["short", "long"]))
    assert list(model.encode_iter([])) == []


def test_truncate_dim_is_a_trained_head_and_no_slice(model):
    whole, head = model.encode(TEXTS), model.encode(TEXTS, truncate_dim=256)
    assert head.shape == (len(TEXTS), 256)
    sliced = whole[:, :256] / np.linalg.norm(whole[:, :256], axis=1, keepdims=True)
    assert np.abs(head - sliced).max() > 0.01
    assert StellaEmbeddingModel("demo", truncate_dim=256).get_embedding_dimension() == 256
    with pytest.raises(errors.UnsupportedDimensionError, match="256.*768.*1024"):
        model.encode("short", truncate_dim=300)


def test_out_is_written_in_place(model):
    expected = model.encode(TEXTS)
    whole = np.full((len(TEXTS) + 2, 1030), 7, np.float32)
    rows = whole[1:-1, 3:1027]
    assert model.encode(TEXTS, out=rows) is rows
    assert np.array_equal(rows, expected)
    rows[:] = 7
    assert (whole == 7).all(), "something was written beside the rows"
    assert model.encode(iter(TEXTS), out=rows) is rows and np.array_equal(rows, expected)
    one = np.zeros(1024, np.float32)
    assert model.encode("short", out=one) is one and np.array_equal(one, model.encode("short"))
    read_only = np.zeros((1, 1024), np.float32)
    read_only.flags.writeable = False
    for wrong in (whole, read_only, np.zeros((1024, 1), np.float32).T[:, ::-1], np.zeros((2, 1024), np.float32)):
        with pytest.raises(ValueError):
            model.encode(["short"], out=wrong)
    with pytest.raises(TypeError):
        model.encode(["short"], out=np.zeros((1, 1024), np.float64))
    for n in (len(TEXTS) - 1, len(TEXTS) + 1):
        with pytest.raises(ValueError, match="rows"):
            model.encode(iter(TEXTS), out=np.zeros((n, 1024), np.float32))


def test_encode_iter_is_lazy(model):
    read = 0

    def endless():
        nonlocal read
        for i in itertools.count():
            read = i + 1
            yield f"text {i}"

    rows = model.encode_iter(endless(), batch_size=100_000, truncate_dim=256)
    assert read == 0, "nothing is read before the first row is asked for"
    first = next(rows)
    assert np.array_equal(first, model.encode("text 0", truncate_dim=256))
    taken = 1
    for _ in range(3000):
        next(rows)
        taken += 1
        assert read - taken <= 4096
    rows.close()


def test_custom_prompts():
    made = StellaEmbeddingModel("demo", prompts={"mine": "find: "}, default_prompt_name="mine")
    plain = StellaEmbeddingModel("demo")
    expected = plain.encode("find: bread")
    assert np.array_equal(made.encode("bread"), expected)
    assert np.array_equal(made.encode("bread", prompt_name="mine"), expected)
    assert np.array_equal(made.encode_document("bread"), plain.encode("bread"))
    assert made.prompts["mine"] == "find: " and "s2p_query" in made.prompts
    with pytest.raises(ValueError, match="mine.*s2p"):
        made.encode("bread", prompt_name="nobody")
    with pytest.raises(ValueError, match="s2p_query.*s2s_query"):
        plain.encode([], prompt_name="nobody")


def test_tokens_and_length(model):
    assert [ids.dtype for ids in model.tokenize(["a", "b"])] == [np.int32, np.int32]
    assert len(model.tokenize([TEXTS[4]], max_length=8)[0]) == 8
    short = StellaEmbeddingModel("demo")
    assert short.max_seq_length == 512
    short.max_seq_length = 8
    assert short.max_seq_length == 8 and np.array_equal(
        short.encode([TEXTS[4]]), command_line_rows([TEXTS[4]], "--task", "none", "--max-length", "8")
    )
    assert copy.deepcopy(short).max_seq_length == 8


def test_similarity(model):
    a = np.array([[3, 0], [0, 2]], np.float32)
    b = np.array([[1, 1], [0, -5]], np.float32)
    half = np.sqrt(np.float32(0.5))
    assert np.allclose(model.similarity(a, b), [[half, 0], [half, -1]])
    assert np.allclose(model.similarity_pairwise(a, b), [half, -1])
    assert model.similarity(a[0], b).shape == (1, 2)


def test_what_a_model_says_of_itself(model):
    assert model.dimensions == DIMENSIONS
    assert model.get_embedding_dimension() == model.get_sentence_embedding_dimension() == 1024
    assert model.device == "cpu" and model.to("cpu") is model and model.eval() is model
    assert repr(model) == "StellaEmbeddingModel('demo')"


def test_refused_options():
    for options in (
        {"device": "cuda"}, {"backend": "onnx"}, {"precision": "f64"}, {"threads": 0}, {"truncate_dim": -1},
        {"model_kwargs": {"torch_dtype": "bfloat16"}}, {"model_kwargs": {"nonsense": 1}},
    ):
        with pytest.raises(ValueError):
            StellaEmbeddingModel("demo", **options)
    model = StellaEmbeddingModel("demo")
    with pytest.raises(ValueError, match="cuda"):
        model.to("cuda")
    for options in ({"precision": "int8"}, {"convert_to_tensor": True}, {"batch_size": 0}):
        with pytest.raises(ValueError):
            model.encode("short", **options)
    for call in (model.embed, model.encode_iter, model.tokenize):
        with pytest.raises(TypeError, match="list"):
            call("one text")
    with pytest.raises(TypeError):
        model.encode()


def test_pickled_by_name(model):
    assert len(pickle.dumps(model)) < 10_000
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        assert other is not model and np.array_equal(other.encode("short"), model.encode("short"))
    subclass = pickle.loads(pickle.dumps(_Subclass("demo")))
    assert type(subclass) is _Subclass


class _Subclass(StellaEmbeddingModel):
    pass


def test_weak_references_and_use_after_close():
    model = StellaEmbeddingModel("demo", precision="f32")
    expected = model.encode("short")
    reference = weakref.ref(model)
    model.close()
    model.close()
    assert np.array_equal(model.encode("short"), expected), "it is loaded again"
    del model
    assert reference() is None


def test_making_a_model_reads_nothing():
    made = StellaEmbeddingModel("no-such/folder/anywhere")
    with pytest.raises(ValueError, match="no-such/folder/anywhere"):
        made.encode("short")


def test_the_demonstration_model_comes_with_the_package():
    import stella_cpp

    share = __import__("pathlib").Path(stella_cpp.__file__).parent / "share/models/stella-demo"
    assert (share / "model.safetensors").read_bytes() == (SOURCE / "models/stella-demo/model.safetensors").read_bytes()
