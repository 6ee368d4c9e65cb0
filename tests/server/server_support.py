"""Runs `stella serve` as a user would, on a port that the system chooses, and talks to it. Standard library only."""

import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

PROGRAM = os.environ["STELLA_PROGRAM"]
SOURCE = pathlib.Path(os.environ["STELLA_SOURCE"])
SMALL = str(SOURCE / "tests/data/checkpoints/stella-small-tiny")
LARGE = str(SOURCE / "tests/data/checkpoints/stella-large-tiny")
BERT = str(SOURCE / "tests/data/checkpoints/bert-tiny")
TLS = SOURCE / "tests/server/tls"
TIME_LIMIT = 240
SANITIZED = bool(os.environ.get("STELLA_SANITIZED"))  # the program, which takes more memory then


def take_signals():
    """A test runner in the background ignores SIGINT, and its children would inherit that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def is_finding(text):
    return "Sanitizer" in text or "runtime error:" in text


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Server:
    """`stella serve` as a child process; killed at the end if it has not ended by itself."""

    def __init__(self, *arguments, model=SMALL, ready=True, env=None, trust=None, address_space=None):
        self.trust = trust
        self._home = tempfile.TemporaryDirectory(prefix="stella-server-")

        def prepare():
            take_signals()
            if address_space:
                resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))

        self.process = subprocess.Popen([PROGRAM, "serve", "--model", model, "--port", "0", *map(str, arguments)],
                                        env=environment(self._home.name, **(env or {})), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, preexec_fn=prepare)
        self.remarks = []  # before it listens
        line = self.process.stderr.readline()
        while line.startswith("stella: warning"):
            self.remarks.append(line)
            line = self.process.stderr.readline()
        self.lines = [line]
        found = re.search(r"listening on (https?://(\S+):(\d+)|unix:(\S+));", line)
        if not found:
            raise RuntimeError(line + self.process.communicate(timeout=TIME_LIMIT)[1])
        self.url, self.host, self.port, self.path = found[1], found[2], int(found[3] or 0), found[4]
        if ready:
            self.lines.append(self.process.stderr.readline())
            if "ready" not in self.lines[-1]:
                raise RuntimeError(self.lines[-1])

    def close(self):
        """Of a program with sanitizers: a regular end, for they look for leaks then, and what they have found."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM if SANITIZED else signal.SIGKILL)
        said = self.process.stderr.read() if SANITIZED and not self.process.stderr.closed else ""
        self.process.wait(TIME_LIMIT)
        self.process.stderr.close()
        self._home.cleanup()
        if is_finding(said):
            raise AssertionError(said)

    def connect(self):
        connection = http.client.HTTPConnection(self.host or "localhost", self.port, timeout=TIME_LIMIT)
        connection.sock = self.socket()
        return connection

    def socket(self):
        """A connection; with TLS where the server has it, and `trust`ed certificates only."""
        if self.path:
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(TIME_LIMIT)
            plain.connect(self.path)
            return plain
        plain = socket.create_connection((self.host, self.port), timeout=TIME_LIMIT)
        if not self.url.startswith("https:"):
            return plain
        return ssl.create_default_context(cafile=self.trust).wrap_socket(plain, server_hostname=self.host)

    def ask(self, method, path, body=None, headers=None, connection=None):
        own = connection or self.connect()
        given = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None and "Content-Type" not in given:
            given["Content-Type"] = "application/json"
        own.request(method, path, body, given)
        response = own.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        if not connection:
            own.close()
        return answer

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def post(self, path, body, **options):
        return self.ask("POST", path, body, **options)

    def raw(self, *parts, finish=False):
        """All that the server sends for these bytes until it closes the connection. `finish`: nothing more is sent behind them, and that is said."""
        with self.socket() as connection:
            for part in parts:
                connection.sendall(part)
            if finish:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        return self.process.wait(TIME_LIMIT)


def read_all(connection):
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def statuses(received):
    """The status of every answer in what was received."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def post_bytes(path, body, *fields, version="1.1"):
    content = json.dumps(body).encode() if not isinstance(body, bytes) else body
    head = [f"POST {path} HTTP/{version}", "Host: a", "Content-Type: application/json", f"Content-Length: {len(content)}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def command_line(*arguments):
    """The rows of `stella embed`."""
    with tempfile.TemporaryDirectory(prefix="stella-server-") as home:
        done = subprocess.run([PROGRAM, "embed", *map(str, arguments)], env=environment(home), capture_output=True, timeout=TIME_LIMIT, check=True)
    return json.loads(done.stdout)["data"]


def environment(home, **more):
    """Of a program that finds no model but those it is given."""
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.endswith("SAN_OPTIONS")}
    return kept | {"HOME": home, "HF_HOME": home, "HF_ENDPOINT": "http://127.0.0.1:1"} | more


class ServerTest(unittest.TestCase):
    """One server for the tests of a class; ARGUMENTS are its flags."""

    ARGUMENTS = ()
    MODEL = SMALL

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.ARGUMENTS, model=cls.MODEL)
        cls.addClassCleanup(cls.server.close)

    def start(self, *arguments, **options):
        server = Server(*arguments, **options)
        self.addCleanup(server.close)
        return server

    def fail_with(self, status, *arguments, says, env=None):
        """It ends at once with that status and one line that has all of `says`."""
        with tempfile.TemporaryDirectory(prefix="stella-server-") as home:
            done = subprocess.run([PROGRAM, "serve", *map(str, arguments)], env=environment(home, **(env or {})), capture_output=True, timeout=TIME_LIMIT,
                                  text=True, preexec_fn=take_signals)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for part in says:
            self.assertIn(part, done.stderr)


def in_threads(count, work):
    """work(i) for each i at the same time; its results in order, or its first exception."""
    results, failures = [None] * count, []

    def run(index):
        try:
            results[index] = work(index)
        except Exception as failure:  # shown by the thread that waits
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def metric(server, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", server.get("/metrics").body.decode(), re.MULTILINE)[1])


def wait_until(condition):
    end = time.monotonic() + TIME_LIMIT
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not come to be")
        time.sleep(0.02)
