"""Haystack's components: alone, in a pipeline, and written to YAML and back."""

import asyncio

import pytest
from conftest import PASSAGES, QUERY, same
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from stella_cpp.haystack import StellaDocumentEmbedder, StellaTextEmbedder

DOCUMENTS = [Document(content=text, meta={"title": f"title {i}", "n": i}) for i, text in enumerate(PASSAGES)]


def test_vectors(expected):
    query, passages = expected
    texts, documents = StellaTextEmbedder("demo", 256, "f32"), StellaDocumentEmbedder("demo", 256, "f32")
    texts.warm_up()
    assert same(texts.run(QUERY)["embedding"], query)
    assert same([d.embedding for d in documents.run(DOCUMENTS)["documents"]], passages)
    assert same(asyncio.run(texts.run_async(QUERY))["embedding"], query)
    assert same([d.embedding for d in asyncio.run(documents.run_async(DOCUMENTS))["documents"]], passages)
    assert all(d.embedding is None for d in DOCUMENTS), "what was given is left as it was"
    for wrong in (lambda: texts.run(DOCUMENTS), lambda: documents.run("text")):
        with pytest.raises(TypeError):
            wrong()


def test_meta_fields():
    made = StellaDocumentEmbedder("demo", precision="f32", meta_fields_to_embed=["title", "none"], embedding_separator=" | ")
    got = made.run(DOCUMENTS[:1])["documents"][0].embedding
    assert same(got, made._embedder.encode_document("title 0 | " + PASSAGES[0]))


def test_a_pipeline_survives_yaml_and_finds_the_passage():
    store = InMemoryDocumentStore()
    store.write_documents(StellaDocumentEmbedder("demo", 256, "f32").run(DOCUMENTS)["documents"])
    pipeline = Pipeline()
    pipeline.add_component("embedder", StellaTextEmbedder("demo", 256, "f32"))
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["stella_cpp.haystack"])
    again.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    again.connect("embedder.embedding", "retriever.query_embedding")
    assert again.run({"embedder": {"text": QUERY}})["retriever"]["documents"][0].content == PASSAGES[0]
