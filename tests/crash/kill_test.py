"""kill -9 at any moment, of several processes at once that download, go on with downloads, choose, pack, unpack, repair, prune
and remove in one cache. After each: named blobs have the hash in their names, refs are whole, and the next run ends with
status 0 and the right vectors. Who is not killed ends by himself, with status 0 or one line that says why not.

SEED in the environment repeats a run as far as time allows; SECONDS_TO_RUN makes it longer."""

import os
import pathlib
import random
import signal
import sys
import tempfile
import time

from crash_support import REPO, World, cosine, make_model
from hub_support import Hub, etag_matches

BUDGET = float(os.environ.get("SECONDS_TO_RUN", "40"))


class Kills(World):
    def __init__(self, folder, hub, seed):
        super().__init__(folder, hub)
        self.random = random.Random(seed)
        self.home = folder / "home"
        self.cache = self.home / "hf/hub"
        self.archive = folder / "model.tar"
        clean = folder / "clean"
        self.wanted = self.embed(clean)
        self.run(clean, "download", REPO, "--dim", "256", "--quiet", "--pack", self.archive)
        self.exact = self.embed(clean, "--precision", "f32")
        self.killed = self.ended = self.refused = 0
        self.acts = [
            self.embed_arguments(),
            self.embed_arguments("--precision", "auto"),
            self.embed_arguments("--revision", "v2"),
            ("download", REPO, "--dim", "1024", "--quiet"),
            ("download", "--unpack", self.archive),
            ("cache", "rm", REPO, "--revision", "v2"),
            ("cache", "rm", REPO),
            ("cache", "rm", "--packed"),
            ("cache", "verify", "--repair"),
            ("cache", "prune"),
        ]

    def start(self, home, *arguments):
        process = super().start(home, *arguments)
        process.arguments_text = " ".join(map(str, arguments))
        return process

    def blobs(self):
        return [blob for blob in self.cache.glob("models--*/blobs/*") if "." not in blob.name]

    def damage(self):
        blobs = self.blobs()
        if not blobs:
            return
        blob = self.random.choice(sorted(blobs))
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 0xFF
        replaced = blob.with_name(blob.name + ".0123456789abcdef.incomplete")  # as a prune knows it, should we be killed
        replaced.write_bytes(content)
        replaced.rename(blob)

    def end(self, process, kill):
        if kill:
            process.send_signal(signal.SIGKILL)
        error = process.communicate(timeout=240)[1].decode()
        if process.returncode == -signal.SIGKILL:
            self.killed += 1
            return
        self.ended += 1
        about = f"`{process.arguments_text}`: status {process.returncode}: {error}"
        assert process.returncode in (0, 1, 2, 3), about
        assert "defect" not in error, about
        if process.returncode:
            self.refused += 1
            lines = [line for line in error.splitlines() if line.startswith("stella: ")]
            assert lines and lines[-1] == error.splitlines()[-1], about

    def check(self):
        for blob in self.blobs():
            assert etag_matches(blob.name, blob), f"the blob {blob.name} is wrong"
        for ref in self.cache.glob("models--*/refs/*"):
            assert len(ref.read_bytes()) == 40, f"the ref {ref.name} is wrong"
        assert self.embed(self.home) == self.wanted, "other vectors"

    def step(self):
        repair = self.random.random() < 0.2
        if repair:
            self.damage()
            acts = [("cache", "verify", "--repair")] * self.random.choice((1, 2))
        else:
            acts = self.random.choices(self.acts, k=self.random.choice((1, 2, 3)))
        processes = [self.start(self.home, *act) for act in acts]
        time.sleep(self.random.expovariate(5))
        for process in processes:
            self.end(process, self.random.random() < 0.8)
        if repair:
            self.run(self.home, "cache", "verify", "--repair", "--quiet")
        self.check()

    def finish(self):
        self.run(self.home, "cache", "prune")
        self.run(self.home, "cache", "verify", "--quiet")
        left = [path.name for path in self.cache.glob("models--*/blobs/*") if "." in path.name]
        assert not left, f"left over: {left}"
        chosen = self.embed(self.home, "--precision", "auto")
        assert chosen == self.embed(self.home, "--precision", "auto"), "auto is not one precision"
        for row, exact in zip(chosen, self.exact, strict=True):
            assert cosine(row, exact) > 0.999, "auto chose what is far from f32"
        self.run(self.home, "cache", "rm", REPO)
        self.check()


def main():
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print("SEED", seed, flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stella-kill-") as name:
        folder = pathlib.Path(name)
        repo = make_model(folder / "repo", random.Random(seed))
        changed = make_model(folder / "changed", random.Random(seed))
        with open(changed / "2_Dense_256/model.safetensors", "r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)[0]
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last ^ 1]))
        with Hub(os.environ["STELLA_HUB_SERVER"], {REPO: repo}, "--rate", "8000000") as hub:
            hub.command(f"revision {REPO} v2 {changed}")
            kills = Kills(folder, hub, seed)
            steps = 0
            while time.monotonic() - started < BUDGET:
                try:
                    kills.step()
                except AssertionError as failure:
                    sys.exit(f"step {steps}: {failure}")
                steps += 1
            kills.finish()
    print(f"{steps} steps: {kills.killed} killed, {kills.ended} ended by themselves, {kills.refused} of them with a reason; "
          f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
