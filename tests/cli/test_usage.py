"""Arguments, help, exit statuses: what needs no vectors."""

import json
import os
import signal
import subprocess
import unittest

from cli_support import DEMO, SMALL, CliTest

COMMANDS = ["embed", "search", "similarity", "tokenize", "download", "info", "verify"]


class Help(CliTest):
    def test_root_lists_every_subcommand_and_the_exit_statuses(self):
        text = self.succeed("--help").decode()
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", text)
        for part in ("Exit status", "130", "HF_HUB_CACHE", "--model demo"):
            self.assertIn(part, text)

    def test_every_subcommand_explains_itself_with_examples(self):
        for command in COMMANDS:
            text = self.succeed(command, "--help").decode()
            self.assertIn("Examples:", text, command)
            for option in ("--model", "--revision", "--precision", "--threads", "--offline", "--quiet", "--log-level"):
                self.assertIn(option, text, command)
            self.assertLessEqual(max(map(len, text.splitlines())), 110, command)

    def test_usage_names_the_whole_command(self):
        self.assertIn("Usage: stella embed [OPTIONS] [TEXT...]", self.succeed("embed", "--help").decode())

    def test_version(self):
        self.assertEqual(self.succeed("embed", "--version"), self.succeed("--version"))
        self.assertRegex(self.succeed("--version").decode(), r"^stella \d+\.\d+\.\d+\n$")


class BadUsage(CliTest):
    def test_unknown_things(self):
        self.fail_with(2, says="--help")
        self.fail_with(2, "frobnicate", says="--help")
        self.fail_with(2, "embed", "--frobnicate", "text", says="--frobnicate")
        self.fail_with(2, "embed", "--model", SMALL, "--precision", "f33", "text", says=["f33", "f32"])
        self.fail_with(2, "embed", "--model", SMALL, "--format", "xml", "text", says=["xml", "jsonl"])
        self.fail_with(2, "embed", "--model", SMALL, "--on-long", "skip", "text", says=["skip", "truncate"])
        self.fail_with(2, "embed", "--model", SMALL, "--log-level", "loud", "text", says=["loud", "warning"])
        self.fail_with(2, "embed", "--model", SMALL, "--input-format", "csv", "--input", "-", says=["csv", "lines"])

    def test_texts_come_from_one_place(self):
        self.fail_with(2, "embed", "--model", SMALL, says=["TEXT", "--input"])
        self.fail_with(2, "embed", "--model", SMALL, "a", "--input", "-", says=["TEXT", "--input"])
        self.fail_with(2, "embed", "--model", SMALL, "a", "--input-format", "jsonl", says="--input")
        self.fail_with(2, "similarity", "--model", SMALL, "only one", says="two")

    def test_numbers(self):
        for dims in ("0", "-3", "a", "256,", "256,256", ""):
            self.fail_with(2, "embed", "--model", SMALL, f"--dim={dims}", "text")
        for option in ("--max-length", "--threads"):
            for value in ("0", "-1", "many"):
                self.fail_with(2, "embed", "--model", SMALL, f"{option}={value}", "text", says=option)
        self.fail_with(2, "similarity", "--model", SMALL, "--dim", "256,1024", "a", "b", says="--dim")

        self.fail_with(2, "embed", "--model", SMALL, "--threads", "100000", "text", says="--threads")
        self.fail_with(2, "embed", "--model", SMALL, "--max-length", "100000", "text", says="100000")
        self.fail_with(2, "tokenize", "--model", SMALL, "--max-length", "100000", "text", says="100000")

    def test_task_and_prompt_exclude_each_other(self):
        self.fail_with(2, "embed", "--model", SMALL, "--task", "s2p", "--prompt", "x", "text", says="--task")

    def test_files_that_formats_need(self):
        self.fail_with(2, "embed", "--model", SMALL, "--format", "npy", "text", says="--output")
        self.fail_with(2, "embed", "--model", SMALL, "--format", "f32", "--dim", "256,1024", "text", says="--output")

    def test_what_is_no_model(self):
        self.fail_with(2, "embed", "--model", "no/such/directory", "text", says="no/such/directory")
        self.fail_with(2, "download", says="MODEL")

    def test_a_text_that_starts_with_a_dash_needs_two(self):
        self.fail_with(2, "tokenize", "--model", SMALL, "-x marks it", says="put --")
        self.assertTrue(self.succeed("tokenize", "--model", SMALL, "--", "-x marks it"))


class Model(CliTest):
    def test_demo_is_the_bundled_model(self):
        wanted = self.succeed("tokenize", "--model", DEMO, "the bundled model")
        self.assertEqual(self.succeed("tokenize", "--model", "demo", "the bundled model"), wanted)

    def test_an_existing_directory_beats_an_id(self):
        os.symlink(SMALL, self.folder / "demo")
        wanted = self.succeed("tokenize", "--model", SMALL, "tiny")
        self.assertEqual(self.succeed("tokenize", "--model", "demo", "tiny"), wanted)

    def test_default_is_the_published_small_model(self):
        self.fail_with(3, "embed", "--offline", "text", says=["NovaSearch/stella_en_400M_v5", "--model demo"])


class Streams(CliTest):
    def test_a_reader_that_leaves_is_no_failure(self):
        lines = "".join(f"line {i}\n" for i in range(5000))
        texts = self.write("texts.txt", lines)
        process = self.start_stella("tokenize", "--model", SMALL, "--input", texts)
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
        self.assertEqual((process.wait(60), error), (0, b""))

    def test_a_signal_ends_a_wait_for_a_slow_reader(self):
        texts = self.write("texts.txt", "".join(f"line {i}\n" for i in range(100_000)))
        process = self.start_stella("tokenize", "--model", SMALL, "--input", texts)
        process.stdout.read(1)  # it writes, and nobody reads the rest
        process.send_signal(signal.SIGINT)
        self.check_failure(process.wait(60), process.stderr.read(), 130, "interrupted")

    def test_help_on_a_full_device_fails(self):
        with open("/dev/full", "wb") as full:
            self.fail_with(1, "--help", stdout=full, says="No space left")

    def test_everything_but_results_goes_to_standard_error(self):
        command = ("tokenize", "--model", SMALL, "--task", "none", "--max-length", "4", "one two three four five")
        done = self.run_stella(*command)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(json.loads(done.stdout)), 4)
        self.assertEqual(done.stderr, b"stella: warning: 1 of 1 texts were cut to 4 tokens\n")
        quiet = self.run_stella(*command, "--quiet")
        self.assertEqual((quiet.returncode, quiet.stdout, quiet.stderr), (0, done.stdout, b""))


class ManPage(CliTest):
    def test_is_made_from_help(self):
        page = self.folder / "stella.1"
        program = os.environ["STELLA_PROGRAM"]
        script = os.path.join(os.environ["STELLA_SOURCE"], "scripts/make-man")
        subprocess.run(["python3", "-B", script, program, page], check=True, timeout=60)
        text = page.read_text(encoding="utf-8").replace("\\-", "-").replace("\\e", "\\")
        self.assertTrue(text.startswith(".TH STELLA 1"))
        for command in COMMANDS:
            self.assertIn(f'.SH "STELLA {command.upper()}"', text)
            for line in self.succeed(command, "--help").decode().splitlines()[1:]:
                self.assertIn(line, text)


if __name__ == "__main__":
    unittest.main()
