"""`stella bench --url` against our own server, and against small ones that answer as other servers do."""

import base64
import http.server
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from server_support import PROGRAM, TIME_LIMIT, ServerTest, take_signals


ONE_VECTOR = json.dumps({"data": [{"embedding": [1]}]})


class OtherServer:
    """Answers POST with what `answer(number, body)` gives: (status, text). Remembers what was asked."""

    def __init__(self, answer):
        self.asked, outer = [], self
        lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.asked.append((self.path, body, dict(self.headers)))
                    number = len(outer.asked)
                status, text = answer(number, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Bench(ServerTest):
    def bench(self, url, *arguments, env=None):
        return subprocess.run([PROGRAM, "bench", "--url", url, *map(str, arguments)], env={"PATH": os.environ["PATH"], **(env or {})}, capture_output=True,
                              text=True, timeout=TIME_LIMIT, preexec_fn=take_signals)

    def json_of(self, url, *arguments, **options):
        done = self.bench(url, *arguments, "--duration", 1, "--json", **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def other(self, answer):
        server = OtherServer(answer)
        self.addCleanup(server.close)
        return server

    def test_our_server(self):
        before = self.server.get("/metrics").body.decode()
        result = self.json_of(self.server.url, "--clients", 3, "--texts", 2)
        self.assertEqual((result["clients"], result["texts_per_request"], result["failed"], result["errors"]), (3, 2, 0, {}))
        self.assertGreater(result["requests"], 0)
        self.assertEqual(result["texts"], 2 * result["requests"])
        latency = result["latency_ms"]
        self.assertTrue(0 < latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"] <= latency["max"])

        def successes(text):
            return sum(int(line.split()[-1]) for line in text.splitlines() if line.startswith("te_request_success"))
        after = self.server.get("/metrics").body.decode()
        self.assertEqual(successes(after) - successes(before), result["requests"] + 1, "each request counts once, and the one that was sent first not at all")

    def test_tokens_are_the_servers(self):
        for route in ("openai", "tei"):
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
                file.write("a red car\n\na red car\n")
                file.flush()
                result = self.json_of(self.server.url, "--clients", 1, "--route", route, "--input", file.name)
            tokens = int(self.server.post("/embed", {"inputs": "a red car"}).headers["x-compute-tokens"])
            self.assertEqual(result["tokens"], tokens * result["requests"])

    def test_other_servers_say_their_tokens_in_the_body(self):
        answer = json.dumps({"object": "list", "data": [{}], "usage": {"prompt_tokens": 5, "total_tokens": 5}})
        server = self.other(lambda *_: (200, answer))
        result = self.json_of(server.url + "/v1/", "--clients", 2, "--model", "m", "--dim", 256, "--task", "s2p", "--bulk", env={"STELLA_API_KEY": "secret"})
        self.assertEqual(result["tokens"], 5 * result["requests"])
        for path, body, headers in server.asked:
            self.assertEqual((path, body["model"], body["dimensions"], body["prompt_name"]), ("/v1/embeddings", "m", 256, "s2p"))
            self.assertEqual((headers["Authorization"], headers["x-priority"]), ("Bearer secret", "bulk"))

    def test_errors_by_status(self):
        server = self.other(lambda number, _: (200, ONE_VECTOR) if number % 2 else (429, "{}"))
        done = self.bench(server.url, "--clients", 1, "--duration", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"failed +\d+: 429 \(\d+\)")
        result = self.json_of(server.url, "--clients", 4)
        self.assertEqual(list(result["errors"]), ["429"])
        self.assertEqual(result["errors"]["429"], result["failed"])

    def test_a_server_that_no_longer_answers_holds_it_up_for_a_bounded_time(self):
        """Requests that do not end count as that, and neither as errors nor in the rates."""
        never = threading.Event()
        self.addCleanup(never.set)

        def answer(number, _):
            if number > 2:
                never.wait()
            return 200, ONE_VECTOR
        result = self.json_of(self.other(answer).url, "--clients", 3, "--finish", 1)
        self.assertEqual((result["requests"], result["failed"], result["errors"]), (1, 0, {}))
        self.assertIn(result["unfinished"], (2, 3), "the client that had an answer may have asked again")
        self.assertLess(result["seconds"], 2)

    def test_a_password_in_the_address_is_used_and_not_shown(self):
        server, broken = self.other(lambda *_: (200, ONE_VECTOR)), self.other(lambda *_: (500, "{}"))
        address, of_broken = (one.url.replace("//", "//user:secret@") for one in (server, broken))
        said = [self.bench(address, "--duration", 1), self.bench(address, "--duration", 1, "--json"), self.bench(of_broken), self.bench(address.replace("http:", "ftp:")),
                self.bench("http://user:secret@127.0.0.1:1"), self.bench("user:secret@127.0.0.1")]
        self.assertEqual([done.returncode for done in said], [0, 0, 1, 2, 1, 2])
        for done in said:
            self.assertNotIn("secret", done.stdout + done.stderr)
            self.assertIn("127.0.0.1", done.stdout + done.stderr)
        self.assertEqual(server.asked[0][2]["Authorization"], "Basic " + base64.b64encode(b"user:secret").decode())

    def test_answers_that_are_none_are_not_measured(self):
        for answer in ("", "{}", "[]", '{"data":[', '{"data":[]}', '{"data":[{},{}]}', '{"data":1}'):
            done = self.bench(self.other(lambda *_: (200, answer)).url, "--duration", 1)
            self.assertEqual((done.returncode, done.stdout), (1, ""), answer)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn("not with a vector for each text", done.stderr)

    def test_nothing_to_measure_ends_it_with_one_line(self):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        cases = [([f"http://127.0.0.1:{port}"], 1, "stella serve"), (["127.0.0.1:1"], 2, "http://"), (["http://127.0.0.1:1", "--route", "x"], 2, "tei"),
                 ([self.server.url, "--dim", 3], 2, "no head of that size"), ([self.server.url, "--input", "nothing.txt"], 2, "nothing.txt"),
                 ([self.server.url, "--clients", 10001], 2, "10000"), (["http://"], 2, "http://127.0.0.1")]
        guarded = self.start("--api-key", "secret")
        cases.append(([guarded.url], 2, "--api-key"))
        for arguments, status, says in cases:
            done = self.bench(*arguments)
            self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(says, done.stderr)
        done = subprocess.run([PROGRAM, "bench"], capture_output=True, text=True, timeout=TIME_LIMIT)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--url", done.stderr)

    def test_an_interruption_prints_what_was_measured(self):
        enough = threading.Event()

        def answer(number, _):
            if number == 20:
                enough.set()
            return 200, ONE_VECTOR
        server = self.other(answer)
        process = subprocess.Popen([PROGRAM, "bench", "--url", server.url, "--duration", "1000", "--clients", "2", "--json"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, preexec_fn=take_signals)
        self.addCleanup(process.kill)
        self.assertTrue(enough.wait(TIME_LIMIT))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIME_LIMIT)
        self.assertEqual((process.returncode, err), (130, "stella: interrupted\n"))
        self.assertGreaterEqual(json.loads(out)["requests"], 15)


if __name__ == "__main__":
    unittest.main()
