"""SIGHUP, and pages of other origins."""

import os
import pathlib
import shutil
import signal
import socket
import ssl
import tempfile
import threading
import unittest

from server_support import SMALL, TIME_LIMIT, TLS, ServerTest


class Reload(ServerTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="stella-server-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, text):
        (self.folder / name).write_text(text)
        return self.folder / name

    def reload(self, server):
        """The one line that it says of it."""
        server.process.send_signal(signal.SIGHUP)
        return server.process.stderr.readline()

    def status(self, server, key, text="a"):
        return server.post("/embed", {"inputs": text}, headers={"Authorization": f"Bearer {key}"}).status

    def test_keys(self):
        keys = self.write("keys", "first\n")
        server = self.start("--api-key-file", keys)
        self.assertEqual([self.status(server, key) for key in ("first", "second")], [200, 401])
        keys.write_text("second\n")
        self.assertEqual([self.status(server, key) for key in ("first", "second")], [200, 401])
        self.assertIn("has read its files again", self.reload(server))
        self.assertEqual([self.status(server, key) for key in ("first", "second")], [401, 200])
        for broken in ("", "# none\n"):
            keys.write_text(broken)
            line = self.reload(server)
            self.assertIn("goes on with", line)
            self.assertIn(str(keys), line)
            self.assertEqual([self.status(server, key) for key in ("first", "second")], [401, 200])
        keys.unlink()
        self.assertIn(str(keys), self.reload(server))
        keys.mkdir()
        self.assertIn(str(keys), self.reload(server))
        keys.rmdir()
        os.mkfifo(keys)
        self.assertIn("nobody writes", self.reload(server))
        self.assertEqual(self.status(server, "second"), 200)

    def test_a_reader_of_the_log_who_stopped_holds_nobody_up(self):
        server = self.start()
        log = os.open(f"/proc/{server.process.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, log)
        with self.assertRaises(BlockingIOError):
            while True:
                os.write(log, b"x")
        server.process.send_signal(signal.SIGHUP)
        self.assertEqual(self.status(server, ""), 200)
        server.terminate()
        self.assertEqual(server.wait(), 0)

    def test_limits(self):
        limits = self.write("limits", "payload-limit = 100\n")
        server = self.start("--limits-file", limits, "--payload-limit", 50)
        self.assertEqual([self.status(server, "", "a" * size) for size in (70, 200)], [200, 413])
        connection = server.connect()
        self.addCleanup(connection.close)
        self.assertEqual(server.get("/ping", connection=connection).status, 200)
        limits.write_text("payload-limit = 1000\nmax-client-batch-size = 2\nmax-batch-split = 1\n")
        self.assertIn("has read", self.reload(server))
        self.assertEqual([self.status(server, "", "a" * size) for size in (70, 200)], [200, 200])
        self.assertEqual(server.post("/embed", {"inputs": ["a"] * 3}, connection=connection).status, 422)
        self.assertEqual(server.get("/info").json()["max_client_batch_size"], 2)
        limits.write_text("payload-limit = 10\nnonsense = 1\n")
        line = self.reload(server)
        for part in (str(limits), "line 2", "nonsense"):
            self.assertIn(part, line)
        self.assertEqual(self.status(server, "", "a" * 200), 200)
        self.fail_with(2, "--model", SMALL, "--limits-file", limits, says=[str(limits), "line 2"])
        self.fail_with(2, "--model", SMALL, "--limits-file", self.folder / "nothing", says=["--limits-file", "nothing"])

    def certificate(self, server):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((server.host, server.port), timeout=TIME_LIMIT) as plain, context.wrap_socket(plain) as secure:
            return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True))

    def test_certificates(self):
        cert, key = self.folder / "cert", self.folder / "key"
        shutil.copy(TLS / "first.crt", cert)
        shutil.copy(TLS / "first.key", key)
        server = self.start("--tls-cert", cert, "--tls-key", key, trust=TLS / "first.crt")
        kept = server.connect()
        self.addCleanup(kept.close)
        self.assertEqual(server.get("/ping", connection=kept).status, 200)
        shutil.copy(TLS / "second.crt", cert)
        line = self.reload(server)
        self.assertIn("goes on with", line)
        self.assertIn(str(key), line)
        self.assertEqual(self.certificate(server), (TLS / "first.crt").read_text())
        shutil.copy(TLS / "second.key", key)
        self.assertIn("has read", self.reload(server))
        self.assertEqual(self.certificate(server), (TLS / "second.crt").read_text())
        self.assertEqual(server.get("/ping", connection=kept).status, 200)

    def test_no_request_is_dropped(self):
        keys = self.write("keys", "first\n")
        server = self.start("--api-key-file", keys)
        wanted = server.post("/embed", {"inputs": "a"}, headers={"Authorization": "Bearer first"}).json()
        stop, answers = threading.Event(), []

        def ask():
            connection = server.connect()
            while not stop.is_set():
                answers.append(server.post("/embed", {"inputs": "a"}, headers={"Authorization": "Bearer first"}, connection=connection))
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(answers) < 200 and all(thread.is_alive() for thread in threads):
            self.assertIn("has read", self.reload(server))
        stop.set()
        for thread in threads:
            thread.join()
        self.assertGreaterEqual(len(answers), 200)
        self.assertTrue(all(answer.status == 200 and answer.json() == wanted for answer in answers))


class CrossOrigin(ServerTest):
    ARGUMENTS = ("--cors-allow-origin", "https://a.example, http://localhost:5173", "--cors-allow-origin", "https://b.example", "--api-key", "key")
    PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}

    def preflight(self, origin, path="/v1/embeddings"):
        return self.server.ask("OPTIONS", path, headers=self.PREFLIGHT | {"Origin": origin})

    def test_pages_of_these_origins_may_ask(self):
        for origin in ("https://a.example", "http://localhost:5173", "https://b.example"):
            answer = self.preflight(origin)
            self.assertEqual((answer.status, answer.body), (204, b""))
            self.assertEqual(answer.headers["access-control-allow-origin"], origin)
            self.assertIn("authorization", answer.headers["access-control-allow-headers"])
            self.assertIn("POST", answer.headers["access-control-allow-methods"])
            self.assertEqual(answer.headers["vary"], "origin")
            for headers, status in (({"Authorization": "Bearer key"}, 200), ({}, 401)):
                answer = self.server.post("/embed", {"inputs": "a"}, headers=headers | {"Origin": origin})
                self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (status, origin))

    def test_others_may_not(self):
        answer = self.preflight("https://c.example")
        self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (405, None))
        answer = self.server.post("/embed", {"inputs": "a"}, headers={"Authorization": "Bearer key", "Origin": "https://c.example"})
        self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (200, None))
        self.assertEqual(self.preflight("https://a.example", "/nothing").status, 404)

    def test_nobody_by_default(self):
        server = self.start()
        answer = server.ask("OPTIONS", "/embed", headers=self.PREFLIGHT | {"Origin": "https://a.example"})
        self.assertEqual((answer.status, answer.headers["access-control-allow-origin"], answer.headers["vary"]), (405, None, None))
        self.fail_with(2, "--model", SMALL, "--cors-allow-origin", "a.example", says=["--cors-allow-origin", "a.example", "https://"])


if __name__ == "__main__":
    unittest.main()
