"""How an event loop hears of operations that are over: through a descriptor that it reads. No thread of the library
ever calls into Python."""

from __future__ import annotations

import asyncio
import select
import threading
import weakref
from typing import Any, Callable

from . import _core, _process

_channels: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Channel] = weakref.WeakKeyDictionary()


def current() -> Channel:
    """The running loop's."""
    loop = asyncio.get_running_loop()
    channel = _channels.get(loop)
    if channel is None:
        for other in [other for other in _channels if other.is_closed()]:
            del _channels[other]
        channel = _channels[loop] = Channel(loop)
    return channel


def _forget_parent() -> None:
    global _channels
    _core.leak(list(_channels.values()))
    _channels = weakref.WeakKeyDictionary()


_process.after_fork.append(_forget_parent)


class Channel:
    """Belongs to one loop; all methods but those of its fallback's thread are called there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._queue: _core.Queue = _process.native(_core.Queue)
        self._pending: dict[int, asyncio.Future[None]] = {}
        self._watcher: threading.Thread | None = None
        try:
            loop.add_reader(self._queue.fd, self._drain)
            self._is_read = True
        except NotImplementedError:
            self._is_read = False

    async def run(self, start: Callable[[_core.Queue], _core.Operation], **where: Any) -> Any:
        """The result of the operation that ``start`` starts. Cancelling the task cancels the operation."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        operation: _core.Operation = _process.native(start, self._queue)
        self._pending[operation.id] = future
        if not self._is_read and self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, args=(loop,), name="stella-watch", daemon=True)
            self._watcher.start()
        try:
            await future
        except BaseException:
            operation.cancel()
            raise
        return _process.take(operation, **where)

    def _drain(self) -> None:
        for number in self._queue.take():
            future = self._pending.pop(number, None)
            if future is not None and not future.done():
                future.set_result(None)
        if not self._pending:
            self._watcher = None

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """For loops that cannot read descriptors: waits on a thread of its own while anything is pending."""
        poll = select.poll()
        poll.register(self._queue.fd, select.POLLIN)
        while self._watcher is threading.current_thread() and not loop.is_closed():
            if not poll.poll(100):
                continue
            drained = threading.Event()
            try:
                loop.call_soon_threadsafe(self._drain)
                loop.call_soon_threadsafe(drained.set)
            except RuntimeError:  # the loop was closed
                return
            drained.wait(1)
