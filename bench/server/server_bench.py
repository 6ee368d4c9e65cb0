#!/usr/bin/env python3
"""Measures `stella serve` on one checkpoint, beside the engine alone and beside other servers, and prints tables in Markdown.

    server_bench.py CHECKPOINT [--build DIR] [--work DIR] [--precisions auto,f32] [--seconds N] [--rounds N] [--fastapi PYTHON] [--infinity PYTHON] [--tei PROGRAM] [--json FILE]

All servers are asked by `stella bench` over loopback, on the same checkpoint and texts, one server at a time, at 1, 8 and 64 clients of one query each, and by four clients of 16
passages of 100 words. Ours besides: a query a second beside four clients of 256 passages; the same work by the engine without HTTP (bench_latency); a thousand idle connections. Peers are
measured where an interpreter is named that has bench/server/requirements-fastapi.txt, or requirements-infinity.txt: the one wants newer libraries than the other bears. CHECKPOINT: tools/make_full_checkpoint.py small CHECKPOINT. Nothing else should run meanwhile.
"""
import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(HERE.parent / "compare"))
import peer_folder  # noqa: E402
from compare import cosine  # noqa: E402

CLIENTS = (1, 8, 64)


def resident_mb(pid, field="VmRSS"):
    """Of the process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return (int(own[1]) / 1000 if own else 0) + sum(resident_mb(int(child), field) for child in children)


class Served:
    """A server as a child process, up once it answers /health."""

    def __init__(self, name, command, port, env=None, log=None):
        self.name, self.port, self.url = name, port, f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen([str(one) for one in command], env=os.environ | (env or {}), stdout=log, stderr=log)
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{name} ended with {self.process.returncode}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/health") == 200:
                    return
            time.sleep(0.5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


class Bench:
    def __init__(self, options):
        self.options = options
        self.stella = options.build / "stella"
        self.queries, self.passages = (options.work / f"{kind}.jsonl" for kind in ("queries", "passages"))
        for file in (self.queries, self.passages):
            shutil.copy(ROOT / "bench/workloads" / file.name, file)
        self.query_texts = [json.loads(line) for line in self.queries.read_text().splitlines()]
        self.log = open(options.work / "servers.log", "ab")

    def say(self, what):
        print(f"server_bench: {time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)

    def load(self, server, clients, texts, file, *more, seconds=None):
        command = [self.stella, "bench", "--url", server.url, "--clients", clients, "--texts", texts, "--input", file, "--duration", seconds or self.options.seconds, "--finish", 120, "--json", *more]
        return json.loads(subprocess.run([str(one) for one in command], stdout=subprocess.PIPE, check=True).stdout)

    def serve(self, precision):
        port = free_port()
        command = [self.stella, "serve", "--model", self.options.checkpoint, "--precision", precision, "--port", port, "--quiet", "--payload-limit", 10_000_000]
        return Served(f"stella {precision}", command, port, {"HF_HOME": str(self.options.work / "hf")}, self.log)

    def at_all_clients(self, server, *more):
        row = {"name": server.name}
        for clients in CLIENTS:
            self.say(f"{server.name}: {clients} clients")
            one = self.load(server, clients, 1, self.queries, *more)
            row[f"p50_{clients}"], row[f"p95_{clients}"] = one["latency_ms"]["p50"], one["latency_ms"]["p95"]
            row[f"rate_{clients}"] = one["requests_per_second"]
            row["failed"] = row.get("failed", 0) + one["failed"]
        self.say(f"{server.name}: four clients of 16 passages")
        one = self.load(server, 4, 16, self.passages, *more, seconds=2 * self.options.seconds)
        # Not every server counts its tokens, or as tokens.
        row["bulk_tokens_per_s"], row["resident_mb"] = one["texts_per_second"] * self.tokens_each, resident_mb(server.process.pid)
        row["failed"] += one["failed"]
        return row

    def ask_every_second(self, server, stop):
        """A query a second, as long as `stop` is not set: milliseconds of each."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        times, next_at = [], time.monotonic()
        while not stop.is_set():
            body = json.dumps({"inputs": self.query_texts[len(times) % len(self.query_texts)]})
            start = time.perf_counter()
            connection.request("POST", "/embed", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            times.append(1000 * (time.perf_counter() - start))
            if answer.status != 200:
                raise RuntimeError(f"a query was answered with {answer.status}")
            next_at = max(next_at + 1, time.monotonic())
            stop.wait(next_at - time.monotonic())
        connection.close()
        return times

    def beside_bulk(self, server):
        """Bulk alone, and beside a query a second, in turns within one run of the bulk clients, whose requests are longer than a turn: tokens are
        counted by the passes. The queries are also measured alone."""
        def queries_while(work):
            stop, times = threading.Event(), []
            thread = threading.Thread(target=lambda: times.extend(self.ask_every_second(server, stop)))
            thread.start()
            result = work()
            stop.set()
            thread.join()
            return times, result

        def tokens_per_second(seconds):
            start, before = time.monotonic(), self.computed_tokens(server)
            time.sleep(seconds)
            return (self.computed_tokens(server) - before) / (time.monotonic() - start)

        self.say(f"{server.name}: a query a second, alone")
        idle, _ = queries_while(lambda: time.sleep(2 * self.options.seconds))
        command = [self.stella, "bench", "--url", server.url, "--clients", 4, "--texts", 256, "--input", self.passages, "--duration", 36000, "--bulk"]
        bulk = subprocess.Popen([str(one) for one in command], stdout=self.log, stderr=self.log)
        try:
            time.sleep(self.options.seconds)  # until the passes are full
            alone, beside, busy = [], [], []
            for turn in range(self.options.rounds):
                self.say(f"{server.name}: bulk alone, then beside a query a second, turn {turn + 1}")
                alone.append(tokens_per_second(2 * self.options.seconds))
                times, rate = queries_while(lambda: tokens_per_second(3 * self.options.seconds))
                beside.append(rate)
                busy += times
        finally:
            bulk.kill()
            bulk.wait()
        p95 = lambda times: sorted(times)[min(len(times) - 1, int(0.95 * len(times)))]
        return {"name": server.name, "idle_p50": statistics.median(idle), "idle_p95": p95(idle), "busy_p50": statistics.median(busy), "busy_p95": p95(busy), "queries": len(busy),
                "p95_ratio": p95(busy) / p95(idle), "bulk_alone": statistics.median(alone), "bulk_beside": statistics.median(beside),
                "bulk_kept": statistics.median(b / a for a, b in zip(alone, beside))}

    def computed_tokens(self, server):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/metrics")
        figures = connection.getresponse().read().decode()
        connection.close()
        return float(re.search(r"^te_batch_next_tokens_sum (\S+)", figures, re.MULTILINE)[1])

    def idle_connections(self, server, number=1000):
        self.say(f"{server.name}: {number} idle connections")
        before, connections = resident_mb(server.process.pid), []
        for _ in range(number):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(4096)
            connections.append(connection)
        after = resident_mb(server.process.pid)
        for connection in connections:
            connection.close()
        return {"connections": number, "mb": after - before}

    def count_tokens(self, server):
        """Tokens of a passage, on average."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        texts = [json.loads(line) for line in self.passages.read_text().splitlines()]
        connection.request("POST", "/embed", json.dumps({"inputs": texts}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return int(answer.headers["x-compute-tokens"]) / len(texts)

    def engine(self, precision, texts):
        """Four clients of passages without HTTP."""
        self.say(f"the engine alone, {precision}")
        command = [self.options.build / "bench/latency/bench_latency", self.options.checkpoint, self.queries, self.passages, "--precision", precision, "--rounds", 1,
                   "--clients", 4, "--requests", 1, "--texts", texts, "--only", "bulk"]
        done = subprocess.run([str(one) for one in command], stdout=subprocess.PIPE, check=True, stderr=self.log, env=os.environ | {"HF_HOME": str(self.options.work / "hf")})
        return json.loads(done.stdout)

    def share_of_the_engine(self, server, precision):
        """In turns, so that a machine whose speed drifts slows both alike."""
        texts, served, engine = 32 if precision == "auto" else 8, [], []
        for _ in range(self.options.rounds):
            self.say(f"{server.name}: four clients of {texts} passages")
            one = self.load(server, 4, texts, self.passages, "--bulk", seconds=1)  # one request each
            served.append(one["tokens_per_second"])
            engine.append(self.engine(precision, texts)["bulk_alone_tokens_per_s"])
        return {"precision": precision, "engine_tokens_per_s": statistics.median(engine), "server_tokens_per_s": statistics.median(served),
                "share": statistics.median(a / b for a, b in zip(served, engine))}

    def peer(self, name):
        folder = peer_folder.with_code(self.options.checkpoint, self.options.work / "with-code")
        port = free_port()
        env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(self.options.work / "hf-peers"), "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
        if name == "fastapi":
            return Served("FastAPI + sentence-transformers", [self.options.fastapi, HERE / "fastapi_server.py", folder, port], port, env, self.log)
        if name == "tei":
            command = [self.options.tei, "--model-id", folder, "--port", port, "--hostname", "127.0.0.1", "--dtype", "float32", "--pooling", "mean", "--auto-truncate"]
            return Served("text-embeddings-inference", command, port, env, self.log)
        command = [self.options.infinity.parent / "infinity_emb", "v2", "--model-id", folder, "--port", port, "--host", "127.0.0.1", "--engine", "torch",
                   "--device", "cpu", "--dtype", "float32", "--no-bettertransformer", "--no-model-warmup", "--trust-remote-code", "--url-prefix", "/v1"]
        return Served("infinity-emb", command, port, env, self.log)

    def same_vectors(self, server, wanted):
        """The first query's cosine with ours: a peer that computes something else is no peer."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        connection.request("POST", "/v1/embeddings", json.dumps({"input": [self.query_texts[0]]}), {"Content-Type": "application/json"})
        vector = json.loads(connection.getresponse().read())["data"][0]["embedding"]
        if wanted is None:
            return vector
        return cosine(vector, wanted)

    def run(self):
        results, vector = {"servers": [], "beside": [], "engine": []}, None
        for precision in self.options.precisions.split(","):
            with self.serve(precision) as server:
                results["idle"] = self.idle_connections(server)
                self.tokens_each = self.count_tokens(server)
                vector = vector or self.same_vectors(server, None)
                results["servers"].append(self.at_all_clients(server))
                results["beside"].append(self.beside_bulk(server))
                results["engine"].append(self.share_of_the_engine(server, precision))
            self.keep(results)
        for name in ("fastapi", "infinity", "tei"):
            if not getattr(self.options, name):
                continue
            try:
                with self.peer(name) as server:
                    cosine = self.same_vectors(server, vector)
                    results["servers"].append(self.at_all_clients(server) | {"cosine": cosine})
            except (RuntimeError, KeyError, subprocess.CalledProcessError) as failure:
                self.say(f"{name} could not be measured: {failure}")
            self.keep(results)
        return results

    def keep(self, results):
        if self.options.json:
            self.options.json.write_text(json.dumps(results, indent=1) + "\n")


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def report(results):
    ms = lambda number: f"{number:,.0f}" if number >= 100 else f"{number:.1f}"
    print(table(["server", *(f"p50 / p95 at {clients}" for clients in CLIENTS), "queries/s at 64", "bulk tokens/s", "memory, MB", "failed"],
                [[row["name"], *(f"{ms(row[f'p50_{clients}'])} / {ms(row[f'p95_{clients}'])} ms" for clients in CLIENTS), f"{row['rate_64']:.1f}",
                  f"{row['bulk_tokens_per_s']:,.0f}", f"{row['resident_mb']:,.0f}", row["failed"]] for row in results["servers"]]))
    print(table(["ours", "query alone, p50 / p95", "beside bulk, p50 / p95", "p95 ratio", "bulk alone, tokens/s", "beside queries", "kept"],
                [[row["name"], f"{ms(row['idle_p50'])} / {ms(row['idle_p95'])} ms", f"{ms(row['busy_p50'])} / {ms(row['busy_p95'])} ms", f"{row['p95_ratio']:.2f}",
                  f"{row['bulk_alone']:,.0f}", f"{row['bulk_beside']:,.0f}", f"{100 * row['bulk_kept']:.0f} %"] for row in results["beside"]]))
    print(table(["precision", "engine, tokens/s", "server, tokens/s", "share"], [[row["precision"], f"{row['engine_tokens_per_s']:,.0f}", f"{row['server_tokens_per_s']:,.0f}",
                                                                                 f"{100 * row['share']:.1f} %"] for row in results["engine"]]))
    print(f"{results['idle']['connections']:,} idle connections: {results['idle']['mb']:.1f} MB")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("checkpoint", type=Path)
    a.add_argument("--build", type=Path, default=ROOT / "build/release")
    a.add_argument("--work", type=Path, default=ROOT / "build/bench-server")
    a.add_argument("--precisions", default="auto,f32")
    a.add_argument("--seconds", type=int, default=20)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--fastapi", type=Path)
    a.add_argument("--infinity", type=Path)
    a.add_argument("--tei", type=Path, help="its program, text-embeddings-router")
    a.add_argument("--json", type=Path)
    options = a.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    report(Bench(options).run())


if __name__ == "__main__":
    main()
