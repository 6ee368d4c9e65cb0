"""What a model can be made with and asked for, checked before anything starts."""

from __future__ import annotations

import importlib
import operator
import os
from collections.abc import Mapping
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


def check_positive(name: str, value: int) -> None:
    if isinstance(value, bool):
        raise TypeError(f"{name} is {value}; it has to be a whole number")
    operator.index(value)  # raises TypeError
    if value < 1:
        raise refused(f"{name} is {value}; it has to be at least 1")


def check(options: Options) -> None:
    if options.precision not in PRECISIONS:
        raise refused(f"precision is '{options.precision}'; it may be {', '.join(PRECISIONS)}")
    if options.threads is not None:
        check_positive("threads", options.threads)
    if options.truncate_dim is not None:
        check_positive("truncate_dim", options.truncate_dim)
    for name, prompt in options.prompts.items():
        if not isinstance(name, str) or not isinstance(prompt, str):
            raise TypeError("prompts maps names to texts, both str")


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
        for key, value in (values or {}).items():
            if key not in _HARMLESS[name]:
                raise refused(f"{name} has '{key}', which stella_cpp does not know; leave it out")
            allowed = _HARMLESS[name][key]
            if allowed is not None and value not in allowed and str(value) not in allowed:
                raise refused(f"{name} has '{key}': {value!r}; only {allowed[0]!r} is possible (see precision=)")
    length = (tokenizer_kwargs or {}).get("model_max_length")
    if length is not None:
        check_positive("model_max_length", length)
    return length


def check_result(precision: str, convert_to_tensor: bool, batch_size: int | None) -> None:
    if precision != "float32":
        raise refused(f"precision is '{precision}'; vectors are float32 (a model's own is precision= when it is made)")
    if convert_to_tensor:
        raise refused("convert_to_tensor is on; vectors are numpy arrays: torch.from_numpy() makes tensors of them")
    if batch_size is not None:
        check_positive("batch_size", batch_size)


def refuse_one_text(texts: Any) -> None:
    if isinstance(texts, (str, bytes)):
        raise TypeError("several texts are expected, and one was given; put it into a list")


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

