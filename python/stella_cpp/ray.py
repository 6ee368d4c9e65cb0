"""Stella on a Ray cluster: an actor for Ray Data's map_batches, and whole tables over row groups. Needs ray, and pyarrow
for embed_parquet().

``Dataset.map_batches(Embedder, fn_constructor_args=("NovaSearch/stella_en_400M_v5",), concurrency=4, num_cpus=8)``
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import bulk
from ._destination import locked
from ._model import StellaEmbeddingModel
from ._workers import share_out
from .errors import StellaError

if TYPE_CHECKING:
    from ._model import Precision

__all__ = ["Embedder", "embed_parquet"]


def _assigned_threads() -> int | None:
    """The processors that Ray has given to this actor; None outside of one."""
    import ray

    if not ray.is_initialized():
        return None
    assigned = ray.get_runtime_context().get_assigned_resources().get("CPU", 0)
    return int(assigned) or None


class Embedder:
    """A callable class for ``map_batches`` with an actor pool: adds ``output_column``, one float32 vector a row.

    ``threads``: those of the actor's ``num_cpus``. With precision "auto" each machine chooses for itself; where machines
    differ, name one. ``prompt_name`` "s2p_query" embeds questions; without one, texts are embedded as they are, which is
    what passages want.
    """

    def __init__(
        self,
        model: str,
        *,
        column: str = "text",
        output_column: str = "embedding",
        dimension: int | None = None,
        precision: Precision = "auto",
        threads: int | None = None,
        prompt_name: str | None = None,
    ) -> None:
        self._column = column
        self._output_column = output_column
        self._prompt_name = prompt_name
        self._model = StellaEmbeddingModel(
            model, precision=precision, threads=threads or _assigned_threads(), truncate_dim=dimension
        )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        texts = list(batch[self._column])
        return {**batch, self._output_column: self._model.encode(texts, self._prompt_name)}


def embed_parquet(
    source: str | PathLike[str] | Sequence[str | PathLike[str]],
    destination: str | PathLike[str],
    *,
    model: str = "NovaSearch/stella_en_400M_v5",
    column: str = "text",
    output_column: str = "embedding",
    dimension: int | None = None,
    task: str | None = None,
    prompt: str | None = None,
    normalize: bool = True,
    max_length: int | None = None,
    precision: Precision = "auto",
    threads: int | None = None,
    workers: int | None = None,
    dtype: bulk.Dtype = "float32",
    columns: Sequence[str] | None = None,
    progress: Callable[[bulk.Progress], None] | bool = False,
) -> bulk.Report:
    """stella_cpp.bulk.embed_parquet() by actors of the cluster: ``workers`` of them, each with ``threads`` processors;
    by default one for every eight, or for all of the smallest machine. All machines see ``source`` and ``destination``
    under the same paths. An actor that dies is made anew and its row group given to it again; called again after any
    end, it does what is missing.

    The driver pins the precision; what an actor's processor cannot run at that precision is an error that says so."""
    settings = bulk.Settings.of(
        model,
        column=column,
        output_column=output_column,
        dimension=dimension,
        task=task,
        prompt=prompt,
        normalize=normalize,
        max_length=max_length,
        precision=precision,
        dtype=dtype,
        columns=columns,
    )
    import ray

    if not ray.is_initialized():
        ray.init()
    machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    workers, threads = share_out(workers, threads, [count for count in machines if count > 0] or [1])
    with locked(Path(destination)):
        plan = bulk.plan_run(source, destination, settings)
        tracker = bulk.Tracker(plan, destination, progress)
        restarts = _run(ray, plan, tracker, min(workers, len(plan.unfinished)), threads)
        return tracker.finish(restarts)


#: How often an actor may die over one row group.
_MOST_ENDS = 3


def _run(ray: Any, plan: bulk.Plan, tracker: bulk.Tracker, workers: int, threads: int) -> int:
    actor_type = ray.remote(num_cpus=threads)(bulk._Embedding)
    waiting = list(reversed(plan.unfinished))
    idle = [actor_type.remote(plan.settings, threads) for _ in range(workers)]
    running: dict[Any, tuple[Any, bulk.Job]] = {}
    ends: dict[bulk.Job, int] = {}
    try:
        while waiting or running:
            while waiting and idle:
                actor, job = idle.pop(), waiting.pop()
                running[actor.__call__.remote(job)] = (actor, job)
            for reference in ray.wait(list(running), num_returns=1)[0]:
                actor, job = running.pop(reference)
                try:
                    tracker.add(ray.get(reference))
                except ray.exceptions.RayActorError:
                    ends[job] = ends.get(job, 0) + 1
                    if ends[job] == _MOST_ENDS:
                        raise StellaError(f"{_MOST_ENDS} actors died over {job}; is there too little memory?") from None
                    waiting.append(job)
                    actor = actor_type.remote(plan.settings, threads)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause or error from None
                idle.append(actor)
    finally:
        for actor in [*idle, *(actor for actor, _ in running.values())]:
            ray.kill(actor)
    return sum(ends.values())
