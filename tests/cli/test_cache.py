"""`stella cache` and `stella download --pack/--unpack`: what is in the cache, cleaning, repairing and carrying it."""

import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import sys
import tarfile
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["STELLA_SOURCE"]) / "tests/python"))

from cli_support import CHECKPOINTS, SMALL, CliTest  # noqa: E402
from hub_support import Hub, etag_matches  # noqa: E402

REPO = "org/small"
WEIGHTS = "model.safetensors"


class CacheTest(CliTest):
    def setUp(self):
        super().setUp()
        self.repo = self.copy_checkpoint(name="repo")
        self.hub = Hub(os.environ["STELLA_HUB_SERVER"], {REPO: self.repo})
        self.addCleanup(self.hub.__exit__)
        self.env = {"HF_ENDPOINT": self.hub.endpoint}
        self.cache = self.folder / "hf/hub"
        self.model = self.cache / "models--org--small"

    def download(self, *arguments):
        return self.succeed("download", REPO, "--dim", "256", "--quiet", *arguments, env=self.env).decode().rstrip("\n")

    def listing(self, **options):
        return json.loads(self.succeed("cache", "ls", "--json", **options))

    def blobs(self):
        return {path.name for path in (self.model / "blobs").iterdir()}

    def tree(self, root=None):
        """{path: link text or the content's hash} of everything below a folder."""
        root = root or self.cache
        return {str(path.relative_to(root)): os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(root.rglob("*")) if path.is_symlink() or path.is_file()}

    def damage(self, snapshot, name=WEIGHTS):
        blob = (pathlib.Path(snapshot) / name).resolve()
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 1
        blob.write_bytes(content)
        return blob


class List(CacheTest):
    def test_an_empty_cache(self):
        self.assertEqual(self.listing()["repositories"], [])
        self.assertEqual(self.succeed("cache", "ls").decode(), f"0 B in {self.cache}\n")

    def test_says_revisions_files_and_sizes(self):
        snapshot = pathlib.Path(self.download())
        (self.model / "blobs" / ("e" * 64 + ".stella.incomplete")).write_bytes(b"x" * 5000)
        [repo] = self.listing()["repositories"]
        self.assertEqual(repo["repo"], REPO)
        [revision] = repo["revisions"]
        self.assertEqual((revision["commit"], revision["refs"]), (snapshot.name, ["main"]))
        wanted = {str(path.relative_to(snapshot)): path.stat().st_size for path in snapshot.rglob("*") if path.is_file()}
        self.assertEqual({file["file"]: file["size"] for file in revision["files"]}, wanted)
        self.assertEqual({blob["hash"] for blob in repo["blobs"]}, {name for name in self.blobs() if "." not in name})
        self.assertEqual([file["name"] for file in repo["unfinished"]], ["e" * 64 + ".stella.incomplete"])
        text = self.succeed("cache", "ls").decode()
        for part in (f"{REPO}: ", f"  {snapshot.name}  {len(wanted)} files, ", "  main\n", "unfinished downloads: "):
            self.assertIn(part, text)

    def test_usage(self):
        self.fail_with(2, "cache", says="stella cache --help")
        self.fail_with(2, "cache", "rm", says="stella cache rm --help")
        self.fail_with(2, "cache", "sweep", says="stella cache --help")
        for part in ("ls", "rm", "verify", "prune"):
            self.assertIn("Examples:", self.succeed("cache", part, "--help").decode())
            self.assertIn(f"stella cache {part}", self.succeed("cache", part, "--help").decode())


class Remove(CacheTest):
    def test_a_model(self):
        self.download()
        self.assertIn("removed 1 revision", self.succeed("cache", "rm", REPO).decode())
        self.assertFalse(self.model.exists())
        self.fail_with(2, "cache", "rm", REPO, says=["org/small", "cache ls"])
        self.fail_with(2, "cache", "rm", "../../x", says="repository")

    def test_a_revision_keeps_shared_blobs(self):
        first = self.download()
        changed = self.copy_checkpoint(name="changed")
        weights = bytearray((changed / "2_Dense_256" / WEIGHTS).read_bytes())
        weights[-1] ^= 1
        (changed / "2_Dense_256" / WEIGHTS).write_bytes(weights)
        self.hub.command(f"revision {REPO} v2 {changed}")
        before = self.blobs()
        second = self.download("--revision", "v2")
        self.assertNotEqual(first, second)
        own = self.blobs() - before
        self.assertEqual(own, {hashlib.sha256(weights).hexdigest()})
        self.succeed("cache", "rm", REPO, "--revision", "v2")
        self.assertEqual(self.blobs(), before)
        self.assertFalse(pathlib.Path(second).exists())
        self.assertFalse((self.model / "refs/v2").exists())
        self.hub.command("clear-log")
        self.assertEqual(self.rows("--model", REPO, "--dim", "256", "--offline", "text", env=self.env),
                         self.rows("--model", SMALL, "--dim", "256", "text"))
        self.fail_with(2, "cache", "rm", REPO, "--revision", "v2", says="v2")

    def test_while_it_is_being_downloaded(self):
        self.hub.command(f"fault path={REPO}/{WEIGHTS},method=GET,times=always,gate=half,gate_at=100000")
        process = self.start_stella("download", REPO, "--dim", "256", "--quiet", env=self.env)
        self.hub.command("wait half")
        self.fail_with(1, "cache", "rm", REPO, says="being downloaded")
        self.hub.command("clear")
        self.hub.command("release half")
        out, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, error)
        self.assertTrue((pathlib.Path(out.decode().rstrip("\n")) / WEIGHTS).exists())


class Verify(CacheTest):
    def test_a_sound_cache(self):
        self.download()
        self.assertIn("all right", self.succeed("cache", "verify").decode())
        self.assertIn("all right", self.succeed("cache", "verify", REPO).decode())
        self.fail_with(2, "cache", "verify", "org/absent", says="org/absent")

    def test_a_damaged_blob_is_found_and_repaired(self):
        snapshot = self.download()
        sound = self.tree()
        blob = self.damage(snapshot)
        done = self.fail_with(3, "cache", "verify", says="--repair")
        self.assertIn(f"damaged: {REPO} {WEIGHTS}", done.stdout.decode())
        self.assertIn(blob.name, done.stdout.decode())
        self.assertNotEqual(self.tree(), sound)
        self.hub.command("clear-log")
        out = self.succeed("cache", "verify", "--repair", env=self.env).decode()
        self.assertIn("1 problem, 1 repaired", out)
        self.assertEqual(self.tree(), sound)
        self.assertEqual(self.hub.file_bytes(), blob.stat().st_size)
        self.assertIn("all right", self.succeed("cache", "verify").decode())

    def test_a_link_to_nowhere_is_found_and_repaired(self):
        snapshot = self.download()
        sound = self.tree()
        (pathlib.Path(snapshot) / "config.json").resolve().unlink()
        self.assertIn(b"link to nowhere", self.fail_with(3, "cache", "verify", says="1 problem").stdout)
        self.succeed("cache", "verify", REPO, "--repair", env=self.env)
        self.assertEqual(self.tree(), sound)

    def test_what_cannot_be_repaired_is_no_longer_served(self):
        snapshot = self.download()
        self.damage(snapshot)
        done = self.fail_with(3, "cache", "verify", "--repair", "--offline", says="1 problem")
        self.assertIn(b"not repaired: ", done.stdout)
        self.fail_with(3, "embed", "--model", REPO, "--offline", "text", env=self.env, says=WEIGHTS)

    def test_an_interruption_in_mid_repair_leaves_a_partial_and_the_next_one_ends_it(self):
        snapshot = self.download()
        sound = self.tree()
        self.damage(snapshot)
        self.hub.command(f"fault path={REPO}/{WEIGHTS},method=GET,times=always,gate=half,gate_at=100000")
        process = self.start_stella("cache", "verify", "--repair", env=self.env)
        self.hub.command("wait half")
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        self.check_failure(process.returncode, error, 130, "interrupted")
        self.hub.command("clear")
        self.hub.command("release half")
        self.succeed("download", REPO, "--dim", "256", "--quiet", env=self.env)
        self.assertEqual(self.tree(), sound)


class Links(CacheTest):
    """What other clients, and users with little room, make of a cache: it loads, and so it stays."""

    def vector(self, **env):
        return self.rows("--model", REPO, "--dim", "256", "--offline", "text", env=env)

    def test_absolute_links_in_a_cache_reached_by_a_link(self):
        snapshot = pathlib.Path(self.download())
        (self.folder / "link").symlink_to(self.folder / "hf")
        model = self.folder / "link/hub/models--org--small"
        other = "2" * 40
        shutil.copytree(snapshot, model / "snapshots" / other, symlinks=True)
        (model / "refs/other").write_text(other)
        for name in snapshot.rglob("*"):
            if name.is_symlink():
                target = model / "blobs" / name.resolve().name
                name.unlink()
                name.symlink_to(target)
        for home in ("hf", "link"):
            env = {"HF_HOME": self.folder / home}
            wanted = self.vector(**env)
            before = self.tree()
            self.assertNotIn("nowhere", self.succeed("cache", "ls", env=env).decode())
            self.assertIn("all right", self.succeed("cache", "verify", env=env).decode())
            self.assertIn("all right", self.succeed("cache", "verify", "--repair", "--offline", env=env).decode())
            self.assertEqual(self.tree(), before)
            self.assertEqual(self.vector(**env), wanted)
        self.succeed("cache", "rm", REPO, "--revision", "other", env=env)
        self.assertEqual(self.vector(**env), wanted)
        self.assertGreater(len(self.blobs()), 3)

    def test_a_link_to_a_file_outside_of_the_cache_stays(self):
        snapshot = pathlib.Path(self.download())
        weights = snapshot / WEIGHTS
        outside = self.folder / "weights"
        os.rename(weights.resolve(), outside)
        weights.unlink()
        weights.symlink_to(outside)
        wanted = self.vector()
        self.assertIn("1 file stored without a hash not checked", self.succeed("cache", "verify", "--repair", "--offline").decode())
        self.assertEqual(self.vector(), wanted)
        self.succeed("cache", "rm", REPO)
        self.assertTrue(outside.exists())

    def test_a_linked_repository_is_listed_and_only_the_link_is_removed(self):
        self.download()
        listed = self.listing()["repositories"]
        moved = self.folder / "disk"
        os.rename(self.model, moved)
        self.model.symlink_to(moved)
        self.assertEqual(self.listing()["repositories"], listed)
        self.assertIn("all right", self.succeed("cache", "verify", REPO).decode())
        done = self.run_stella("cache", "rm", REPO)
        self.assertEqual(done.returncode, 0)
        self.assertIn(str(moved), done.stderr.decode())
        self.assertFalse(self.model.is_symlink())
        self.assertTrue((moved / "refs/main").exists())

    def test_what_is_no_file_neither_hangs_nor_stops_the_rest(self):
        snapshot = pathlib.Path(self.download())
        wanted = self.vector()
        os.mkfifo(self.cache / "models--org--pipe")
        for place in ("refs/v1", f"snapshots/{snapshot.name}/extra.txt", "blobs/" + "e" * 64, "extra"):
            os.mkfifo(self.model / place)
        (snapshot / "zero").symlink_to("/dev/zero")
        self.assertIn("2 links to nowhere", self.succeed("cache", "ls").decode())
        done = self.fail_with(3, "cache", "verify", says="3 problems")
        self.assertIn(b"extra.txt", done.stdout)
        self.run_stella("cache", "verify", "--repair", env=self.env)
        self.assertEqual(self.vector(), wanted)
        self.fail_with(2, "cache", "rm", REPO, "--revision", "v1", says="v1")
        self.succeed("cache", "rm", REPO)
        self.assertFalse(self.model.exists())


class Prune(CacheTest):
    def test_what_is_of_no_more_use_goes(self):
        snapshot = pathlib.Path(self.download())
        self.assertEqual(self.succeed("cache", "prune"), b"nothing to prune: freed 0 B\n")
        sound = self.tree(self.model)
        old = self.model / "snapshots" / ("2" * 40)
        shutil.copytree(snapshot, old, symlinks=True)
        (self.model / "blobs" / ("e" * 40)).write_bytes(b"x" * 5000)
        (self.model / "blobs" / ("e" * 64 + ".stella.incomplete")).write_bytes(b"x" * 4096)
        before = self.tree(self.model)
        said = self.succeed("cache", "prune", "--dry-run").decode()
        for part in ("revision  org/small  " + "2" * 40, "unused  org/small  blobs/" + "e" * 40 + "  5.00 kB",
                     "unfinished  org/small  blobs/", "would free 9.10 kB\n"):
            self.assertIn(part, said)
        self.assertEqual(self.tree(self.model), before)
        self.assertEqual(self.succeed("cache", "prune").decode(), said.replace("would free", "freed"))
        self.assertEqual(self.tree(self.model), sound)
        self.assertEqual(self.rows("--model", REPO, "--dim", "256", "--offline", "text"),
                         self.rows("--model", SMALL, "--dim", "256", "text"))

    def test_a_download_under_way_is_left_alone(self):
        self.hub.command(f"fault path={REPO}/{WEIGHTS},method=GET,times=always,gate=half,gate_at=100000")
        process = self.start_stella("download", REPO, "--dim", "256", "--quiet", env=self.env)
        self.hub.command("wait half")
        done = self.run_stella("cache", "prune")
        self.assertEqual((done.returncode, done.stdout), (0, b"nothing to prune: freed 0 B\n"))
        self.assertIn(b"just being downloaded", done.stderr)
        self.hub.command("clear")
        self.hub.command("release half")
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, error)


class Names(CacheTest):
    def test_hostile_names_reach_no_terminal(self):
        snapshot = pathlib.Path(self.download())
        (self.model / "refs" / "\x1b[2J").write_text(snapshot.name)
        (self.model / "refs" / "\x9b31m").write_text(snapshot.name)
        (self.model / "refs" / "模型").write_text(snapshot.name)
        os.symlink("nowhere", os.fsencode(snapshot) + b"/\xff\x1b]0;x\x07")
        for arguments in (("ls",), ("ls", "--json"), ("list",), ("verify",), ("prune", "--dry-run")):
            done = self.run_stella("cache", *arguments)
            text = (done.stdout + done.stderr).decode()  # all of it is UTF-8
            self.assertEqual([c for c in text if ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160], [], arguments)
        self.assertIn("  模型", self.succeed("cache", "list").decode())
        self.assertIn("模型", self.listing()["repositories"][0]["revisions"][0]["refs"])


class Bundle(CacheTest):
    def other(self):
        """A machine that never had a network."""
        return {"HF_HOME": self.folder / "other"}

    def pack(self):
        self.assertEqual(self.download("--pack", "out.tar"), "out.tar")
        return self.folder / "out.tar"

    def test_there_and_back(self):
        archive = self.pack()
        self.hub.command("clear-log")
        folder = self.succeed("download", "--unpack", archive, env=self.other()).decode().rstrip("\n")
        self.assertEqual(pathlib.Path(folder).parent, self.folder / "other/hub/models--org--small/snapshots")
        self.assertEqual(self.rows("--model", REPO, "--dim", "256", "--offline", "text", env=self.other()),
                         self.rows("--model", SMALL, "--dim", "256", "text"))
        self.assertEqual(self.hub.log(), [])
        mine = {name: what for name, what in self.tree(self.model).items() if not name.startswith(".no_exist/")}
        self.assertEqual(self.tree(self.folder / "other/hub/models--org--small"), mine)
        self.assertIn("all right", self.succeed("cache", "verify", env=self.other()).decode())
        self.succeed("download", "--unpack", archive, env=self.other())

    def test_other_programs_read_it_and_ours_reads_theirs(self):
        archive = self.pack()
        with tarfile.open(archive) as tar:
            names = tar.getnames()
            tar.extractall(self.folder / "by-python")
        self.assertTrue(all(name.startswith("models--org--small/") for name in names))
        self.assertEqual(names[-1], "models--org--small/refs/main")
        mine = {name: what for name, what in self.tree(self.model).items() if not name.startswith(".no_exist/")}
        self.assertEqual(self.tree(self.folder / "by-python/models--org--small"), mine)
        for form in (tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
            with tarfile.open(self.folder / "theirs.tar", "w", format=form) as tar:
                tar.add(self.folder / "by-python/models--org--small", "models--org--small")
            home = {"HF_HOME": self.folder / f"home{form}"}
            self.succeed("download", "--unpack", "theirs.tar", env=home)
            self.assertEqual(self.tree(self.folder / f"home{form}/hub/models--org--small"), mine)

    def test_a_damaged_cache_is_not_packed(self):
        self.damage(self.download())
        self.fail_with(3, "download", REPO, "--dim", "256", "--quiet", "--pack", "out.tar", env=self.env, says="--repair")
        self.assertEqual(list(self.folder.glob("out.tar*")), [])

    def rewrite(self, archive, change):
        """The archive with change(info, content) applied to every entry; entries that it returns besides are added."""
        target = self.folder / "hostile.tar"
        with tarfile.open(archive) as source, tarfile.open(target, "w") as out:
            for info in source.getmembers():
                content = source.extractfile(info).read() if info.isfile() else b""
                for changed, bytes_of_it in change(info, content):
                    changed.size = len(bytes_of_it)
                    out.addfile(changed, io.BytesIO(bytes_of_it))
        return target

    def test_hostile_archives_are_refused_with_nothing_written(self):
        archive = self.pack()

        def renamed(name):
            def change(info, content):
                info.name = name if "/refs/" in info.name else info.name
                return [(info, content)]
            return change

        def linked(target, kind=tarfile.SYMTYPE):
            def change(info, content):
                if info.issym():
                    info.linkname, info.type = target, kind
                return [(info, content)]
            return change

        def flipped(info, content):
            if "/blobs/" in info.name:
                content = content[:-1] + bytes([content[-1] ^ 1])
            return [(info, content)]

        def device(info, content):
            if "/refs/" in info.name:
                info.type = tarfile.FIFOTYPE
            return [(info, b"")] if "/refs/" in info.name else [(info, content)]

        cases = {
            "absolute": renamed(str(self.folder / "written")),
            "upwards": renamed("models--org--small/refs/../../../written"),
            "outside": renamed("written"),
            "another part": renamed("models--org--small/written"),
            "link upwards": linked("../../../../../written"),
            "absolute link": linked("/etc/passwd"),
            "hard link": linked("models--org--small/refs/main", tarfile.LNKTYPE),
            "flipped": flipped,
            "device": device,
        }
        for name, change in cases.items():
            with self.subTest(name):
                before = self.tree(self.folder)
                hostile = self.rewrite(archive, change)
                done = self.run_stella("download", "--unpack", hostile, env=self.other())
                self.check_failure(done.returncode, done.stderr, 3 if name == "flipped" else 1, "refused the archive")
                hostile.unlink()
                self.assertEqual(self.tree(self.folder), before)
                self.assertFalse((self.folder / "other").exists())

    def test_usage(self):
        self.fail_with(2, "download", REPO, "--unpack", "x.tar", says="--unpack")
        self.fail_with(2, "download", SMALL, "--pack", "x.tar", says="directory")
        self.fail_with(2, "download", REPO, "--pack", "x.tar", "--local-dir", "y", says="--local-dir")
        self.fail_with(1, "download", "--unpack", "absent.tar", says="absent.tar")
        self.write("text.tar", "no archive at all\n" * 100)
        self.fail_with(1, "download", "--unpack", "text.tar", says="text.tar")


class Layout(CacheTest):
    def test_every_blob_has_the_hash_in_its_name(self):
        self.download("--pack", "out.tar")
        self.succeed("download", "--unpack", "out.tar", env={"HF_HOME": self.folder / "other"})
        blobs = list((self.folder / "other/hub/models--org--small/blobs").iterdir())
        self.assertGreater(len(blobs), 3)
        for blob in blobs:
            self.assertTrue(etag_matches(blob.name, blob), blob)
        self.assertEqual((self.folder / "other/hub/models--org--small/refs/main").stat().st_size, 40)
        weights = CHECKPOINTS / "stella-small-tiny" / WEIGHTS
        self.assertIn(hashlib.sha256(weights.read_bytes()).hexdigest(), {blob.name for blob in blobs})


if __name__ == "__main__":
    unittest.main()
