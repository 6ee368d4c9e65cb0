"""Streaming: bounded memory, order, files that appear whole, full disks, bad lines, interruptions."""

import fcntl
import json
import os
import pty
import re
import resource
import select
import signal
import struct
import subprocess
import termios
import unittest

from cli_support import SMALL, CliTest, floats, read_npy, take_signals

# One short line costs little, so that 100,000 take seconds.
QUICK = ("embed", "--model", SMALL, "--dim", "256", "--task", "none", "--max-length", "8")
TWO = tuple("256,1024" if argument == "256" else argument for argument in QUICK)


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


class Terminal(CliTest):
    """Standard error is a terminal."""

    def show(self, *arguments, feed=b"", until=b"", **options):
        """Runs to its end; gives the exit status and what the terminal was sent. `feed` goes to standard input again and
        again until the terminal shows what `until` matches."""
        mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        process = self.start_stella(*arguments, stderr=theirs, stdout=subprocess.DEVNULL, **options)
        os.close(theirs)
        if not feed:
            process.stdin.close()
        shown = b""
        try:
            while True:
                if not process.stdin.closed:
                    if re.search(until, shown):
                        process.stdin.close()
                    elif not select.select([mine], [], [], 0.02)[0]:
                        process.stdin.write(feed)
                        process.stdin.flush()
                        continue
                part = os.read(mine, 65536)
                if not part:
                    break
                shown += part
        except OSError:  # the other side is closed
            pass
        os.close(mine)
        return process.wait(60), shown.decode()

    def test_a_bar_shows_texts_rate_and_time_left(self):
        # Many, so that no machine is done before the bar is first drawn.
        status, shown = self.show(*QUICK, "--output", "v.npy", "--input", self.write("texts.txt", lines(150_000)))
        self.assertEqual(status, 0, shown)
        self.assertRegex(shown, r"\d texts +\d+% \[#*\.*\] \d+(\.\d+)? [kM]?B / \d+(\.\d+)? MB  [\d,]+ tokens/s  \d+:\d\d")
        self.assertRegex(shown.splitlines()[-1], r"150,000 texts, [\d,]+ tokens in \d+:\d\d, [\d,]+ tokens/s$")
        drawn = [line for line in shown.replace("\x1b[J", "\n").splitlines() if "texts" in line]
        self.assertTrue(all(len(line) <= 99 for line in drawn), drawn)

    def test_without_a_size_there_is_no_share(self):
        status, shown = self.show(*QUICK, "--output", "v.npy", "--input", "-", feed=lines(100).encode(),
                                  until=rb"[\d,]+ texts  [\d,]+ tokens/s")
        self.assertEqual(status, 0, shown)
        self.assertRegex(shown, r"[\d,]+ texts  [\d,]+ tokens/s")
        self.assertNotRegex(shown, "texts.*%")

    def test_quiet_and_arguments_show_none(self):
        texts = self.write("texts.txt", lines(3000))
        self.assertEqual(self.show(*QUICK, "--quiet", "--output", "v.npy", "--input", texts), (0, ""))
        status, shown = self.show(*QUICK, "--output", "v.npy", "text")
        self.assertEqual(status, 0)
        self.assertNotIn("tokens/s", shown)


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

    def test_a_bad_line_leaves_the_rows_before_it(self):
        self.out.write_text("older")
        partial = self.place / "out.partial"
        whole = self.succeed(*QUICK, "--format", "f32", "--input", "-", stdin=lines(400))
        for form in ("json", "jsonl", "npy", "f32"):
            self.fail_with(2, *QUICK, "--format", form, "--output", self.out, "--input", "-", stdin=lines(400) + "\n" + lines(400),
                           says=["line 401", str(partial), "400 rows"])
            self.assertEqual(self.out.read_text(), "older")
            self.assertEqual(sorted(self.place.iterdir()), [self.out, partial])
            content = partial.read_bytes()
            if form == "f32":
                self.assertEqual(content, whole)
            elif form == "npy":
                self.assertEqual(read_npy(partial), ((400, 256), floats(whole)))
            else:
                rows = json.loads(content)["data"] if form == "json" else [json.loads(line) for line in content.splitlines()]
                self.assertEqual([row["index"] for row in rows], list(range(400)))
            partial.unlink()

    def test_a_bad_first_line_leaves_nothing(self):
        self.out.write_text("older")
        for form in ("json", "jsonl", "npy", "f32"):
            self.fail_with(2, *QUICK, "--format", form, "--output", self.out, "--input", "-", stdin="\n" + lines(400), says="line 1")
            self.assert_untouched()

    def test_a_token_that_the_model_lacks_is_named_with_its_line_and_harms_no_other(self):
        strange = self.copy_checkpoint(name="strange")
        tokenizer = json.loads((strange / "tokenizer.json").read_text(encoding="utf-8"))
        size = json.loads((strange / "config.json").read_text())["vocab_size"]
        tokenizer["added_tokens"].append({"id": size, "content": "<image>", "single_word": False, "lstrip": False, "rstrip": False,
                                          "normalized": False, "special": True})
        (strange / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
        texts = self.write("texts.txt", lines(301) + "an <image> of it\n" + lines(20))
        command = tuple(str(strange) if argument == SMALL else argument for argument in QUICK)
        done = self.fail_with(1, *command, "--input", texts, says=["line 302 of ", "texts.txt", str(size)])
        self.assertEqual([json.loads(line)["index"] for line in done.stdout.splitlines()], list(range(301)))
        self.fail_with(1, *command, "--input", texts, "--output", self.place / "v.npy", says=["line 302", "301 rows", "v.npy.partial"])
        self.assertEqual(read_npy(self.place / "v.npy.partial")[0], (301, 256))

    def test_an_over_long_text_leaves_the_rows_before_it(self):
        done = self.fail_with(2, *TWO, "--on-long", "error", "--output", self.place / "v.npy", "--input", "-",
                              stdin=lines(300) + "word " * 50 + "\n" + lines(5), says=["line 301", "v.256.npy.partial", "v.1024.npy.partial"])
        self.assertEqual(done.stdout, b"")
        for dimension in (256, 1024):
            self.assertEqual(read_npy(self.place / f"v.{dimension}.npy.partial")[0], (300, dimension))
        self.assertEqual(len(list(self.place.iterdir())), 2)

    def test_the_input_is_never_the_output(self):
        texts = self.write("texts.txt", lines(3))
        os.link(texts, self.folder / "hard")
        os.symlink("texts.txt", self.folder / "soft")
        for name in ("texts.txt", "./texts.txt", texts, "hard", "soft"):
            self.fail_with(2, *QUICK, "--input", texts, "--output", name, says=[str(name), "--input"])
            self.fail_with(2, *QUICK, "--input", name, "--output", texts, says=["--input"])
            self.fail_with(2, *QUICK, "--input", name, "--output", "out", "--meta", texts, says=["--meta", "--input"])
        with open(texts, "rb") as standard_input:
            process = self.start_stella(*QUICK, "--input", "-", "--output", "soft", stdin=standard_input)
            self.check_failure(process.wait(60), process.stderr.read(), 2, ["standard input", "soft"])
        with open(texts, "ab") as standard_output:
            self.fail_with(2, *QUICK, "--input", texts, stdout=standard_output, says=["standard output", "texts.txt"])
        os.link(texts, self.folder / "v.256.npy")
        self.fail_with(2, *TWO, "--input", texts, "--output", "v.npy", says="v.256.npy")
        os.rename(texts, self.folder / "rows.partial")
        self.fail_with(2, *QUICK, "--input", "rows.partial", "--output", "rows", says="rows.partial")
        self.fail_with(2, *QUICK, "--output", "out", "--meta", "./out", "text", says="--meta")
        self.assertEqual((self.folder / "rows.partial").read_text(), lines(3))

    def test_what_cannot_be_written_is_said_before_the_model_is_loaded(self):
        for options in (("--output", "no/such/v.npy"), ("--output", "out", "--meta", "no/such/m.json")):
            self.fail_with(1, "embed", "--model", "nobody/nothing", *options, "text", says="no/such")

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

    def test_an_interruption_says_what_was_finished_and_where_it_is(self):
        self.out.write_text("older")
        partial = self.place / "out.partial"
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.start_stella(*QUICK, "--format", "jsonl", "--output", self.out, "--input", "-")
            process.stdin.write(lines(1000).encode())
            process.stdin.flush()

            def size():
                return sum(path.stat().st_size for path in self.place.iterdir() if path != self.out)
            while size() == 0:  # until rows were written
                self.assertIsNone(process.poll())
            process.send_signal(number)
            error = process.stderr.read()
            self.check_failure(process.wait(60), error, status, ["interrupted", "finished", str(partial)])
            self.assertNotIn(b"download", error)
            rows = partial.read_text().splitlines()
            self.assertIn(f" {len(rows):,} row".encode(), error)
            self.assertEqual([json.loads(row)["index"] for row in rows], list(range(len(rows))))
            self.assertEqual(self.out.read_text(), "older")
            self.assertEqual(sorted(self.place.iterdir()), [self.out, partial])
            partial.unlink()

    def test_an_interruption_without_rows_leaves_the_older_file(self):
        self.out.write_text("older")
        process = self.start_stella(*QUICK, "--output", self.out, "--input", "-")
        while len(list(self.place.iterdir())) < 2:  # until the temporary file is there
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        error = process.stderr.read()
        self.check_failure(process.wait(60), error, 130, "interrupted")
        self.assertNotIn(b"download", error)
        self.assert_untouched()

    def test_an_interruption_ends_the_wait_for_the_other_end_of_a_fifo(self):
        os.mkfifo(self.folder / "fifo")
        for options in (("--input", "fifo"), ("--output", "fifo", "text")):
            process = self.start_stella(*QUICK, *options)
            with self.assertRaises(subprocess.TimeoutExpired):
                process.wait(0.5)
            process.send_signal(signal.SIGINT)
            self.check_failure(process.wait(60), process.stderr.read(), 130, "interrupted")

    def test_fifos_are_read_and_written(self):
        for name in ("in", "out.f32"):
            os.mkfifo(self.folder / name)
        process = self.start_stella(*QUICK, "--input", "in", "--output", "out.f32")
        with open(self.folder / "in", "wb") as texts:
            texts.write(lines(500).encode())
            with open(self.folder / "out.f32", "rb") as rows:
                texts.close()
                self.assertEqual(len(rows.read()), 500 * 256 * 4)
        self.assertEqual(process.wait(60), 0, process.stderr.read())

    def test_rows_in_a_large_npy_are_counted(self):
        self.succeed(*QUICK, "--format", "npy", "--output", self.out, "--input", "-", stdin=lines(5000))
        shape, values = read_npy(self.out)
        self.assertEqual(shape, (5000, 256))
        alone = floats(self.succeed(*QUICK, "--format", "f32", "line 0", "line 4999"))
        self.assertEqual(values[:256] + values[-256:], alone)


if __name__ == "__main__":
    unittest.main()
