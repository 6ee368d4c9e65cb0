"""LangChain's own standard tests, and that its vector store finds the right passage."""

import asyncio

from conftest import PASSAGES, QUERY, same
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from stella_cpp.langchain import StellaEmbeddings


class Ours:
    @property
    def embeddings_class(self):
        return StellaEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": "demo", "dimension": 256, "precision": "f32"}


class TestUnit(Ours, EmbeddingsUnitTests):
    pass


class TestIntegration(Ours, EmbeddingsIntegrationTests):
    pass


def test_queries_have_a_prompt_and_documents_none(expected):
    ours = StellaEmbeddings("demo", dimension=256, precision="f32")
    assert same(ours.embed_query(QUERY), expected[0]) and same(ours.embed_documents(PASSAGES), expected[1])
    assert same(asyncio.run(ours.aembed_query(QUERY)), expected[0])
    assert same(asyncio.run(ours.aembed_documents(PASSAGES)), expected[1])


def test_a_vector_store_finds_the_passage():
    store = InMemoryVectorStore.from_texts(PASSAGES, StellaEmbeddings("demo", precision="f32"))
    assert store.similarity_search(QUERY, k=1)[0].page_content == PASSAGES[0]
