"""What the server does with more than it can take: admission, batches that are split, memory, crowds, clients that leave."""

import json
import os
import re
import socket
import unittest

from server_support import SANITIZED, ServerTest, in_threads, metric, post_bytes, read_all, statuses, wait_until

MIB = 1 << 20
TEXT = {"inputs": "a"}


def resident(server):
    """(bytes now, bytes at the most so far); nothing of a program with sanitizers, which keep what is freed"""
    if SANITIZED:
        return 0, 0
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        text = status.read()
    return tuple(int(re.search(name + r":\s+(\d+) kB", text)[1]) << 10 for name in ("VmRSS", "VmHWM"))


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


class Batches(ServerTest):
    ARGUMENTS = ("--max-client-batch-size", 4, "--max-batch-split", 3)

    def test_larger_ones_are_split_up_to_a_bound(self):
        texts = [f"text {i}" for i in range(13)]
        alone = [self.server.post("/embed", {"inputs": text}).json()[0] for text in texts]
        self.assertEqual(self.server.post("/embed", {"inputs": texts[:12]}).json(), alone[:12])
        answer = self.server.post("/embed", {"inputs": texts})
        self.assertEqual((answer.status, answer.json()), (422, {"error": "batch size 13 > maximum allowed batch size 12", "error_type": "Validation"}))
        answer = self.server.post("/v1/embeddings", {"input": texts})
        self.assertEqual((answer.status, answer.json()["error"]["type"]), (400, "invalid_request_error"))
        self.assertEqual(self.server.get("/info").json()["max_client_batch_size"], 4)

    def test_without_splitting(self):
        server = self.start("--max-client-batch-size", 4, "--max-batch-split", 1)
        self.assertEqual(server.post("/embed", {"inputs": ["a"] * 4}).status, 200)
        self.assertEqual(server.post("/embed", {"inputs": ["a"] * 5}).status, 422)


class Tokens(ServerTest):
    ARGUMENTS = ("--payload-limit", 4_000_000)

    def test_openai_takes_300_000_in_one_request(self):
        text = "a b c d e f g h " * 50
        tokens = len(self.server.post("/tokenize", {"inputs": text}).json()[0])
        self.assertGreaterEqual(tokens, 400)
        most = 300_000 // tokens
        self.assertEqual(self.server.post("/v1/embeddings", {"input": [text] * most}).status, 200)
        answer = self.server.post("/v1/embeddings", {"input": [text] * (most + 1)})
        self.assertEqual((answer.status, answer.json()["error"]["param"]), (400, "input"))
        self.assertIn("300,000", answer.json()["error"]["message"])


class Overload(ServerTest):
    ARGUMENTS = ("--max-concurrent-tokens", 100)

    def test_tokens_count(self):
        """What comes alone is let in whatever it costs; beside others it is not."""
        long = "word " * 400
        self.assertEqual(self.server.post("/embed", {"inputs": long}).status, 200)
        answers = in_threads(24, lambda _: self.server.post("/embed", {"inputs": long}))
        self.assertEqual({answer.status for answer in answers}, {200, 429})
        for answer in answers:
            if answer.status == 429:
                self.assertTrue(1 <= int(answer.headers["retry-after"]) <= 60)


class Memory(ServerTest):
    ARGUMENTS = ("--max-request-memory", 64, "--payload-limit", 8_000_000, "--max-batch-split", 64)
    # The worst there is for what parses them, and what most people send.
    BODIES = {
        "numbers": b'{"inputs":[' + b"1," * 900_000 + b"1]}",
        "empty lists": b'{"inputs":[' + b"[]," * 600_000 + b"[]]}",
        "lists in lists": b'{"inputs":[' + (b"[" * 20 + b"]" * 20 + b",") * 40_000 + b"1]}",
        "short strings": b'{"inputs":[' + b'"a",' * 450_000 + b'"a"]}',
        "keys": b"{" + b",".join(b'"%d":1' % i for i in range(200_000)) + b"}",
        "one text": b'{"inputs":"' + b"a" * 7_000_000 + b'"}',
        "texts": json.dumps({"inputs": ["word " * 400] * 800}).encode(),
        "tokens": json.dumps({"inputs": "a " * 1_000_000}).encode(),
        "escapes": b'{"inputs":"' + b"\\u0061" * 1_000_000 + b'"}',
    }

    FIELDS = {"/embed": b"inputs", "/v1/embeddings": b"input", "/tokenize": b"inputs", "/embed_all": b"inputs", "/decode": b"ids", "/vertex": b"instances"}

    def test_it_is_bounded_whatever_is_sent(self):
        before = resident(self.server)[0]
        wanted = self.server.post("/embed", {"inputs": "a"}).json()
        jobs = [(path, body) for _ in range(3) for path in self.FIELDS for body in self.BODIES.values()]

        def send(index):
            return {self.server.post(path, body.replace(b"inputs", self.FIELDS[path], 1)).status for path, body in jobs[index::24]}

        seen = set().union(*in_threads(24, send))
        self.assertLessEqual(seen, {200, 400, 413, 422, 429})
        self.assertIn(429, seen)
        self.assertEqual(self.server.post("/embed", {"inputs": "a"}).json(), wanted)
        self.assertLess(resident(self.server)[1] - before, 256 * MIB)

    def test_answers_are_counted_too(self):
        """Each of these few bytes makes a state of every token."""
        answer = self.server.post("/embed_all", {"inputs": ["word " * 500] * 2000})
        self.assertEqual(answer.status, 413)
        self.assertIn("--max-request-memory", answer.json()["error"])

    def test_a_body_that_there_is_no_memory_for_is_answered_as_documented(self):
        """On every route, one that does not look at its body too, while half a body takes most of the memory."""
        server = self.start("--max-request-memory", 1)
        paths = server.get("/api-doc/openapi.json").json()["paths"]
        with server.socket() as half:
            half.sendall(post_bytes("/embed", b" " * 1_000_000)[:-1])
            body = b'{"inputs":"' + b"a" * 500_000 + b'"}'
            wait_until(lambda: server.post("/rerank", body).status == 429)
            for path, methods in paths.items():
                for method, operation in methods.items():
                    answer = server.ask(method.upper(), path.replace("{id}", "a"), body)
                    self.assertEqual(answer.status, 429, (method, path))
                    self.assertIn("429", operation["responses"], (method, path))
                    self.assertTrue(1 <= int(answer.headers["retry-after"]) <= 60)
        self.assertEqual(server.post("/embed", TEXT).status, 200)

    def test_whoever_only_announces_holds_nobody_up(self):
        head = b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 7000000\r\n\r\n{"
        held = [self.server.socket() for _ in range(100)]
        for connection in held:
            self.addCleanup(connection.close)
            connection.sendall(head)
        self.assertEqual(self.server.post("/embed", {"inputs": "a"}).status, 200)


@unittest.skipIf(SANITIZED, "sanitizers need all of the address space")
class LittleMemory(ServerTest):
    """The system's own limit."""

    def test_requests_get_a_share_of_it(self):
        server = self.start(address_space=1024 * MIB)
        self.assertEqual(server.remarks, [])
        self.assertEqual(server.post("/embed", {"inputs": "a"}).status, 200)
        # 205 MiB, in place of 1024. Each token is one state of 32 numbers or more, of 30 bytes.
        answer = server.post("/embed_all", {"inputs": ["word " * 400] * 800})
        self.assertEqual(answer.status, 413)
        self.assertIn("--max-request-memory", answer.json()["error"])

    def test_what_cannot_be_had_is_said(self):
        server = self.start("--max-request-memory", 2000, address_space=1000 * MIB)
        self.assertEqual(len(server.remarks), 1)
        for part in ("--max-request-memory 2000", "800 MiB", "give 200"):
            self.assertIn(part, server.remarks[0])
        self.assertEqual(server.post("/embed", {"inputs": "a"}).status, 200)


class Crowds(ServerTest):
    def test_bad_connections_leave_nothing(self):
        def bad(index):
            with self.server.socket() as connection:
                kind = index % 6
                if kind == 0:
                    connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
                elif kind == 1:
                    connection.sendall(b"GET /" + b"x" * 100_000)
                elif kind == 2:
                    connection.sendall(post_bytes("/embed", {"inputs": "a"})[:-3])
                elif kind == 3:
                    connection.sendall(post_bytes("/embed", {"inputs": ["word " * 200] * 50}))
                elif kind == 4:
                    connection.sendall(b"POST /embed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n")
                    read_all(connection)
                # Reset, not closed, every other time.
                if index % 2:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        for index in range(60):
            bad(index)
        wait_until(lambda: metric(self.server, "te_queue_size") == 0)
        before, memory = descriptors(self.server), resident(self.server)[0]
        for _ in range(6):
            in_threads(100, bad)
        wait_until(lambda: metric(self.server, "te_queue_size") == 0 and descriptors(self.server) <= before + 8)
        self.assertGreaterEqual(descriptors(self.server), before - 8)
        self.assertLess(resident(self.server)[0] - memory, 48 * MIB)
        self.assertEqual(self.server.post("/embed", {"inputs": "a"}).status, 200)

    def test_a_thousand_idle_connections_are_cheap(self):
        self.assertEqual(self.server.post("/embed", {"inputs": "a"}).status, 200)
        before = resident(self.server)[0]
        for _ in range(1000):
            connection = self.server.socket()
            self.addCleanup(connection.close)
            connection.sendall(post_bytes("/embed", {"inputs": "a"}))
            self.assertEqual(statuses(connection.recv(65536)), [200])
        self.assertLess(resident(self.server)[0] - before, 50 * MIB)


class Leaving(ServerTest):
    def dropped(self):
        return metric(self.server, 'te_request_failure{err="dropped"}')

    def test_what_a_client_asked_for_goes_with_it(self):
        """Seconds of work; once they have left, nothing of it is under way. Half of them had finished sending before."""
        for version in ("1.1", "1.0"):
            work = post_bytes("/embed", {"inputs": ["word " * 400] * 250}, version=version)
            dropped = self.dropped()
            connections = [self.server.socket() for _ in range(6)]
            for number, connection in enumerate(connections):
                self.addCleanup(connection.close)
                connection.sendall(work)
                if number % 2:
                    connection.shutdown(socket.SHUT_WR)
            wait_until(lambda: metric(self.server, "te_queue_size") > 800)
            for connection in connections:
                connection.close()
            wait_until(lambda: metric(self.server, "te_queue_size") == 0)
            self.assertGreater(self.dropped(), dropped)

    def test_whoever_only_finishes_sending_gets_the_answer(self):
        """Long enough that the answer's first bytes were sent ahead."""
        texts = [f"{number} " + "word " * 400 for number in range(300)]
        wanted = self.server.post("/embed", {"inputs": texts}).json()
        dropped = self.dropped()
        for version in ("1.1", "1.0"):
            received = self.server.raw(post_bytes("/embed", {"inputs": texts}, "X-Request-Id: a", version=version), finish=True)
            head, body = received.split(b"\r\n\r\n", 1)
            self.assertEqual(head.split(b"\r\n")[0], b"HTTP/1.1 200 OK")
            self.assertEqual(json.loads(body), wanted)
        received = self.server.raw(post_bytes("/embed", {"inputs": texts}) + post_bytes("/embed", {"inputs": "a"}), finish=True)
        self.assertEqual(statuses(received), [200, 200])
        self.assertEqual(statuses(self.server.raw(post_bytes("/embed", {"inputs": "a"})[:-3], finish=True)), [], "half a request is none")
        self.assertEqual(self.dropped(), dropped)

    def test_also_where_it_has_sent_more(self):
        with self.server.socket() as connection:
            connection.sendall(post_bytes("/embed", {"inputs": ["word " * 400] * 900}) + post_bytes("/embed", {"inputs": "a"}))
            wait_until(lambda: metric(self.server, "te_queue_size") > 0)
        wait_until(lambda: metric(self.server, "te_queue_size") == 0)


if __name__ == "__main__":
    unittest.main()
