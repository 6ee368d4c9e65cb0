"""The test hub and our client as programs, for tests written in Python."""

import hashlib
import json
import os
import pathlib
import subprocess
import tempfile


class Hub:
    """hub_server as a child process; ends with the block."""

    def __init__(self, program, repos, *options):
        arguments = [str(program)]
        for name, folder in repos.items():
            arguments += ["--repo", f"{name}={folder}"]
        self._process = subprocess.Popen(
            arguments + list(options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        port = self._process.stdout.readline().strip()
        if not port:
            raise RuntimeError("hub_server did not start")
        self.endpoint = self.info()["endpoint"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def command(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().rstrip("\n")
        if not answer.startswith("ok"):
            raise RuntimeError(f"hub_server: {line!r}: {answer}")
        return answer[3:]

    def info(self):
        return json.loads(self.command("info"))

    def log(self):
        return json.loads(self.command("log"))

    def file_bytes(self, file=""):
        """Bytes of files sent so far, of those whose name contains `file`."""
        return sum(
            r["body_bytes"]
            for r in self.log()
            if r["status"] in (200, 206) and not r["path"].startswith("/") and file in r["path"]
        )


def environment(hub, home, **changes):
    """The variables for a process that uses the hub and the cache below `home`, and nothing of the caller's."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home),
        "HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    variables.update(changes)
    return variables


def make_repo(folder, files):
    """Writes {path: bytes} below `folder`."""
    for path, content in files.items():
        target = pathlib.Path(folder) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def bytes_of(seed, size):
    """`size` bytes that follow from the seed."""
    out = bytearray()
    counter = 0
    while len(out) < size:
        out += hashlib.sha512(f"{seed}/{counter}".encode()).digest() * 64
        counter += 1
    return bytes(out[:size])


def etag_matches(etag, path):
    """Whether the file has the hash that its name in blobs/ says."""
    content = pathlib.Path(path).read_bytes()
    if len(etag) == 64:
        return hashlib.sha256(content).hexdigest() == etag
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == etag


def temporary_folder():
    return tempfile.TemporaryDirectory(prefix="stella-hub-")
