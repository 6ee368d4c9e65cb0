#!/usr/bin/env python3
"""Rows per second and peak memory of `stella embed --input` over inputs of growing length.

    bench/stream/stream_bench.py [--program build/release/stella] [--model DIR] [--lines N ...] [--max-length N]

Memory must not grow with the input: the last column is the peak beside that of the shortest input.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run(options, count, folder):
    texts = Path(folder) / "texts.txt"
    with texts.open("w") as file:
        for i in range(count):
            file.write(f"line {i} of an input that is long\n")
    start = time.monotonic()
    process = subprocess.Popen([options.program, "embed", "--model", options.model, "--dim", "256", "--task", "none", "--max-length",
                                str(options.max_length), "--format", "f32", "--input", texts], stdout=subprocess.PIPE)
    size = 0
    while part := process.stdout.read(1 << 20):
        size += len(part)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or size != count * 256 * 4:
        sys.exit(f"stream_bench: {count} lines gave {size} bytes and exit status {process.returncode}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "build/release/stella")
    parser.add_argument("--model", default=ROOT / "tests/data/checkpoints/stella-small-tiny")
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--max-length", type=int, default=16)
    options = parser.parse_args()
    print(f"{'lines':>10} {'seconds':>9} {'rows/s':>9} {'peak MB':>9} {'growth MB':>10}")
    first = None
    with tempfile.TemporaryDirectory(prefix="stella-stream-") as folder:
        for count in options.lines:
            seconds, peak = run(options, count, folder)
            first = peak if first is None else first
            print(f"{count:>10} {seconds:>9.2f} {count / seconds:>9.0f} {peak:>9.1f} {peak - first:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
