"""Arguments, help, exit statuses: what needs no vectors."""

import json
import json
import os
import re
import signal
import subprocess
import unittest

from cli_support import DEMO, SMALL, CliTest

COMMANDS = ["embed", "search", "similarity", "tokenize", "download", "info", "verify"]


def all_commands(path=()):
    """Every command of the program, found through its help."""
    text = subprocess.run([os.environ["STELLA_PROGRAM"], *path, "--help"], check=True, capture_output=True, text=True, timeout=60).stdout
    found = [path]
    if "\nSubcommands:\n" in text:
        section = text.split("\nSubcommands:\n", 1)[1].split("\n\n", 1)[0]
        for name in re.findall(r"^  ([a-z]+)\b", section, re.MULTILINE):
            found += all_commands((*path, name))
    return found


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

    def test_help_is_a_command_too(self):
        self.assertEqual(self.succeed("help"), self.succeed("--help"))
        self.assertEqual(self.succeed("help", "embed"), self.succeed("embed", "--help"))
        self.assertEqual(self.succeed("help", "cache", "rm"), self.succeed("cache", "rm", "--help"))
        self.fail_with(2, "help", "foo", says="'foo'")

    def test_lines_fit_a_terminal(self):
        """80 columns, but for examples, which are for copying; continued lines start where their text does."""
        for path in all_commands():
            for line in self.succeed(*path, "--help").decode().splitlines():
                example = line.startswith("  ") and ("stella " in line or "[...]" in line)
                self.assertTrue(len(line) <= 80 or example, line)
                self.assertFalse(line.endswith(" "), repr(line))
        text = self.succeed("cache", "verify", "--help").decode()
        notes = text.split("Examples:", 1)[1].split("\n\n", 1)[1]
        self.assertEqual([line for line in notes.splitlines() if line.startswith(" ")], [])

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
        self.fail_with(2, "embed", "--model", "./absent", "text", says=["no directory", "./absent", "config.json"])
        self.fail_with(2, "embed", "--model", "stella.Q8_0.gguf", "text", says=["llama.cpp", "model.safetensors"])
        self.fail_with(2, "info", f"{SMALL}/model.safetensors", says=["is a file", f"'{SMALL}'"])
        self.write("model.gguf", "GGUF")
        self.fail_with(2, "info", "model.gguf", says=["is a file", "llama.cpp"])

    def test_what_was_meant(self):
        self.fail_with(2, "simliarity", "a", "b", says="`stella similarity`")
        self.fail_with(2, "cache", "lis", says="`stella cache ls`")
        self.fail_with(2, "cache", "remove", says="`stella cache rm`")
        self.fail_with(2, "emb", says="`stella embed`")
        self.fail_with(2, "foo", says=["'foo'", "embed", "verify"])
        self.fail_with(2, "foo", "--help", says="'foo'")
        self.fail_with(2, "embed", "--taks", "s2p", "text", says=["--taks", "'--task'"])
        self.fail_with(2, "--quiet", "embed", "text", says=["after the command", "stella embed --quiet"])
        self.fail_with(2, "cache", says=["ls", "rm", "verify"])

    def test_each_sentence_is_ours(self):
        for arguments in (["embed", "--dim"], ["embed", "--dim", "1", "--dim", "2", "x"], ["info", "a", "b"], ["cache", "ls", "x"],
                          ["info", "a", "--model", "b"], ["embed", "--quiet=no", "x"], ["embed", "--threads"], ["completion"],
                          ["completion", "tcsh"], ["embed", "--nothing"], ["cache", "rm", "--nothing"], ["--nothing"]):
            with self.subTest(arguments):
                line = self.fail_with(2, *arguments).stderr.decode()
                for theirs in ("was not expected", "were not expected", "required", "At Most", "At most", "disallowed", "missing"):
                    self.assertNotIn(theirs, line)
        self.fail_with(2, "embed", "--dim", says=["--dim", "N[,N...]"])
        self.fail_with(2, "embed", "--dim", "1", "--dim", "2", "x", says=["--dim", "more than once", "'1'", "'2'"])
        self.fail_with(2, "info", "a", "b", says=["'b'", "stella info"])
        self.fail_with(2, "embed", "--quiet=no", "x", says="--quiet takes no value")

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


class Models(CliTest):
    def test_lists_the_registry_and_the_bundled_model(self):
        text = self.succeed("models").decode()
        for part in ("NovaSearch/stella_en_400M_v5 (the default)", "NovaSearch/stella_en_1.5B_v5", "demo", "8192", "stella download"):
            self.assertIn(part, text)
        rows = {row["model"]: row for row in json.loads(self.succeed("models", "--json"))["models"]}
        small = rows["NovaSearch/stella_en_400M_v5"]
        self.assertEqual((small["default"], small["registered"], small["cached"], small["packed_weights"]), (True, True, None, []))
        self.assertEqual(rows["demo"]["dimensions"], [256, 768, 1024, 2048, 4096, 6144, 8192])

    def test_makes_no_folder_and_no_request(self):
        self.succeed("models")
        self.assertEqual(list(self.folder.iterdir()), [])


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
        text = page.read_text(encoding="utf-8").replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
        self.assertTrue(text.startswith(".TH STELLA 1"))
        for path in all_commands():
            if path:
                self.assertIn(f'.SH "STELLA {" ".join(path).upper()}"', text)
            help_text = self.succeed(*path, "--help").decode()
            usage = help_text[help_text.index("Usage: "):]
            self.assertTrue(usage.rstrip() in text, path)
            self.assertIn(" ".join(help_text[:help_text.index("Usage: ")].split()), text)


if __name__ == "__main__":
    unittest.main()
