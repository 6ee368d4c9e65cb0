"""Names from models, hubs and archives never reach a terminal raw, and an error is one line of at most 4 KiB."""

import http.server
import io
import json
import tarfile
import threading
import unittest

from cli_support import SMALL, CliTest

HOSTILE = "a\x1b[31mb\x07c\rd\x7fe\x9bf\x85g\u2028h\u202ei"
LONG = "n" * 100_000
LINE = 4096


class Hostile:
    """A hub whose answers are meant for the terminal."""

    def __init__(self, status, headers):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.wfile.write(b"HTTP/1.1 %d no\r\nContent-Length: 0\r\n" % status)
                for name, value in headers.items():
                    self.wfile.write(name.encode() + b": " + value + b"\r\n")
                self.wfile.write(b"\r\n")
                self.close_connection = True

            do_GET = do_HEAD

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # of a client that has read enough
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Terminal(CliTest):
    def check_shown(self, text):
        """Nothing in it that a terminal obeys."""
        decoded = text.decode("utf-8")  # strict: what is no UTF-8 is escaped too
        for c in decoded:
            obeyed = (ord(c) < 0x20 and c not in "\n\t") or 0x7F <= ord(c) <= 0x9F or c in "\u2028\u2029\u202e"
            self.assertFalse(obeyed, repr(decoded[:2000]))

    def check_lines(self, text):
        self.check_shown(text)
        self.assertLessEqual(max(map(len, text.splitlines()), default=0), LINE)

    def check_error(self, done, status):
        self.assertEqual(done.returncode, status, done.stderr[:2000])
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr[:2000])
        self.assertLessEqual(len(done.stderr), LINE)
        self.check_shown(done.stderr)
        self.check_shown(done.stdout)

    def change(self, folder, file, **members):
        path = folder / file
        content = json.loads(path.read_text(encoding="utf-8"))
        content.update(members)
        path.write_text(json.dumps(content), encoding="utf-8")

    def test_prompts_and_their_names(self):
        model = self.copy_checkpoint()
        self.change(model, "config_sentence_transformers.json", prompts={HOSTILE: HOSTILE, LONG: LONG, "query": "q: "})
        shown = self.run_stella("info", model)
        self.assertEqual(shown.returncode, 0, shown.stderr[:2000])
        self.check_lines(shown.stdout)
        prompts = json.loads(self.succeed("info", model, "--json"))["prompts"]
        self.assertEqual((prompts[HOSTILE], prompts[LONG]), (HOSTILE, LONG))
        self.check_lines(self.run_stella("embed", "--model", model, "--task", "nonsense", "text").stderr)

    def test_json_is_escaped(self):
        model = self.copy_checkpoint()
        self.change(model, "config_sentence_transformers.json", prompts={HOSTILE: "x"})
        self.check_shown(self.succeed("info", model, "--json"))

    def test_names_in_configurations(self):
        for file, member in (("config.json", "model_type"), ("config.json", "hidden_act"), ("config.json", "position_embedding_type")):
            for value in (HOSTILE, LONG):
                with self.subTest(file=file, member=member, length=len(value)):
                    model = self.copy_checkpoint(name=f"model-{member}-{len(value)}")
                    self.change(model, file, **{member: value})
                    done = self.run_stella("embed", "--model", model, "text")
                    self.check_lines(done.stderr)

    def test_files_of_a_model(self):
        model = self.copy_checkpoint(name="model")
        (model / HOSTILE).write_text("x")
        (model / "name\nwith a newline").write_text("x")
        (model / b"\xff\xfe.bin".decode(errors="surrogateescape")).write_text("x")
        shown = self.succeed("info", model)
        self.check_shown(shown)
        self.assertEqual([line for line in shown.splitlines() if line.startswith(b"with a newline")], [])
        json.loads(self.succeed("info", model, "--json"))  # UTF-8, whatever the file system says

    def test_arguments(self):
        for name in (HOSTILE, LONG, "a\nb"):
            for arguments in (("embed", "--model", name, "x"), ("info", name), (name,), ("embed", "--" + name, "x"),
                              ("embed", "--precision", name, "x"), ("cache", name), ("verify", name), ("embed", "--input", name)):
                with self.subTest(arguments=[a[:20] for a in arguments]):
                    done = self.run_stella(*arguments, env={"HF_HUB_OFFLINE": "1"})
                    self.check_error(done, done.returncode)
                    self.assertIn(done.returncode, (1, 2, 3))

    def test_what_a_hub_says(self):
        message = HOSTILE.replace("\r", " ").encode("latin-1", errors="replace")
        for headers in ({"X-Error-Code": message, "X-Error-Message": message}, {"X-Error-Message": b"m" * 50_000},
                        {"X-Error-Message": b"m\x1b]0;title\x07\xff\xc2\x9b31m", "X-Request-Id": b"\x1b[2J" * 10},
                        {"ETag": message, "X-Repo-Commit": message}, {"Location": b"http://\x1b[31m/"}):
            for status in (200, 302, 401, 404):
                with self.subTest(headers=list(headers), status=status), Hostile(status, headers) as endpoint:
                    env = {"HF_ENDPOINT": endpoint, "HF_HUB_ETAG_TIMEOUT": "1"}
                    done = self.run_stella("tokenize", "--model", "org/small", "--log-level", "debug", "text", env=env)
                    self.check_lines(done.stderr)
                    self.assertIn(done.returncode, (1, 3))

    def test_names_in_archives(self):
        for name in (HOSTILE, LONG, "models--org--small/refs/" + HOSTILE, "models--org--" + HOSTILE + "/refs/main"):
            with self.subTest(name[:30]):
                path = self.folder / "hostile.tar"
                with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
                    info = tarfile.TarInfo(name)
                    info.size = 40
                    archive.addfile(info, io.BytesIO(b"0" * 40))
                self.check_error(self.run_stella("download", "--unpack", path), 1)


if __name__ == "__main__":
    unittest.main()
