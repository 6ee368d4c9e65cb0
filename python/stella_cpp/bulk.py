"""Large tables to vectors, every row once: Parquet in, Parquet out, one file for each row group.

``embed_part()`` is the unit that any engine can call, any number of times and anywhere: it does one row group, and the
part that it leaves appears whole or not at all. ``embed_parquet()`` does all of them on one machine. Needs pyarrow.

A destination holds ``manifest.json``, which pins what the vectors are made with (the model's commit, head, precision,
task, …) and so refuses a run with other settings, and one Parquet file for each row group, whose own metadata has its
counts and hashes under the key ``stella``.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from . import _process, _workers
from ._destination import (
    UNSEALED,
    Found,
    Settings,
    as_json,
    find_part,
    identity_of,
    locked,
    open_destination,
    part_name,
    part_stem,
    pinned_model,
    resolve,
    row_groups,
    seal,
    sweep,
    temporary_of,
    write_manifest,
)
from ._model import StellaEmbeddingModel
from ._options import refused
from .errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._model import Precision

__all__ = ["Part", "Progress", "Report", "Settings", "embed_parquet", "embed_part", "open_destination", "row_groups"]

Dtype = Literal["float32", "float16", "bits"]
#: Rows that are read, embedded and written together: what bounds a worker's memory.
_BATCH_ROWS = 4096


class Part(NamedTuple):
    """A row group, and what became of it."""

    source: str
    row_group: int
    path: str  #: Of the part.
    rows: int
    embedded: int = 0  #: Rows that were not null.
    tokens: int = 0
    truncated: int = 0
    seconds: float = 0.0
    was_finished: bool = False  #: By an earlier call; nothing was done.


class Progress(NamedTuple):
    """How far a run is; ``eta_seconds`` is None until the first part of this run is finished."""

    parts: int
    parts_finished: int
    rows: int
    rows_finished: int
    rows_per_second: float
    eta_seconds: float | None


class Report(NamedTuple):
    """What a whole run has done."""

    destination: str
    commit: str
    precision: str
    dimension: int
    parts: int
    parts_found: int  #: Finished by an earlier run.
    parts_damaged: int  #: Finished once, and done again.
    rows: int
    tokens: int  #: Of this run, as are the next two.
    truncated: int
    seconds: float
    restarts: int  #: Workers that ended early and were replaced.


def embed_part(
    source: str | PathLike[str],
    row_group: int,
    destination: str | PathLike[str],
    *,
    model: str | StellaEmbeddingModel,
    column: str = "text",
    output_column: str = "embedding",
    dimension: int | None = None,
    task: str | None = None,
    prompt: str | None = None,
    normalize: bool = True,
    max_length: int | None = None,
    precision: Precision = "auto",
    threads: int | None = None,
    dtype: Dtype = "float32",
    columns: Sequence[str] | None = None,
    name: str | None = None,
) -> Part:
    """Embeds one row group of a Parquet file into ``destination``, unless that was done before.

    The part's name follows from the file's and the row group, or is ``name``. It has the source's columns (or those of
    ``columns``) and the vectors in ``output_column``: lists of ``dimension`` float32 or float16, or with dtype "bits" of
    dimension / 8 bytes, a bit for each number, set where it is positive, the first one the highest. Nulls stay null
    (which pyarrow reads back from version 26 on).
    ``task`` as embed() has it. The precision is the one that the destination was begun with.
    """
    settings = Settings.of(
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
    import pyarrow.parquet as pq

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(pq.ParquetFile(source))
        _kept_columns(file, os.fspath(source), settings)  # before anything is begun
        if not 0 <= row_group < file.metadata.num_row_groups:
            raise refused(f"row_group is {row_group}, and {source} has {file.metadata.num_row_groups}")
        if not isinstance(model, StellaEmbeddingModel):
            model = stack.enter_context(pinned_model(settings, destination, threads))
        settings = open_destination(destination, settings, model)
        path = Path(destination) / (name or part_name(part_stem(Path(os.fspath(source)).name), row_group))
        return _embed_part(os.fspath(source), row_group, path, settings, model)


def _embed_part(
    source: str, row_group: int, path: Path, settings: Settings, model: StellaEmbeddingModel
) -> Part:
    import pyarrow.parquet as pq

    start = time.monotonic()
    with pq.ParquetFile(source) as file:
        identity = identity_of(file, source, row_group)
        about = find_part(path, identity, settings).about
        was_finished = about is not None
        if about is None:
            about = _write_part(file, source, row_group, path, settings, model, identity)
    seconds = time.monotonic() - start
    return Part(
        source, row_group, str(path), identity["rows"], **about["counts"], seconds=seconds, was_finished=was_finished
    )


_COUNTS = ("embedded", "tokens", "truncated")


def _write_part(
    file: Any,
    source: str,
    row_group: int,
    path: Path,
    settings: Settings,
    model: StellaEmbeddingModel,
    identity: dict[str, Any],
) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = _kept_columns(file, source, settings)
    read = list(dict.fromkeys([*kept, settings.column]))
    place = f"{source}, row group {row_group}"
    counts = dict.fromkeys(_COUNTS, 0)
    texts_hash, vectors_hash = hashlib.sha256(), hashlib.sha256()
    temporary = temporary_of(path)
    field = pa.field(settings.output_column, _list_type(settings))
    schema = pa.schema([*(file.schema_arrow.field(name) for name in kept), field])
    try:
        with open(temporary, "x+b") as out:
            with pq.ParquetWriter(out, schema, compression="zstd", use_dictionary=kept) as writer:
                row = 0
                for batch in file.iter_batches(_BATCH_ROWS, row_groups=[row_group], columns=read):
                    texts = _texts_of(batch.column(settings.column), place, row)
                    vectors = _embed_column(texts, settings, model, counts, texts_hash, place, row)
                    vectors_hash.update(_bytes_of(vectors))
                    arrays = [*(batch.column(name) for name in kept), vectors]
                    writer.write_batch(pa.record_batch(arrays, schema=schema))
                    row += len(texts)
                about = {
                    "source": identity,
                    "settings": as_json(settings),
                    "counts": counts,
                    "texts_sha256": texts_hash.hexdigest(),
                    "vectors_sha256": vectors_hash.hexdigest(),
                    **UNSEALED,
                }
                writer.add_key_value_metadata({"stella": json.dumps(about)})
            seal(out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return about


def _kept_columns(file: Any, source: str, settings: Settings) -> list[str]:
    """The source's columns that its parts have."""
    import pyarrow as pa

    names: list[str] = file.schema_arrow.names
    kept = names if settings.columns is None else list(settings.columns)
    for name in (settings.column, *kept):
        if name not in names:
            raise refused(f"{source} has no column '{name}'; it has {', '.join(names)}")
    if settings.output_column in kept:
        raise refused(f"{source} has a column '{settings.output_column}' already; name another output_column")
    kind = file.schema_arrow.field(settings.column).type
    if str(kind.value_type if pa.types.is_dictionary(kind) else kind) not in ("string", "large_string", "string_view"):
        raise refused(f"column '{settings.column}' of {source} is {kind}; a column of strings is wanted")
    return kept


def _texts_of(column: Any, place: str, first_row: int) -> list[str | None]:
    """Parquet's strings may be anything."""
    try:
        texts: list[str | None] = column.to_pylist()
        return texts
    except UnicodeDecodeError:
        for row, value in enumerate(column, first_row):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                message = f"{place}, row {row}: not valid UTF-8 ({error.reason}, at byte {error.start})"
                raise InputError(message, code="invalid_utf8", context={"index": row}) from None
        raise


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # a file system that cannot is no error
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _list_type(settings: Settings) -> Any:
    import pyarrow as pa

    dimension = settings.dimension
    assert dimension is not None
    if settings.dtype == "bits":
        return pa.list_(pa.uint8(), dimension // 8)
    return pa.list_(pa.float32() if settings.dtype == "float32" else pa.float16(), dimension)


def _embed_column(
    texts: list[str | None],
    settings: Settings,
    model: StellaEmbeddingModel,
    counts: dict[str, int],
    texts_hash: Any,
    place: str,
    first_row: int,
) -> Any:
    """A fixed-size list array, null where the text is."""
    import numpy as np
    import pyarrow as pa

    rows = [row for row, text in enumerate(texts) if text is not None]
    present = [text for text in texts if text is not None]
    for text in texts:
        data = b"" if text is None else text.encode()
        texts_hash.update((-1 if text is None else len(data)).to_bytes(8, "little", signed=True) + data)
    try:
        vectors = _vectors(present, settings, model, counts)
    except InputError as error:
        if "index" not in error.context:
            raise
        row = first_row + rows[int(error.context["index"])]
        message = str(error.args[0]).partition(": ")[2]
        raise type(error)(f"{place}, row {row}: {message}", code=error.code, context=error.context) from None
    counts["embedded"] += len(rows)
    values = _packed(vectors, settings.dtype)
    mask = None
    if len(rows) != len(texts):
        spread = np.zeros((len(texts), values.shape[1]), values.dtype)
        spread[rows] = values
        values = spread
        mask = pa.array([text is None for text in texts])
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=_list_type(settings), mask=mask)


def _vectors(
    texts: list[str], settings: Settings, model: StellaEmbeddingModel, counts: dict[str, int]
) -> NDArray[np.float32]:
    import numpy as np

    if settings.prompt is not None:
        plan = model._plan(settings.dimension, None, settings.prompt, settings.normalize)
        plan = plan._replace(max_length=settings.max_length)
        vectors = np.empty((len(texts), plan.dimension), np.float32)
        found: list[tuple[bytes, bytes, bytes]] = []
        model._embed_into(texts, plan, vectors, counts=found)
        for tokens, _, truncated in found:
            counts["tokens"] += int(np.frombuffer(tokens, np.uint32).sum())
            counts["truncated"] += int(np.frombuffer(truncated, np.bool_).sum())
        return vectors
    result = model.embed(
        texts,
        task=settings.task,
        dimension=settings.dimension,
        normalize=settings.normalize,
        max_length=settings.max_length,
    )
    counts["tokens"] += int(result.tokens.sum())
    counts["truncated"] += int(result.truncated.sum())
    return result.vectors


def _packed(vectors: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    import numpy as np

    if dtype == "bits":
        return np.packbits(vectors > 0, axis=1)
    return vectors if dtype == "float32" else vectors.astype(np.float16)


def _bytes_of(vectors: Any) -> bytes:
    return memoryview(vectors.values.buffers()[1])[: vectors.values.nbytes].tobytes()


class Job(NamedTuple):
    """A row group that is to be embedded; what a worker is sent."""

    source: str
    row_group: int
    rows: int
    path: str


class Plan(NamedTuple):
    """All of a run: made by its driver, for workers of whatever kind."""

    settings: Settings
    jobs: list[Job]
    unfinished: list[Job]
    damaged: int  #: How many of them were finished once.

    def parts(self) -> list[dict[str, Any]]:
        return [
            {"name": Path(job.path).name, "source": job.source, "row_group": job.row_group, "rows": job.rows}
            for job in self.jobs
        ]


def plan_run(
    source: str | PathLike[str] | Sequence[str | PathLike[str]],
    destination: str | PathLike[str],
    settings: Settings,
    threads: int | None = None,
) -> Plan:
    """Pins the precision, packs the weights for all who come, writes the manifest and sees what is finished."""
    import pyarrow.parquet as pq

    folder = Path(destination)
    jobs = [Job(file, group, rows, str(folder / name)) for file, group, rows, name in row_groups(source)]
    for name in dict.fromkeys(job.source for job in jobs):
        with pq.ParquetFile(name) as file:
            _kept_columns(file, name, settings)
    with pinned_model(settings, folder, threads) as model:
        settings = open_destination(folder, settings, model)
    sweep(folder, (Path(job.path).name for job in jobs))
    found = _find_parts(jobs, settings)
    unfinished = [job for job, part in zip(jobs, found) if part.about is None]
    plan = Plan(settings, jobs, unfinished, sum(part.is_damaged for part in found))
    write_manifest(folder, settings, replace=True, parts=plan.parts(), complete=not plan.unfinished)
    return plan


def _find_parts(jobs: list[Job], settings: Settings) -> list[Found]:
    """Reads all parts that are there, several at a time."""
    import pyarrow.parquet as pq

    identities = []
    for name, group in itertools.groupby(jobs, lambda job: job.source):
        with pq.ParquetFile(name) as file:
            identities += [identity_of(file, name, job.row_group) for job in group]

    with ThreadPoolExecutor(_workers.available_processors()) as threads:
        return list(threads.map(find_part, (Path(job.path) for job in jobs), identities, itertools.repeat(settings)))


class Tracker:
    """Counts finished parts and says how far the run is."""

    def __init__(self, plan: Plan, destination: str | PathLike[str], progress: Callable[[Progress], None] | bool) -> None:
        self._plan = plan
        self._destination = Path(destination)
        self._progress = progress
        self._bar: Any = None
        self._start = time.monotonic()
        self._rows = self._tokens = self._truncated = self._finished = 0
        if progress is True:
            from ._options import progress_bar

            self._bar = progress_bar(sum(job.rows for job in plan.unfinished))

    def add(self, part: Part) -> None:
        self._rows += part.rows
        self._tokens += part.tokens
        self._truncated += part.truncated
        self._finished += 1
        state = self.state()
        eta = "" if state.eta_seconds is None else f", {state.eta_seconds:.0f} s left"
        _process.LOGGER.info(
            "%d of %d parts, %.0f rows/s%s", state.parts_finished, state.parts, state.rows_per_second, eta
        )
        if self._bar is not None:
            self._bar.update(part.rows)
        elif callable(self._progress):
            self._progress(state)

    def state(self) -> Progress:
        plan, seconds = self._plan, max(time.monotonic() - self._start, 1e-9)
        rows = sum(job.rows for job in plan.jobs)
        left = sum(job.rows for job in plan.unfinished) - self._rows
        rate = self._rows / seconds
        found = len(plan.jobs) - len(plan.unfinished)
        return Progress(
            len(plan.jobs), found + self._finished, rows, rows - left, rate, left / rate if self._rows else None
        )

    def finish(self, restarts: int) -> Report:
        if self._bar is not None:
            self._bar.close()
        plan, settings = self._plan, self._plan.settings
        sweep(self._destination, (Path(job.path).name for job in plan.jobs))
        write_manifest(self._destination, settings, replace=True, parts=plan.parts(), complete=True)
        return Report(
            str(self._destination),
            settings.commit,
            settings.precision,
            int(settings.dimension or 0),
            len(plan.jobs),
            len(plan.jobs) - len(plan.unfinished),
            plan.damaged,
            sum(job.rows for job in plan.jobs),
            self._tokens,
            self._truncated,
            time.monotonic() - self._start,
            restarts,
        )


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
    dtype: Dtype = "float32",
    columns: Sequence[str] | None = None,
    progress: Callable[[Progress], None] | bool = False,
) -> Report:
    """Embeds Parquet files, or those below a folder, with all processors of this machine; called again, it does what is
    missing. Each worker is a process of ``threads`` threads; all map the same packed weights. By default the processors
    that this process may use (affinity, cgroup) are shared out to workers of at most eight threads. ``progress``: True
    for tqdm, or a function that is called with a Progress after each part.
    """
    settings = Settings.of(
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
    workers, threads = _workers.share_out(workers, threads, [_workers.available_processors()])
    with locked(Path(destination)):
        plan = plan_run(source, destination, settings, threads * workers)
        tracker = Tracker(plan, destination, progress)
        restarts = 0
        if plan.unfinished:
            pool = _workers.Pool(min(workers, len(plan.unfinished)), _Embedding(plan.settings, threads))
            restarts = pool.run(plan.unfinished, tracker.add)
        return tracker.finish(restarts)


class _Embedding:
    """What a worker does with its jobs: one model for all of them."""

    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._threads = threads
        self._model: StellaEmbeddingModel | None = None

    def __call__(self, job: Job) -> Part:
        if self._model is None:
            precision: Any = self._settings.precision
            self._model = StellaEmbeddingModel(self._settings.model, precision=precision, threads=self._threads)
            loaded = resolve(self._settings, self._model)
            if loaded != self._settings:
                raise refused(f"{self._settings.model} has changed since the run began; begin again in another folder")
        return _embed_part(job.source, job.row_group, Path(job.path), self._settings, self._model)
