"""A machine that fails: no signal, no hang, a typed error or the right result, and no good file harmed."""

import errno
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["STELLA_SOURCE"])
sys.path.insert(0, str(SOURCE / "tests/python"))
sys.path.insert(0, str(SOURCE / "tests/crash"))
from crash_support import make_model  # noqa: E402
from hub_support import Hub  # noqa: E402

PROGRAM, SUBJECT, SHIM = (os.environ[name] for name in ("STELLA_PROGRAM", "STELLA_FAULT_SUBJECT", "STELLA_FAULT_SHIM"))
MODEL = SOURCE / "models/stella-demo"
ERRORS = {"EIO": 5, "ENOMEM": 12, "EACCES": 13, "EMFILE": 24}
TIME_LIMIT = 60  # for a run of a fraction of a second on a machine that may be busy
NOBODY = 65534


def environment(home, **changes):
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_HOME": str(home / "hf"), "HF_HUB_ETAG_TIMEOUT": "5"}
    variables.update(changes)
    return variables


class FailingMachine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="stella-fault-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        os.chmod(self.folder, 0o755)

    def run_it(self, *command, fault="", prepare=None, **changes):
        env = environment(self.folder, **changes)
        if fault:
            env.update(LD_PRELOAD=SHIM, STELLA_FAULT=fault)
        try:
            return subprocess.run([str(word) for word in command], env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=TIME_LIMIT, preexec_fn=prepare)
        except subprocess.TimeoutExpired:
            self.fail(f"hangs: {command[:1]} {fault} {changes}")

    def subject(self, *arguments, expected=None, **options):
        """Both attempts are right, or say in one typed line what was lacking."""
        done = self.run_it(SUBJECT, *arguments, **options)
        note = (options, done.stdout, done.stderr)
        self.assertIn(done.returncode, (0, 1), note)
        self.assertEqual(done.stderr, "", note)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 2, note)
        for line in lines:
            self.assertRegex(line, r"^(ok|error (?!untyped)[^:]+:) .", note)
            if line.startswith("ok") and expected:
                self.assertEqual(line, expected, note)
        return lines

    def program(self, *arguments, statuses=(0, 1, 3), program=PROGRAM, **options):
        done = self.run_it(program, *arguments, **options)
        note = (arguments, options, done.returncode, done.stdout[:200], done.stderr)
        self.assertIn(done.returncode, statuses, note)
        if done.returncode:
            self.assertRegex(done.stderr, r"^(stella: warning[^\n]*\n)*stella: [^\n]*\n$", note)
            self.assertNotIn("defect", done.stderr, note)
        return done

    def packed(self):
        return {path.name: (path.stat().st_ino, path.read_bytes()) for path in (self.folder / "packed").glob("*.packed")}

    def fail_each(self, faults, *arguments, **options):
        """Runs with each fault on packed weights that are good, and sees that they stay."""
        lines = self.subject(*arguments)
        expected = lines[0]
        self.assertTrue(expected.startswith("ok"), lines)
        good = self.packed()
        for fault in faults:
            self.subject(*arguments, expected=expected, fault=fault, **options)
            for name, content in good.items():
                self.assertEqual(self.packed().get(name), content, fault)
        self.assertEqual(self.subject(*arguments), [expected, expected])

    def test_large_allocations(self):
        self.fail_each([f"malloc:{n}" for n in range(1, 25)] + [f"malloc:{n}+" for n in (1, 3, 8)], MODEL, self.folder)

    def test_smaller_allocations(self):
        # Below lie std::filesystem's own, some of which its noexcept functions make, and end the program by that.
        chosen = sorted(random.Random(1).sample(range(1, 400), 40))
        self.fail_each([f"malloc:{n}" for n in chosen], MODEL, self.folder, STELLA_FAULT_BYTES="4096",
                       STELLA_FAULT_LATER="1")

    def test_threads(self):
        self.fail_each([f"thread:{n}" for n in range(1, 13)] + [f"thread:{n}+" for n in range(1, 9)], MODEL, self.folder)

    def test_files(self):
        for name, number in ERRORS.items():
            with self.subTest(name):
                self.fail_each([f"open:{n}:{number}" for n in range(1, 30, 3 if name != "EMFILE" else 2)], MODEL, self.folder)

    def test_mappings(self):
        self.fail_each([f"mmap:{n}:12" for n in range(1, 30, 2)], MODEL, self.folder, STELLA_FAULT_LATER="1")

    def test_without_locks_all_who_start_at_once_choose_one_precision(self):
        model = make_model(self.folder / "model", random.Random(17))
        env = environment(self.folder, LD_PRELOAD=SHIM, STELLA_FAULT=f"lock:1+:{errno.ENOLCK}")
        for _ in range(5):
            shutil.rmtree(self.folder / "hf", ignore_errors=True)
            processes = [subprocess.Popen([PROGRAM, "embed", "--model", str(model), "--dim", "256", "--threads", "1", "a text"], env=env,
                                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
            results = [process.communicate(timeout=TIME_LIMIT) for process in processes]
            self.assertEqual({process.returncode for process in processes}, {0}, results)
            self.assertEqual(len(set(out for out, _ in results)), 1, "other vectors, or another precision")
            left = [path.name.rpartition(".")[2] for path in (self.folder / "hf/stella").iterdir()]
            self.assertEqual(left.count("choice"), 1, left)
            self.assertEqual(set(left) - {"choice", "packed", "lock"}, set(), left)

    def test_the_program(self):
        command = ("embed", "--model", "demo", "--dim", "256", "text")
        right = self.program(*command).stdout
        faults = [f"thread:{n}" for n in (1, 2, 4, 6)] + [f"malloc:{n}" for n in (1, 2, 5, 9, 14)]
        faults += [f"open:{n}:24" for n in (6, 9, 12, 15, 18)]
        for fault in faults:
            done = self.program(*command, fault=fault)
            if done.returncode == 0:
                self.assertEqual(done.stdout, right, fault)

    def test_descriptors(self):
        # With 3 not even the program's own libraries can be opened.
        with Hub(os.environ["STELLA_HUB_SERVER"], {"org/demo": MODEL}) as hub:
            for limit in (4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 64):
                def prepare(limit=limit):
                    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
                home = self.folder / str(limit)
                home.mkdir()
                self.program("embed", "--model", "demo", "--dim", "256", "text", prepare=prepare)
                if limit % 4 == 0:
                    self.program("download", "org/demo", "--dim", "256", prepare=prepare, HF_ENDPOINT=hub.endpoint,
                                 HF_HOME=str(home))
                    self.program("cache", "verify", statuses=(0,), HF_HOME=str(home))

    def test_processes(self):
        def prepare(limit):
            if os.geteuid() == 0:  # no limit binds root
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
        if os.geteuid() != 0:
            self.skipTest("other processes of this user count, too")
        # Nobody may look into the folder of whoever builds: the program and its model go where they are to be seen.
        program = shutil.copy(PROGRAM, self.folder / "stella")
        shutil.copytree(MODEL, self.folder / "share/stella/models/stella-demo")
        for path in (self.folder / "share").rglob("*"):
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o644))
        started = 0
        for limit in range(1, 13):
            done = self.program("embed", "--model", "demo", "--dim", "256", "text", program=program,
                                prepare=lambda limit=limit: prepare(limit))
            started += done.returncode == 0
        self.assertGreater(started, 0, "no limit lets the program work")

    def test_closed_streams(self):
        right = self.program("embed", "--model", "demo", "--dim", "256", "text").stdout
        with Hub(os.environ["STELLA_HUB_SERVER"], {"org/demo": MODEL}) as hub:
            for closed in range(1, 8):
                def prepare(closed=closed):
                    for descriptor in range(3):
                        if closed >> descriptor & 1:
                            os.close(descriptor)
                for model in ("demo", "org/demo"):
                    done = self.run_it(PROGRAM, "embed", "--model", model, "--dim", "256", "--quiet", "text",
                                       prepare=prepare, HF_ENDPOINT=hub.endpoint, HF_HOME=str(self.folder / f"{closed}"))
                    note = (closed, model, done.stderr)
                    self.assertEqual(done.returncode, 1 if closed & 2 else 0, note)
                    if not closed & 2:
                        self.assertEqual(done.stdout.replace("org/demo", "demo"), right, note)
                    elif not closed & 4:
                        self.assertIn("standard output is closed", done.stderr, note)
                # A program that uses the library: its own streams are its own matter.
                done = self.run_it(SUBJECT, "org/demo", self.folder / f"subject-{closed}", hub.endpoint, prepare=prepare)
                self.assertEqual(done.returncode, 0, (closed, done))
                self.program("cache", "verify", statuses=(0,), HF_HUB_CACHE=str(self.folder / f"subject-{closed}/hub"))

    def test_closed_standard_input_as_input(self):
        done = self.run_it(PROGRAM, "embed", "--model", "demo", "--dim", "256", "--input", "-", prepare=lambda: os.close(0))
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("standard input is closed", done.stderr)


if __name__ == "__main__":
    unittest.main()
