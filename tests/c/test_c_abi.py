"""libstella.so: what it shows, and that C, Python's ctypes, Go and Rust get the command line's bits from it."""

import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import unittest

SOURCE = pathlib.Path(os.environ["STELLA_SOURCE"])
sys.path.insert(0, str(SOURCE / "tests/cli"))
from cli_support import SMALL, CliTest, environment  # noqa: E402

LIBRARY = pathlib.Path(os.environ["STELLA_LIBRARY"])
CLIENT, EXAMPLE = os.environ["STELLA_C_CLIENT"], os.environ["STELLA_C_EXAMPLE"]
HEADER = SOURCE / "include/stella.h"
TEXTS = ["What are safetensors?", "naïve café, 北京", "a longer text " * 40, "x"]
DEMO = str(SOURCE / "models/stella-demo")


def tool(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


class Library(unittest.TestCase):
    def test_it_shows_what_the_header_declares_and_nothing_else(self):
        declared = re.findall(r"STELLA_API [^;(]*?\b(stella_\w+)\(", HEADER.read_text(encoding="utf-8"))
        shown = [line.split()[-1].partition("@")[0] for line in tool("nm", "-D", "--defined-only", LIBRARY).splitlines()]
        self.assertEqual(len(declared), len(set(declared)))
        self.assertGreater(len(declared), 40)
        self.assertEqual(sorted(shown), sorted(declared))

    def test_its_name_has_the_abi_version(self):
        version = re.search(r"^#define STELLA_ABI_VERSION (\d+)$", HEADER.read_text(encoding="utf-8"), re.MULTILINE)[1]
        self.assertIn(f"SONAME               libstella.so.{version}\n", tool("objdump", "-p", LIBRARY))

    def test_the_header_is_plain_c_and_plain_cpp(self):
        for compiler, flags in (("cc", "-std=c99"), ("c++", "-std=c++11")):
            subprocess.run([compiler, flags, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-x",
                            "c" if compiler == "cc" else "c++", HEADER], check=True, timeout=60)


class Vectors(CliTest):
    def command_line(self, task, dimension):
        path = self.write("texts", "".join(text + "\n" for text in TEXTS))
        return self.succeed("embed", "--model", SMALL, "--input", path, "--task", task, "--dim", dimension, "--format", "f32")

    def test_c_gives_the_command_lines_bits(self):
        for task in ("s2p", "s2s", "document"):
            for dimension in (256, 1024):
                done = subprocess.run([CLIENT, "embed", SMALL, task, str(dimension)], capture_output=True, timeout=120,
                                      input="".join(text + "\n" for text in TEXTS).encode(), env=environment(self.folder))
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(len(done.stdout), len(TEXTS) * dimension * 4)
                self.assertEqual(done.stdout, self.command_line(task, dimension), (task, dimension))

    def test_ctypes_gives_the_command_lines_bits(self):
        library = ctypes.CDLL(str(LIBRARY))
        for name in ("stella_error_message", "stella_version"):
            getattr(library, name).restype = ctypes.c_char_p

        def call(name, *arguments):
            error = ctypes.c_void_p()
            status = getattr(library, name)(*arguments, ctypes.byref(error))
            self.assertEqual(status, 0, library.stella_error_message(error))

        self.assertRegex(library.stella_version().decode(), r"^\d+\.\d+\.\d+$")
        model, request, result = (ctypes.c_void_p() for _ in range(3))
        call("stella_model_new", SMALL.encode(), None, None, ctypes.byref(model))
        call("stella_request_new", ctypes.byref(request))
        for text in TEXTS:
            data = text.encode()
            call("stella_request_add_text", request, data, ctypes.c_size_t(len(data)))
        call("stella_request_set_text", request, 1, b"s2p")
        dimension = ctypes.c_size_t(256)
        call("stella_request_set_dimensions", request, ctypes.byref(dimension), ctypes.c_size_t(1))
        memory = (ctypes.c_float * (len(TEXTS) * 256))()
        call("stella_request_set_output", request, ctypes.c_size_t(0), memory, ctypes.c_size_t(len(TEXTS)), dimension)
        call("stella_embed", model, request, None, ctypes.byref(result))
        wanted = self.command_line("s2p", 256)
        self.assertEqual(bytes(memory), wanted)
        library.stella_result_free(result)

        # With a callback, which takes the interpreter's lock on a thread of the library.
        ctypes.memset(memory, 0, ctypes.sizeof(memory))
        done = threading.Event()
        failures = []

        @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        def on_done(_, given, error):
            failures.extend([error] if error else [])
            library.stella_result_free(ctypes.c_void_p(given))
            done.set()

        call("stella_embed_async", model, request, None, on_done, None)
        self.assertTrue(done.wait(120))
        self.assertEqual(failures, [])
        self.assertEqual(bytes(memory), wanted)
        library.stella_request_free(request)
        library.stella_model_free(model)

    def test_the_documents_example_is_whole_c(self):
        [code] = re.findall(r"^```c\n(.*?)^```$", (SOURCE / "docs/c.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        include, _, body = code.partition("\n")
        for shown, here in (("NovaSearch/stella_en_400M_v5", SMALL), ("/* rows × columns", 'printf("%zu %zu\\n", rows, columns); /*')):
            self.assertEqual(body.count(shown), 1)
            body = body.replace(shown, here)
        source = self.write("program.c", f"#include <stdio.h>\n#include <string.h>\n{include}\n"
                                         f'int main(void) {{\nconst char* const text = "a text";\n{body}\nreturn 0;\n}}\n')
        program = self.folder / "program"
        tool("cc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{SOURCE / 'include'}", "-o", program, source,
             f"-L{LIBRARY.parent}", "-lstella", f"-Wl,-rpath,{LIBRARY.parent}")
        done = subprocess.run([program], capture_output=True, text=True, env=environment(self.folder), timeout=120)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "1 1024\n", ""))

    def test_the_example_in_c(self):
        out = tool(EXAMPLE, DEMO)
        self.assertRegex(out, r"^0\.\d{3}  Safetensors is a simple .*\n-?0\.\d{3}  Beijing is the capital of China\.\n$")

    def similarities(self, command, folder=None, **changes):
        env = environment(self.folder, LD_LIBRARY_PATH=LIBRARY.parent, **changes)
        for name in ("CARGO_HOME", "RUSTUP_HOME", "GOROOT"):
            if name in os.environ:
                env[name] = os.environ[name]
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder or self.folder, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def check_example(self, program):
        query, *texts = "how do I fix a flat tire", "Patch the inner tube.", "Bread rises by yeast."
        rows = self.rows("--model", DEMO, "--dim", "256", query, *texts)
        first = rows[0]["embedding"]
        wanted = [sum(a * b for a, b in zip(first, row["embedding"], strict=True)) for row in rows[1:]]
        lines = self.similarities([program, DEMO, query, *texts]).splitlines()
        self.assertEqual([line.partition("  ")[2] for line in lines], texts)
        for line, cosine in zip(lines, wanted, strict=True):
            self.assertAlmostEqual(float(line.split()[0]), cosine, delta=0.00051)
        failed = subprocess.run([program, "no/such/model/anywhere", query, *texts], capture_output=True, text=True,
                                env=environment(self.folder, LD_LIBRARY_PATH=LIBRARY.parent), timeout=60)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("no/such/model/anywhere", failed.stderr)

    def test_the_example_in_go(self):
        go = shutil.which("go")
        if not go:
            self.skipTest("no Go here")
        program = self.folder / "go-embed"
        self.similarities([go, "build", "-o", program, "."], folder=SOURCE / "examples/go", GOFLAGS="-mod=mod", GOPROXY="off",
                          CGO_ENABLED="1", CGO_CFLAGS=f"-I{SOURCE / 'include'}", CGO_LDFLAGS=f"-L{LIBRARY.parent}",
                          GOCACHE=self.folder / "go-cache", GOTOOLCHAIN="local")
        self.check_example(program)

    def test_the_example_in_rust(self):
        rustc = shutil.which("rustc")
        if not rustc or subprocess.run([rustc, "--version"], capture_output=True, check=False).returncode:
            self.skipTest("no Rust here")
        program = self.folder / "rust-embed"
        home = os.environ.get("HOME", "/")
        self.similarities([rustc, "--edition", "2021", "-D", "warnings", "-L", LIBRARY.parent, "-o", program,
                           SOURCE / "examples/rust/embed.rs"], HOME=home)
        self.check_example(program)


if __name__ == "__main__":
    unittest.main()
