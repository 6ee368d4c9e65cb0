"""What `stella cache rm`, `stella cache prune` and `stella download --unpack` leave is a cache to Python's huggingface_hub.

usage: cache_interop_test.py HUB_SERVER STELLA CHECKPOINT
"""

import json
import pathlib
import shutil
import subprocess
import sys
import unittest

import hub_support

HUB_SERVER = STELLA = CHECKPOINT = None
SCAN = """
import json, huggingface_hub as h
c = h.scan_cache_dir()
print(json.dumps([[str(w) for w in c.warnings], {r.repo_id: sorted(ref for v in r.revisions for ref in v.refs) for r in c.repos}]))
"""
FIND = """
from huggingface_hub import hf_hub_download, snapshot_download
print(hf_hub_download("org/small", "model.safetensors", local_files_only=True))
print(snapshot_download("org/small", local_files_only=True))
"""


class CacheInterop(unittest.TestCase):
    def setUp(self):
        folder = hub_support.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        shutil.copytree(CHECKPOINT, self.folder / "one", ignore=shutil.ignore_patterns("goldens"))
        shutil.copytree(self.folder / "one", self.folder / "two")
        (self.folder / "two/2_Dense_256/config.json").write_text('{"in_features": 64,  "out_features": 256}')
        (self.folder / "two/config.json").write_text((self.folder / "one/config.json").read_text() + "\n")
        self.hub = hub_support.Hub(HUB_SERVER, {"org/small": self.folder / "one"})
        self.addCleanup(self.hub.__exit__)
        self.hub.command(f"revision org/small v2 {self.folder / 'two'}")

    def run_in(self, home, *command):
        done = subprocess.run([str(word) for word in command], env=hub_support.environment(self.hub, home),
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def scan(self, home):
        return json.loads(self.run_in(home, sys.executable, "-B", "-c", SCAN))

    def test_scan_and_find_after_remove_pack_and_unpack(self):
        ours, other = self.folder / "ours", self.folder / "other"
        for revision in ("main", "v2"):
            self.run_in(ours, STELLA, "download", "org/small", "--dim", "256", "--revision", revision)
        self.assertEqual(self.scan(ours), [[], {"org/small": ["main", "v2"]}])
        self.run_in(ours, STELLA, "cache", "rm", "org/small", "--revision", "v2")
        self.assertEqual(self.scan(ours), [[], {"org/small": ["main"]}])

        self.run_in(ours, STELLA, "download", "org/small", "--dim", "256", "--revision", "v2")
        (ours / "hub/models--org--small/refs/v2").unlink()
        (ours / "hub/models--org--small/blobs" / ("e" * 64 + ".incomplete")).write_bytes(b"Python's")
        self.assertIn("revision", self.run_in(ours, STELLA, "cache", "prune"))
        self.assertEqual(self.scan(ours), [[], {"org/small": ["main"]}])

        archive = self.folder / "out.tar"
        self.run_in(ours, STELLA, "download", "org/small", "--dim", "256", "--pack", archive)
        unpacked = self.run_in(other, STELLA, "download", "--unpack", archive).strip()
        self.assertEqual(self.scan(other), [[], {"org/small": ["main"]}])
        self.hub.command("clear-log")
        file, snapshot = self.run_in(other, sys.executable, "-B", "-c", FIND).splitlines()
        self.assertEqual(pathlib.Path(file).read_bytes(), (self.folder / "one/model.safetensors").read_bytes())
        self.assertEqual(snapshot, unpacked)
        self.assertEqual(self.hub.log(), [])

        self.run_in(ours, STELLA, "cache", "rm", "org/small")
        self.assertEqual(self.scan(ours), [[], {}])


if __name__ == "__main__":
    HUB_SERVER, STELLA, CHECKPOINT = sys.argv[1:4]
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
