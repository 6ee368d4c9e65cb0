"""What a model can be made with and asked for, checked before anything starts."""

from __future__ import annotations

import importlib
import operator
import os
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import _process
from .errors import InputError

#: The prompt of questions, under the name that Stella's model card uses.
QUERY = "s2p_query"
PRECISIONS = ("auto", "f32", "bf16", "int16", "int8")

# What programs written for sentence-transformers give, and what makes no difference here: nothing is padded, attention
# is always exact, and weights are packed at `precision`.
_HARMLESS: dict[str, dict[str, tuple[Any, ...] | None]] = {
    "model_kwargs": {
        "attn_implementation": None,
        "torch_dtype": ("float32", "auto", "torch.float32"),
        "dtype": ("float32", "auto", "torch.float32"),
        "low_cpu_mem_usage": None,
        "use_safetensors": (True, None),
        "device_map": ("cpu", "auto", None),
    },
    "config_kwargs": {"use_memory_efficient_attention": None, "unpad_inputs": None, "attn_implementation": None},
    "tokenizer_kwargs": {"padding_side": None, "padding": None, "use_fast": None, "model_max_length": None},
}


class Options(NamedTuple):
    """What a model is made with; plain values, which is what a pickled model consists of."""

    model: str
    revision: str | None
    precision: str
    threads: int | None
    truncate_dim: int | None
    prompts: dict[str, str]
    default_prompt_name: str | None
    token: str | bool | None
    cache_folder: str | None
    local_files_only: bool


def refused(message: str) -> InputError:
    return InputError(message, code="invalid_argument")


def wrong_type(name: str, value: object, wanted: str) -> TypeError:
    return TypeError(f"{name} is {reprlib.repr(value)} of type {type(value).__name__}; it has to be {wanted}")


# Arguments by their names, as messages have them.


def check_counts(**values: int | None) -> None:
    for name, value in values.items():
        if value is None:
            continue
        try:
            number = None if isinstance(value, bool) else operator.index(value)
        except TypeError:
            number = None
        if number is None:
            raise wrong_type(name, value, "a whole number")
        if not 1 <= number < 1 << 63:
            raise refused(f"{name} is {number}; it has to be {'less' if number > 1 else 'at least 1'}")


def check_flags(**values: bool) -> None:
    for name, value in values.items():
        if type(value).__name__ not in ("bool", "bool_"):  # numpy's as well
            raise wrong_type(name, value, "True or False")


def check_strings(**values: str | None) -> None:
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise wrong_type(name, value, "a str or None")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if not isinstance(value, str):
        raise wrong_type(name, value, f"one of {', '.join(choices)}")
    if value not in choices:
        raise refused(f"{name} is '{value}'; it may be {', '.join(choices)}")


def check_texts(name: str, texts: object, *, or_one: bool = False) -> None:
    """Something to iterate over; what it holds is seen when it is read."""
    if isinstance(texts, str):
        if or_one:
            return
        raise TypeError(f"{name} is one text, and several are expected; put it into a list")
    try:
        if not isinstance(texts, (bytes, bytearray, memoryview)):
            iter(texts)  # type: ignore[call-overload]
            return
    except TypeError:
        pass
    raise wrong_type(name, texts, "a str or an iterable of str" if or_one else "an iterable of str")


def path_of(name: str, value: str | os.PathLike[str]) -> str:
    try:
        path = os.fspath(value)
    except TypeError:
        path = b""  # type: ignore[assignment]
    if not isinstance(path, str):
        raise wrong_type(name, value, "a str or a path")
    return path


def dict_of(name: str, values: Mapping[str, str] | None) -> dict[str, str]:
    if values is not None and not isinstance(values, Mapping):
        raise wrong_type(name, values, "a mapping of names to texts, both str")
    return dict(values or {})


def check(options: Options) -> None:
    check_choice("precision", options.precision, PRECISIONS)
    check_counts(threads=options.threads, truncate_dim=options.truncate_dim)
    check_strings(revision=options.revision, default_prompt_name=options.default_prompt_name)
    check_flags(local_files_only=options.local_files_only)
    if not isinstance(options.token, (str, bool, type(None))):
        raise wrong_type("token", options.token, "a str, True, False or None")
    for name, prompt in options.prompts.items():
        if not isinstance(name, str) or not isinstance(prompt, str):
            raise wrong_type("prompts", {name: prompt}, "a mapping of names to texts, both str")


def check_backend(device: str | None, backend: str | None) -> None:
    if device is not None and str(device) != "cpu":
        raise refused(f"device is '{device}'; stella_cpp computes on the CPU: leave it out, or say 'cpu'")
    if backend not in (None, "torch", "stella"):
        raise refused(f"backend is '{backend}'; stella_cpp is its own: leave it out")


def check_kwargs(
    model_kwargs: Mapping[str, Any] | None,
    config_kwargs: Mapping[str, Any] | None,
    tokenizer_kwargs: Mapping[str, Any] | None,
) -> int | None:
    """The longest input that tokenizer_kwargs ask for. What would change vectors and cannot be done is refused."""
    given = {"model_kwargs": model_kwargs, "config_kwargs": config_kwargs, "tokenizer_kwargs": tokenizer_kwargs}
    for name, values in given.items():
        if values is not None and not isinstance(values, Mapping):
            raise wrong_type(name, values, "a mapping or None")
        for key, value in (values or {}).items():
            if key not in _HARMLESS[name]:
                raise refused(f"{name} has '{key}', which stella_cpp does not know; leave it out")
            allowed = _HARMLESS[name][key]
            if allowed is not None and value not in allowed and str(value) not in allowed:
                raise refused(f"{name} has '{key}': {value!r}; only {allowed[0]!r} is possible (see precision=)")
    length = (tokenizer_kwargs or {}).get("model_max_length")
    check_counts(model_max_length=length)
    return length


def check_result(precision: str, convert_to_tensor: bool, batch_size: int | None) -> None:
    if precision != "float32":
        raise refused(f"precision is '{precision}'; vectors are float32 (a model's own is precision= when it is made)")
    if convert_to_tensor:
        raise refused("convert_to_tensor is on; vectors are numpy arrays: torch.from_numpy() makes tensors of them")
    check_counts(batch_size=batch_size)


def native_arguments(options: Options) -> dict[str, Any]:
    """As _core.Model takes them. Looks at the environment and for the file of certificates."""
    name = options.model
    if name == "demo" and not os.path.isdir(name):
        name = str(_process.share_directory() / "models" / "stella-demo")
    ca_file, ca_problem = _process.certificates()
    token = options.token
    return {
        "name": name,
        "revision": options.revision or "main",
        "precision": options.precision,
        "token": token if isinstance(token, str) else "" if token is False else None,
        "cache_folder": options.cache_folder,
        "local_files_only": options.local_files_only,
        "ca_file": ca_file,
        "ca_problem": ca_problem,
    }


def progress_bar(total: int) -> Any:
    """tqdm's, or None where it is not installed."""
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        _process.LOGGER.info("tqdm is not installed, so no progress is shown")
        return None
    return tqdm(total=total, desc="Texts", unit="text")

