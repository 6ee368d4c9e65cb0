"""Our tokenizers beside the Hugging Face library's: processor time on one thread, turn by turn, medians of the ratios.

    pip install tokenizers==0.23.3
    python bench/tokenizer/compare_tokenizers.py build/release/bench/tokenizer/tokenizer_bench [--rounds 15]
"""

import argparse
import gzip
import json
import os
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # before the import: the library encodes on one thread

import tokenizers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORDS = ("the of and for this model returns embeddings; don't, it's naïve café résumé São Paulo Übergröße Ångström "
         "Москва объект предложение Αθήνα 東京都は日本の首都です 北京大学 한국어 문장 हिन्दी भाषा العربية النص 2024-11-23 "
         "3.14159 12,345 f(x)=x**2 std::vector<int> foo_bar https://example.org/a?b=1 😀 👍🏽").split()


def mixed_texts():
    """Many scripts and words that seldom come twice: what a cache of words does not help."""
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"

    def word():
        return rng.choice(WORDS) if rng.random() < 0.7 else "".join(rng.choices(letters, k=rng.randint(2, 12)))

    return [" ".join(word() for _ in range(rng.randint(5, 200))) for _ in range(200)]


def workloads(folder):
    yield "mixed", mixed_texts()
    for name in ("queries", "passages", "doc8k"):
        with open(folder / f"{name}.jsonl", encoding="utf-8") as file:
            yield name, [json.loads(line) for line in file]


class Ours:
    def __init__(self, program, tokenizer, texts):
        self.process = subprocess.Popen([program, tokenizer, texts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def timed(action):
    begin = time.process_time()
    result = action()
    return time.process_time() - begin, result


def compare(program, tokenizer, name, texts, rounds):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(text) + "\n" for text in texts)
        file.flush()
        ours = Ours(program, tokenizer, file.name)
        library = tokenizers.Tokenizer.from_file(tokenizer)
        library.no_padding()
        ours.ask("encode")
        library.encode_batch_fast(texts)
        pairs = []
        for _ in range(rounds):
            mine = ours.ask("encode")
            seconds, encodings = timed(lambda: library.encode_batch_fast(texts))
            tokens = sum(len(encoding) for encoding in encodings)
            if tokens != mine["tokens"]:
                raise SystemExit(f"{name}: {mine['tokens']} tokens, the library {tokens}")
            pairs.append((mine["seconds"], seconds))
        ours.close()
    best = statistics.median(mine for mine, _ in pairs)
    theirs = statistics.median(seconds for _, seconds in pairs)
    ratio = statistics.median(seconds / mine for mine, seconds in pairs)
    print(f"  {name:9} {mine['tokens']:7} tokens: ours {mine['tokens'] / best / 1e6:6.2f} M tokens/s "
          f"{mine['bytes'] / best / 1e6:6.1f} MB/s, library {mine['tokens'] / theirs / 1e6:5.2f} M tokens/s "
          f"{mine['bytes'] / theirs / 1e6:5.1f} MB/s, {ratio:5.1f} times", flush=True)


def compare_loading(program, tokenizer, rounds):
    ours = Ours(program, tokenizer, os.devnull)
    pairs = [(ours.ask("load")["seconds"], timed(lambda: tokenizers.Tokenizer.from_file(tokenizer))[0])
             for _ in range(rounds)]
    ours.close()
    print(f"  load      ours {statistics.median(m for m, _ in pairs) * 1e3:.1f} ms, library "
          f"{statistics.median(t for _, t in pairs) * 1e3:.1f} ms, {statistics.median(t / m for m, t in pairs):.1f} times",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the built tokenizer_bench")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--workloads", type=pathlib.Path, default=ROOT / "bench" / "workloads")
    arguments = parser.parse_args()
    for packed in sorted((ROOT / "tests" / "data" / "tokenizers").glob("*.json.gz")):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            file.write(gzip.decompress(packed.read_bytes()))
            file.flush()
            print(packed.name)
            compare_loading(arguments.program, file.name, arguments.rounds)
            for name, texts in workloads(arguments.workloads):
                compare(arguments.program, file.name, name, texts, arguments.rounds)


if __name__ == "__main__":
    main()
