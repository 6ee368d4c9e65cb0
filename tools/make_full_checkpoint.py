#!/usr/bin/env python3
"""Writes a full-size Small (1.7 GB) or Large (6.2 GB) checkpoint with random weights, in bounded memory, standard library only.

    make_full_checkpoint.py small|large OUT [--dims 256,1024] [--dtype f32|bf16] [--layers N] [--seed N]

For measuring speed and memory, and for testing downloads, where the real weights cannot be had: file layout, tensor names,
shapes and spreads are those of tools/reference/make_checkpoint.py --full, so that a forward pass stays in a realistic range. Rows
of a tensor are taken from a pool of normal numbers, each from a place of its own.
"""
import argparse
import json
import random
import sys
from array import array
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "reference"))
import layout  # noqa: E402

POOL = 1 << 20  # numbers
BYTES = {"f32": 4, "bf16": 2}


class Pools:
    """Bytes of POOL numbers with a given mean and spread, each stored in the wanted type."""

    def __init__(self, dtype, seed):
        self.dtype, self.random, self.made = dtype, random.Random(seed), {}
        self.normal = [self.random.gauss(0.0, 1.0) for _ in range(POOL)]

    def get(self, mean, std):
        if (mean, std) not in self.made:
            numbers = array("f", (mean + std * x for x in self.normal))
            if sys.byteorder != "little":
                numbers.byteswap()
            data = numbers.tobytes()
            if self.dtype == "bf16":  # the upper half of each number
                halves = array("H")
                halves.frombytes(data)
                data = halves[1::2].tobytes()
            self.made[mean, std] = memoryview(data)
        return self.made[mean, std]


def write_safetensors(path, specs, pools):
    specs, size = list(specs), BYTES[pools.dtype]
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, _, _ in specs:
        count = size
        for n in shape:
            count *= n
        header[name] = dict(dtype=pools.dtype.upper(), shape=list(shape), data_offsets=[at, at + count])
        at += count
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb", buffering=1 << 22) as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for _, shape, mean, std in specs:
            pool, row = pools.get(mean, std), shape[-1]
            last = POOL - row
            for _ in range(shape[0] if len(shape) > 1 else 1):
                start = int(pools.random.random() * last)
                out.write(pool[start * size:(start + row) * size])
    return at


def main(o):
    full = {"small": layout.SMALL_FULL, "large": layout.LARGE_FULL}[o.variant]
    cfg = full | dict(num_hidden_layers=o.layers or full["num_hidden_layers"],
                      torch_dtype={"f32": "float32", "bf16": "bfloat16"}[o.dtype])
    pools = Pools(o.dtype, o.seed)
    layout.write_small_files(o.variant, o.out, cfg, layout.tokenizer(o.variant, False), o.dims)
    total = write_safetensors(o.out / "model.safetensors", layout.tensors(o.variant, cfg, False), pools)
    for dim in o.dims:
        total += write_safetensors(o.out / f"2_Dense_{dim}/model.safetensors",
                                   layout.head_tensors(dim, cfg["hidden_size"]), pools)
    print(f"{o.out}: {total / 1e9:.2f} GB of weights")


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("variant", choices=("small", "large"))
    a.add_argument("out", type=Path)
    a.add_argument("--dims", type=lambda s: tuple(int(x) for x in s.split(",")), default=layout.DIMS)
    a.add_argument("--dtype", choices=BYTES, default="f32")
    a.add_argument("--layers", type=int)
    a.add_argument("--seed", type=int, default=0)
    main(a.parse_args())
