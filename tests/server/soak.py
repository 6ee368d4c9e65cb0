"""A server under everything at once: right requests, clients that leave, malformed requests, more work than it lets in, reloads, and two models of which one fits.

    soak.py PROGRAM SOURCE [SECONDS [SEED]]

Every request that was let in must be answered once, with the vectors that its texts have alone; at the end descriptors and memory are where they were after
the first tenth of the time. What is sent follows from a seed that is printed.
"""

import json
import os
import pathlib
import random
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["STELLA_PROGRAM"], os.environ["STELLA_SOURCE"] = sys.argv[1:3]
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 20

from server_support import LARGE, SANITIZED, Server, command_line, is_finding, post_bytes, read_all, statuses, wait_until

MOST_DESCRIPTORS = 8      # more than at the start
MOST_KILOBYTES = 48_000
KEYS = ("first", "second")
LIMIT = 64                # texts under way in all
MEMORY_MB = 6             # room for one of the two models
MALFORMED = (b"GET\r\n\r\n", b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
             b"POST /embed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
             b"POST /embed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b"GET /info HTTP/1.1\r\n folded: x\r\n\r\n",
             b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x-field: y\r\n" * 2000 + b"\r\n", b"\0" * 500, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"q" * 200)
BAD_BODIES = (b"{", b'{"inputs":}', b"[" * 1000, b'{"inputs":"\\ud800"}', b'{"inputs":"a","inputs":"b"}', b'{"inputs":[]}', b'{"inputs":{"a":1}}', b"\xff\xfe", b'{"inputs":"a"} x')


class Soak:
    def __init__(self, server, seed):
        self.server, self.seed = server, seed
        self.end = threading.Event()
        self.counts, self.problems = {}, []
        self._lock = threading.Lock()
        words = random.Random(seed)
        self.texts = [" ".join(words.choice(("red", "car", "bread", "moon", "sea", "tensor", "naïve", "日本", "run")) for _ in range(words.randint(1, 60))) for _ in range(40)]
        self.other_vectors = [row["embedding"] for row in command_line("--model", LARGE, "--task", "none", "--format", "json", *self.texts[:5])]
        self.vectors = [self.ask("/embed", {"inputs": text})[1][0] for text in self.texts]

    def count(self, what):
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def fail(self, problem):
        with self._lock:
            self.problems.append(problem)
        self.end.set()

    def ask(self, path, body, headers=None):
        answer = self.server.post(path, body, headers={"Authorization": f"Bearer {KEYS[0]}", **(headers or {})})
        return answer.status, answer.json() if answer.body else None

    def right_requests(self, choose):
        """The vectors, bit for bit, or a refusal that says when to come again."""
        picked = [choose.randrange(len(self.texts)) for _ in range(choose.randint(1, 8))]
        texts = [self.texts[i] for i in picked]
        if choose.random() < 0.5:
            status, answer = self.ask("/embed", {"inputs": texts}, {"x-priority": choose.choice(("interactive", "bulk"))})
            vectors = answer
        else:
            status, answer = self.ask("/v1/embeddings", {"input": texts})
            vectors = [item["embedding"] for item in answer["data"]] if status == 200 else None
        self.count(f"right {status}")
        if status == 200 and vectors != [self.vectors[i] for i in picked]:
            self.fail(f"other vectors for {texts}")
        elif status not in (200, 429):
            self.fail(f"{status} for a right request: {answer}")

    def pipelined(self, choose):
        """Several requests at once on one connection: as many answers, in order."""
        number = choose.randint(2, 6)
        content = b"".join(post_bytes("/embed", {"inputs": self.texts[i]}, f"Authorization: Bearer {KEYS[0]}", f"x-request-id: {i}", *(["Connection: close"] if i == number - 1 else []))
                           for i in range(number))
        with self.server.socket() as connection:
            connection.sendall(content)
            received = read_all(connection)
        got = statuses(received)
        self.count("pipelined")
        if len(got) != number or set(got) - {200, 429}:
            self.fail(f"{number} requests on one connection were answered with {got}")

    def leave(self, choose):
        content = post_bytes("/embed", {"inputs": choose.choices(self.texts, k=30)}, f"Authorization: Bearer {KEYS[0]}")
        with self.server.socket() as connection:
            connection.sendall(content[:choose.randint(1, len(content))])
            if choose.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.count("left")

    def malformed(self, choose):
        if choose.random() < 0.5:
            content = choose.choice(MALFORMED)
        else:
            content = post_bytes("/embed", choose.choice(BAD_BODIES), f"Authorization: Bearer {KEYS[0]}", "Connection: close")
        with self.server.socket() as connection:
            try:
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            got = statuses(read_all(connection))
        self.count("malformed")
        if len(got) > 1 or any(status < 400 or status >= 500 and status != 501 for status in got):
            self.fail(f"{content[:80]} was answered with {got}")

    def wrong_key(self, choose):
        status = self.server.post("/embed", {"inputs": "a"}, headers={"Authorization": f"Bearer {choose.random()}"}).status
        self.count("wrong key")
        if status != 401:
            self.fail(f"{status} for a wrong key")

    def overload(self, choose):
        """More texts in one request than may be under way at all beside the others."""
        status, answer = self.ask("/embed", {"inputs": choose.choices(self.texts, k=LIMIT)})
        self.count(f"large {status}")
        if status not in (200, 429):
            self.fail(f"{status} for a large request: {answer}")

    def other_model(self, choose):
        """Takes the place of the first, if nobody needs that just now."""
        picked = choose.randrange(len(self.other_vectors))
        status, answer = self.ask("/v1/embeddings", {"input": self.texts[picked], "model": LARGE})
        self.count(f"other model {status}")
        if status == 200 and answer["data"][0]["embedding"] != self.other_vectors[picked]:
            self.fail(f"other vectors for {self.texts[picked]} of the other model")
        elif status not in (200, 429, 503):
            self.fail(f"{status} for the other model: {answer}")
        self.end.wait(choose.uniform(0, 0.2))

    def reload(self, choose):
        self.server.process.send_signal(signal.SIGHUP)
        self.count("reloads")
        self.end.wait(choose.uniform(0.2, 1))

    def work(self, action, number):
        choose = random.Random(f"{self.seed} {action.__name__} {number}")
        while not self.end.is_set():
            try:
                action(choose)
            except Exception as failure:
                self.fail(f"{action.__name__}: {failure!r}")

    def run(self, seconds):
        actions = [self.right_requests] * 4 + [self.pipelined, self.leave, self.leave, self.malformed, self.malformed, self.wrong_key, self.overload, self.other_model, self.reload]
        threads = [threading.Thread(target=self.work, args=(action, number)) for number, action in enumerate(actions)]
        for thread in threads:
            thread.start()
        self.end.wait(seconds)
        self.end.set()
        for thread in threads:
            thread.join()


def sizes(process):
    """Descriptors and resident kilobytes, once nothing is under way."""
    descriptors = len(os.listdir(f"/proc/{process.pid}/fd"))
    resident = next(line for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return descriptors, int(resident.split()[1])


def settled(server):
    """The same once the connections of clients that have left are closed: their number must get there, however long it takes."""
    end = time.monotonic() + 60
    while True:
        now = sizes(server.process)
        if now[0] <= settled.descriptors + MOST_DESCRIPTORS or time.monotonic() > end:
            return now
        time.sleep(0.1)


def main():
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(2 ** 32)
    print(f"soak: seed {seed}, {SECONDS:g} s", flush=True)
    keys = pathlib.Path(f"/tmp/stella-soak-{os.getpid()}.keys")
    keys.write_text("\n".join(KEYS) + "\n")
    server = Server("--api-key-file", keys, "--max-concurrent-requests", LIMIT, "--allow-model", LARGE, "--memory-limit", MEMORY_MB, "--log-level", "debug", "--drain-timeout", 30, ready=False)
    evictions, findings = [], []

    def read_remarks():  # nobody does else, and a full pipe would hold the server up
        for line in server.process.stderr:
            if "evict" in line:
                evictions.append(line)
            if findings or is_finding(line):
                findings.append(line)
    reader = threading.Thread(target=read_remarks, daemon=True)
    reader.start()
    try:
        wait_until(lambda: server.get("/health").status == 200)
        settled.descriptors = sizes(server.process)[0]
        soak = Soak(server, seed)
        soak.run(SECONDS / 10)
        warm = settled(server)
        soak.end.clear()
        if not soak.problems:
            soak.run(SECONDS * 9 / 10)
        after = settled(server)
        print(f"soak: {json.dumps(soak.counts, sort_keys=True)}")
        print(f"soak: evictions {len(evictions)}")
        print(f"soak: descriptors {warm[0]} → {after[0]}, resident {warm[1] / 1000:.1f} → {after[1] / 1000:.1f} MB")
        problems = list(soak.problems)
        if server.process.poll() is not None:
            problems.append(f"the server ended with {server.process.returncode}")
        if after[0] > warm[0] + MOST_DESCRIPTORS:
            problems.append("descriptors have grown")
        if after[1] > warm[1] + MOST_KILOBYTES and not SANITIZED:
            problems.append("memory has grown")
        for what in ("right 200", "pipelined", "left", "malformed", "other model 200", "reloads"):
            if not soak.counts.get(what):
                problems.append(f"nothing was counted as '{what}'")
        if not evictions:
            problems.append("no model was evicted")
        server.terminate()
        if server.wait() != 0:
            problems.append(f"it ended with {server.process.returncode} after SIGTERM")
        reader.join(60)
        problems += findings
    finally:
        keys.unlink()
        server.close()
    for problem in problems:
        print(f"soak: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
