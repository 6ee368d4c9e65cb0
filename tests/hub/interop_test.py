"""Points 13-16, 24, 26 and 30 of docs/hub.md: our client and Python's huggingface_hub on one cache.

usage: interop_test.py HUB_SERVER HUB_GET [TEST]
"""

import json
import os
import pathlib
import stat
import subprocess
import sys
import time
import unittest

import hub_support

HUB_SERVER = HUB_GET = None
FILES = {
    "config.json": b'{"hidden_size": 64}\n',
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}\n',
    "a/b/c/deep.txt": b"deep\n",
    "model.safetensors": hub_support.bytes_of("model", 3_000_000),
    "2_Dense_256/model.safetensors": hub_support.bytes_of("dense", 400_000),
}
PYTHON_GET = """
import sys
from huggingface_hub import hf_hub_download
for file in sys.argv[3:]:
    print(hf_hub_download(sys.argv[1], file, revision=sys.argv[2], local_files_only={local}))
"""


class Interop(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = hub_support.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.repo = hub_support.make_repo(self.folder / "repo", FILES)
        self.hub = hub_support.Hub(HUB_SERVER, {"org/name": self.repo})
        self.addCleanup(self.hub.__exit__)
        self.home = self.folder / "home"

    def start(self, command, home=None, umask=-1, **changes):
        return subprocess.Popen(
            [str(word) for word in command],
            env=hub_support.environment(self.hub, home or self.home, **changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=umask,
        )

    def finish(self, process):
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, err)
        return out.splitlines()

    def fail_to(self, process):
        process.communicate(timeout=120)
        self.assertNotEqual(process.returncode, 0)

    def ours(self, *files, revision="main", **options):
        return self.start([HUB_GET, "org/name", revision, *files], **options)

    def python(self, *files, revision="main", local=False, **options):
        code = PYTHON_GET.replace("{local}", str(local))
        return self.start([sys.executable, "-B", "-c", code, "org/name", revision, *files], **options)

    def folder_of(self, home):
        return pathlib.Path(home) / "hub" / "models--org--name"

    def listing(self, home):
        """{path: (kind, mode, content or link text)} of what both clients share."""
        root = pathlib.Path(home) / "hub"
        found = {}
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            status = path.lstat()
            mode = stat.S_IMODE(status.st_mode)
            if "/trees" in name:
                continue  # Python's own
            if path.is_symlink():
                found[name] = ("link", os.readlink(path))
            elif path.is_dir():
                found[name] = ("folder", oct(mode))
            else:
                content = path.read_bytes()
                if name == "CACHEDIR.TAG":
                    content = content.splitlines()[0]  # the rest says which program wrote it
                found[name] = ("file", oct(mode), content)
        return found

    def check_layout_equals_pythons(self, umask):
        files = list(FILES)
        self.finish(self.ours(*files, home=self.folder / "ours", umask=umask))
        self.finish(self.python(*files, home=self.folder / "python", umask=umask))
        absent = ["absent/file.json"]
        self.fail_to(self.ours(*absent, home=self.folder / "ours", umask=umask))
        self.fail_to(self.python(*absent, home=self.folder / "python", umask=umask))
        ours = self.listing(self.folder / "ours")
        python = self.listing(self.folder / "python")
        self.assertEqual(sorted(ours), sorted(python))
        for name in python:
            self.assertEqual(ours[name], python[name], name)

    def test_P13_layout_links_refs_and_modes_equal_pythons(self):
        self.check_layout_equals_pythons(umask=0o022)

    def test_P13_the_same_under_umask_077(self):
        self.check_layout_equals_pythons(umask=0o077)

    def test_P13_a_branch_with_slashes(self):
        self.hub.command(f"revision org/name refs/pr/7 {self.repo}")
        self.finish(self.ours("config.json", revision="refs/pr/7"))
        self.finish(self.python("config.json", revision="refs/pr/7", local=True))

    def test_P14_ours_downloads_and_python_finds_it_offline(self):
        ours = self.finish(self.ours(*FILES))
        self.hub.command("clear-log")
        python = self.finish(self.python(*FILES, local=True))
        self.assertEqual(ours, python)
        self.assertEqual(self.hub.log(), [])
        for path, content in zip(python, FILES.values()):
            self.assertEqual(pathlib.Path(path).read_bytes(), content)

    def test_P14_python_transfers_nothing_again(self):
        self.finish(self.ours(*FILES))
        self.hub.command("clear-log")
        self.finish(self.python(*FILES))
        self.assertEqual(self.hub.file_bytes(), 0)

    def test_P15_python_downloads_and_ours_finds_it_offline_with_no_request(self):
        python = self.finish(self.python(*FILES))
        self.hub.command("clear-log")
        ours = self.finish(self.ours(*FILES, HF_HUB_OFFLINE="1"))
        self.assertEqual(ours, python)
        commit = pathlib.Path(python[0]).parent.name
        pinned = self.finish(self.ours(*FILES, revision=commit))
        self.assertEqual(pinned, python)
        self.assertEqual(self.hub.log(), [])

    def test_P15_ours_transfers_nothing_again(self):
        self.finish(self.python(*FILES))
        self.hub.command("clear-log")
        self.finish(self.ours(*FILES))
        self.assertEqual(self.hub.file_bytes(), 0)

    def share_blob(self):
        """Moves the model's blob to where 2.x clients share blobs between repositories."""
        blobs = self.folder_of(self.home) / "blobs"
        blob = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
        shared = self.home / "hub" / "blobs" / "ab" / ("ab" + "0" * 62)
        shared.parent.mkdir(parents=True)
        (self.home / "hub" / "blobs" / ".huggingface-shared-blobs").touch()
        blob.rename(shared)
        shared.chmod(0o400)
        blob.symlink_to(f"../../blobs/ab/{shared.name}")
        return shared

    def test_P16_a_shared_store_blob_serves_both(self):
        python = self.finish(self.python(*FILES))
        shared = self.share_blob()
        before = shared.stat()
        self.hub.command("clear-log")
        self.assertEqual(self.finish(self.python(*FILES, local=True)), python)
        self.assertEqual(self.finish(self.ours(*FILES, HF_HUB_OFFLINE="1")), python)
        self.assertEqual(self.hub.log(), [])
        self.assertEqual(self.finish(self.ours(*FILES)), python)
        self.assertEqual(self.hub.file_bytes(), 0)
        after = shared.stat()
        self.assertEqual((before.st_mode, before.st_mtime_ns, before.st_ino), (after.st_mode, after.st_mtime_ns, after.st_ino))

    def test_P24_scan_cache_dir_gives_no_warnings(self):
        self.finish(self.ours(*FILES))
        self.fail_to(self.ours("absent.json"))
        code = (
            "import json, huggingface_hub as h; c = h.scan_cache_dir();"
            "print(json.dumps([[str(w) for w in c.warnings], len(c.repos), c.size_on_disk,"
            "sorted(f.file_name for r in c.repos for v in r.revisions for f in v.files)]))"
        )
        [line] = self.finish(self.start([sys.executable, "-B", "-c", code]))
        warnings, repos, size, names = json.loads(line)
        self.assertEqual(warnings, [])
        self.assertEqual(repos, 1)
        self.assertEqual(size, sum(len(content) for content in FILES.values()))
        self.assertEqual(len(names), len(FILES))

    def contend(self, first, second):
        """Starts `second` while `first` holds the lock in mid-transfer; both must end with one body transferred."""
        self.hub.command("fault port=cdn,times=always,gate=half,gate_at=1000000")
        one = first("model.safetensors")
        self.hub.command("wait half")
        two = second("model.safetensors")
        while sum(r["method"] == "HEAD" for r in self.hub.log()) < 2:
            time.sleep(0.01)
        self.assertIsNone(one.poll())
        self.hub.command("release half")
        self.assertEqual(self.finish(one), self.finish(two))
        self.assertEqual(self.hub.file_bytes("model.safetensors"), len(FILES["model.safetensors"]))

    def test_P26_python_waits_for_ours(self):
        self.contend(self.ours, self.python)

    def test_P26_ours_waits_for_python(self):
        self.contend(self.python, self.ours)

    def test_P29_python_killed_ours_proceeds(self):
        self.hub.command("fault port=cdn,gate=half,gate_at=1000000")
        holder = self.python("model.safetensors")
        self.hub.command("wait half")
        waiter = self.ours("model.safetensors")
        while sum(r["method"] == "HEAD" for r in self.hub.log()) < 2:
            time.sleep(0.01)
        holder.kill()
        holder.communicate()
        [path] = self.finish(waiter)
        self.assertEqual(pathlib.Path(path).read_bytes(), FILES["model.safetensors"])

    def prune(self):
        hf = pathlib.Path(sys.executable).parent / "hf"
        self.finish(self.start([hf, "cache", "prune", "--yes"]))

    def test_P30_hf_cache_prune_between_runs(self):
        self.hub.command("fault port=cdn,gate=half,gate_at=1000000")
        first = self.ours("model.safetensors")
        self.hub.command("wait half")
        first.kill()
        first.communicate()
        self.assertTrue(list((self.folder_of(self.home) / "blobs").iterdir()))
        self.prune()
        self.hub.command("clear")
        [path] = self.finish(self.ours("model.safetensors"))
        self.assertEqual(pathlib.Path(path).read_bytes(), FILES["model.safetensors"])
        self.finish(self.python("model.safetensors", local=True))

    def test_P30_hf_cache_prune_during_a_run(self):
        self.finish(self.ours("config.json"))
        self.hub.command("fault port=cdn,gate=half,gate_at=1000000")
        running = self.ours("model.safetensors")
        self.hub.command("wait half")
        self.prune()
        self.hub.command("release half")
        [path] = self.finish(running)
        self.assertEqual(pathlib.Path(path).read_bytes(), FILES["model.safetensors"])

    def test_partial_of_ours_does_not_mislead_python(self):
        self.hub.command("fault port=cdn,gate=half,gate_at=1000000")
        first = self.ours("model.safetensors")
        self.hub.command("wait half")
        first.kill()
        first.communicate()
        self.hub.command("clear")
        [path] = self.finish(self.python("model.safetensors"))
        self.assertEqual(pathlib.Path(path).read_bytes(), FILES["model.safetensors"])

    def test_snapshot_download_of_python_accepts_our_cache(self):
        self.finish(self.ours(*FILES))
        self.hub.command("clear-log")
        code = "import huggingface_hub as h; print(h.snapshot_download('org/name'))"
        [path] = self.finish(self.start([sys.executable, "-B", "-c", code]))
        self.assertEqual(self.hub.file_bytes(), 0)
        for name, content in FILES.items():
            self.assertEqual((pathlib.Path(path) / name).read_bytes(), content)


if __name__ == "__main__":
    HUB_SERVER, HUB_GET = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
