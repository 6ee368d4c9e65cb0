"""What a destination of bulk work holds and pins: the names of parts, the manifest, and what a part says of itself."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from . import _options, _process
from ._model import StellaEmbeddingModel
from ._options import refused

DTYPES = ("float32", "float16", "bits")
_MANIFEST = "manifest.json"
_READ_BYTES = 1 << 20


class Settings(NamedTuple):
    """What all parts of a destination have in common."""

    model: str
    column: str
    output_column: str
    dimension: int | None
    task: str | None
    prompt: str | None
    normalize: bool
    max_length: int | None
    precision: str
    dtype: str
    columns: tuple[str, ...] | None
    commit: str = ""

    @classmethod
    def of(
        cls,
        model: str | PathLike[str] | StellaEmbeddingModel,
        *,
        column: str,
        output_column: str,
        dimension: int | None,
        task: str | None,
        prompt: str | None,
        normalize: bool,
        max_length: int | None,
        precision: str,
        dtype: str,
        columns: Sequence[str] | None,
    ) -> Settings:
        """What a caller asks for, checked; a model that is made already has its own precision."""
        if isinstance(model, StellaEmbeddingModel):
            made = model._options
            model, precision = made.model, made.precision
        _options.check_counts(dimension=dimension, max_length=max_length)
        _options.check_flags(normalize=normalize)
        _options.check_strings(column=column, output_column=output_column, task=task, prompt=prompt)
        _options.check_choice("precision", precision, _options.PRECISIONS)
        _options.check_choice("dtype", dtype, DTYPES)
        if columns is not None:
            _options.check_texts("columns", columns)
        if task is not None and prompt is not None:
            raise refused("both task and prompt are given; a run has one of them")
        return cls(
            model=_options.path_of("model", model),
            column=column,
            output_column=output_column,
            dimension=dimension,
            task=task,
            prompt=prompt,
            normalize=bool(normalize),
            max_length=max_length,
            precision=precision,
            dtype=dtype,
            columns=None if columns is None else tuple(columns),
        )


def row_groups(source: str | PathLike[str] | Sequence[str | PathLike[str]]) -> Iterator[tuple[str, int, int, str]]:
    """(file, row group, rows, the part's name) of a Parquet file, of those below a folder, or of a list of either; in a
    fixed order."""
    import pyarrow.parquet as pq

    given = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    seen: dict[str, str] = {}
    for one in given:
        root = Path(os.fspath(one))
        files = sorted(root.rglob("*.parquet")) if root.is_dir() else [root]
        if not files:
            raise FileNotFoundError(f"{root}: there is no Parquet file in this folder")
        for file in files:
            name = part_stem(str(file.relative_to(root)) if root.is_dir() else file.name)
            if seen.setdefault(name, str(file)) != str(file):
                raise refused(f"{file} and {seen[name]} would have parts of the same name; give one folder above both")
            metadata = pq.read_metadata(file)
            for group in range(metadata.num_row_groups):
                yield str(file), group, metadata.row_group(group).num_rows, part_name(name, group)


def part_stem(name: str) -> str:
    return name.removesuffix(".parquet").replace(os.sep, "--")


def part_name(stem: str, row_group: int) -> str:
    return f"{stem}-rg{row_group:05}.parquet"


def pinned_model(
    settings: Settings, destination: str | PathLike[str], threads: int | None
) -> StellaEmbeddingModel:
    """A model of the precision that the destination has, where it has one and the caller leaves it open."""
    begun = read_manifest(destination)
    precision = settings.precision
    if precision == "auto" and begun is not None:
        precision = begun["settings"].get("precision", precision)
    return StellaEmbeddingModel(settings.model, precision=precision, threads=threads)  # type: ignore[arg-type]


def open_destination(
    destination: str | PathLike[str], settings: Settings, model: StellaEmbeddingModel
) -> Settings:
    """``settings`` with nothing left open: the model's commit, dimension, task and precision. Loads the model. Whoever
    comes first writes the manifest; whoever comes with other settings is refused."""
    folder = Path(destination)
    folder.mkdir(parents=True, exist_ok=True)
    settings = resolve(settings, model)
    if read_manifest(folder) is None:
        write_manifest(folder, settings, replace=False)
    begun = read_manifest(folder)
    assert begun is not None
    for key, wanted in as_json(settings).items():
        found = begun["settings"].get(key)
        if found != wanted:
            raise refused(
                f"{folder} was begun with {key} {json.dumps(found)}, and this run has {json.dumps(wanted)}; go on with "
                "the same, or name another folder"
            )
    return settings


def resolve(settings: Settings, model: StellaEmbeddingModel) -> Settings:
    model.encode_document("Loads tokenizer, encoder and head.", truncate_dim=settings.dimension)
    loaded = model._get()
    task = settings.task
    if task is None and settings.prompt is None:
        task = str(loaded.description["default_task"])
    return settings._replace(
        dimension=model._dimension(loaded, settings.dimension),
        task=task,
        max_length=settings.max_length or model.max_seq_length,
        precision=str(_process.native(lambda: loaded.native.precision)),
        commit=str(loaded.description.get("commit") or ""),
    )


def as_json(settings: Settings) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(settings._asdict()))
    return values


def read_manifest(destination: str | PathLike[str]) -> dict[str, Any] | None:
    path = Path(destination) / _MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("settings"), dict):
        raise refused(f"{path} is no manifest of stella_cpp.bulk; name another folder")
    return manifest


def write_manifest(
    folder: Path, settings: Settings, *, replace: bool, parts: Sequence[dict[str, Any]] = (), complete: bool = False
) -> None:
    manifest = {"format_version": 1, "complete": complete, "settings": as_json(settings), "parts": list(parts)}
    temporary = temporary_of(folder / _MANIFEST)
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(json.dumps(manifest, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, folder / _MANIFEST)
        else:
            with contextlib.suppress(FileExistsError):  # somebody was faster: his is the one
                os.link(temporary, folder / _MANIFEST)
    finally:
        temporary.unlink(missing_ok=True)


class Found(NamedTuple):
    """A part as it lies in its destination."""

    about: dict[str, Any] | None = None  #: What it says of itself, where it is what it would be now.
    is_damaged: bool = False


def find_part(path: Path, source: dict[str, Any], settings: Settings) -> Found:
    """Reads all of it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = json.loads((pq.read_metadata(path).metadata or {}).get(b"stella", b"null"))
        with open(path, "rb") as file:
            whole = _place_and_digest(file, about[_DIGEST])[1] == about[_DIGEST]
    except FileNotFoundError:
        return Found()
    except (ValueError, LookupError, TypeError, pa.ArrowException):
        whole = False
    except OSError as error:
        if error.errno is not None:
            raise
        whole = False  # Arrow's for what it cannot read
    if not whole:
        _process.LOGGER.warning("%s is damaged; it is embedded again", path)
        return Found(is_damaged=True)
    return Found(about if about["source"] == source and about["settings"] == as_json(settings) else None)


_DIGEST = "file_sha256"
#: In the record of a part whose digest is not known yet.
UNSEALED = {_DIGEST: "0" * 64}


def seal(file: BinaryIO) -> None:
    """Puts into the record of a part, which has UNSEALED, the sha256 of the whole file with zeros in the digest's place."""
    place, digest = _place_and_digest(file, UNSEALED[_DIGEST])
    file.seek(place)
    file.write(digest.encode())


def _place_and_digest(file: BinaryIO, written: str) -> tuple[int, str]:
    """Where the digest ``written`` stands in a Parquet file's footer, and what it should be. Raises ValueError."""
    end = file.seek(-8, os.SEEK_END)
    begin = end - int.from_bytes(file.read(4), "little")
    sha256 = hashlib.sha256()
    file.seek(0)
    for left in range(begin, 0, -_READ_BYTES):
        sha256.update(file.read(min(left, _READ_BYTES)))
    footer = file.read()
    place = footer.rindex(f'"{_DIGEST}": "{written}"'.encode()) + len(_DIGEST) + 5
    sha256.update(footer[:place] + UNSEALED[_DIGEST].encode() + footer[place + len(written) :])
    return begin + place, sha256.hexdigest()


def identity_of(file: Any, source: str, row_group: int) -> dict[str, Any]:
    """What tells a row group from another that lies in its place later."""
    group = file.metadata.row_group(row_group)
    return {
        "file": Path(source).name,
        "file_bytes": os.stat(source).st_size,
        "row_group": row_group,
        "rows": group.num_rows,
        "group_bytes": group.total_byte_size,
    }


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One run at a time; a file system without locks is no reason not to work."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refused(f"another run works in {folder}; wait for its end, or name another folder") from None
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def sweep(folder: Path, parts: Iterable[str]) -> None:
    """Takes away what killed workers have left of these parts. Under the lock, and while none works."""
    names = {_MANIFEST, *parts}
    for left in folder.iterdir():
        match = _TEMPORARY.fullmatch(left.name)
        if match and match[1] in names:
            left.unlink(missing_ok=True)


def temporary_of(path: Path) -> Path:
    """Beside it, under a name that nobody can foresee."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp")
