"""The test hub does what it is asked to: each fault, seen from a bare socket.

usage: hub_server_test.py HUB_SERVER
"""

import http.client
import socket
import sys
import time
import unittest
import urllib.parse

import hub_support

HUB_SERVER = None
CONTENT = hub_support.bytes_of("file", 300_000)


class HubServer(unittest.TestCase):
    def setUp(self):
        folder = hub_support.temporary_folder()
        self.addCleanup(folder.cleanup)
        hub_support.make_repo(folder.name, {"model.safetensors": CONTENT, "config.json": b"{}"})
        self.hub = hub_support.Hub(HUB_SERVER, {"org/name": folder.name}, "--url-seconds", "600")
        self.addCleanup(self.hub.__exit__)

    def request(self, method, url, **headers):
        """(status, headers, body until the connection ends or is whole, exception or None)."""
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(self.hub.endpoint, url))
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
        self.addCleanup(connection.close)
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        answer = connection.getresponse()
        body = b""
        try:
            while piece := answer.read1(65536):
                body += piece
        except OSError as error:
            return answer.status, answer.headers, body, error
        return answer.status, answer.headers, body, None

    def model(self, fault=None, **headers):
        if fault:
            self.hub.command(f"fault port=cdn,{fault}")
        _, answer, _, _ = self.request("HEAD", "/org/name/resolve/main/model.safetensors")
        return self.request("GET", answer["Location"], **headers)

    def test_whole_file_and_ranges(self):
        status, _, body, _ = self.model()
        self.assertEqual((status, body), (200, CONTENT))
        status, headers, body, _ = self.model(Range="bytes=1000-1999")
        self.assertEqual((status, headers["Content-Range"], body), (206, "bytes 1000-1999/300000", CONTENT[1000:2000]))
        self.assertEqual(self.model(Range="bytes=299990-")[2], CONTENT[-10:])
        self.assertEqual(self.model(Range="bytes=-5")[2], CONTENT[-5:])
        status, headers, _, _ = self.model(Range="bytes=300000-")
        self.assertEqual((status, headers["Content-Range"]), (416, "bytes */300000"))

    def test_cut_by_fin_and_by_reset(self):
        _, _, body, error = self.model("cut_at=12345")
        self.assertEqual((body, error), (CONTENT[:12345], None))
        _, _, body, error = self.model("cut_at=12345,reset")
        self.assertEqual(body, CONTENT[:12345])
        self.assertIsInstance(error, ConnectionResetError)

    def test_stall_sends_so_much_and_no_more(self):
        self.hub.command("fault port=cdn,stall_at=5000")
        _, answer, _, _ = self.request("HEAD", "/org/name/resolve/main/model.safetensors")
        parts = urllib.parse.urlsplit(answer["Location"])
        with socket.create_connection((parts.hostname, parts.port), timeout=5) as peer:
            peer.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            got = b""
            while len(got.partition(b"\r\n\r\n")[2]) < 5000:
                got += peer.recv(65536)
            self.assertEqual(got.partition(b"\r\n\r\n")[2], CONTENT[:5000])
            peer.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                peer.recv(1)

    def test_flipped_bit_and_lies(self):
        _, _, body, _ = self.model("flip_at=777")
        self.assertEqual([i for i in range(len(CONTENT)) if body[i] != CONTENT[i]], [777])
        status, _, body, _ = self.model("ignore_range", Range="bytes=1000-")
        self.assertEqual((status, body), (200, CONTENT))
        status, headers, body, _ = self.model("lie_about_range=10", Range="bytes=1000-1999")
        self.assertEqual((status, headers["Content-Range"], body), (206, "bytes 1010-1999/300000", CONTENT[1010:2000]))
        status, headers, body, _ = self.model("shift_body=10", Range="bytes=1000-1999")
        self.assertEqual((status, headers["Content-Range"], body), (206, "bytes 1000-1999/300000", CONTENT[1010:2010]))

    def test_lengths(self):
        self.assertEqual(self.model("length_delta=10")[1]["Content-Length"], "300010")
        self.assertEqual(self.model("length_delta=-10")[2], CONTENT[:-10])
        _, headers, body, _ = self.model("chunked")
        self.assertEqual((headers["Transfer-Encoding"], headers["Content-Length"], body), ("chunked", None, CONTENT))

    def test_expired_and_forged_urls(self):
        _, answer, _, _ = self.request("HEAD", "/org/name/resolve/main/model.safetensors")
        self.hub.command("expire")
        self.assertEqual(self.request("GET", answer["Location"])[0], 403)
        _, answer, _, _ = self.request("HEAD", "/org/name/resolve/main/model.safetensors")
        self.assertEqual(self.request("GET", answer["Location"])[0], 200)
        self.assertEqual(self.request("GET", answer["Location"][:-1] + "x")[0], 403)

    def test_faults_count_their_requests(self):
        self.hub.command("fault method=HEAD,skip=1,times=2,status=503,header=Retry-After:7")
        url = "/org/name/resolve/main/config.json"
        self.assertEqual([self.request("HEAD", url)[0] for _ in range(4)], [307, 503, 503, 307])
        self.assertEqual(self.hub.info()["faults_applied"], 2)
        self.assertEqual(len(self.hub.log()), 4)

    def test_rate_is_kept(self):
        start = time.monotonic()
        self.model("rate=1000000")
        self.assertGreater(time.monotonic() - start, 0.2)

    def test_suspended_hub_refuses_connections_and_comes_back(self):
        self.hub.command("suspend")
        with self.assertRaises(ConnectionRefusedError):
            self.request("HEAD", "/org/name/resolve/main/config.json")
        self.hub.command("resume")
        self.assertEqual(self.request("HEAD", "/org/name/resolve/main/config.json")[0], 307)

    def test_gate_lets_through_what_is_permitted(self):
        self.hub.command("fault port=cdn,gate=g,gate_at=1000,gate_step=1000")
        _, answer, _, _ = self.request("HEAD", "/org/name/resolve/main/model.safetensors")
        parts = urllib.parse.urlsplit(answer["Location"])
        with socket.create_connection((parts.hostname, parts.port), timeout=5) as peer:
            peer.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            self.hub.command("permit g 2")
            self.hub.command("wait g 3")
            self.assertEqual(self.hub.log()[-1]["body_bytes"], 3000)
            self.hub.command("release g")
            total = 0
            while total < len(CONTENT):
                total += len(peer.recv(65536))

    def test_a_bad_command_is_an_error(self):
        for command in ("fault cut=5", "fault cut_at=x", "no-such-command"):
            with self.assertRaises(RuntimeError):
                self.hub.command(command)


if __name__ == "__main__":
    HUB_SERVER = sys.argv[1]
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
