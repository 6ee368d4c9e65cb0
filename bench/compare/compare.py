#!/usr/bin/env python3
"""Times stella.cpp and its peers in turn, in one run, on one checkpoint and one workload.

    compare.py CHECKPOINT WORKLOAD.jsonl SIDE [SIDE ...] [--repeats N] [--texts N] [--max-length N] [--threads N] [--limits] [--json FILE]

SIDE is `ours:PRECISION[@KERNELS][:BATCH]` or `PEER:BATCH` (peers.py lists the peers), for example: ours:f32 ours:int8@no-amx torch-f32:8.
All sides stay loaded and take turns (A B C, A B C, …), so that a machine whose speed drifts slows them alike; printed are the
median of each side and the median of the ratios, turn by turn, to the first side, with which the vectors of all must agree. --limits measures the issue limit of our sides'
precisions and kernels right after each of their turns, and again when the processor has rested. --python names an interpreter that has the peers' packages.
"""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def cosine(one, other):
    dot, mine, its = (sum(x * y for x, y in zip(a, b)) for a, b in ((one, other), (one, one), (other, other)))
    return dot / (mine * its) ** 0.5


class Process:
    """Answers each line with a line of JSON."""

    def __init__(self, name, command, **where):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **where)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"compare: {self.name} ended with status {self.process.wait()}")
        return json.loads(line)

    def ask(self, request="run"):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Side(Process):
    def __init__(self, name, options):
        kind, *rest = name.split(":")
        common = ["--texts", str(options.texts), "--max-length", str(options.max_length), "--threads", str(options.threads)]
        if kind == "ours":
            precision, _, kernels = rest[0].partition("@")
            chosen, batch = ["--kernels", kernels or "auto"], rest[1] if len(rest) > 1 else "0"
            command = [str(options.ours), str(options.checkpoint), str(options.workload), "--precision", precision, *chosen, "--batch", batch]
        else:
            command = [options.python, str(HERE / "peers.py"), str(options.checkpoint), str(options.workload), kind,
                       "--batch", rest[0], "--cache", str(options.cache)]
        super().__init__(name, command + common)
        self.ready, self.runs, self.limit = self.answer(), [], None
        self.vector = self.ready.pop("vector")
        if kind == "ours" and options.limits:
            used = self.ready["ready"].split()[-1]  # what auto stands for
            self.limit = Process(f"limit of {name}", [str(options.limit), used, *chosen, "--threads", str(options.threads)])

    def run(self):
        run = self.ask()
        if self.limit:  # right after the work, at whose clock it counts
            limit = self.limit.ask()
            run |= dict(limit=limit["gflops"], rested=limit["rested"], kernels=limit["kernels"])
        self.runs.append(run)

    def close(self):
        super().close()
        if self.limit:
            self.limit.close()

    def cosine(self, other):
        return cosine(self.vector, other.vector)

    def summary(self, first):
        seconds = statistics.median(r["seconds"] for r in self.runs)
        last = self.runs[-1]
        return dict(side=self.name, tokens=last["tokens"], texts=last["texts"], seconds=round(seconds, 4),
                    tokens_per_s=round(last["tokens"] / seconds, 1), ms_per_text=round(1e3 * seconds / last["texts"], 2),
                    first_side_is_faster_by=round(statistics.median(
                        mine["seconds"] / other["seconds"] for mine, other in zip(self.runs, first.runs)), 3),
                    cosine=round(self.cosine(first), 6), peak_mb=last.get("peak_mb"), token_pairs=last.get("token_pairs"), kernels=last.get("kernels"),
                    turns=[{k: round(run[k], 4) for k in ("seconds", "limit", "rested") if k in run} for run in self.runs],
                    **{k: v for k, v in self.ready.items() if k != "ready"})


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("checkpoint", type=Path)
    a.add_argument("workload", type=Path)
    a.add_argument("sides", nargs="+")
    a.add_argument("--repeats", type=int, default=5)
    a.add_argument("--texts", type=int, default=1000000)
    a.add_argument("--max-length", type=int, default=512)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--python", default=sys.executable)
    a.add_argument("--ours", type=Path, default=HERE.parent.parent / "build/release/bench/compare/bench_ours")
    a.add_argument("--limits", action="store_true")
    a.add_argument("--limit", type=Path, default=HERE.parent.parent / "build/release/bench/kernels/bench_limit")
    a.add_argument("--cache", type=Path, default=Path("onnx-cache"))
    a.add_argument("--json", type=Path)
    options = a.parse_args()
    sides = [Side(name, options) for name in options.sides]
    for side in sides:  # f32 agrees in all digits, a peer's int8 down to 0.7; another model's vectors have about 0
        if side.cosine(sides[0]) < 0.5:
            sys.exit(f"compare: {side.name} makes other vectors than {sides[0].name}: cosine {side.cosine(sides[0]):.4f}")
    for _ in range(options.repeats + 1):
        for side in sides:
            side.run()
    for side in sides:
        side.runs.pop(0)  # the first turn warms caches up
        side.close()
    rows = [side.summary(sides[0]) for side in sides]
    for row in rows:
        print(json.dumps({k: v for k, v in row.items() if k != "turns"}))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
