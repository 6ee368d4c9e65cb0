"""Streaming: bounded memory, order, files that appear whole, full disks, bad lines, interruptions."""

import json
import os
import resource
import signal
import unittest

from cli_support import SMALL, CliTest, floats, read_npy, take_signals

# One short line costs little, so that 100,000 take seconds.
QUICK = ("embed", "--model", SMALL, "--dim", "256", "--task", "none", "--max-length", "8")


def lines(count):
    return "".join(f"line {i}\n" for i in range(count))


class Bounded(CliTest):
    def stream(self, count):
        """Embeds `count` lines to raw floats; gives (number of rows, some rows, peak memory in bytes)."""
        texts = self.write("texts.txt", lines(count))
        process = self.start_stella(*QUICK, "--format", "f32", "--input", texts, stdin=None, stderr=None)
        row_bytes = 256 * 4
        kept, rows = {}, 0
        while row := process.stdout.read(row_bytes):
            self.assertEqual(len(row), row_bytes)
            if rows % 9973 == 0:
                kept[rows] = row
            rows += 1
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return rows, kept, usage.ru_maxrss * 1024

    def test_memory_does_not_grow_with_the_input_and_order_is_kept(self):
        few, _, small_peak = self.stream(2_000)
        many, kept, peak = self.stream(100_000)
        self.assertEqual((few, many), (2_000, 100_000))
        # The results alone are 100 MB; what may grow is what an allocator keeps.
        self.assertLess(peak, small_peak + (48 << 20))
        alone = self.succeed(*QUICK, "--format", "f32", *(f"line {i}" for i in kept))
        self.assertEqual(alone, b"".join(kept.values()), "a text's vector depends on its neighbours")


class StandardOutput(CliTest):
    def test_rows_come_before_the_input_ends(self):
        process = self.start_stella(*QUICK, "--input", "-")
        for i in range(3):
            process.stdin.write(f"line {i}\n".encode())
            process.stdin.flush()
            # Would wait for ever if rows waited for more input; the test's time limit ends that.
            self.assertEqual(json.loads(process.stdout.readline())["index"], i)
        process.stdin.close()
        self.assertEqual((process.stdout.read(), process.wait(60)), (b"", 0))

    def test_a_bad_line_stops_after_the_last_good_row(self):
        good = lines(700)
        for bad, says in (("\n", "is empty"), (b"\xff\n", "UTF-8")):
            content = good.encode() + (bad if isinstance(bad, bytes) else bad.encode()) + b"never reached\n"
            done = self.fail_with(2, *QUICK, "--input", "-", stdin=content, says=["line 701", "standard input", says])
            rows = [json.loads(line)["index"] for line in done.stdout.splitlines()]
            self.assertEqual(rows, list(range(700)))
        texts = self.write("texts.jsonl", '"fine"\n{"text": 7}\n')
        done = self.fail_with(2, *QUICK, "--input", texts, "--input-format", "jsonl", says=["line 2", "texts.jsonl", "number"])
        self.assertEqual(len(done.stdout.splitlines()), 1)
        done = self.fail_with(2, "tokenize", "--model", SMALL, "--input", "-", stdin="fine\n\n", says="line 2")
        self.assertEqual(len(done.stdout.splitlines()), 1)

    def test_a_full_device_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            for command in ("embed", "tokenize"):
                self.fail_with(1, command, "--model", SMALL, "text", stdout=full, says=["standard output", "No space left"])
            self.fail_with(1, "similarity", "--model", SMALL, "a", "b", stdout=full, says="No space left")

    def test_a_reader_that_leaves_is_no_failure(self):
        process = self.start_stella(*QUICK, "--input", "-")
        process.stdin.write(lines(1).encode())
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(lines(1000).encode())
        process.stdin.close()
        self.assertEqual((process.stderr.read(), process.wait(60)), (b"", 0))


class OutputFile(CliTest):
    def setUp(self):
        super().setUp()
        self.place = self.folder / "place"
        self.place.mkdir()
        self.out = self.place / "out"

    def assert_untouched(self):
        self.assertEqual(self.out.read_text(), "older")
        self.assertEqual(list(self.place.iterdir()), [self.out], "something is left over")

    def test_replaces_an_older_file(self):
        self.out.write_text("older")
        self.out.chmod(0o640)
        self.succeed(*QUICK, "--output", self.out, "text")
        self.assertEqual(len(json.loads(self.out.read_text())["data"]), 1)
        self.assertEqual(self.out.stat().st_mode & 0o777, 0o640)
        self.assertEqual(list(self.place.iterdir()), [self.out])

    def test_survives_a_bad_line(self):
        self.out.write_text("older")
        for form in ("json", "jsonl", "npy", "f32"):
            self.fail_with(2, *QUICK, "--format", form, "--output", self.out, "--input", "-", stdin=lines(400) + "\n", says="line 401")
            self.assert_untouched()

    def test_survives_a_full_disk(self):
        self.out.write_text("older")

        def limit():
            take_signals()
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        for form in ("jsonl", "npy", "f32"):
            process = self.start_stella(*QUICK, "--format", form, "--output", self.out, "--input", self.write("texts", lines(2000)),
                                        preexec_fn=limit)
            _, error = process.communicate(timeout=60)
            self.check_failure(process.returncode, error, 1, [str(self.out), "File too large", "--output"])
            self.assert_untouched()

    def test_a_device_is_written_in_place(self):
        self.fail_with(1, *QUICK, "--output", "/dev/full", "text", says=["/dev/full", "No space left"])
        self.assertTrue(os.path.exists("/dev/full"))
        self.succeed(*QUICK, "--output", "/dev/null", "text")
        self.assertFalse(os.path.isfile("/dev/null"))
        self.fail_with(2, *QUICK, "--format", "npy", "--output", "/dev/null", "text", says="/dev/null")

    def test_a_place_that_cannot_be_written(self):
        self.fail_with(1, *QUICK, "--output", self.folder / "no/such/folder/out", "text", says="no/such/folder")
        self.fail_with(1, *QUICK, "--output", self.place, "text", says="directory")

    def test_an_interruption_leaves_the_older_file(self):
        self.out.write_text("older")
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.start_stella(*QUICK, "--output", self.out, "--input", "-")
            process.stdin.write(lines(1000).encode())
            process.stdin.flush()
            while len(list(self.place.iterdir())) < 2:  # until the temporary file is there
                self.assertIsNone(process.poll())
            process.send_signal(number)
            error = process.stderr.read()
            self.check_failure(process.wait(60), error, status, "interrupted")
            self.assert_untouched()

    def test_rows_in_a_large_npy_are_counted(self):
        self.succeed(*QUICK, "--format", "npy", "--output", self.out, "--input", "-", stdin=lines(5000))
        shape, values = read_npy(self.out)
        self.assertEqual(shape, (5000, 256))
        alone = floats(self.succeed(*QUICK, "--format", "f32", "line 0", "line 4999"))
        self.assertEqual(values[:256] + values[-256:], alone)


if __name__ == "__main__":
    unittest.main()
