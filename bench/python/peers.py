#!/usr/bin/env python3
"""Ranks Python packages that embed with Stella Small, in one run, and prints tables in Markdown.

    peers.py CHECKPOINT [--python PYTHON] [--work DIR] [--peers a,b] [--passages N] [--queries N] [--rounds N] [--threads N] [--json FILE]

CHECKPOINT: tools/make_full_checkpoint.py small CHECKPOINT. PYTHON has bench/python/requirements-peers.txt and this package's wheel. Each peer is a process of that interpreter. What is
made once is made first and not timed: in DIR, an ONNX and an OpenVINO model of the encoder in f32, and our packed weights. Then of fresh interpreters the fastest import, and in turns
(A B C, A B C, …), one peer at a time, in a process of its own: from its start to the first query's vector; the passages, padded by the peer in its own batches; single queries; its
memory. In the first turn three more processes of the same follow, one after another, one query each, and the memory of all four is read, where it fits.

The passages are batches of 32 neighbours of 256 in order of length, so that few of them make a peer that sorts compute no more padding than many would. A peer with another vector
than our f32's ends the run before anything is measured. Nothing else should run meanwhile.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCH = HERE.parent
sys.path[:0] = [str(BENCH / "compare"), str(BENCH / "server")]
import peer_folder  # noqa: E402
from compare import Process, cosine  # noqa: E402

OURS = "from stella_cpp import StellaEmbeddingModel"
THEIRS = "from sentence_transformers import SentenceTransformer"
FASTEMBED = "from fastembed import TextEmbedding"
# Name: what a user imports, the batch sizes, its default first (0: texts are not padded, a size changes nothing), the least cosine with our f32, the title.
F32, LESS = 0.9999, 0.98  # computed in f32; possibly in bf16 or int16
PEERS = {
    "ours-f32": (OURS, (0,), F32, "**stella.cpp f32**"),
    "ours-auto": (OURS, (0,), LESS, "**stella.cpp auto**"),
    "st-torch": (THEIRS, (32,), F32, "sentence-transformers, PyTorch f32"),
    "st-onnx": (THEIRS, (32,), F32, "sentence-transformers, ONNX f32"),
    "st-openvino": (THEIRS, (32,), F32, "sentence-transformers, OpenVINO f32"),
    "st-openvino-default": (THEIRS, (32,), LESS, "sentence-transformers, OpenVINO as it comes"),
    "fastembed": (FASTEMBED, (256, 32), F32, "fastembed f32, without the dense head"),
}


# The child: one peer. Each line read is a JSON request, answered by one JSON line.


def load_ours(o, precision):
    from stella_cpp import StellaEmbeddingModel
    model = StellaEmbeddingModel(str(o.checkpoint), precision=precision, threads=o.threads)
    return lambda texts, _: model.encode(texts)


def load_sentence_transformers(o, backend):
    from sentence_transformers import SentenceTransformer
    kwargs = {}
    if backend == "torch":
        import torch
        torch.set_num_threads(o.threads)
    elif backend == "onnx":
        import onnxruntime
        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = o.threads
        kwargs = dict(session_options=session, provider="CPUExecutionProvider")
    else:
        kwargs = dict(ov_config={"INFERENCE_NUM_THREADS": o.threads} | ({"INFERENCE_PRECISION_HINT": "f32"} if backend == "openvino" else {}))
    model = SentenceTransformer(str(o.work / "with-code"), device="cpu", backend=backend.split("-")[0], trust_remote_code=True, model_kwargs=kwargs)
    return lambda texts, batch: model.encode(texts, batch_size=batch, normalize_embeddings=True, show_progress_bar=False)


def load_fastembed(o):
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType
    TextEmbedding.add_custom_model(model="stella-small", pooling=PoolingType.MEAN, normalization=False, sources=ModelSource(hf="stella-small"), dim=1024)
    model = TextEmbedding("stella-small", specific_model_path=str(o.work / "with-code"), threads=o.threads)
    return lambda texts, batch: list(model.embed(texts, batch_size=batch))


def load(o, name):
    if name.startswith("ours-"):
        return load_ours(o, name[5:])
    return load_fastembed(o) if name == "fastembed" else load_sentence_transformers(o, name[3:])


def comparable(o, name, vector):
    """fastembed ends at the mean of the tokens: the dense head is applied to its vector here, outside of what is timed."""
    if name != "fastembed":
        return vector.tolist()
    from safetensors.numpy import load_file
    head = load_file(o.checkpoint / "2_Dense_1024/model.safetensors")
    return (head["linear.weight"] @ vector + head["linear.bias"]).tolist()


def child(o):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print is no answer
    passages, queries = workload(o)
    embed = load(o, o.child)
    first = embed(queries[:1], 1)[0]
    print(json.dumps(dict(vector=comparable(o, o.child, first))), file=answers, flush=True)
    for line in sys.stdin:
        batch = json.loads(line)["batch"]
        embed(queries[:1], 1)  # brings back what the system took from a process that waited for its turn
        times = []
        for texts, size in [(passages, batch)] if batch is not None else [([query], 1) for query in queries]:
            start = time.perf_counter()
            embed(texts, size)
            times.append(time.perf_counter() - start)
        print(json.dumps(dict(seconds=times)), file=answers, flush=True)


def prepare(o):
    """Exports the encoder, once, and counts the passages' tokens."""
    folder, (passages, _) = o.work / "with-code", workload(o)
    onnx_file, openvino_file = folder / "onnx/model.onnx", folder / "openvino/openvino_model.xml"
    if not onnx_file.exists():
        import torch
        from transformers import AutoModel
        model = AutoModel.from_pretrained(str(folder), trust_remote_code=True).float().eval()
        ids, names = torch.ones(2, 16, dtype=torch.long), ["input_ids", "attention_mask"]
        axes = {name: {0: "batch", 1: "tokens"} for name in [*names, "last_hidden_state"]}
        onnx_file.parent.mkdir(exist_ok=True)
        with torch.inference_mode():
            torch.onnx.export(model, (ids, ids), str(onnx_file.with_suffix(".unfinished")), input_names=names, output_names=["last_hidden_state"],
                              dynamic_axes=axes, dynamo=False, opset_version=17)
        onnx_file.with_suffix(".unfinished").rename(onnx_file)
    if not openvino_file.exists():
        import openvino
        openvino_file.parent.mkdir(exist_ok=True)
        openvino.save_model(openvino.convert_model(str(onnx_file)), str(openvino_file), compress_to_fp16=False)
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(o.checkpoint / "tokenizer.json"))
    tokenizer.no_padding(), tokenizer.enable_truncation(512)
    return sum(len(encoding.ids) for encoding in tokenizer.encode_batch(passages))


def workload(o):
    """Passages in the file's order; queries with the prompt of Stella's search queries written before them, so that each peer gets the same text."""
    passages, queries = ([json.loads(line) for line in (BENCH / f"workloads/{name}.jsonl").read_text().splitlines()] for name in ("passages", "queries"))
    order, width = sorted(range(len(passages)), key=lambda i: len(passages[i])), min(o.passages, 32)
    groups = o.passages // width
    centres = [(2 * group + 1) * len(order) // (2 * groups) for group in range(groups)]
    picked = sorted(i for centre in centres for i in order[centre - width // 2:][:width])
    prompt = json.loads((o.checkpoint / "config_sentence_transformers.json").read_text())["prompts"]["s2p_query"]
    return [passages[i] for i in picked], [prompt + query for query in queries[:o.queries]]


# The driver.


def say(what):
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def kilobytes(path, field):
    return int(re.search(rf"^{field}:\s+(\d+)", Path(path).read_text(), re.M)[1])


def megabytes(processes, field="Pss"):
    file = "status" if field == "VmHWM" else "smaps_rollup"
    return sum(kilobytes(f"/proc/{one.process.pid}/{file}", field) for one in processes) * 1024 / 1e6


class Run:
    def __init__(self, options):
        self.options = options
        self.env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(options.work / "hf"), "DO_NOT_TRACK": "1"}
        self.log = open(options.work / "log", "w")
        self.rows = {name: dict(peer=name) for name in options.peers}
        self.reference = None

    def command(self, role):
        o = self.options
        return [str(part) for part in (o.python, "-B", HERE / "peers.py", o.checkpoint, "--child", role, "--work", o.work, "--passages", o.passages,
                                       "--queries", o.queries, "--threads", o.threads)]

    def start(self, name):
        return Process(name, self.command(name), stderr=self.log, env=self.env)

    def prepare(self):
        peer_folder.with_code(self.options.checkpoint, self.options.work / "with-code")
        done = subprocess.run(self.command("prepare"), stdout=subprocess.PIPE, stderr=self.log, env=self.env)
        if done.returncode:
            sys.exit(f"peers: preparing failed; {self.log.name} says why")
        for name in self.rows:  # ours pack their weights
            say(f"preparing: {name}")
            process = self.start(name)
            self.agree(name, process.answer()["vector"])
            process.close()
        return json.loads(done.stdout.splitlines()[-1])

    def agree(self, name, vector):
        self.reference = self.reference or vector
        same = self.rows[name]["cosine"] = cosine(vector, self.reference)
        if same < PEERS[name][2]:
            sys.exit(f"peers: {name} computes something else: cosine {same:.5f} with {self.options.peers[0]}")

    def imports(self):
        def once(line):
            code = f"import time; t = time.perf_counter(); {line}; print(time.perf_counter() - t)"
            return float(subprocess.check_output([self.options.python, "-c", code], env=self.env, cwd=self.options.work, stderr=self.log).split()[-1])
        seconds = {line: min(once(line) for _ in range(5)) for line in {PEERS[name][0]: 0 for name in self.rows}}
        for name, row in self.rows.items():
            row["import_s"] = seconds[PEERS[name][0]]

    def turn(self, name):
        row, begin = self.rows[name], time.perf_counter()
        process = self.start(name)
        process.answer()
        row.setdefault("first_vector_s", []).append(time.perf_counter() - begin)
        for batch in PEERS[name][1]:
            row.setdefault(f"batch_{batch}_s", []).extend(process.ask(json.dumps(dict(batch=batch)))["seconds"])
        row.setdefault("query_s", []).extend(process.ask(json.dumps(dict(batch=None)))["seconds"])
        if "peak_mb" not in row:
            row |= dict(peak_mb=megabytes([process], "VmHWM"), pss_mb=megabytes([process]))
            self.three_more(name, process)
        process.close()

    def three_more(self, name, first):
        row, processes = self.rows[name], [first]
        if 2.1 * row["pss_mb"] + row["peak_mb"] > kilobytes("/proc/meminfo", "MemAvailable") * 1024 / 1e6:
            return
        while len(processes) < 4:
            processes.append(self.start(name))
            processes[-1].answer()
        row["pss_of_four_mb"] = megabytes(processes)
        for process in processes[1:]:
            process.close()


def show(rows, tokens, o):
    def rate(row):
        sizes = PEERS[row["peer"]][1]
        return ", ".join(f"{tokens / min(row[f'batch_{size}_s']):,.0f}" + (f" (batches of {size})" if size else "") for size in sizes)

    def mb(row, field):
        return f"{row[field]:,.0f}" if field in row else "does not fit"

    print(f"{o.passages} passages of {tokens:,} tokens and the first vector: the best of {o.rounds} turns; {o.queries} queries a turn: median; {o.threads} threads\n")
    print("| | passages, tokens/s | a query, ms | import, s | start to first vector, s | cosine with the first row |\n|---|---|---|---|---|---|")
    for row in rows:
        query = 1e3 * statistics.median(row["query_s"])
        print(f"| {PEERS[row['peer']][3]} | {rate(row)} | {query:.1f} | {row['import_s']:.2f} | {min(row['first_vector_s']):.2f} | {row['cosine']:.5f} |")
    print("\n| MB | peak of one process (RSS) | after its work (PSS) | four processes (PSS) |\n|---|---|---|---|")
    for row in rows:
        print(f"| {PEERS[row['peer']][3]} | {mb(row, 'peak_mb')} | {mb(row, 'pss_mb')} | {mb(row, 'pss_of_four_mb')} |")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("checkpoint", type=Path)
    a.add_argument("--python", default=sys.executable)
    a.add_argument("--work", type=Path, default=Path("peers-work"))
    a.add_argument("--peers", type=lambda names: names.split(","), default=list(PEERS))
    a.add_argument("--passages", type=int, default=64)
    a.add_argument("--queries", type=int, default=30)
    a.add_argument("--rounds", type=int, default=2)
    a.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    a.add_argument("--json", type=Path)
    a.add_argument("--child", help=argparse.SUPPRESS)
    o = a.parse_args()
    o.checkpoint, o.work = o.checkpoint.resolve(), o.work.resolve()
    if o.child:
        return print(prepare(o)) if o.child == "prepare" else child(o)
    if unknown := set(o.peers) - set(PEERS):
        a.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    o.work.mkdir(parents=True, exist_ok=True)
    run = Run(o)
    say("preparing")
    tokens = run.prepare()
    run.imports()
    for turn in range(o.rounds):
        for name in o.peers:
            say(f"turn {turn + 1} of {name}")
            run.turn(name)
            if o.json:  # each time, so that a run that is cut short leaves what it has
                o.json.write_text(json.dumps(dict(tokens=tokens, passages=o.passages, threads=o.threads, rows=list(run.rows.values())), indent=1) + "\n")
    show(run.rows.values(), tokens, o)


if __name__ == "__main__":
    main()
