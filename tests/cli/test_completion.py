"""The completion scripts, in the shells that are here."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
import unittest

from cli_support import PROGRAM, CliTest

BASH_CALL = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { :; }
_stella
printf '%s\\n' "${COMPREPLY[@]}"
"""


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, *command, home):
        self.seen = ""
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(home)
            environment = {"PATH": f"{home}:{os.environ['PATH']}", "HOME": str(home), "TERM": "xterm"}
            os.execvpe(command[0], [str(word) for word in command], environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.descriptor)
        os.waitpid(self.pid, 0)

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def wait_for(self, wanted):
        end = time.monotonic() + 60
        while wanted not in self.seen:
            assert time.monotonic() < end, f"no {wanted!r} in {self.seen!r}"
            if select.select([self.descriptor], [], [], 1)[0]:
                # What a shell prints to move and to colour is left out.
                self.seen += re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])|[\r\x07]", "",
                                    os.read(self.descriptor, 4096).decode(errors="replace"))


class Completion(CliTest):
    def script(self, shell):
        path = self.folder / f"completion.{shell}"
        path.write_bytes(self.succeed("completion", shell))
        return path


class Bash(Completion):
    def complete(self, *words):
        """The candidates for the last word, as bash passes words on: --name=value is three."""
        done = subprocess.run(["bash", "--norc", "-c", BASH_CALL, "bash", self.script("bash"), "stella", *words],
                              capture_output=True, text=True, timeout=60, cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_commands(self):
        self.assertEqual(self.complete("em"), ["embed"])
        for command in ("embed", "similarity", "tokenize", "download", "models", "info", "verify", "cache", "completion", "help"):
            self.assertIn(command, self.complete(""))
        self.assertEqual(self.complete("cache", "r"), ["rm"])
        self.assertIn("verify", self.complete("cache", ""))
        self.assertEqual(self.complete("help", "tok"), ["tokenize"])
        self.assertEqual(self.complete("cache", "list", "--js"), ["--json"])

    def test_every_option_of_every_command(self):
        for command in (("embed",), ("models",), ("download",), ("cache", "rm"), ("cache", "verify")):
            text = self.succeed(*command, "--help").decode()
            options = set(re.findall(r"^  (?:-\w,)?(--[a-z-]+)", text, re.MULTILINE))
            self.assertTrue(options)
            self.assertEqual(options - set(self.complete(*command, "-")), set(), command)
        self.assertEqual(self.complete("embed", "--no-n"), ["--no-normalize"])
        self.assertNotIn("--dim", self.complete("cache", "ls", "-"))

    def test_values(self):
        self.assertEqual(self.complete("embed", "--precision", ""), ["auto", "f32", "bf16", "int16", "int8"])
        self.assertEqual(self.complete("embed", "--precision", "=", "b"), ["bf16"])
        self.assertEqual(self.complete("embed", "--precision", "="), ["auto", "f32", "bf16", "int16", "int8"])
        self.assertEqual(self.complete("info", "--log-level", "d"), ["debug"])
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.complete("embed", "--revision", ""), [])

    def test_files_folders_and_models(self):
        (self.folder / "passages one.txt").touch()
        (self.folder / "model").mkdir()
        self.assertEqual(self.complete("embed", "--input", "pass"), ["passages", "one.txt"])
        self.assertEqual(self.complete("embed", "--model", "mo"), ["model"])
        self.assertEqual(self.complete("info", "NovaSearch/stella_en_4"), ["NovaSearch/stella_en_400M_v5"])
        self.assertEqual(self.complete("verify", "de"), ["demo"])

    def test_an_interactive_bash(self):
        """Types a command's beginning and the tabulator."""
        os.symlink(PROGRAM, self.folder / "stella")
        start = self.write("start", f"PS1='ready> '; source {self.script('bash')}")
        with Terminal("bash", "--noprofile", "--rcfile", start, "-i", home=self.folder) as terminal:
            terminal.wait_for("ready> ")
            terminal.type("stella simi\t--prec\tint1\t")
            terminal.wait_for("stella similarity --precision int16 ")


@unittest.skipUnless(shutil.which("zsh"), "no zsh here")
class Zsh(Completion):
    def offers(self, line, *wanted):
        """Types `line` and the tabulator, and waits for each string of `wanted` in what zsh lists."""
        self.write(".zshrc", f"PS1='ready> '; autoload -Uz compinit; compinit -u -D; source {self.script('zsh')}\n")
        with Terminal("zsh", "-d", "-i", home=self.folder) as terminal:
            terminal.wait_for("ready> ")
            terminal.type(line + "\t")
            for part in wanted:
                terminal.wait_for(part)

    def test_it_parses_and_offers_commands_and_values(self):
        subprocess.run(["zsh", "-f", "-n", self.script("zsh")], check=True, timeout=60)
        self.offers("stella ", "similarity", "Print how alike")
        self.offers("stella embed --precision ", "int16")
        self.offers("stella embed --precision=", "int16")
        self.offers("stella embed --no-n", "--no-normalize")
        self.offers("stella cache v", "stella cache verify")
        self.write("texts.txt", "")
        self.offers("stella embed --input te", "texts.txt")


@unittest.skipUnless(shutil.which("fish"), "no fish here")
class Fish(Completion):
    def complete(self, line):
        command = f"source {self.script('fish')}; complete -C {quote(line)}"
        done = subprocess.run(["fish", "--no-config", "-c", command], capture_output=True, text=True, timeout=60,
                              cwd=self.folder, env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "TERM": "dumb"})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [entry.split("\t")[0] for entry in done.stdout.splitlines()]

    def test_it_offers_commands_options_values_and_files(self):
        self.assertIn("similarity", self.complete("stella "))
        self.assertEqual(self.complete("stella embed --precision b"), ["bf16"])
        self.assertEqual(self.complete("stella embed --no-n"), ["--no-normalize"])
        self.assertIn("rm", self.complete("stella cache "))
        self.assertNotIn("embed", self.complete("stella cache "))
        self.assertEqual(self.complete("stella cache verify --re"), ["--repair"])
        self.assertNotIn("--repair", self.complete("stella verify --"))
        (self.folder / "texts.txt").touch()
        self.assertIn("texts.txt", self.complete("stella embed --input te"))
        self.assertEqual(self.complete("stella completion z"), ["zsh"])


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


if __name__ == "__main__":
    unittest.main()
