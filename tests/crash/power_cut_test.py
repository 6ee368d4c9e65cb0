"""Power cuts: an ext4 image on a loop device, copied while the program downloads, packs, unpacks and repairs, and for
some seconds after. Each copy is what a cut at that moment leaves: mounted, which replays its journal, every named blob
must have the hash in its name, nothing that is kept may be damaged, and the next run must end with status 0 and the
right vectors.

Root only, and only where loop devices can be mounted; skipped (status 77) elsewhere. SEED in the environment repeats a
run; names of rounds may follow the script's."""

import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from crash_support import REPO, World, make_model
from hub_support import Hub, etag_matches

SKIPPED = 77
MEGABYTES = 192
COMMIT_SECONDS = 1  # of the journal: names reach the disk long before data that nobody syncs (30 s)
INSIDE = "STELLA_POWER_CUT_NAMESPACE"


def skip(why):
    print("skipped:", why)
    sys.exit(SKIPPED)


def system(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=240)


def enter_namespace():
    """Mounts of our own, which end with this process however it ends."""
    if os.environ.get(INSIDE):
        return
    if os.geteuid() != 0:
        skip("needs root")
    try:
        if system("unshare", "--mount", "true").returncode != 0:
            skip("no mount namespaces here")
    except FileNotFoundError:
        skip("no unshare here")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, "-B", *sys.argv])


class Disk:
    """An image, mounted."""

    def __init__(self, image, place, options):
        self.image, self.place = image, place
        place.mkdir(exist_ok=True)
        done = system("mount", "-t", "ext4", "-o", f"loop,{options}", image, place)
        if done.returncode != 0:
            raise OSError(done.stderr.strip())
        self.device = system("findmnt", "-n", "-o", "SOURCE", place).stdout.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(50):
            if system("umount", self.place).returncode == 0:
                return
            time.sleep(0.1)
        system("umount", "-l", self.place)

    def writes(self):
        """What the device has been given to write, and what is not done yet."""
        stat = pathlib.Path("/sys/block", pathlib.Path(self.device).name, "stat").read_text().split()
        return stat[6], stat[8]

    def copy(self, target):
        """The image as it is at one moment: tried again where something was written meanwhile."""
        for _ in range(20):
            before = self.writes()
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.image, target], check=True, timeout=240)
            if before == self.writes() and before[1] == "0":
                return target
            time.sleep(0.02)
        return None


def make_image(path):
    with open(path, "wb") as file:
        file.truncate(MEGABYTES << 20)
    try:
        made = system("mkfs.ext4", "-q", "-F", path).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        skip("no mkfs.ext4 here")
    return path


class PowerCuts(World):
    def __init__(self, folder, hub, seed):
        super().__init__(folder, hub)
        self.random = random.Random(seed)
        self.copies = []
        self.archive = folder / "model.tar"
        clean = folder / "clean"
        self.wanted = self.embed(clean)
        self.run(clean, "download", REPO, "--dim", "256", "--quiet", "--pack", self.archive)
        self.checked = self.refetched = 0

    def copy(self, disk, name):
        target = disk.copy(self.folder / f"{name}.img")
        if target:
            self.copies.append((name, target))

    def check(self, name, image):
        """The world after the cut."""
        with Disk(image, self.folder / "after", "rw") as disk:
            home = disk.place
            cache = home / "hf/hub"
            for blob in cache.glob("models--*/blobs/*"):
                if "." not in blob.name:
                    assert etag_matches(blob.name, blob), f"{name}: the blob {blob.name} ({blob.stat().st_size} bytes) is wrong"
            for ref in cache.glob("models--*/refs/*"):
                assert len(ref.read_bytes()) == 40, f"{name}: the ref {ref.name} is wrong"
            kept = self.run(home, "cache", "verify", "--quiet", status=None).stdout
            assert "damaged" not in kept, f"{name}: {kept}"
            self.hub.command("clear-log")
            assert self.embed(home) == self.wanted, f"{name}: other vectors"
            self.refetched += self.hub.file_bytes() > 0
            self.run(home, "cache", "verify", "--quiet")
        self.checked += 1
        image.unlink()

    def round(self, name, act):
        """Copies while `act` goes on and for six seconds after, then looks at each."""
        image = make_image(self.folder / "disk.img")
        with Disk(image, self.folder / "before", f"commit={COMMIT_SECONDS}") as disk:
            process = act(disk.place)
            for i in range(2):
                time.sleep(self.random.uniform(0, 0.7))
                self.copy(disk, f"{name} {i}, under way")
            error = process.communicate(timeout=240)[1]
            assert process.returncode == 0, f"{name}: status {process.returncode}: {error.decode()}"
            ended = time.monotonic()
            for i, moment in enumerate((self.random.uniform(0, 1.2), self.random.uniform(1.2, 2.5), self.random.uniform(2.5, 5))):
                time.sleep(max(0, ended + moment - time.monotonic()))
                self.copy(disk, f"{name} {i}, {moment:.1f} s after")
        image.unlink()
        for copied in self.copies:
            self.check(*copied)
        self.copies.clear()

    def downloading_and_packing(self, home):
        return self.start(home, *self.embed_arguments())

    def unpacking(self, home):
        return self.start(home, "download", "--unpack", self.archive)

    def repairing(self, home):
        self.embed(home)
        blobs = (home / "hf/hub").glob("models--*/blobs/*")
        blob = max(blobs, key=lambda path: path.stat().st_size)
        with open(blob, "r+b") as file:
            file.seek(blob.stat().st_size // 2)
            file.write(b"damaged")
        os.sync()
        process = self.start(home, "cache", "verify", "--repair")
        process.wait(timeout=240)  # before it, the damage itself would be on the copies
        return process


def main():
    enter_namespace()
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print("SEED", seed, flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stella-crash-") as name:
        folder = pathlib.Path(name)
        try:
            with Disk(make_image(folder / "trial.img"), folder / "trial", "rw") as disk:
                disk.writes()
        except OSError as error:
            skip(f"loop devices cannot be mounted here: {error}")
        (folder / "trial.img").unlink()
        repo = make_model(folder / "repo", random.Random(seed))
        with Hub(os.environ["STELLA_HUB_SERVER"], {REPO: repo}, "--rate", "4000000") as hub:
            cuts = PowerCuts(folder, hub, seed)
            for name in sys.argv[1:] or ("downloading_and_packing", "unpacking", "repairing", "downloading_and_packing"):
                cuts.round(name, getattr(cuts, name))
                if time.monotonic() - started > 60:
                    break
    print(f"{cuts.checked} cuts, {cuts.refetched} of them fetched something again, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
