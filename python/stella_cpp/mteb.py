"""MTEB: an encoder whose queries take the prompt s2p, whose documents take none, and all other texts s2s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models.model_meta import ModelMeta
from mteb.types import PromptType

from ._model import Precision, StellaEmbeddingModel

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import BatchedInput
    from torch.utils.data import DataLoader

    from ._model import F32

__all__ = ["StellaEncoder"]


class StellaEncoder:
    def __init__(
        self,
        model_name: str,
        revision: str | None = None,
        *,
        device: str | None = None,
        precision: Precision = "auto",
        **kwargs: Any,
    ) -> None:
        self.model = StellaEmbeddingModel(model_name, revision=revision, device=device, precision=precision)
        self._meta = ModelMeta.create_empty(
            {"name": model_name if "/" in model_name else f"stella_cpp/{model_name}", "revision": revision}
        )

    @property
    def mteb_model_meta(self) -> ModelMeta:
        return self._meta

    def encode(
        self,
        inputs: DataLoader[BatchedInput],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> F32:
        texts = [text for batch in inputs for text in batch["text"]]
        if prompt_type == PromptType.query:
            return self.model.encode_query(texts)
        if prompt_type == PromptType.document:
            return self.model.encode_document(texts)
        return self.model.encode(texts, prompt_name="s2s")

    def similarity(self, embeddings1: Any, embeddings2: Any) -> F32:
        return self.model.similarity(np.asarray(embeddings1), np.asarray(embeddings2))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> F32:
        return self.model.similarity_pairwise(np.asarray(embeddings1), np.asarray(embeddings2))
