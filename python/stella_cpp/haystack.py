"""Haystack: embedders for queries, with the model's search prompt, and for documents, with none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from ._model import Precision, StellaEmbeddingModel

__all__ = ["StellaDocumentEmbedder", "StellaTextEmbedder"]

_MODEL = "NovaSearch/stella_en_400M_v5"


@component
class StellaTextEmbedder:
    def __init__(self, model: str = _MODEL, dimension: int | None = None, precision: Precision = "auto") -> None:
        self.model = model
        self.dimension = dimension
        self.precision = precision
        self._embedder = StellaEmbeddingModel(model, truncate_dim=dimension, precision=precision)

    def warm_up(self) -> None:
        self._embedder.encode_query("warm up")

    def to_dict(self) -> dict[str, Any]:
        return default_to_dict(self, model=self.model, dimension=self.dimension, precision=self.precision)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StellaTextEmbedder:
        return default_from_dict(cls, data)

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        if not isinstance(text, str):
            raise TypeError("StellaTextEmbedder embeds one str; for Documents use StellaDocumentEmbedder")
        return {"embedding": self._embedder.encode_query(text).tolist()}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, Any]:
        return {"embedding": (await self._embedder.aencode_query(text)).tolist()}


@component
class StellaDocumentEmbedder:
    def __init__(
        self,
        model: str = _MODEL,
        dimension: int | None = None,
        precision: Precision = "auto",
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        self.model = model
        self.dimension = dimension
        self.precision = precision
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator
        self._embedder = StellaEmbeddingModel(model, truncate_dim=dimension, precision=precision)

    def warm_up(self) -> None:
        self._embedder.encode_document("warm up")

    def to_dict(self) -> dict[str, Any]:
        return default_to_dict(
            self,
            model=self.model,
            dimension=self.dimension,
            precision=self.precision,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StellaDocumentEmbedder:
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        rows = self._embedder.encode_document(self._texts(documents)).tolist()
        return {"documents": [replace(d, embedding=row) for d, row in zip(documents, rows)]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        rows = (await self._embedder.aencode_document(self._texts(documents))).tolist()
        return {"documents": [replace(d, embedding=row) for d, row in zip(documents, rows)]}

    def _texts(self, documents: list[Document]) -> list[str]:
        if not isinstance(documents, list) or not all(isinstance(d, Document) for d in documents):
            raise TypeError("StellaDocumentEmbedder embeds a list of Documents; for a str use StellaTextEmbedder")
        return [
            self.embedding_separator.join(
                [str(d.meta[f]) for f in self.meta_fields_to_embed if d.meta.get(f) is not None] + [d.content or ""]
            )
            for d in documents
        ]
