"""TLS and Unix sockets."""

import os
import pathlib
import socket
import ssl
import stat
import tempfile
import unittest

from server_support import SMALL, TIME_LIMIT, TLS, Server, ServerTest, metric, post_bytes, read_all, statuses, wait_until

FIRST = ("--tls-cert", TLS / "first.crt", "--tls-key", TLS / "first.key")
TEXT = {"inputs": "a red car"}
HUGE_HEADER = b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000


class Tls(ServerTest):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(*FIRST, trust=TLS / "first.crt")
        cls.addClassCleanup(cls.server.close)

    def connect(self, context):
        plain = socket.create_connection((self.server.host, self.server.port), timeout=TIME_LIMIT)
        self.addCleanup(plain.close)
        return context.wrap_socket(plain, server_hostname=self.server.host)

    def test_it_says_so(self):
        self.assertIn(f"listening on https://127.0.0.1:{self.server.port}", self.server.lines[0])
        self.assertIn("curl --insecure https://", self.server.lines[1])

    def test_answers_are_those_without(self):
        plain = self.start()
        connection = self.server.connect()
        self.addCleanup(connection.close)
        for body in (TEXT, {"inputs": ["word " * 2000] * 64}):
            self.assertEqual(self.server.post("/embed", body, connection=connection).json(), plain.post("/embed", body).json())

    def test_pipelined_requests(self):
        received = self.server.raw(post_bytes("/embed", TEXT) * 3 + post_bytes("/embed", TEXT, "Connection: close"))
        self.assertEqual(statuses(received), [200] * 4)

    def test_a_refused_body_can_be_read(self):
        received = self.server.raw(post_bytes("/embed", b"x" * 3_000_000))
        self.assertEqual(statuses(received), [413])

    def test_what_a_client_asked_for_goes_with_it(self):
        with self.server.socket() as connection:
            connection.sendall(post_bytes("/embed", {"inputs": ["word " * 400] * 500}))
            wait_until(lambda: metric(self.server, "te_queue_size") > 0)
        wait_until(lambda: metric(self.server, "te_queue_size") == 0)
        self.assertGreater(metric(self.server, 'te_request_failure{err="dropped"}'), 0)

    def test_whoever_only_finishes_sending_gets_the_answer(self):
        """TLS's own end of sending, behind the request and with it."""
        arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ssl.create_default_context(cafile=TLS / "first.crt").wrap_bio(arriving, leaving, server_hostname=self.server.host)
        with socket.create_connection((self.server.host, self.server.port), timeout=TIME_LIMIT) as plain:
            def until_done(call, *arguments):
                while True:
                    try:
                        return call(*arguments)
                    except ssl.SSLWantReadError:
                        plain.sendall(leaving.read())
                        part = plain.recv(65536)
                        if part:
                            arriving.write(part)
                        else:
                            arriving.write_eof()

            until_done(tls.do_handshake)
            tls.write(post_bytes("/embed", {"inputs": ["word " * 400] * 100}))
            with self.assertRaises(ssl.SSLWantReadError):
                tls.unwrap()
            received = b""
            with self.assertRaises(ssl.SSLZeroReturnError):
                while True:
                    received += until_done(tls.read, 65536)
        self.assertEqual(statuses(received), [200])

    def test_old_versions_are_refused(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=TLS / "first.crt")
            context.minimum_version = context.maximum_version = version
            with self.connect(context) as connection:
                self.assertEqual(connection.version(), {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name])
        context = ssl.create_default_context(cafile=TLS / "first.crt")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaisesRegex(ssl.SSLError, "PROTOCOL_VERSION"):
            self.connect(context)

    def plain(self, content):
        """What comes for it without TLS, until the server closes the connection."""
        with socket.create_connection((self.server.host, self.server.port), timeout=TIME_LIMIT) as plain:
            plain.sendall(content)
            return read_all(plain)

    def test_http_without_tls_is_told_so(self):
        for content in (b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n", post_bytes("/embed", TEXT), post_bytes("/embed", b"x" * 3_000_000)[:200], b"POST /\n\n", HUGE_HEADER):
            head, body = self.plain(content).split(b"\r\n\r\n", 1)
            self.assertEqual(statuses(head), [400])
            self.assertIn(b"content-type: text/plain", head)
            self.assertIn(b"connection: close", head)
            self.assertIn(b"https://", body)
            self.assertEqual(len(body.splitlines()), 1)
        self.assertEqual(self.server.get("/ping").status, 200)

    def test_what_is_neither_is_closed(self):
        for content in (b"\0" * 100, b"get / http/1.1\r\n\r\n"):
            self.assertEqual(statuses(self.plain(content)), [])
        self.assertEqual(self.server.get("/ping").status, 200)

    def test_it_ends_with_idle_connections(self):
        server = self.start(*FIRST, trust=TLS / "first.crt")
        idle, kept = server.socket(), server.connect()
        self.addCleanup(idle.close)
        self.addCleanup(kept.close)
        self.assertEqual(server.get("/ping", connection=kept).status, 200)
        server.terminate()
        self.assertEqual(read_all(idle), b"")
        self.assertEqual(server.wait(), 0)

    def test_it_ends_with_connections_that_never_began(self):
        server = self.start(*FIRST, "--drain-timeout", 1000, trust=TLS / "first.crt")
        silent = socket.create_connection((server.host, server.port))
        self.addCleanup(silent.close)
        self.assertEqual(server.get("/ping").status, 200)  # by a later connection: the silent one has been accepted
        server.terminate()
        self.assertEqual(server.wait(), 0)

    def test_wrong_files_end_it_with_one_line(self):
        def fail(cert, key, *says):
            self.fail_with(2, "--model", SMALL, "--port", 0, "--tls-cert", TLS / cert, "--tls-key", TLS / key, says=says)

        fail("nothing.crt", "first.key", "--tls-cert", "nothing.crt")
        fail("first.crt", "nothing.key", "--tls-key", "nothing.key")
        fail("first.key", "first.key", "--tls-cert", "first.key", "no certificate")
        fail("first.crt", "first.crt", "--tls-key", "first.crt", "no key")
        fail("first.crt", "encrypted.key", "--tls-key", "encrypted.key", "not encrypted")
        fail("first.crt", "second.key", "second.key", "first.crt", "not the key")
        self.fail_with(2, "--model", SMALL, "--tls-cert", TLS / "first.crt", says=["--tls-cert", "--tls-key"])


class UnixSocket(ServerTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="stella-server-")
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "socket")

    def test_it_answers_and_is_removed_at_the_end(self):
        server = self.start("--unix-socket", self.path)
        self.assertIn(f"listening on unix:{self.path};", server.lines[0])
        self.assertIn(f"curl --unix-socket {self.path} http://localhost/v1/embeddings", server.lines[1])
        self.assertEqual(server.post("/embed", TEXT).json(), self.server.post("/embed", TEXT).json())
        server.terminate()
        self.assertEqual(server.wait(), 0)
        self.assertFalse(os.path.lexists(self.path))

    def test_whose_it_is(self):
        for arguments, mode in (((), 0o600), (("--unix-socket-mode", "666"), 0o666)):
            server = self.start("--unix-socket", self.path, *arguments)
            self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), mode)
            server.terminate()
            self.assertEqual(server.wait(), 0)
        self.fail_with(2, "--model", SMALL, "--unix-socket", self.path, "--unix-socket-mode", "9", says=["--unix-socket-mode", "9"])

    def test_what_is_there_already(self):
        left = socket.socket(socket.AF_UNIX)
        left.bind(self.path)
        left.close()
        server = self.start("--unix-socket", self.path)
        self.assertEqual(server.get("/ping").status, 200)
        self.fail_with(1, "--model", SMALL, "--unix-socket", self.path, says=[self.path, "listens"])
        self.assertEqual(server.get("/ping").status, 200)
        os.rename(self.path, self.path + ".old")
        pathlib.Path(self.path).write_text("a file")
        self.fail_with(1, "--model", SMALL, "--unix-socket", self.path, says=[self.path, "no socket"])
        server.terminate()
        self.assertEqual(server.wait(), 0)
        self.assertEqual(pathlib.Path(self.path).read_text(), "a file")

    def test_paths_that_cannot_be(self):
        self.fail_with(2, "--model", SMALL, "--unix-socket", "/tmp/" + "x" * 200, says=["--unix-socket", "107"])
        self.fail_with(1, "--model", SMALL, "--unix-socket", "/nothing/socket", says=["/nothing/socket"])
        self.fail_with(2, "--model", SMALL, "--unix-socket", self.path, *FIRST, says=["--unix-socket", "TLS"])


if __name__ == "__main__":
    unittest.main()
