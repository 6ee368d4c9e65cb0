"""Models of the hub through the command line: downloads, failures, interruptions."""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["STELLA_SOURCE"]) / "tests/python"))

from cli_support import CHECKPOINTS, SMALL, CliTest  # noqa: E402
from hub_support import Hub  # noqa: E402

REPO = "org/small"
DIMENSIONS = (256, 768, 1024, 2048, 4096, 6144, 8192)


class HubTest(CliTest):
    def setUp(self):
        super().setUp()
        # A folder of its own, without the goldens that the hub's repositories do not have.
        repo = self.copy_checkpoint(name="repo")
        self.hub = self.enterContext(Hub(os.environ["STELLA_HUB_SERVER"], {REPO: repo}))
        self.env = {"HF_ENDPOINT": self.hub.endpoint}

    def enterContext(self, manager):  # of unittest from Python 3.11 on
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def leftovers(self):
        """Blobs that are whole, by their names."""
        blobs = self.folder / "hf/hub/models--org--small/blobs"
        return [path.name for path in blobs.iterdir() if not path.name.endswith(".incomplete")] if blobs.exists() else []


class Download(HubTest):
    def test_prints_the_folder_and_logs_lines(self):
        done = self.run_stella("download", REPO, "--dim", "all", env=self.env)
        self.assertEqual(done.returncode, 0, done.stderr)
        folder = pathlib.Path(done.stdout.decode().rstrip("\n"))
        self.assertEqual(folder.parent.name, "snapshots")
        for dimension in DIMENSIONS:
            self.assertTrue((folder / f"2_Dense_{dimension}/model.safetensors").exists())
        log = done.stderr.decode().splitlines()
        self.assertTrue(any(line.startswith("model.safetensors: ") for line in log), log)
        names = [line.split(": ")[0] for line in log]
        self.assertEqual(len(names), len(set(names)), log)  # each file once
        again = self.run_stella("download", REPO, env=self.env).stderr.decode().splitlines()
        self.assertEqual(len(again), len(set(again)), again)
        self.assertNotIn("\x1b", done.stderr.decode())
        quiet = self.run_stella("download", REPO, "--dim", "all", "--quiet", env=self.env)
        self.assertEqual((quiet.returncode, quiet.stdout, quiet.stderr), (0, done.stdout, b""))

    def test_debug_says_what_is_asked_for_and_what_was_there(self):
        env = {**self.env, "HF_TOKEN": "hf_secret"}
        first = self.run_stella("tokenize", "--model", REPO, "--log-level", "debug", "text", env=env).stderr.decode()
        self.assertIn("stella: debug: HEAD " + self.hub.endpoint, first)
        self.assertRegex(first, r"GET http\S+config\.json: status 200, \d+ bytes, \d+ ms\n")
        then = self.run_stella("embed", "--model", REPO, "--dim", "256", "--log-level", "debug", "--offline", "text", env=env)
        self.assertIn(f"stella: debug: config.json of {REPO}: in the cache, ", then.stderr.decode())
        self.assertNotIn("HEAD", then.stderr.decode())
        self.assertNotIn("hf_secret", first + then.stderr.decode())

    def test_fetches_the_heads_that_were_asked_for(self):
        folder = pathlib.Path(self.succeed("download", REPO, "--dim", "256,768", env=self.env).decode().rstrip("\n"))
        self.assertEqual(sorted(path.name for path in folder.glob("2_Dense_*")), ["2_Dense_256", "2_Dense_768"])
        self.fail_with(2, "download", REPO, "--dim", "512", "--quiet", env=self.env, says=["512", "256"])

    def test_then_works_offline_and_equals_the_local_directory(self):
        self.succeed("download", REPO, "--dim", "256", env=self.env)
        self.hub.command("clear-log")
        out = self.rows("--model", REPO, "--dim", "256", "--offline", "text", env=self.env)
        self.assertEqual(self.hub.log(), [])
        self.assertEqual(out, self.rows("--model", SMALL, "--dim", "256", "text"))

    def test_local_dir_holds_copies_in_the_repository_layout(self):
        out = self.succeed("download", REPO, "--dim", "256", "--local-dir", "copy", env=self.env).decode()
        self.assertEqual(out, "copy\n")
        for name in ("config.json", "tokenizer.json", "model.safetensors", "2_Dense_256/model.safetensors"):
            copy = self.folder / "copy" / name
            self.assertFalse(copy.is_symlink())
            self.assertEqual(copy.read_bytes(), (CHECKPOINTS / "stella-small-tiny" / name).read_bytes(), name)
        self.assertEqual(self.rows("--model", "copy", "--dim", "256", "text"), self.rows("--model", SMALL, "--dim", "256", "text"))
        self.succeed("download", REPO, "--dim", "256", "--local-dir", "copy", env=self.env)

    def test_embedding_fetches_what_it_needs(self):
        done = self.run_stella("embed", "--model", REPO, "--dim", "768", "text", env=self.env)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        fetched = {request["path"] for request in self.hub.log() if request["method"] == "GET"}
        self.assertTrue(any("2_Dense_768/model.safetensors" in path for path in fetched))
        self.assertFalse(any("2_Dense_256/model.safetensors" in path for path in fetched))

    def test_info_says_what_is_cached(self):
        self.succeed("tokenize", "--model", REPO, "text", env=self.env)
        sizes = lambda: {e["file"]: e["size"] for e in json.loads(self.succeed("info", REPO, "--json", env=self.env))["files"]}
        self.assertIsNone(sizes()["model.safetensors"])
        self.succeed("download", REPO, "--dim", "256", env=self.env)
        self.assertEqual(sizes()["model.safetensors"], (CHECKPOINTS / "stella-small-tiny/model.safetensors").stat().st_size)
        self.assertIsNone(sizes()["2_Dense_1024/model.safetensors"])
        self.assertIn("not here yet", self.succeed("info", REPO, env=self.env).decode())

    def test_bars_on_a_terminal_only(self):
        for changes, wanted in (({}, True), ({"HF_HUB_DISABLE_PROGRESS_BARS": "1"}, False)):
            self.hub.command("clear")
            self.hub.command("fault path=model.safetensors,method=GET,times=always,drip_bytes=300000,drip_every=150")
            ours, theirs = pty.openpty()
            process = self.start_stella("embed", "--model", REPO, "--dim", "256", "--format", "f32", "text", stdin=None,
                                        stderr=theirs, env={**self.env, "HF_HOME": self.folder / f"home{wanted}", **changes})
            os.close(theirs)
            shown = b""
            try:
                while part := os.read(ours, 65536):
                    shown += part
            except OSError:  # the terminal's other end is closed
                pass
            os.close(ours)
            process.stdout.read()
            self.assertEqual(process.wait(60), 0, shown)
            self.assertEqual(b"model.safetensors" in shown and b"MB/s" in shown, wanted, shown)
            self.assertEqual(b"\x1b[" in shown, wanted, shown)


    def test_the_overall_bar_of_a_terminal(self):
        self.hub.command("fault path=model.safetensors,method=GET,times=always,drip_bytes=60000,drip_every=100")
        shown = self.on_terminal("download", REPO, "--dim", "all", columns=100)
        screens = list(screens_of(shown))
        overall = [re.fullmatch(r"all \((\d+) of (\d+) files\) +(\d+)% \[[#.]+\] .*", screen[-1]) for screen in screens if "all (" in screen[-1]]
        self.assertGreater(len(overall), 1, shown)
        self.assertTrue(all(overall), screens)
        done = [int(line[1]) for line in overall]
        self.assertEqual(done, sorted(done))
        for screen in screens:
            self.assertTrue(all(len(line) < 100 for line in screen), screen)
            self.assertLessEqual(sum(line.startswith("all (") for line in screen), 1)
        together = max(screens, key=lambda screen: sum("[" in line for line in screen))
        self.assertGreater(sum("2_Dense_" in line and "[" in line for line in together), 1, "heads under way at the same time")
        # Nothing of the bars stays: one line for each file, and no other.
        last = screens[-1]
        self.assertEqual([line for line in last if "[" in line], [])
        for dimension in DIMENSIONS:
            self.assertEqual(sum(f"2_Dense_{dimension}/model.safetensors: " in line for line in last), 1, last)

    def on_terminal(self, *arguments, columns):
        """What the program writes to a terminal as its standard error; within a minute."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        process = self.start_stella(*arguments, stdin=None, stderr=theirs, env=self.env)
        os.close(theirs)
        shown = b""
        end = time.monotonic() + 60
        while select.select([ours], [], [], max(0, end - time.monotonic()))[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the terminal's other end is closed
                part = b""
            if not part:
                break
            shown += part
        self.assertEqual(process.wait(max(1, end - time.monotonic())), 0, shown)
        return shown.decode()


def screens_of(shown):
    """The lines on an endless terminal, before each time that some are erased and at the end."""
    lines = []
    for part in re.split(r"(\x1b\[\d+A\r\x1b\[J)", shown):
        if up := re.match(r"\x1b\[(\d+)A", part):
            yield list(lines)
            assert int(up[1]) <= len(lines), "erases more than it has drawn"
            del lines[-int(up[1]):]
        else:
            assert "\x1b" not in part and part.count("\n") == part.count("\r\n"), repr(part)
            lines += part.split("\r\n")[:-1]
    yield lines


class Failures(HubTest):
    def test_unreachable(self):
        done = self.fail_with(3, "embed", "text", says=["NovaSearch/stella_en_400M_v5", "--model demo", "cannot reach 127.0.0.1"])
        self.assertEqual(done.stdout, b"")
        self.assertEqual(done.stderr.count(b"NovaSearch/stella_en_400M_v5"), 1)
        other = self.fail_with(3, "embed", "--model", REPO, "text", says="org/small")
        self.assertNotIn(b"--model demo", other.stderr)

    def test_not_found(self):
        self.fail_with(3, "embed", "--model", "org/nothing", "text", env=self.env, says="org/nothing")
        self.fail_with(3, "embed", "--model", REPO, "--revision", "v9", "text", env=self.env, says="v9")
        self.fail_with(3, "download", "org/nothing", env=self.env, says=["org/nothing", "directory"])

    def test_gated(self):
        gated = self.enterContext(Hub(os.environ["STELLA_HUB_SERVER"], {REPO: self.folder / "repo"}, "--gated", f"{REPO}=secret"))
        env = {"HF_ENDPOINT": gated.endpoint}
        self.fail_with(3, "embed", "--model", REPO, "text", env=env, says="org/small")
        done = self.fail_with(3, "embed", "--model", REPO, "text", env={**env, "HF_TOKEN": "wrong-token"}, says="org/small")
        self.assertNotIn(b"wrong-token", done.stderr)
        self.assertEqual(len(self.rows("--model", REPO, "text", env={**env, "HF_TOKEN": "secret"})), 1)

    def test_integrity(self):
        self.hub.command("fault path=model.safetensors,method=GET,times=always,flip_at=5000")
        self.fail_with(3, "embed", "--model", REPO, "--dim", "256", "text", env=self.env, says="model.safetensors")

    def test_bad_settings(self):
        self.fail_with(2, "embed", "--model", REPO, "text", env={"HF_HUB_ETAG_TIMEOUT": "soon"}, says="HF_HUB_ETAG_TIMEOUT")


class Interruption(HubTest):
    def interrupt(self, gate, *arguments):
        """Sends SIGINT while the weights' transfer stands at a gate."""
        self.hub.command(f"fault path=org/small/model.safetensors,method=GET,times=always,gate={gate},gate_at=100000")
        process = self.start_stella(*arguments, env=self.env)
        self.hub.command(f"wait {gate}")
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        self.hub.command("clear")
        self.hub.command(f"release {gate}")
        return process.returncode, out, error

    def test_in_mid_download_and_the_next_run_works(self):
        for arguments in (("download", REPO, "--quiet"), ("embed", "--model", REPO, "text")):
            code, out, error = self.interrupt(arguments[0], *arguments)
            self.check_failure(code, error, 130, "interrupted")
            self.assertEqual(out, b"")
            weights = (CHECKPOINTS / "stella-small-tiny/model.safetensors").stat().st_size
            blobs = self.folder / "hf/hub/models--org--small/blobs"
            sizes = [(blobs / name).stat().st_size for name in self.leftovers()]
            self.assertNotIn(weights, sizes, "a blob that was not fetched to its end has its final name")
        self.assertEqual(self.rows("--model", REPO, "text", env=self.env), self.rows("--model", SMALL, "text"))


if __name__ == "__main__":
    unittest.main()
