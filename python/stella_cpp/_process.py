"""What this process has one of: the runtimes and all models, so that a fork, the end of the interpreter and remarks of
the library are dealt with in one place."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _core, errors

if TYPE_CHECKING:
    from ._model import StellaEmbeddingModel

LOGGER = logging.getLogger("stella_cpp")
LOGGER.addHandler(logging.NullHandler())  # without one, logging would print warnings itself
#: Seconds between two looks at whether Ctrl-C was pressed.
PATIENCE = 0.1

_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine with ca-certificates
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # the same, newer
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/var/lib/ca-certificates/ca-bundle.pem",  # the same, newer
    "/etc/ssl/cert.pem",  # Alpine, BSD
)

is_ending = False
models: weakref.WeakSet[StellaEmbeddingModel] = weakref.WeakSet()
#: Called in a forked child.
after_fork: list[Callable[[], None]] = []
lock = threading.RLock()
_runtimes: weakref.WeakValueDictionary[int, _core.Runtime] = weakref.WeakValueDictionary()


def runtime(threads: int | None) -> _core.Runtime:
    """The one that all models with as many threads share: it goes with the last of them."""
    with lock:
        found = _runtimes.get(threads or 0)
        if found is None:
            found = _runtimes[threads or 0] = native(_core.Runtime, threads or 0)
        return found


def native(function: Any, *arguments: Any, **named: Any) -> Any:
    """Calls a function of the extension; what it raises becomes one of our errors."""
    try:
        return function(*arguments, **named)
    except _core.NativeError as error:
        raise errors._from_native(*error.args) from None


def take(operation: _core.Operation, *, offset: int = 0, single: bool = False) -> Any:
    """What an operation that is over has given."""
    try:
        return operation.result()
    except _core.NativeError as error:
        raise errors._from_native(*error.args, offset=offset, single=single) from None
    finally:
        pass_on_remarks()


def wait(operation: _core.Operation, *, offset: int = 0, single: bool = False) -> Any:
    """Blocks until the operation is over. An exception that comes meanwhile, as Ctrl-C raises one, cancels it."""
    try:
        while not native(operation.wait, PATIENCE):
            pass  # between two waits the interpreter looks for signals
        return take(operation, offset=offset, single=single)
    except BaseException:
        operation.cancel()
        if is_ending and threading.current_thread() is not threading.main_thread():
            raise SystemExit from None  # which ends a thread silently, as the interpreter itself is about to
        raise


def pass_on_remarks() -> None:
    for level, line in _core.take_log():
        LOGGER.log(level, "%s", line)


def certificates(places: tuple[str, ...] = _CERTIFICATES) -> tuple[str, str]:
    """(file of certificate authorities, why there is none)."""
    for place in places:
        if os.path.isfile(place):
            return place, ""
    try:
        import certifi  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return "", (
            "no certificate authorities were found, so the hub cannot be told from an impostor; install the system's "
            "package ca-certificates or Python's certifi, or name a file in SSL_CERT_FILE"
        )
    return str(certifi.where()), ""


def share_directory() -> Path:
    """Where what comes with the package lies."""
    return Path(__file__).parent / "share"


def _forget_parent() -> None:
    """In a forked child: threads and locks of the library are the parent's. Everything is made anew when needed."""
    global lock, _runtimes
    _core.forked()
    lock = threading.RLock()
    _core.leak(_runtimes)
    _runtimes = weakref.WeakValueDictionary()
    for model in list(models):
        model._forked()
    for forget in after_fork:
        forget()


def _close_all() -> None:
    """Before the interpreter ends: cancels what runs, and waits until no thread of Python is inside the library, for one
    that came back later could not have the interpreter's lock any more."""
    global is_ending
    is_ending = True
    deadline = time.monotonic() + 5
    _core.close()
    for model in list(models):
        model._cancel_all()
    while _core.waiting() and time.monotonic() < deadline:
        time.sleep(0.001)
    for model in list(models):
        model.close()
    _core.release()


os.register_at_fork(after_in_child=_forget_parent)
atexit.register(_close_all)
