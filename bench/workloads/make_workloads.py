"""Writes the benchmark texts: one JSON string per line, drawn from common English word pieces with a fixed seed.

    python make_workloads.py          (needs only tests/data/tokenizers)

queries.jsonl   256 short queries     (about 4 to 24 tokens)
passages.jsonl  256 passages, log-normal length, median about 90 tokens, cut near 500 (a RAG corpus's shape)
long.jsonl       16 texts of about 500 tokens
doc8k.jsonl       2 texts of about 8,000 tokens
"""
import gzip
import json
import random
from pathlib import Path

here = Path(__file__).resolve().parent
TOKENIZER = here.parent.parent / "tests" / "data" / "tokenizers" / "bert-base-uncased.json.gz"
vocab = json.loads(gzip.open(TOKENIZER).read())["model"]["vocab"]
words = [t for t, _ in sorted(vocab.items(), key=lambda kv: kv[1]) if t.isascii() and t.isalpha() and len(t) > 1][:8000]
rng = random.Random(20261123)
weights = [1.0 / (rank + 10) for rank in range(len(words))]


def text(count):
    out = rng.choices(words, weights, k=count)
    for i in range(0, count, 12):
        out[i] = out[i].capitalize()
        if i:
            out[i - 1] += "."
    return " ".join(out)


def write(name, lengths):
    (here / name).write_text("".join(json.dumps(text(n)) + "\n" for n in lengths))


write("queries.jsonl", [rng.randint(3, 20) for _ in range(256)])
write("passages.jsonl", [max(8, min(440, int(rng.lognormvariate(4.35, 0.75)))) for _ in range(256)])
write("long.jsonl", [440] * 16)
write("doc8k.jsonl", [7200] * 2)
