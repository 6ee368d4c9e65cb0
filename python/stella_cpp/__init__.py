"""Stella v5 text embeddings on the CPU: ``StellaEmbeddingModel("NovaSearch/stella_en_400M_v5").encode(texts)``.

Importing this loads no framework and starts no thread; numpy is imported by the first call that makes a vector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors
from ._model import Embeddings, Precision, StellaEmbeddingModel
from .errors import StellaError

if TYPE_CHECKING:
    from ._model import F32, Texts

__version__ = "0.1.0"
__all__ = ["F32", "Embeddings", "Precision", "StellaEmbeddingModel", "StellaError", "Texts", "__version__", "errors"]


def __getattr__(name: str) -> Any:
    """The names of types that need numpy to be made."""
    if name == "F32":
        import numpy as np
        from numpy.typing import NDArray

        return NDArray[np.float32]
    if name == "Texts":
        from collections.abc import Iterable

        return str | Iterable[str]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
