"""LangChain: ``StellaEmbeddings("NovaSearch/stella_en_400M_v5")``. Queries take the model's search prompt, documents none."""

from __future__ import annotations

from typing import cast

from langchain_core.embeddings import Embeddings

from ._model import Precision, StellaEmbeddingModel

__all__ = ["StellaEmbeddings"]


class StellaEmbeddings(Embeddings):
    def __init__(
        self, model: str, *, dimension: int | None = None, precision: Precision = "auto", threads: int | None = None
    ) -> None:
        self.model = StellaEmbeddingModel(model, truncate_dim=dimension, precision=precision, threads=threads)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return cast("list[list[float]]", self.model.encode_document(texts).tolist())

    def embed_query(self, text: str) -> list[float]:
        return cast("list[float]", self.model.encode_query(text).tolist())

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return cast("list[list[float]]", (await self.model.aencode_document(texts)).tolist())

    async def aembed_query(self, text: str) -> list[float]:
        return cast("list[float]", (await self.model.aencode_query(text)).tolist())
