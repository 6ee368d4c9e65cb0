"""Processes that share a machine: how many there should be, and a pool whose workers may die."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from ._options import check_counts
from .errors import StellaError

#: Beyond this many threads one process gains less than another process does.
_MOST_THREADS = 8
#: A job that has ended this many workers is the reason.
_MOST_ENDS = 3


def available_processors(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Processors that this process may use: its affinity, and the quota of its control group."""
    count = len(os.sched_getaffinity(0))
    quota = _quota(root)
    return count if quota is None else max(1, min(count, int(quota + 0.5)))


def _quota(root: Path) -> float | None:
    """Processors by the tightest quota between this process's group and the root, of either version."""
    quotas = []
    for folder in _groups(root):
        try:
            if (folder / "cpu.max").exists():
                most, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                most = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
                period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
            if most not in ("max", "-1"):
                quotas.append(int(most) / int(period))
        except (OSError, ValueError):
            continue
    return min(quotas, default=None)


def _groups(root: Path) -> list[Path]:
    """The folders of this process's groups, their parents' included."""
    folders = {root, root / "cpu", root / "cpu,cpuacct"}
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for base in [root] if not controllers else [root / "cpu", root / "cpu,cpuacct"]:
            relative = Path(path.lstrip("/"))
            folders |= {base / part for part in [relative, *relative.parents]}
    return sorted(folders)


def share_out(workers: int | None, threads: int | None, machines: Sequence[int]) -> tuple[int, int]:
    """(workers, threads of each) of machines with so many processors each, none of which a worker goes beyond."""
    check_counts(workers=workers, threads=threads)
    if threads is None:
        processors, smallest = sum(machines), min(machines)
        fewest = -(-smallest // _MOST_THREADS)
        threads = smallest // fewest if workers is None else min(smallest, processors // workers)
        threads = max(1, threads)
    if workers is None:
        workers = max(1, sum(count // threads for count in machines))
    return workers, threads


class _Worker(NamedTuple):
    process: Any
    pipe: Connection


def _serve(pipe: Connection, work: Callable[[Any], Any]) -> None:
    """A worker's life: jobs in, results or errors out, until the driver is gone."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, who ends us
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[bool, Any] = (True, work(job))
        except Exception as error:
            answer = (False, _sendable(error))
        try:
            pipe.send(answer)
        except OSError:
            return


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return StellaError(f"{type(error).__name__}: {error}")
    return error


class Pool:
    """Runs jobs in processes made by spawn. A worker that is killed is replaced, and its job given to another one."""

    def __init__(self, workers: int, work: Callable[[Any], Any]) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._count = workers
        self._work = work
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, Any] = {}

    def run(self, jobs: Sequence[Any], done: Callable[[Any], None]) -> int:
        """Calls ``done`` with each result as it comes; gives the number of workers that had to be replaced. The first
        error of a job ends the run."""
        waiting = deque(jobs)
        ends: dict[Any, int] = {}
        try:
            while waiting or self._busy:
                while waiting and len(self._busy) < self._count:
                    worker = self._idle.pop() if self._idle else self._start()
                    job = waiting.popleft()
                    self._busy[worker] = job
                    try:
                        worker.pipe.send(job)
                    except OSError:
                        pass  # it has ended: its pipe says so below
                for pipe in wait([worker.pipe for worker in self._busy]):
                    worker = next(one for one in self._busy if one.pipe is pipe)
                    job = self._busy.pop(worker)
                    try:
                        good, value = worker.pipe.recv()
                    except (EOFError, OSError):
                        self._bury(worker)
                        ends[job] = ends.get(job, 0) + 1
                        if ends[job] == _MOST_ENDS:
                            raise StellaError(
                                f"{_MOST_ENDS} workers ended while they worked on {job}; is there too little memory?"
                            ) from None
                        waiting.appendleft(job)
                        continue
                    self._idle.append(worker)
                    if not good:
                        raise value
                    done(value)
        finally:
            self._stop()
        return sum(ends.values())

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _bury(self, worker: _Worker) -> None:
        worker.pipe.close()
        worker.process.join()

    def _stop(self) -> None:
        """Idle ones end by themselves; what is busy is not waited for."""
        for worker in self._busy:
            worker.process.kill()
        for worker in [*self._busy, *self._idle]:
            self._bury(worker)
        self._busy.clear()
        self._idle.clear()
