"""sentence-transformers' call forms as people paste them, from the model card and its documentation, with the import
changed. What each has to give is by the command line or by another form."""

import numpy as np
import pytest
from conftest import command_line_rows

from stella_cpp import StellaEmbeddingModel as SentenceTransformer

QUERIES = ["What are some ways to reduce stress?", "What are the benefits of drinking green tea?"]
DOCS = [
    "There are many effective ways to reduce stress, such as deep breathing, meditation and exercise.",
    "Green tea has been consumed for centuries and is known for its potential health benefits.",
]
MAKING = [
    'SentenceTransformer("demo")',
    'SentenceTransformer("demo", trust_remote_code=True)',
    'SentenceTransformer("demo", trust_remote_code=True, device="cpu")',
    'SentenceTransformer("demo", trust_remote_code=True, device="cpu",'
    ' config_kwargs={"use_memory_efficient_attention": False, "unpad_inputs": False})',
    'SentenceTransformer("demo", device="cpu").eval()',
    'SentenceTransformer("demo").to("cpu")',
    'SentenceTransformer("demo", truncate_dim=1024)',
    'SentenceTransformer("demo", revision="main", token=False, local_files_only=True)',
    'SentenceTransformer("demo", model_kwargs={"torch_dtype": "float32", "attn_implementation": "eager"})',
    'SentenceTransformer("demo", tokenizer_kwargs={"padding_side": "left"}, cache_folder="cache")',
    'SentenceTransformer("demo", prompts={"query": "Instruct: "}, default_prompt_name=None)',
    'SentenceTransformer(model="demo", backend="torch")',
]
QUERY_FORMS = [
    'model.encode(QUERIES, prompt_name="s2p_query")',
    'model.encode(QUERIES, "s2p_query")',
    'model.encode_query(QUERIES)',
    'model.encode(QUERIES, prompt=model.prompts["s2p_query"])',
    'model.encode(sentences=QUERIES, prompt_name="s2p_query", batch_size=32)',
    'np.stack([model.encode(q, prompt_name="s2p_query") for q in QUERIES])',
    'model.encode(QUERIES, prompt_name="s2p_query", normalize_embeddings=True, show_progress_bar=False)',
]
DOC_FORMS = [
    "model.encode(DOCS)",
    "model.encode(DOCS, batch_size=2, convert_to_numpy=True)",
    "model.encode(DOCS, convert_to_tensor=False, precision='float32')",
    "model.encode_document(DOCS)",
    "model.encode(tuple(DOCS), show_progress_bar=None)",
    "model.encode(np.array(DOCS))",
]
REFUSED = [
    'SentenceTransformer("demo", device="cuda")',
    'SentenceTransformer("demo", backend="onnx")',
    'SentenceTransformer("demo").to("cuda:0")',
]


@pytest.fixture(scope="module")
def expected():
    return command_line_rows(QUERIES, "--task", "s2p"), command_line_rows(DOCS, "--task", "none")


def run(form, **names):
    return eval(form, {"SentenceTransformer": SentenceTransformer, "np": np, "QUERIES": QUERIES, "DOCS": DOCS, **names})


def test_there_are_thirty_one():
    assert len(MAKING) + len(QUERY_FORMS) + len(DOC_FORMS) + len(REFUSED) + 3 == 31


@pytest.mark.parametrize("form", MAKING)
def test_making(form, expected):
    assert np.array_equal(run(form).encode(DOCS), expected[1])


@pytest.mark.parametrize("form", QUERY_FORMS)
def test_queries(model, form, expected):
    assert np.array_equal(run(form, model=model), expected[0])


@pytest.mark.parametrize("form", DOC_FORMS)
def test_documents(model, form, expected):
    assert np.array_equal(run(form, model=model), expected[1])


@pytest.mark.parametrize("form", REFUSED)
def test_refused(form):
    with pytest.raises(ValueError, match="cuda|onnx"):
        run(form)


def test_similarity_dimension_and_length(model, expected):
    """`model.similarity(…)`, `model.get_sentence_embedding_dimension()`, `model.max_seq_length`."""
    queries, docs = expected
    similarities = model.similarity(model.encode(QUERIES, prompt_name="s2p_query"), model.encode(DOCS))
    assert np.allclose(similarities, queries @ docs.T, atol=1e-6)
    assert model.get_sentence_embedding_dimension() == 1024 and model.max_seq_length == 512
