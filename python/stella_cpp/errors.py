"""What can go wrong. Every class is a StellaError and also the built-in exception that a program would expect."""

from __future__ import annotations

import re
from typing import Any

__all__ = [
    "CheckpointError",
    "EmptyTextError",
    "EntryNotFoundError",
    "FileMetadataError",
    "GatedRepoError",
    "HfHubHTTPError",
    "InputError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "RepositoryNotFoundError",
    "RevisionNotFoundError",
    "StellaError",
    "TextTooLargeError",
    "TextTooLongError",
    "UnsupportedDimensionError",
]


class StellaError(Exception):
    """``code`` is the name of the C++ library's Errc; ``context`` has its fields, and ``index`` where one text of
    several was to blame."""

    code: str
    context: dict[str, str | int]

    def __init__(self, message: str, *, code: str = "", context: dict[str, str | int] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.context = dict(context or {})

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args[0] if self.args else "", self.code, self.context)


def _rebuild(kind: type[StellaError], message: str, code: str, context: dict[str, str | int]) -> StellaError:
    return kind(message, code=code, context=context)


class InputError(StellaError, ValueError):
    """Something that was asked for cannot be done: a text, a prompt's name, a dimension, an option."""


class UnsupportedDimensionError(InputError):
    """The model has no trained head of that size; the message lists those it has."""


class EmptyTextError(InputError):
    """A text without anything in it."""


class TextTooLongError(InputError):
    """More tokens than the maximum length, with on_long="error"."""


class TextTooLargeError(InputError):
    """More bytes than any text may have."""


class CheckpointError(StellaError, OSError):
    """A model's files are missing, damaged, or of a kind that is not supported."""


class HfHubHTTPError(StellaError, OSError):
    """The hub could not be reached, or answered with an error."""


class RepositoryNotFoundError(HfHubHTTPError):
    """There is no such repository, or it is private and the token does not open it."""


class GatedRepoError(RepositoryNotFoundError):
    """The repository's terms have to be accepted first."""


class RevisionNotFoundError(HfHubHTTPError):
    """The repository has no such branch, tag or commit."""


class FileMetadataError(HfHubHTTPError):
    """The hub's answer lacks what is needed to fetch and check the file."""


class EntryNotFoundError(StellaError):
    """The repository has no such file."""


class LocalEntryNotFoundError(EntryNotFoundError, FileNotFoundError):
    """The file is not in the cache, and the hub could not be asked."""


class OfflineModeIsEnabled(StellaError, ConnectionError):
    """The hub would have to be asked, and HF_HUB_OFFLINE or local_files_only forbids it."""


_CLASSES: dict[str, type[StellaError]] = {
    "invalid_argument": InputError,
    "unsupported_dimension": UnsupportedDimensionError,
    "empty_text": EmptyTextError,
    "empty_batch": InputError,
    "batch_too_large": InputError,
    "text_too_large": TextTooLargeError,
    "text_too_long": TextTooLongError,
    "invalid_utf8": InputError,
    "already_registered": InputError,
    "malformed_file": CheckpointError,
    "missing_tensor": CheckpointError,
    "unsupported_model": CheckpointError,
    "io_error": CheckpointError,
    "integrity": CheckpointError,
    "repository_not_found": RepositoryNotFoundError,
    "gated_repo": GatedRepoError,
    "revision_not_found": RevisionNotFoundError,
    "entry_not_found": EntryNotFoundError,
    "local_entry_not_found": LocalEntryNotFoundError,
    "http_error": HfHubHTTPError,
    "file_metadata": FileMetadataError,
    "hub_unreachable": HfHubHTTPError,
    "offline": OfflineModeIsEnabled,
}

_INDEXED = re.compile(r"Text at index (\d+): ", re.ASCII)


def _from_native(
    code: str, message: str, context: dict[str, str | int], *, offset: int = 0, single: bool = False
) -> StellaError:
    """The error of a request whose first text was number ``offset`` of the caller's; ``single``: there is but one."""
    context = dict(context)
    if found := _INDEXED.match(message):
        index = int(found[1]) + offset
        context["index"] = index
        message = message[found.end() :] if single else f"Text at index {index}: {message[found.end() :]}"
    return _CLASSES.get(code, StellaError)(message, code=code, context=context)
