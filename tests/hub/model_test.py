"""A model-based test of the cache: random interleavings of several processes that download, are killed, pruned and
faulted. After every step the model says what may lie on the disk: verified files, resumable partials, nothing else; and
at the end of each run everything downloads, and Python's client finds it offline.

usage: model_test.py HUB_SERVER HUB_GET [--seed N] [--runs N] [--seconds N]
"""

import argparse
import os
import pathlib
import random
import re
import subprocess
import sys
import time

import hub_support

FILES = {
    "main": {
        "config.json": b'{"a": 1}\n',
        "same.safetensors": hub_support.bytes_of("same", 700_000),
        "model.safetensors": hub_support.bytes_of("one", 5_000_000),
    },
    "v2": {
        "config.json": b'{"a": 2}\n',
        "same.safetensors": hub_support.bytes_of("same", 700_000),
        "model.safetensors": hub_support.bytes_of("two", 5_000_000),
    },
}
FAULTS = [
    "port=cdn,cut_at={n}",
    "port=cdn,cut_at={n},reset",
    "port=cdn,flip_at={n}",
    "port=cdn,status=503",
    "port=hub,status=503",
    "port=hub,status=429,header=Retry-After:0",
    "port=cdn,ignore_range",
    "port=cdn,only_ranges,lie_about_range=1000",
    "port=cdn,only_ranges,shift_body=1000",
    "port=cdn,only_ranges,status=416",
    "port=cdn,expire_urls",
    "port=cdn,length_delta=-10",
    "port=cdn,length_delta=10",
    "port=cdn,chunked",
    "port=cdn,stall_at={n}",
    "port=hub,close_at_once,reset",
    "port=any,rate=2000000",
    "port=any,rate=500000",
]
ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Run:
    def __init__(self, arguments, seed, folder):
        self.random = random.Random(seed)
        self.seed = seed
        self.home = folder / "home"
        self.hub_get = arguments.hub_get
        repos = {}
        for revision, files in FILES.items():
            repos[f"org/name@{revision}"] = hub_support.make_repo(folder / revision, files)
        self.hub = hub_support.Hub(arguments.hub_server, repos)
        self.running = []
        self.steps = []

    def spawn(self, revision, *files):
        environment = hub_support.environment(self.hub, self.home, HF_HUB_DOWNLOAD_TIMEOUT="1", HF_HUB_ETAG_TIMEOUT="5")
        command = [self.hub_get, "org/name", revision, *files]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def step(self):
        kind = self.random.choices(["start", "kill", "fault", "prune", "wait", "pause", "expire"], [6, 3, 5, 1, 2, 4, 1])[0]
        if kind == "start" and len(self.running) < 4:
            revision = self.random.choice(list(FILES))
            files = self.random.sample(list(FILES[revision]), self.random.randint(1, 3))
            self.running.append((self.spawn(revision, *files), revision, files))
            self.steps.append(f"start {revision} {files}")
        elif kind == "kill" and self.running:
            process, revision, files = self.running.pop(self.random.randrange(len(self.running)))
            process.kill()
            process.communicate()
            self.steps.append(f"kill {revision} {files}")
        elif kind == "fault":
            spec = self.random.choice(FAULTS).format(n=self.random.choice([0, 1, 1000, 300_000, 699_999, 2_000_000]))
            self.hub.command(f"fault {spec}")
            self.steps.append(f"fault {spec}")
        elif kind == "prune":
            self.prune()
            self.steps.append("prune")
        elif kind == "wait" and self.running:
            self.finish(self.running.pop(0))
            self.steps.append("wait")
        elif kind == "expire":
            self.hub.command("expire")
            self.steps.append("expire")
        else:
            time.sleep(self.random.random() * 0.05)

    def prune(self):
        """Deletes what `hf cache prune` deletes."""
        for path in (self.home / "hub").glob("*/blobs/*.incomplete"):
            path.unlink(missing_ok=True)

    def finish(self, entry):
        process, revision, files = entry
        out, err = process.communicate(timeout=120)
        if process.returncode == 0:
            for path, name in zip(out.splitlines(), files):
                self.check(pathlib.Path(path).read_bytes() == FILES[revision][name], f"{path} holds other bytes")
        else:
            # Faults may defeat a download, but then it says so in one line.
            self.check(process.returncode == 3, f"exit status {process.returncode}: {err}")
            self.check(len(err.strip().splitlines()) == 1, f"not one line: {err}")

    def check(self, condition, message):
        if not condition:
            history = "\n  ".join(self.steps)
            raise AssertionError(f"seed {self.seed}: {message}\n  {history}")

    def check_cache(self):
        repo = self.home / "hub" / "models--org--name"
        if not repo.exists():
            return
        for path in (repo / "blobs").glob("*"):
            if ETAG.fullmatch(path.name):
                self.check(hub_support.etag_matches(path.name, path), f"{path} does not have its hash")
            else:
                self.check(path.name.endswith(".incomplete"), f"{path} is neither a blob nor a partial")
        for path in repo.rglob("snapshots/*/**/*"):
            if path.is_symlink():
                self.check(path.exists(), f"{path} leads nowhere")
        for path in (repo / "refs").rglob("*"):
            if path.is_file():
                self.check(re.fullmatch(rb"[0-9a-f]{40}", path.read_bytes()), f"{path}: {path.read_bytes()!r}")

    def play(self):
        for _ in range(self.random.randint(10, 40)):
            self.step()
            self.check_cache()
        for process, _, _ in self.running:
            if self.random.random() < 0.5:
                process.kill()
        for entry in self.running:
            if entry[0].poll() is not None and entry[0].returncode < 0:
                entry[0].communicate()
            elif entry[0].returncode is None:
                try:
                    self.finish(entry)
                except AssertionError:
                    if entry[0].returncode != -9:
                        raise
        self.check_cache()
        self.hub.command("clear")
        for revision, files in FILES.items():
            process = self.spawn(revision, *files)
            out, err = process.communicate(timeout=120)
            self.check(process.returncode == 0, f"without faults: {err}")
            for path, content in zip(out.splitlines(), files.values()):
                self.check(pathlib.Path(path).read_bytes() == content, f"{path} holds other bytes")
        self.check_cache()
        self.check(not list(self.home.glob("hub/*/blobs/*.incomplete")), "a partial outlived its download")
        self.ask_python()
        return len(self.steps)

    def ask_python(self):
        code = (
            "import huggingface_hub as h\n"
            f"for revision, files in {[(revision, list(files)) for revision, files in FILES.items()]!r}:\n"
            "    for file in files:\n"
            "        print(h.hf_hub_download('org/name', file, revision=revision, local_files_only=True))\n"
            "assert not h.scan_cache_dir().warnings, h.scan_cache_dir().warnings\n"
        )
        done = subprocess.run(
            [sys.executable, "-B", "-c", code],
            env=hub_support.environment(self.hub, self.home),
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.check(done.returncode == 0, f"Python disagrees: {done.stderr}")
        contents = [content for files in FILES.values() for content in files.values()]
        for path, content in zip(done.stdout.splitlines(), contents, strict=True):
            self.check(pathlib.Path(path).read_bytes() == content, f"Python finds other bytes at {path}")

    def close(self):
        for process, _, _ in self.running:
            process.kill()
            process.communicate()
        self.hub.__exit__()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("hub_server")
    parser.add_argument("hub_get")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("STELLA_TEST_SEED", "1")))
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=90, help="begin no further run after this long")
    arguments = parser.parse_args()
    start = time.monotonic()
    runs = steps = 0
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        if runs and time.monotonic() - start > arguments.seconds:
            break
        with hub_support.temporary_folder() as folder:
            run = Run(arguments, seed, pathlib.Path(folder))
            try:
                steps += run.play()
            finally:
                run.close()
        runs += 1
    print(f"{runs} runs, {steps} steps, seeds {arguments.seed} to {arguments.seed + runs - 1}")


if __name__ == "__main__":
    main()
