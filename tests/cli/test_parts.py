"""`stella embed --parts`: every row once, whatever ends a run; finished parts stay; other settings are refused."""

import fcntl
import hashlib
import json
import os
import resource
import shutil
import signal
import time
import unittest

from cli_support import LARGE, SMALL, CliTest, read_npy


class PartsTest(CliTest):
    def setUp(self):
        super().setUp()
        self.texts = [f"text {i} " + "word " * (i * 7 % 60) for i in range(400)]
        self.input = self.write("texts.jsonl", "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(self.texts)))
        self.out = self.folder / "out"

    def arguments(self, *more, input=None, dim="256", parts="8", model=SMALL):
        return ("embed", "--model", model, "--input", input or self.input, "--task", "document", "--dim", dim, "--threads", "1",
                "--output", self.out, *(("--parts", parts) if parts else ()), *more)

    def whole(self, *more, dim="256", suffix=".jsonl"):
        path = self.folder / ("whole" + suffix)
        self.succeed("embed", "--model", SMALL, "--input", self.input, "--task", "document", "--dim", dim, "--output", path, *more)
        return path.read_bytes() if path.exists() else b""  # of several sizes there is a file for each

    def rows_of_parts(self, suffix=".jsonl"):
        return b"".join(path.read_bytes() for path in sorted(self.out.glob(f"part-*{suffix}")))

    def manifest(self):
        return json.loads((self.out / "manifest.json").read_text())

    def stamps(self):
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.finished_files()}

    def finished_files(self):
        for side in self.out.glob("part-*.json"):
            yield side
            for file in json.loads(side.read_text())["files"]:
                yield self.out / file["name"]

    def names(self):
        return sorted(path.name for path in self.out.iterdir())


class Whole(PartsTest):
    def test_the_parts_are_the_whole(self):
        self.succeed(*self.arguments("--keep", "id"))
        self.assertEqual(self.rows_of_parts(), self.whole("--keep", "id"))
        manifest = self.manifest()
        self.assertTrue(manifest["complete"])
        self.assertEqual(manifest["totals"]["rows"], len(self.texts))
        self.assertEqual(sum(part["rows"] for part in manifest["parts"]), len(self.texts))
        settings = manifest["settings"]
        self.assertEqual(settings["input_sha256"], hashlib.sha256(self.input.read_bytes()).hexdigest())
        self.assertEqual((settings["task"], settings["prompt"], settings["dimensions"], settings["normalized"]),
                         ("document", "", [256], True))
        self.assertEqual(settings["precision"], "f32")
        tokens = 0
        for i, part in enumerate(manifest["parts"]):
            self.assertEqual(part["name"], f"part-{i:05}-of-00008")
            side = json.loads((self.out / (part["name"] + ".json")).read_text())
            self.assertEqual(side["rows"], part["rows"])
            tokens += side["tokens"]
            [file] = side["files"]
            content = (self.out / file["name"]).read_bytes()
            self.assertEqual((file["bytes"], file["sha256"]), (len(content), hashlib.sha256(content).hexdigest()))
        self.assertEqual(tokens, manifest["totals"]["tokens"])
        self.assertEqual(len(self.names()), 8 * 2 + 1)

    def test_npy_of_two_sizes(self):
        self.succeed(*self.arguments("--format", "npy", dim="256,1024", parts="3"))
        self.whole("--format", "npy", dim="256,1024", suffix=".npy")
        for dim in (256, 1024):
            shape, wanted = read_npy(self.folder / f"whole.{dim}.npy")
            self.assertEqual(shape, (len(self.texts), dim))
            parts = [read_npy(path) for path in sorted(self.out.glob(f"part-*.{dim}.npy"))]
            self.assertEqual(len(parts), 3)
            self.assertEqual(b"".join(values.tobytes() for _, values in parts), wanted.tobytes())

    def test_more_parts_than_lines_and_lines_that_are_skipped(self):
        path = self.write("few.txt", "a\n\nb")
        self.succeed(*self.arguments("--skip-empty", input=path, parts="7"))
        self.assertEqual([json.loads(line)["index"] for line in self.rows_of_parts().splitlines()], [0, 2])
        self.assertEqual(self.manifest()["totals"]["skipped"], 1)
        self.assertEqual(len(list(self.out.glob("part-*.jsonl"))), 7)

    def test_a_finished_folder_is_left_alone(self):
        self.succeed(*self.arguments())
        stamps = self.stamps()
        self.succeed(*self.arguments("--resume", parts=None))
        self.assertEqual(self.stamps(), stamps)
        self.fail_with(2, *self.arguments(), says=("holds a run already", "--resume"))


    def test_a_part_that_is_damaged_is_embedded_again(self):
        self.succeed(*self.arguments())
        whole = self.rows_of_parts()
        before = self.stamps()
        damaged = sorted(self.out.glob("part-*.jsonl"))[3]
        content = damaged.read_bytes()
        damaged.write_bytes(content.replace(b'"index":', b'"indeX":', 1))  # of the same size
        done = self.run_stella(*self.arguments("--resume"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"'{damaged}' is not as it was written; its part is embedded again", done.stderr.decode())
        self.assertEqual(self.rows_of_parts(), whole)
        after = self.stamps()
        same = {name for name in before if after[name] == before[name]}
        self.assertEqual(set(before) - same, {damaged.name, damaged.with_suffix(".json").name})
        self.assertEqual(self.manifest()["totals"]["rows"], len(self.texts))
        self.assertEqual(self.run_stella(*self.arguments("--resume")).stderr, b"")

    def test_files_of_others_in_the_folder_stay(self):
        self.out.mkdir()
        own = [".part-of-the-book.tmp", ".part-00000-of-00009.jsonl.0123456789abcdef.tmp", ".part-00000-of-00008.jsonl.old.tmp"]
        left = [".part-00000-of-00008.jsonl.0123456789abcdef.tmp", ".manifest.json.0123456789abcdef.tmp"]
        for name in own + left:
            (self.out / name).write_text("text")
        self.succeed(*self.arguments())
        self.assertEqual([name for name in self.names() if name.startswith(".")], sorted(own))


class Ends(PartsTest):
    def setUp(self):
        super().setUp()
        self.texts = self.texts * 8
        self.input = self.write("texts.jsonl", "".join(json.dumps(text) + "\n" for text in self.texts))

    def check(self, stamps):
        """What was finished before is as it was, and the rest has come to it."""
        after = self.stamps()
        self.assertEqual({name: after[name] for name in stamps}, stamps)
        self.assertEqual(self.rows_of_parts(), self.whole())
        self.assertEqual(len(self.names()), 40 * 2 + 1, "nothing is left over")
        self.assertTrue(self.manifest()["complete"])

    def test_killed_again_and_again(self):
        kills = 0
        stamps = {}
        while True:
            process = self.start_stella(*self.arguments("--resume", parts="40"))
            had = len(stamps)
            while process.poll() is None and len(list(self.out.glob("part-*.json"))) * 2 < had + 12:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
            if process.returncode == 0:
                break
            kills += 1
            after = self.stamps()
            self.assertEqual({name: after[name] for name in stamps}, stamps)
            stamps = after
        self.assertGreater(kills, 1)
        self.check(stamps)

    def test_interrupted(self):
        process = self.start_stella(*self.arguments(parts="40"))
        while process.poll() is None and not list(self.out.glob("part-*.json")):
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
        if process.returncode != 0:
            self.check_failure(process.returncode, error, 130, says=("parts are finished", "--resume"))
        stamps = self.stamps()
        self.succeed(*self.arguments("--resume", parts="40"))
        self.check(stamps)

    def test_a_full_disk(self):
        def prepare():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            size = len(self.input.read_bytes())  # of one part's rows there is more
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        # A part's rows are longer than the limit, which stands for a disk that is full.
        process = self.start_stella(*self.arguments(parts="3"), preexec_fn=prepare)
        error = process.communicate(timeout=120)[1]
        self.check_failure(process.returncode, error, 1, says=("cannot write", "0 of 3 parts are finished", "--resume"))
        self.assertEqual(self.names(), ["manifest.json"])
        self.succeed(*self.arguments("--resume", parts=None))
        self.assertEqual(self.rows_of_parts(), self.whole())

    def test_a_bad_line_leaves_the_parts_before_it(self):
        lines = [json.dumps(text) + "\n" for text in self.texts]
        lines[3000] = "{no JSON\n"
        self.write("texts.jsonl", "".join(lines))
        self.fail_with(2, *self.arguments(parts="40"), says=("line 3001", "of 40 parts are finished"))
        self.assertGreater(len(list(self.out.glob("part-*.json"))), 20)
        self.assertEqual(len(list(self.out.glob("part-*.json"))), len(list(self.out.glob("part-*.jsonl"))))


class Refusals(PartsTest):
    def begin(self, *more, **options):
        """A run that has finished all parts but two."""
        self.succeed(*self.arguments(*more, **options))
        for part in (2, 5):
            for path in list(self.out.glob(f"part-{part:05}-*")):
                path.unlink()

    def test_other_settings(self):
        self.begin()
        for changed, says in ((dict(dim="1024"), "dimensions [256], and this run has [1024]"),
                              (dict(parts="4"), "--parts 8"),
                              (dict(model=LARGE), "model")):
            self.fail_with(2, *self.arguments("--resume", **changed), says=says)
        for changed, says in ((("--no-normalize",), "normalized true"), (("--max-length", "9"), "max_length"),
                              (("--keep", "id"), "keep []"), (("--format", "npy"), "format \"jsonl\""),
                              (("--on-long", "error"), "on_long"), (("--precision", "int16"), "precision \"f32\"")):
            self.fail_with(2, *self.arguments("--resume", *changed), says=says)
        with self.input.open("a") as file:
            file.write('"one more"\n')
        self.fail_with(2, *self.arguments("--resume"), says="input_bytes")

    def test_other_weights_in_the_same_directory(self):
        model = self.folder / "model"
        shutil.copytree(SMALL, model)
        self.begin(model=model)
        with (model / "model.safetensors").open("r+b") as file:
            file.seek(-4, os.SEEK_END)
            file.write(b"\0\0\0\0")
        self.fail_with(2, *self.arguments("--resume", model=model), says="weights")

    def test_parts_without_their_manifest(self):
        self.begin()
        before = self.stamps()
        (self.out / "manifest.json").unlink()
        for more in ((), ("--resume",)):
            self.fail_with(2, *self.arguments(*more, dim="1024"), says="no manifest.json")
        self.assertEqual(self.stamps(), before)

    def test_the_precision_is_the_first_runs(self):
        self.begin("--precision", "int16")
        before = self.stamps()
        self.succeed(*self.arguments("--resume"))
        self.assertEqual(self.manifest()["settings"]["precision"], "int16")
        self.assertEqual(self.rows_of_parts(), self.whole("--precision", "int16"))
        after = self.stamps()
        self.assertEqual({name: after[name] for name in before}, before)

    def test_two_runs_in_one_folder(self):
        self.begin()
        descriptor = os.open(self.out, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self.fail_with(1, *self.arguments("--resume"), says="another run works in")

    def test_options_that_do_not_go_together(self):
        base = ("embed", "--model", SMALL)
        for arguments, says in ((("--parts", "2", "text"), "--input FILE and --output FOLDER"),
                                (("--parts", "2", "--input", self.input), "--output FOLDER"),
                                (("--parts", "2", "--input", "-", "--output", self.out), "--input FILE"),
                                (("--parts", "0", "--input", self.input, "--output", self.out), "a whole number above 0"),
                                (("--parts", "2", "--input", self.input, "--output", self.out, "--format", "json"), "jsonl, npy, f32"),
                                (("--parts", "2", "--input", self.input, "--output", self.out, "--meta", "m"), "manifest.json"),
                                (("--parts", "2", "--input", self.input, "--input", self.input, "--output", self.out), "--input is given more than once"),
                                (("--resume", "--input", self.input, "--output", self.out), "--parts N")):
            self.fail_with(2, *base, *arguments, says=says)
        self.write("file", "")
        self.fail_with(1, *base, "--parts", "2", "--input", self.input, "--output", self.folder / "file", says="cannot write into")
        shutil.rmtree(self.out, ignore_errors=True)


if __name__ == "__main__":
    unittest.main()
