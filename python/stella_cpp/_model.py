"""StellaEmbeddingModel: sentence-transformers' forms, the C++ API's, and asyncio's, over stella_cpp._core."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from . import _core, _options, _process, _rows
from .errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    F32 = NDArray[np.float32]
    Texts = str | Iterable[str]
Precision = Literal["auto", "f32", "bf16", "int16", "int8"]

#: Requests of one call that are under way at a time: while one is computed the next is tokenized.
_IN_FLIGHT = 2
_MAX_AHEAD = 4096


class Embeddings(NamedTuple):
    """What ``embed()`` gives; row i is of text i."""

    vectors: F32  # (n, dim), C order
    tokens: NDArray[np.uint32]  #: Embedded, special tokens and prompt included.
    full_tokens: NDArray[np.uint32]  #: Before truncation.
    truncated: NDArray[np.bool_]


class _Plan(NamedTuple):
    """What one call asks for, the same for all of its texts."""

    dimension: int
    task: str | None = None
    prompt: str | None = None
    normalize: bool = True
    max_length: int | None = None
    refuse_long: bool = False


class _Loaded(NamedTuple):
    """The native model with its description; a forked child makes another one."""

    native: _core.Model
    description: dict[str, Any]


class StellaEmbeddingModel:
    """A model by name. Making one reads nothing; the first call that needs it fetches and loads it, once however many
    threads and tasks ask. Thread-safe. Pickled, copied and forked, it is the same model by name, loaded anew.

    ``model``: a repository of the hub, a folder in the hub's layout, or "demo", which comes with the package.
    ``prompts`` add to the model's own; ``default_prompt_name`` is used where a call names none. ``token``: False never
    sends one. ``truncate_dim`` picks one of the trained heads.
    """

    def __init__(
        self,
        model: str | PathLike[str] = "NovaSearch/stella_en_400M_v5",
        *,
        revision: str | None = None,
        precision: Precision = "auto",
        threads: int | None = None,
        truncate_dim: int | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        token: str | bool | None = None,
        cache_folder: str | PathLike[str] | None = None,
        local_files_only: bool = False,
        device: str | None = None,
        backend: str | None = None,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._options = _options.Options(
            model=_options.path_of("model", model),
            revision=revision,
            precision=precision,
            threads=threads,
            truncate_dim=truncate_dim,
            prompts=_options.dict_of("prompts", prompts),
            default_prompt_name=default_prompt_name,
            token=token,
            cache_folder=None if cache_folder is None else _options.path_of("cache_folder", cache_folder),
            local_files_only=local_files_only,
        )
        _options.check(self._options)
        _options.check_backend(device, backend)
        self._max_length: int | None = _options.check_kwargs(model_kwargs, config_kwargs, tokenizer_kwargs)
        self._start()

    def _start(self) -> None:
        self._native: _core.Model | None = None
        self._runtime: _core.Runtime | None = None
        self._loaded: _Loaded | None = None
        self._running: dict[int, _core.Operation] = {}
        _process.models.add(self)

    # Encoding, as sentence-transformers has it.

    @overload
    def encode(
        self,
        inputs: str,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        *,
        normalize_embeddings: bool = True,
        truncate_dim: int | None = None,
        out: F32 | None = None,
        precision: Literal["float32"] = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: Literal[False] = False,
        sentences: None = None,
    ) -> F32: ...
    @overload
    def encode(
        self,
        inputs: Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        *,
        normalize_embeddings: bool = True,
        truncate_dim: int | None = None,
        out: F32 | None = None,
        precision: Literal["float32"] = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: Literal[False] = False,
        sentences: None = None,
    ) -> F32: ...
    @overload
    def encode(
        self,
        *,
        sentences: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = True,
        truncate_dim: int | None = None,
        out: F32 | None = None,
        precision: Literal["float32"] = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: Literal[False] = False,
    ) -> F32: ...
    def encode(
        self,
        inputs: Texts | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        *,
        normalize_embeddings: bool = True,
        truncate_dim: int | None = None,
        out: F32 | None = None,
        precision: Literal["float32"] = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: Literal[False] = False,
        sentences: Texts | None = None,
    ) -> F32:
        """float32 vectors: (dim,) for one text, (n, dim) for several. No prompt unless one is named or given, or the
        model was made with a default one. ``out`` takes the rows in place of a new array. ``batch_size`` changes
        nothing: texts are packed by their tokens."""
        if (inputs is None) == (sentences is None):
            raise TypeError("encode() takes the texts as its first argument, or as 'sentences', its older name")
        texts = sentences if inputs is None else inputs
        _options.check_texts("inputs" if sentences is None else "sentences", texts, or_one=True)
        _options.check_result(precision, convert_to_tensor, batch_size)
        plan = self._plan(truncate_dim, prompt_name, prompt, normalize_embeddings)
        return self._encode(texts, plan, out, bool(show_progress_bar))  # type: ignore[arg-type]

    def encode_query(
        self,
        inputs: Texts,
        *,
        prompt_name: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = True,
        truncate_dim: int | None = None,
        out: F32 | None = None,
    ) -> F32:
        """As encode(), for questions that passages answer."""
        return self.encode(
            inputs,
            prompt_name or _options.QUERY,
            None,
            batch_size,
            show_progress_bar,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
            out=out,
        )

    def encode_document(
        self,
        inputs: Texts,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = True,
        truncate_dim: int | None = None,
        out: F32 | None = None,
    ) -> F32:
        """As encode(), for passages: without a prompt, whatever the default one is."""
        return self.encode(
            inputs,
            None,
            "",
            batch_size,
            show_progress_bar,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
            out=out,
        )

    def encode_iter(
        self,
        inputs: Iterable[str],
        *,
        prompt_name: str | None = None,
        batch_size: int = 256,
        truncate_dim: int | None = None,
    ) -> Iterator[F32]:
        """One (dim,) row a text, in order, while the texts are still being read: at most 4,096 of them ahead."""
        _options.check_result("float32", False, batch_size)
        _options.check_texts("inputs", inputs)
        return self._encode_iter(iter(inputs), prompt_name, min(batch_size, _MAX_AHEAD // _IN_FLIGHT), truncate_dim)

    def _encode_iter(
        self, texts: Iterator[str], prompt_name: str | None, batch_size: int, truncate_dim: int | None
    ) -> Iterator[F32]:
        plan = self._plan(truncate_dim, prompt_name, None, True)
        run = _Run(self, plan)
        try:
            done = False
            while not done or run.pending:
                while not done and len(run.pending) < _IN_FLIGHT:
                    batch = list(itertools.islice(texts, batch_size))
                    done = len(batch) < batch_size
                    if batch:
                        run.start(batch, _rows.empty(len(batch), plan.dimension))
                if run.pending:
                    for row in run.finish()[0]:
                        yield row.copy()  # owns its memory, and does not keep the batch
        finally:
            run.cancel()

    # Embedding, as the C++ API has it.

    def embed(
        self,
        texts: Iterable[str],
        *,
        task: str | None = None,
        dimension: int | None = None,
        normalize: bool = True,
        max_length: int | None = None,
        on_long: Literal["truncate", "error"] = "truncate",
    ) -> Embeddings:
        """Vectors with what became of each text. No task: the model's default one, as the command line has it."""
        import numpy as np

        _options.check_texts("texts", texts)
        _options.check_choice("on_long", on_long, ("truncate", "error"))
        _options.check_counts(dimension=dimension, max_length=max_length)
        _options.check_strings(task=task)
        _options.check_flags(normalize=normalize)
        plan = self._plan(dimension, task, None, normalize, by_task=True)._replace(refuse_long=on_long == "error")
        if max_length is not None:
            plan = plan._replace(max_length=max_length)
        listed = _rows.listed(texts)
        vectors = _rows.empty(len(listed), plan.dimension)
        counts: list[tuple[bytes, bytes, bytes]] = []
        self._embed_into(listed, plan, vectors, counts=counts)
        tokens, full, truncated = (b"".join(part) for part in zip(*counts)) if counts else (b"", b"", b"")
        return Embeddings(
            vectors,
            np.frombuffer(tokens, np.uint32).copy(),
            np.frombuffer(full, np.uint32).copy(),
            np.frombuffer(truncated, np.bool_).copy(),
        )

    def tokenize(
        self, texts: Iterable[str], *, task: str | None = None, max_length: int | None = None
    ) -> list[NDArray[np.int32]]:
        """Token ids as embedding would use them: with the prompt of ``task``, none by default, and special tokens."""
        import numpy as np

        _options.check_texts("texts", texts)
        _options.check_strings(task=task)
        _options.check_counts(max_length=max_length)
        loaded = self._get()
        named, prompt = self._prompt(loaded, task, None) if task is not None else (None, "")
        length = max_length if max_length is not None else self._max_length
        operation = _rows.texts_call(loaded.native.tokenize, _rows.listed(texts), named, prompt, length)
        return [np.frombuffer(ids, np.int32).copy() for ids in self._wait(operation)]

    # asyncio.

    async def aload(self) -> None:
        """Fetches what is missing and loads the model."""
        native = self._make_native()
        await self._await(native.load)
        await self._aget()

    async def aencode(
        self,
        inputs: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *,
        normalize_embeddings: bool = True,
        truncate_dim: int | None = None,
    ) -> F32:
        """As encode(), without blocking the loop. Texts of concurrent calls share passes."""
        _options.check_texts("inputs", inputs, or_one=True)
        await self._aget()
        plan = self._plan(truncate_dim, prompt_name, prompt, normalize_embeddings)
        return await self._aencode(inputs, plan)

    async def aencode_query(self, inputs: Texts, *, truncate_dim: int | None = None) -> F32:
        return await self.aencode(inputs, _options.QUERY, truncate_dim=truncate_dim)

    async def aencode_document(self, inputs: Texts, *, truncate_dim: int | None = None) -> F32:
        return await self.aencode(inputs, None, "", truncate_dim=truncate_dim)

    # Comparing.

    def similarity(self, a: F32, b: F32) -> F32:
        """(n, m) cosines of each row of ``a`` with each of ``b``."""
        return _rows.unit_rows(a) @ _rows.unit_rows(b).T

    def similarity_pairwise(self, a: F32, b: F32) -> F32:
        """(n,) cosines of row i of ``a`` with row i of ``b``."""
        import numpy as np

        pairs: F32 = np.einsum("ij,ij->i", _rows.unit_rows(a), _rows.unit_rows(b))
        return pairs

    # What the model is.

    def get_embedding_dimension(self) -> int:
        """Of the vectors that encode() gives when no dimension is named."""
        return self._dimension(self._get(), None)

    def get_sentence_embedding_dimension(self) -> int:
        return self.get_embedding_dimension()

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Sizes of the trained heads, ascending."""
        description = self._get().description
        return description["dimensions"] or (description["hidden"],)

    @property
    def prompts(self) -> dict[str, str]:
        """Every name that a call may give, with the text that is put before its texts."""
        return {**self._get().description["prompts"], **self._options.prompts}

    @property
    def max_seq_length(self) -> int:
        """Most tokens per text, special tokens and prompt included: the checkpoint's own unless set."""
        return self._max_length if self._max_length is not None else self._get().description["default_max_length"]

    @max_seq_length.setter
    def max_seq_length(self, length: int) -> None:
        _options.check_counts(max_seq_length=length)
        self._max_length = length

    @property
    def device(self) -> str:
        return "cpu"

    def to(self, device: str) -> Self:
        _options.check_backend(device, None)
        return self

    def eval(self) -> Self:
        return self

    # Beginning and end.

    def close(self) -> None:
        """Gives the memory back and cancels what still runs. A later call would load the model again."""
        self._cancel_all()
        with _process.lock:
            native, self._native, self._loaded, self._runtime = self._native, None, None, None
        if native is not None:
            native.close()  # outside the lock: the runtime's threads may have to be joined
        _core.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *a: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._options, self._max_length)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options.model!r})"

    def _cancel_all(self) -> None:
        for operation in list(self._running.values()):
            operation.cancel()

    def _forked(self) -> None:
        """In a forked child: what is native is the parent's."""
        if self._native is not None:
            self._native.abandon()
            _core.leak((self._native, self._runtime, self._running))
        self._native = self._runtime = self._loaded = None
        self._running = {}

    # Below this line: how requests are made.

    def _make_native(self) -> _core.Model:
        with _process.lock:
            if self._native is None:
                runtime = _process.runtime(self._options.threads)
                self._native = _process.native(_core.Model, runtime, **_options.native_arguments(self._options))
                self._runtime = runtime
            return self._native

    def _get(self) -> _Loaded:
        """The model with its small files read."""
        if (loaded := self._loaded) is not None:
            return loaded
        native = self._make_native()
        return self._keep(native, self._wait(_process.native(native.describe, None)))

    async def _aget(self) -> _Loaded:
        if (loaded := self._loaded) is not None:
            return loaded
        if "numpy" not in sys.modules:  # takes a while to import, so not on the loop's thread
            from asyncio import to_thread

            await to_thread(__import__, "numpy")
        native = self._make_native()
        return self._keep(native, await self._await(native.describe))

    def _keep(self, native: _core.Model, description: dict[str, Any]) -> _Loaded:
        loaded = _Loaded(native, description)
        with _process.lock:
            if self._native is native:
                self._loaded = loaded
        return loaded

    def _plan(
        self, dimension: int | None, name: str | None, prompt: str | None, normalize: bool, *, by_task: bool = False
    ) -> _Plan:
        if not by_task:
            _options.check_counts(truncate_dim=dimension)
            _options.check_strings(prompt_name=name, prompt=prompt)
            _options.check_flags(normalize_embeddings=normalize)
        loaded = self._get()
        name = name if name is not None or prompt is not None else self._options.default_prompt_name
        task, text = (None, None) if by_task and name is None else self._prompt(loaded, name, prompt)
        return _Plan(self._dimension(loaded, dimension), task, text, bool(normalize), self._max_length)

    def _prompt(self, loaded: _Loaded, name: str | None, prompt: str | None) -> tuple[str | None, str | None]:
        """(task, prompt) of a request: one of them, never both."""
        if prompt is not None:
            return None, prompt
        if name is None:
            return None, ""
        if name in self._options.prompts:
            return None, self._options.prompts[name]
        if name == _options.QUERY or _process.native(loaded.native.supports_task, name):
            return name, None
        names = ", ".join(sorted({*loaded.description["prompts"], *self._options.prompts}))
        raise InputError(
            f"unknown prompt '{name}'; the prompts of this model are: {names}", code="invalid_argument"
        )

    def _dimension(self, loaded: _Loaded, wanted: int | None) -> int:
        wanted = wanted if wanted is not None else self._options.truncate_dim
        _options.check_counts(truncate_dim=wanted)
        return int(_process.native(loaded.native.embedding_dimension, wanted))

    def _encode(self, inputs: Texts, plan: _Plan, out: F32 | None, show_progress: bool) -> F32:
        if isinstance(inputs, str):
            rows = _rows.empty(1, plan.dimension) if out is None else _rows.checked_out(out, (plan.dimension,)).reshape(1, -1)
            self._embed_into([inputs], plan, rows, single=True)
            return rows[0].copy() if out is None else out
        if out is not None and not isinstance(inputs, (list, tuple)):
            return self._encode_stream(iter(inputs), plan, _rows.checked_out(out, (None, plan.dimension)))
        texts = _rows.listed(inputs)
        if out is None:
            out = _rows.empty(len(texts), plan.dimension)
        else:
            _rows.checked_out(out, (len(texts), plan.dimension))
        self._embed_into(texts, plan, out, show_progress=show_progress)
        return out

    def _encode_stream(self, texts: Iterator[str], plan: _Plan, out: F32) -> F32:
        """Texts whose number nobody knows yet, into rows that are there: at most 4,096 are held at a time."""
        run = _Run(self, plan)
        try:
            while batch := list(itertools.islice(texts, _rows.CHUNK_TEXTS)):
                if run.started + len(batch) > len(out):
                    raise ValueError(f"out has {len(out)} rows, and there are more texts than that")
                run.start(batch, out[run.started : run.started + len(batch)])
                if len(run.pending) == _IN_FLIGHT:
                    run.finish()
            while run.pending:
                run.finish()
        finally:
            run.cancel()
        if run.started != len(out):
            raise ValueError(f"out has {len(out)} rows, but there were {run.started} texts")
        return out

    def _embed_into(
        self,
        texts: list[str],
        plan: _Plan,
        out: F32,
        *,
        counts: list[tuple[bytes, bytes, bytes]] | None = None,
        single: bool = False,
        show_progress: bool = False,
    ) -> None:
        run = _Run(self, plan, single=single)
        progress = _options.progress_bar(len(texts)) if show_progress else None

        def finish() -> None:
            rows, result = run.finish()
            if counts is not None:
                counts.append(result[:3])
            if progress is not None:
                progress.update(len(rows))

        try:
            for begin, end in _rows.chunks(texts):
                if len(run.pending) == _IN_FLIGHT:
                    finish()
                run.start(texts, out[begin:end], begin, end)
            while run.pending:
                finish()
        finally:
            run.cancel()
            if progress is not None:
                progress.close()

    async def _aencode(self, inputs: Texts, plan: _Plan) -> F32:
        single = isinstance(inputs, str)
        texts = [inputs] if isinstance(inputs, str) else _rows.listed(inputs)
        out = _rows.empty(len(texts), plan.dimension)
        for begin, end in _rows.chunks(texts):

            def start(queue: _core.Queue, begin: int = begin, end: int = end) -> _core.Operation:
                return self._submit(texts, begin, end, out[begin:end], plan, queue)

            await self._await(start, offset=begin, single=single)
        return out[0].copy() if single else out

    def _submit(
        self, texts: list[str], begin: int, end: int, out: F32, plan: _Plan, queue: _core.Queue | None, offset: int = 0
    ) -> _core.Operation:
        native = self._make_native()
        operation: _core.Operation = _rows.texts_call(
            native.embed,
            texts,
            begin,
            end,
            out,
            plan.dimension,
            plan.task,
            plan.prompt,
            plan.normalize,
            plan.max_length,
            plan.refuse_long,
            len(texts) > _rows.CHUNK_TEXTS,
            queue,
            offset=offset,
        )
        return operation

    def _wait(self, operation: _core.Operation, **where: Any) -> Any:
        self._running[operation.id] = operation
        try:
            return _process.wait(operation, **where)
        finally:
            self._running.pop(operation.id, None)

    async def _await(self, start: Any, **where: Any) -> Any:
        started: list[_core.Operation] = []

        def noted(queue: _core.Queue) -> _core.Operation:
            started.append(start(queue))
            self._running[started[0].id] = started[0]
            return started[0]

        from . import _channel  # not at the top: asyncio takes a while to import

        try:
            return await _channel.current().run(noted, **where)
        finally:
            for operation in started:
                self._running.pop(operation.id, None)


class _Run:
    """Requests of one call, finished in the order in which they were started."""

    def __init__(self, model: StellaEmbeddingModel, plan: _Plan, *, single: bool = False) -> None:
        self.pending: deque[tuple[_core.Operation, int, F32]] = deque()
        self.started = 0
        self._model = model
        self._plan = plan
        self._single = single

    def start(self, texts: list[str], out: F32, begin: int = 0, end: int | None = None) -> None:
        """Texts [begin, end) of the list into ``out``."""
        end = len(texts) if end is None else end
        offset = self.started - begin  # of the list among all texts of the call
        operation = self._model._submit(texts, begin, end, out, self._plan, None, offset)
        self.pending.append((operation, self.started, out))
        self.started += end - begin

    def finish(self) -> tuple[F32, Any]:
        """The oldest one's rows and result."""
        operation, offset, out = self.pending.popleft()
        return out, self._model._wait(operation, offset=offset, single=self._single)

    def cancel(self) -> None:
        while self.pending:
            self.pending.popleft()[0].cancel()


def _restore(kind: type[StellaEmbeddingModel], options: _options.Options, max_length: int | None) -> Any:
    model = kind.__new__(kind)
    model._options = options
    model._max_length = max_length
    model._start()
    return model
