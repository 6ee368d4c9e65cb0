"""HTTP itself over real sockets: framing, limits, connections."""

import gzip
import json
import socket
import unittest

from server_support import ServerTest, in_threads, post_bytes, read_all, statuses

TEXT = {"inputs": "a"}


def request(path, fields, body=b"", method="POST", version="1.1"):
    return f"{method} {path} HTTP/{version}\r\n".encode() + fields + b"\r\n" + body


HEAD = b"Host: a\r\nContent-Type: application/json\r\n"
HIDDEN = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
GOOD_CHUNK = b'e\r\n{"inputs":"a"}\r\n'

# What one program takes for one request and another for two.
SMUGGLED = {
    "length twice": request("/embed", HEAD + b"Content-Length: 14\r\nContent-Length: 0\r\n", b'{"inputs":"a"}' + HIDDEN),
    "length twice, the same": request("/embed", HEAD + b"Content-Length: 14\r\nContent-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "length in a list": request("/embed", HEAD + b"Content-Length: 14, 14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "length with a sign": request("/embed", HEAD + b"Content-Length: +14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "length in hexadecimal": request("/embed", HEAD + b"Content-Length: 0xe\r\n", b'{"inputs":"a"}' + HIDDEN),
    "length that overflows": request("/embed", HEAD + b"Content-Length: 18446744073709551630\r\n", b'{"inputs":"a"}' + HIDDEN),
    "negative length": request("/embed", HEAD + b"Content-Length: -14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "empty length": request("/embed", HEAD + b"Content-Length:\r\n", b'{"inputs":"a"}' + HIDDEN),
    "space before the colon": request("/embed", HEAD + b"Content-Length : 14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "length and coding": request("/embed", CHUNKED + b"Content-Length: 4\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "coding and length": request("/embed", HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "chunked twice": request("/embed", CHUNKED + b"Transfer-Encoding: chunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "chunked, chunked": request("/embed", HEAD + b"Transfer-Encoding: chunked, chunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "chunked, identity": request("/embed", HEAD + b"Transfer-Encoding: chunked, identity\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "identity": request("/embed", HEAD + b"Transfer-Encoding: identity\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "unknown coding": request("/embed", HEAD + b"Transfer-Encoding: xchunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "gzip, chunked": request("/embed", HEAD + b"Transfer-Encoding: gzip, chunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "vertical tab before the coding": request("/embed", HEAD + b"Transfer-Encoding: \x0bchunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "folded coding": request("/embed", HEAD + b"Transfer-Encoding:\r\n chunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "folded field": request("/embed", HEAD + b"X: a\r\n Content-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "coding behind a bare LF": request("/embed", HEAD + b"X: a\nTransfer-Encoding: chunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "coding behind a bare CR": request("/embed", HEAD + b"X: a\rTransfer-Encoding: chunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "coding behind a NUL": request("/embed", HEAD + b"Transfer-Encoding\x00: chunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "coding in HTTP/1.0": request("/embed", CHUNKED, GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN, version="1.0"),
    "no host": request("/embed", b"Content-Type: application/json\r\nContent-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "two hosts": request("/embed", HEAD + b"Host: b\r\nContent-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "two hosts in HTTP/1.0": request("/embed", HEAD + b"Host: a\r\nContent-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN, version="1.0"),
    "HTTP/1.2": request("/embed", HEAD + b"Content-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN, version="1.2"),
    "chunk size with a prefix": request("/embed", CHUNKED, b'0xe\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "chunk size with a sign": request("/embed", CHUNKED, b'+e\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "negative chunk size": request("/embed", CHUNKED, b'-e\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "chunk size that overflows": request("/embed", CHUNKED, b'1000000000000000e\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "empty chunk size": request("/embed", CHUNKED, b'\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "chunk size behind a space": request("/embed", CHUNKED, b' e\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "chunk size before a space": request("/embed", CHUNKED, b'e \r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "chunk size that is no number": request("/embed", CHUNKED, b'g\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "chunk too short": request("/embed", CHUNKED, b'd\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "chunk line that ends in LF": request("/embed", CHUNKED, b'e\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "chunk that ends in LF": request("/embed", CHUNKED, b'e\r\n{"inputs":"a"}\n0\r\n\r\n' + HIDDEN),
    "LF in an extension": request("/embed", CHUNKED, b'e;a\nb\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "CR in an extension": request("/embed", CHUNKED, b'e;a\rb\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "NUL in an extension": request("/embed", CHUNKED, b'e;a\x00b\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "LF in the last chunk's extension": request("/embed", CHUNKED, GOOD_CHUNK + b"0;\n\r\n\r\n" + HIDDEN),
    "another coding field beside chunked": request("/embed", CHUNKED + b"Transfer-encoding: cow\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "space before the coding's colon": request("/embed", HEAD + b"Content-Length: 4\r\nTransfer-Encoding : chunked\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "quoted coding": request("/embed", HEAD + b'Transfer-Encoding: "chunked"\r\n', GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "coding with a parameter": request("/embed", HEAD + b"Transfer-Encoding: chunked;q=1\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "empty coding": request("/embed", HEAD + b"Content-Length: 4\r\nTransfer-Encoding:\r\n", GOOD_CHUNK + b"0\r\n\r\n" + HIDDEN),
    "folded length": request("/embed", HEAD + b"Content-Length:\r\n\t14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "folded first field": request("/embed", b" Content-Length: 14\r\n" + HEAD, b'{"inputs":"a"}' + HIDDEN),
    "length with a separator": request("/embed", HEAD + b"Content-Length: 1_4\r\n", b'{"inputs":"a"}' + HIDDEN),
    "length in other digits": request("/embed", HEAD + "Content-Length: \uff11\uff14\r\n".encode(), b'{"inputs":"a"}' + HIDDEN),
    "NUL in a value": request("/embed", HEAD + b"X: a\x00b\r\nContent-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "lines that end in LF": request("/embed", HEAD + b"Content-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN).replace(b"\r\n", b"\n"),
    "tab in the request line": request("/embed", HEAD + b"Content-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN).replace(b"POST ", b"POST\t", 1),
    "two spaces in the request line": request("/embed", HEAD + b"Content-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN).replace(b"POST ", b"POST  ", 1),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "a host with a path": request("/embed", b"Host: a/b\r\nContent-Type: application/json\r\nContent-Length: 14\r\n", b'{"inputs":"a"}' + HIDDEN),
    "chunk size in a list": request("/embed", CHUNKED, b'e,e\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "end of line in a quoted extension": request("/embed", CHUNKED, b'e;a="\r\n{"inputs":"a"}\r\n"\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "extension without a semicolon": request("/embed", CHUNKED, b'e a=b\r\n{"inputs":"a"}\r\n0\r\n\r\n' + HIDDEN),
    "last chunk with a sign": request("/embed", CHUNKED, GOOD_CHUNK + b"-0\r\n\r\n" + HIDDEN),
    "trailer that ends in LF": request("/embed", CHUNKED, GOOD_CHUNK + b"0\r\nX: a\n\r\n" + HIDDEN),
}


class Framing(ServerTest):
    def test_ambiguous_requests_get_one_refusal_and_no_second_answer(self):
        for name, content in SMUGGLED.items():
            with self.subTest(name):
                received = statuses(self.server.raw(content))
                self.assertEqual(len(received), 1, received)
                self.assertIn(received[0], (400, 501))

    def test_the_same_byte_by_byte(self):
        for name in ("length and coding", "LF in an extension", "coding behind a bare LF"):
            with self.subTest(name), self.server.socket() as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    for byte in SMUGGLED[name]:
                        connection.send(bytes([byte]))
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self.assertLessEqual(len(statuses(read_all(connection))), 1)

    def test_chunked_bodies(self):
        for body in (GOOD_CHUNK + b"0\r\n\r\n", b'7\r\n{"input\r\n07;a=b;c="d e"\r\ns":"a"}\r\n0\r\nTrailer: x\r\n\r\n'):
            received = self.server.raw(request("/embed", CHUNKED + b"Connection: close\r\n", body))
            self.assertEqual(statuses(received), [200])

    def test_pipelined_requests_are_answered_in_order(self):
        one = post_bytes("/embed", TEXT, "X-Request-Id: one")
        two = request("/ping", b"Host: a\r\nX-Request-Id: two\r\nConnection: close\r\n", method="GET")
        received = self.server.raw(one + two)
        self.assertEqual(statuses(received), [200, 200])
        self.assertLess(received.index(b"x-request-id: one"), received.index(b"x-request-id: two"))

    def test_http_1_0(self):
        received = self.server.raw(request("/ping", b"", method="GET", version="1.0"))
        self.assertEqual(statuses(received), [200])
        self.assertIn(b"connection: close", received)


class Limits(ServerTest):
    ARGUMENTS = ("--payload-limit", 1000)

    def test_headers(self):
        fine = HEAD + b"X: " + b"x" * 8000 + b"\r\nContent-Length: 14\r\nConnection: close\r\n"
        self.assertEqual(statuses(self.server.raw(request("/embed", fine, b'{"inputs":"a"}'))), [200])
        for fields in (b"X: " + b"x" * 200_000 + b"\r\n", b"X: y\r\n" * 10_000):
            self.assertIn(statuses(self.server.raw(request("/ping", HEAD + fields, method="GET")))[0], (400, 431))

    def test_a_body_that_is_too_long_is_refused_while_it_is_sent(self):
        body = b'{"inputs":"' + b"a" * 5_000_000 + b'"}'
        self.assertEqual(self.server.post("/embed", body).status, 413)
        answer = self.server.post("/v1/embeddings", body)
        self.assertEqual((answer.status, answer.json()["error"]["type"]), (413, "invalid_request_error"))
        received = self.server.raw(request("/embed", CHUNKED, b"400\r\n" + b" " * 1024 + b"\r\n" * 2))
        self.assertEqual(statuses(received), [413])

    def test_expect(self):
        with self.server.socket() as connection:
            connection.sendall(request("/embed", HEAD + b"Content-Length: 14\r\nExpect: 100-continue\r\nConnection: close\r\n"))
            self.assertEqual(statuses(connection.recv(1000)), [100])
            connection.sendall(b'{"inputs":"a"}')
            self.assertEqual(statuses(read_all(connection)), [200])
        refused = request("/embed", HEAD + b"Content-Length: 5000\r\nExpect: 100-continue\r\n")
        self.assertEqual(statuses(self.server.raw(refused)), [413])
        self.assertEqual(statuses(self.server.raw(request("/nothing", HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n"))), [404])
        self.assertEqual(statuses(self.server.raw(request("/embed", HEAD + b"Content-Length: 14\r\nExpect: tea\r\n"))), [417])


class Routes(ServerTest):
    def test_unknown_paths_and_methods(self):
        answer = self.server.get("/nothing")
        self.assertEqual((answer.status, answer.json()["error_type"]), (404, "Validation"))
        answer = self.server.get("/v1/nothing")
        self.assertEqual((answer.status, answer.json()["error"]["code"]), (404, "unknown_url"))
        answer = self.server.get("/embed")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))
        answer = self.server.post("/health", "{}")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))

    def test_head_has_no_body(self):
        received = self.server.raw(request("/info", b"Host: a\r\nConnection: close\r\n", method="HEAD"))
        head, body = received.split(b"\r\n\r\n", 1)
        self.assertEqual((statuses(head), body), ([200], b""))
        self.assertNotIn(b"content-length: 0", head)

    def test_content_types(self):
        body = json.dumps(TEXT)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json2"):
            self.assertEqual(self.server.post("/embed", body, headers={"Content-Type": kind}).status, 415)
        for kind in ("application/json; charset=utf-8", "Application/JSON"):
            self.assertEqual(self.server.post("/embed", body, headers={"Content-Type": kind}).status, 200)

    def test_a_compressed_body_is_refused_by_its_header(self):
        for path, body in (("/embed", TEXT), ("/v1/embeddings", {"input": "a"}), ("/api/embed", {"input": "a"}), ("/v2/embed", {"texts": ["a"], "input_type": "clustering"})):
            for coding, content in (("gzip", gzip.compress(json.dumps(body).encode())), ("identity, br", b"x"), ("Deflate", b"")):
                answer = self.server.post(path, content, headers={"Content-Encoding": coding, "Content-Type": "application/json"})
                self.assertEqual((answer.status, answer.headers["accept-encoding"]), (415, "identity"))
                self.assertIn("Content-Encoding", answer.body.decode())
            self.assertEqual(self.server.post(path, body, headers={"Content-Encoding": "Identity"}).status, 200)
        self.assertEqual(self.server.get("/ping", headers={"Content-Encoding": "gzip"}).status, 200)

    def test_request_ids(self):
        self.assertEqual(self.server.get("/ping", headers={"X-Request-Id": "a-1"}).headers["x-request-id"], "a-1")
        first, second = (self.server.get("/nothing").headers["x-request-id"] for _ in range(2))
        self.assertTrue(first and second and first != second)
        self.assertEqual(len(self.server.get("/ping", headers={"X-Request-Id": "x" * 129}).headers["x-request-id"]), 16)

    def test_connections_are_kept(self):
        connection = self.server.connect()
        self.addCleanup(connection.close)
        for path, status in (("/nothing", 404), ("/embed", 200), ("/embed", 200)):
            self.assertEqual(self.server.post(path, TEXT, connection=connection).status, status)


class Crowds(ServerTest):
    def test_connections_of_an_address_are_limited(self):
        server = self.start("--max-connections-per-address", 3)
        held = [server.socket() for _ in range(3)]
        for connection in held:
            self.addCleanup(connection.close)
            connection.sendall(request("/ping", b"Host: a\r\n", method="GET"))
            self.assertEqual(statuses(connection.recv(1000)), [200])
        with server.socket() as one_more:
            self.assertEqual(statuses(read_all(one_more)), [503])
        held[0].close()
        answers = in_threads(1, lambda _: server.get("/ping"))
        self.assertIn(answers[0].status, (200, 503))

    def test_those_who_send_nothing_hinder_nobody(self):
        idle = [self.server.socket() for _ in range(400)]
        self.assertEqual(self.server.post("/embed", TEXT).status, 200)
        for connection in idle:
            connection.close()
        self.assertEqual(self.server.post("/embed", TEXT).status, 200)


if __name__ == "__main__":
    unittest.main()
