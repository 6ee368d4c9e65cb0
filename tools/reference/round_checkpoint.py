"""Copies a checkpoint with its tensors rounded to another type.

    python round_checkpoint.py CHECKPOINT OUT bf16|f16 [--dims 1024,256]
"""
import argparse
import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from layout import DIMS, write_json
from make_checkpoint import DTYPES


def main(source, out, dtype, dims):
    folders = [source, source / "1_Pooling", *(source / f"2_Dense_{d}" for d in dims)]
    for path in (p for f in folders for p in f.iterdir() if p.is_file()):
        to = out / path.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            rounded = {k: v.to(DTYPES[dtype]) if v.is_floating_point() else v for k, v in load_file(path).items()}
            save_file(rounded, to, metadata={"format": "pt"})
        else:
            shutil.copyfile(path, to)
    config = json.loads((out / "config.json").read_text())
    write_json(out / "config.json", config | dict(torch_dtype={"bf16": "bfloat16", "f16": "float16"}[dtype]))


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("source", type=Path)
    a.add_argument("out", type=Path)
    a.add_argument("dtype", choices=("bf16", "f16"))
    a.add_argument("--dims", type=lambda s: tuple(int(x) for x in s.split(",")), default=DIMS)
    o = a.parse_args()
    main(o.source, o.out, o.dtype, o.dims)
