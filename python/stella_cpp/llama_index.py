"""LlamaIndex: ``StellaEmbedding("NovaSearch/stella_en_400M_v5")``. Queries take the model's search prompt, texts none."""

from __future__ import annotations

from typing import Any, cast

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr

from ._model import Precision, StellaEmbeddingModel

__all__ = ["StellaEmbedding"]


class StellaEmbedding(BaseEmbedding):
    dimension: int | None = Field(default=None, description="One of the model's trained sizes; none: its default.")
    precision: Precision = Field(default="auto", description="Arithmetic of the model's matrix products.")
    _model: StellaEmbeddingModel = PrivateAttr()

    def __init__(
        self,
        model_name: str = "NovaSearch/stella_en_400M_v5",
        *,
        dimension: int | None = None,
        precision: Precision = "auto",
        embed_batch_size: int = 256,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model_name=model_name,
            dimension=dimension,
            precision=precision,
            embed_batch_size=embed_batch_size,
            **kwargs,
        )
        self._model = StellaEmbeddingModel(model_name, truncate_dim=dimension, precision=precision)

    @classmethod
    def class_name(cls) -> str:
        return "StellaEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return cast("list[float]", self._model.encode_query(query).tolist())

    def _get_text_embedding(self, text: str) -> list[float]:
        return cast("list[float]", self._model.encode_document(text).tolist())

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return cast("list[list[float]]", self._model.encode_document(texts).tolist())

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return cast("list[float]", (await self._model.aencode_query(query)).tolist())

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return cast("list[float]", (await self._model.aencode_document(text)).tolist())

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return cast("list[list[float]]", (await self._model.aencode_document(texts)).tolist())
