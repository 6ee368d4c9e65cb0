"""Texts on their way in, and rows of vectors on their way out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from . import _process
from ._options import wrong_type
from .errors import InputError

if TYPE_CHECKING:
    from ._model import F32

#: Texts, and characters of them, that make one request: enough for many passes, and little to copy.
CHUNK_TEXTS = 1024
_CHARACTERS = 1 << 21


def texts_call(function: Any, texts: list[str], *arguments: Any, offset: int = 0) -> Any:
    """Calls a native function that copies the texts; what cannot be copied is told by its index, from ``offset`` on."""
    try:
        return _process.native(function, texts, *arguments)
    except (TypeError, UnicodeEncodeError):
        for index, text in enumerate(texts, offset):
            if not isinstance(text, str):
                raise wrong_type(f"text at index {index}", text, "a str") from None
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise InputError(
                    f"Text at index {index}: not valid Unicode text ({error.reason}, at character {error.start})",
                    code="invalid_utf8",
                    context={"index": index},
                ) from None
        raise


def listed(texts: Iterable[str]) -> list[str]:
    return texts if isinstance(texts, list) else list(texts)


def chunks(texts: list[str]) -> Iterator[tuple[int, int]]:
    """[begin, end) of each request; one of no texts where there are none, so that the rest is checked all the same."""
    begin = characters = 0
    for i, text in enumerate(texts):
        characters += len(text) if isinstance(text, str) else 0
        if i + 1 - begin == CHUNK_TEXTS or characters >= _CHARACTERS:
            yield begin, i + 1
            begin, characters = i + 1, 0
    if begin < len(texts) or not texts:
        yield begin, len(texts)


def empty(rows: int, dimension: int) -> F32:
    import numpy as np

    return np.empty((rows, dimension), np.float32)


def checked_out(out: F32, shape: tuple[int | None, ...]) -> F32:
    """``out`` where rows can be written into it in place."""
    import numpy as np

    if not isinstance(out, np.ndarray) or out.dtype != np.float32:
        raise TypeError(f"out is {getattr(out, 'dtype', type(out).__name__)}; it has to be a numpy array of float32")
    wrong = out.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, out.shape))
    if wrong:
        wanted = ", ".join("n" if n is None else str(n) for n in shape)
        raise ValueError(f"out has the shape {out.shape}; these texts take ({wanted},)")
    rows_follow = out.ndim == 1 or len(out) < 2 or out.strides[0] >= out.shape[1] * 4
    if not out.flags.writeable or (out.size and out.strides[-1] != 4) or not rows_follow or not out.flags.aligned:
        raise ValueError("out has to be writable, with rows that are contiguous and do not overlap")
    return out


def unit_rows(vectors: F32) -> F32:
    import numpy as np

    rows = np.atleast_2d(np.asarray(vectors, np.float32))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: F32 = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
