"""`stella serve` as a program: how it starts, who may ask, how it ends."""

import http.client
import os
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from server_support import LARGE, PROGRAM, SMALL, TIME_LIMIT, ServerTest, environment, in_threads, post_bytes, read_all, statuses


class Start(ServerTest):
    def test_it_says_where_it_listens_and_how_to_ask(self):
        self.assertIn(f"listening on http://127.0.0.1:{self.server.port}", self.server.lines[0])
        self.assertIn("loads " + SMALL, self.server.lines[0])
        self.assertIn(f"a page to try it is at {self.server.url}/;", self.server.lines[1])
        self.assertIn("curl http://127.0.0.1:", self.server.lines[1])
        command = self.server.lines[1].split("try: ", 1)[1]
        done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=TIME_LIMIT)
        self.assertIn(b'"object":"list"', done.stdout)

    def test_what_it_says_works_with_a_key_and_on_all_addresses(self):
        server = self.start("--api-key", "secret", "--host", "0.0.0.0", "--served-model-name", "mine", "--allow-model", LARGE)
        self.assertIn("loads mine and 1 more", server.lines[0])
        self.assertIn(f"a page to try it is at http://127.0.0.1:{server.port}/;", server.lines[1])
        done = subprocess.run(["bash", "-c", server.lines[1].split("try: ", 1)[1]], env=os.environ | {"STELLA_API_KEY": "secret"}, capture_output=True, timeout=TIME_LIMIT)
        self.assertIn(b'"object":"list"', done.stdout)

    def test_wrong_options_end_it_with_one_line(self):
        self.fail_with(2, "--model", SMALL, "--port", "http", says=["--port", "http"])
        self.fail_with(2, "--model", SMALL, "--port", "65536", says=["65536"])
        self.fail_with(2, "--model", SMALL, "--host", "nowhere.example", says=["nowhere.example", "127.0.0.1"])
        self.fail_with(2, "--model", SMALL, "--auto-truncate", "maybe", says=["maybe", "true"])
        self.fail_with(2, "--model", SMALL, "--frobnicate", says=["--frobnicate"])
        self.fail_with(2, "--model", SMALL, "--otlp-endpoint", "collector:4318", says=["--otlp-endpoint", "collector:4318", "http://"])
        self.fail_with(2, "--model", SMALL, "--api-key-file", "nothing.txt", says=["nothing.txt"])
        self.fail_with(1, "--model", SMALL, "--port", self.server.port, says=[str(self.server.port), "in use"])

    def test_too_few_descriptors_are_said(self):
        """Until there are enough of them: each part of the start lacks one once."""
        for limit in range(5, 100):
            with tempfile.TemporaryDirectory(prefix="stella-server-") as home:
                process = subprocess.Popen([PROGRAM, "serve", "--model", SMALL, "--port", "0"], env=environment(home), stderr=subprocess.PIPE, text=True,
                                           preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
                self.addCleanup(process.stderr.close)
                line, ready = "", False
                while not ready and (more := process.stderr.readline()):
                    line, ready = more, "ready" in more
                if ready:
                    process.kill()
                status = process.wait(TIME_LIMIT)
            if ready:
                break
            self.assertEqual(status, 1, line)
            self.assertRegex(line, r"^stella: .*Too many open files.*; raise the limit on open files \(ulimit -n\)$")
        self.assertTrue(ready)
        self.assertGreater(limit, 8)

    def test_the_hosts_own_name_is_no_address_to_listen_on(self):
        server = self.start(env={"HOSTNAME": "machine"})
        self.assertEqual(server.host, "127.0.0.1")
        self.assertEqual(self.start(env={"HOSTNAME": "127.0.0.2"}).host, "127.0.0.2")

    def test_flags_are_variables_too(self):
        server = self.start(env={"MAX_CLIENT_BATCH_SIZE": "1", "AUTO_TRUNCATE": "false", "SERVED_MODEL_NAME": "mine"})
        info = server.get("/info").json()
        self.assertEqual((info["max_client_batch_size"], info["auto_truncate"], info["served_model_name"]), (1, False, "mine"))


class FlagsOfTei(ServerTest):
    FLAGS = {"--revision": "main", "--dtype": "float32", "--served-model-name": "mine", "--max-concurrent-requests": 512, "--max-batch-tokens": 16384,
             "--max-batch-requests": 4, "--max-client-batch-size": 32, "--auto-truncate": "true", "--default-prompt": "Query: ", "--payload-limit": 2_000_000,
             "--hostname": "127.0.0.1", "--api-key": "key", "--cors-allow-origin": "*", "--tokenization-workers": 2, "--hf-token": "token",
             "--huggingface-hub-cache": "/nothing", "--prometheus-port": 9000, "--otlp-service-name": "mine"}

    def check(self, server):
        self.assertEqual(server.get("/info").status, 401)
        info = server.get("/info", headers={"Authorization": "Bearer key"}).json()
        self.assertEqual((info["served_model_name"], info["max_concurrent_requests"], info["max_client_batch_size"], info["model_dtype"]),
                         ("mine", 512, 32, "float32"))
        answer = server.post("/embed", {"inputs": ["a"] * 100}, headers={"Authorization": "Bearer key", "Origin": "https://a.example"})
        self.assertEqual((answer.status, len(answer.json()), answer.headers["access-control-allow-origin"]), (200, 100, "*"))

    def test_they_are_taken(self):
        self.check(self.start(*(part for flag in self.FLAGS.items() for part in flag)))

    def test_as_variables(self):
        self.check(self.start(env={flag.strip("-").upper().replace("-", "_"): str(value) for flag, value in self.FLAGS.items()}))

    def test_wrong_values(self):
        self.fail_with(2, "--model", SMALL, "--dtype", "int4", says=["--dtype", "int4", "bfloat16"])
        self.fail_with(2, "--model", SMALL, "--dtype", "float32", "--precision", "f32", says=["--dtype", "--precision"])
        self.fail_with(2, "--model", SMALL, "--max-batch-tokens", 0, says=["--max-batch-tokens"])

    def test_any_limits_are_served_or_refused_by_name(self):
        """Each pair of limits at their least; TEI's own combinations have ended it later, by a panic."""
        names = ("max-concurrent-requests", "max-concurrent-tokens", "max-client-batch-size", "max-batch-split", "max-client-share", "max-request-memory",
                 "max-connections", "payload-limit")
        for index, first in enumerate(names):
            for second in names[index + 1:]:
                with self.subTest(first + ", " + second):
                    server = self.start(f"--{first}", 40 if first == "payload-limit" else 1, f"--{second}", 40 if second == "payload-limit" else 1)
                    self.assertEqual(server.post("/embed", {"inputs": "a"}).status, 200)
                    server.close()
        self.fail_with(2, "--model", SMALL, "--max-concurrent-requests", 2, "--max-client-batch-size", 3,
                       says=["--max-client-batch-size 3", "--max-concurrent-requests 2"])


class Loading(ServerTest):
    def test_a_model_that_cannot_be_loaded_ends_it(self):
        server = self.start(model="nobody/nothing", ready=False)
        self.assertEqual(server.wait(), 3)
        lines = server.process.stderr.read().splitlines()
        self.assertIn("nobody/nothing", lines[-1])

    def test_unknown_default_prompt(self):
        server = self.start("--default-prompt-name", "nonsense", ready=False)
        self.assertEqual(server.wait(), 2)
        self.assertIn("nonsense", server.process.stderr.read())

    def test_it_listens_while_it_loads(self):
        """The hub that has the model's files takes the connection and says nothing."""
        hub = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(hub.close)
        server = self.start(model="org/model", ready=False, env={"HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}"})
        self.assertEqual(server.get("/ping").status, 200)
        for method, path, body in (("GET", "/health", None), ("POST", "/embed", {"inputs": "a"}), ("GET", "/info", None)):
            answer = server.ask(method, path, body)
            self.assertEqual((answer.status, answer.json()["error_type"]), (503, "Unhealthy"))
            self.assertTrue(answer.headers["retry-after"].isdigit())
        self.assertEqual(server.post("/v1/embeddings", {"input": "a"}).json()["error"]["type"], "server_error")
        server.terminate()
        self.assertEqual(server.wait(), 0)


class Keys(ServerTest):
    ARGUMENTS = ("--api-key", "first", "--api-key", "second")

    def test_what_needs_a_key(self):
        for path in ("/health", "/ping", "/metrics"):
            self.assertEqual(self.server.get(path).status, 200)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}, {"Authorization": "first"}):
            answer = self.server.post("/embed", {"inputs": "a"}, headers=headers)
            self.assertEqual((answer.status, answer.body), (401, b""))
            answer = self.server.post("/v1/embeddings", {"input": "a"}, headers=headers)
            self.assertEqual((answer.status, answer.json()["error"]["code"]), (401, "invalid_api_key"))
        for key in ("first", "second"):
            self.assertEqual(self.server.post("/embed", {"inputs": "a"}, headers={"Authorization": f"Bearer {key}"}).status, 200)
        self.assertEqual(self.server.get("/info").status, 401)

    def test_keys_from_elsewhere(self):
        for name in ("STELLA_API_KEY", "API_KEY"):
            server = self.start(env={name: "third"})
            self.assertEqual(server.get("/info").status, 401)
            self.assertEqual(server.get("/info", headers={"Authorization": "Bearer third"}).status, 200)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("# one\nfourth\n")
            file.flush()
            server = self.start("--api-key-file", file.name)
            self.assertEqual(server.get("/info").status, 401)
            self.assertEqual(server.get("/info", headers={"Authorization": "Bearer fourth"}).status, 200)


class Overload(ServerTest):
    ARGUMENTS = ("--max-concurrent-requests", 4)

    def test_more_than_may_be_under_way(self):
        self.assertEqual(self.server.get("/info").json()["max_client_batch_size"], 4)
        long = "word " * 2000
        answers = in_threads(32, lambda _: self.server.post("/embed", {"inputs": [long] * 4}))
        self.assertLessEqual({answer.status for answer in answers}, {200, 429})
        self.assertIn(200, {answer.status for answer in answers})
        for answer in answers:
            if answer.status == 429:
                self.assertEqual(answer.json(), {"error": "Model is overloaded", "error_type": "Overloaded"})
                self.assertTrue(1 <= int(answer.headers["retry-after"]) <= 60)
        self.assertEqual(self.server.post("/embed", {"inputs": ["a"] * 4}).status, 200)


class Clients(ServerTest):
    def test_sixty_four_at_the_same_time(self):
        texts = [f"text {i}" for i in range(64)]
        wanted = self.server.post("/embed", {"inputs": texts}).json()
        answers = in_threads(64, lambda i: self.server.post("/embed", {"inputs": texts[i]}).json()[0])
        self.assertEqual(answers, wanted)


class End(ServerTest):
    def test_idle_connections_are_closed(self):
        server = self.start()
        idle, kept = server.socket(), server.connect()
        self.addCleanup(idle.close)
        self.addCleanup(kept.close)
        self.assertEqual(server.get("/ping", connection=kept).status, 200)
        server.terminate()
        self.assertEqual(server.wait(), 0)
        self.assertEqual(read_all(idle), b"")

    def test_what_was_sent_is_answered(self):
        server = self.start("--drain-timeout", TIME_LIMIT)
        texts = ["word " * 100] * 16
        wanted = server.post("/embed", {"inputs": texts[:1]}).json()[0]
        connections = [server.socket() for _ in range(8)]
        for connection in connections:
            self.addCleanup(connection.close)
            connection.sendall(post_bytes("/embed", {"inputs": texts}))
        server.terminate()
        for connection in connections:
            received = read_all(connection)
            self.assertEqual(statuses(received), [200])
            self.assertIn(b"connection: close", received)
            self.assertEqual(received.count(repr(wanted[0]).encode()), 16)
        self.assertEqual(server.wait(), 0)

    def test_under_load_every_answer_is_whole_and_right(self):
        """Sixteen clients ask on and on, on connections that are kept, until the server has gone."""
        server = self.start("--drain-timeout", TIME_LIMIT)
        wanted = server.post("/embed", {"inputs": "word " * 50}).json()
        answers = []

        def ask(_):
            connection = server.connect()
            try:
                while True:
                    answers.append(server.post("/embed", {"inputs": "word " * 50}, connection=connection))
                    if answers[-1].headers["connection"] == "close":
                        break
                    if len(answers) > 64 and not terminated.is_set():
                        terminated.set()
                        server.terminate()
            except (http.client.RemoteDisconnected, ConnectionError):
                pass  # closed between two requests
            connection.close()

        terminated = threading.Event()
        in_threads(16, ask)
        self.assertEqual(server.wait(), 0)
        self.assertGreater(len(answers), 64)
        for answer in answers:
            self.assertEqual((answer.status, answer.json()), (200, wanted))

    def test_readiness_goes_at_once(self):
        """A request of which half was sent holds the server back."""
        server = self.start("--drain-timeout", 60)
        content = post_bytes("/embed", {"inputs": "a"})
        half = server.socket()
        self.addCleanup(half.close)
        half.sendall(content[:-5])
        self.assertEqual(server.get("/health").status, 200)
        server.terminate()
        self.assertIn("second signal", server.process.stderr.readline())
        self.assertEqual(server.get("/health").status, 503)
        self.assertEqual(server.get("/ping").status, 200)
        self.assertEqual(server.post("/embed", {"inputs": "a"}).status, 503)
        half.sendall(content[-5:])
        self.assertEqual(statuses(read_all(half)), [200])
        self.assertEqual(server.wait(), 0)

    def test_the_drain_has_an_end(self):
        server = self.start("--drain-timeout", 1)
        half = server.socket()
        self.addCleanup(half.close)
        half.sendall(post_bytes("/embed", {"inputs": "a"})[:-5])
        self.assertEqual(server.get("/health").status, 200)
        server.terminate()
        self.assertEqual(server.wait(), 0)

    def test_a_second_signal_ends_it_at_once(self):
        server = self.start("--drain-timeout", 1000)
        half = server.socket()
        self.addCleanup(half.close)
        half.sendall(post_bytes("/embed", {"inputs": "a"})[:-5])
        self.assertEqual(server.get("/health").status, 200)
        server.terminate()
        server.process.stderr.readline()
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.wait(), 128 + signal.SIGINT)


if __name__ == "__main__":
    unittest.main()
