"""LlamaIndex's embedding interface, and its in-memory index."""

import asyncio

from conftest import PASSAGES, QUERY, same
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode

from stella_cpp.llama_index import StellaEmbedding


def ours():
    return StellaEmbedding("demo", dimension=256, precision="f32", embed_batch_size=2)


def test_queries_have_a_prompt_and_texts_none(expected):
    query, passages = expected
    assert same(ours().get_query_embedding(QUERY), query) and same(ours().get_text_embedding(PASSAGES[0]), passages[0])
    assert same(ours().get_text_embedding_batch(PASSAGES), passages)
    assert same(asyncio.run(ours().aget_query_embedding(QUERY)), query)
    assert same(asyncio.run(ours().aget_text_embedding_batch(PASSAGES)), passages)


def test_it_describes_itself():
    made = StellaEmbedding.from_dict(ours().to_dict())
    assert (made.model_name, made.dimension, made.precision, made.embed_batch_size) == ("demo", 256, "f32", 2)
    assert len(made.get_query_embedding(QUERY)) == 256


def test_an_index_finds_the_passage():
    index = VectorStoreIndex([TextNode(text=text) for text in PASSAGES], embed_model=ours())
    assert index.as_retriever(similarity_top_k=1).retrieve(QUERY)[0].text == PASSAGES[0]
