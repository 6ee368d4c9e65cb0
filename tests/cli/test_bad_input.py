"""Damaged checkpoints and unreadable files: one line that names the culprit, the right status, nothing half-written."""

import json
import os
import struct
import unittest

from cli_support import DEMO, SMALL, CliTest


class ForeignTokenizer(CliTest):
    """tokenizer.json gives an id for which the weights have no row."""

    def test_the_line_with_that_token_is_named_and_the_rows_before_it_stay(self):
        model = self.copy_checkpoint(DEMO)
        file = model / "tokenizer.json"
        tokenizer = json.loads(file.read_text())
        tokenizer["added_tokens"].append(dict(id=16000, content="<image>", single_word=False, lstrip=False, rstrip=False,
                                              normalized=False, special=True))
        file.write_text(json.dumps(tokenizer))
        done = self.fail_with(1, "embed", "--model", model, "--dim", "256", "--input", "-", "--task", "s2p",
                              stdin="good one\nbad <image> here\nthird\n", says=("line 2", "16000", "tokenizer.json"))
        self.assertEqual([json.loads(line)["index"] for line in done.stdout.splitlines()], [0])
        self.fail_with(1, "embed", "--model", model, "--dim", "256", "a <image>", says="16000")
        self.assertIn(b"16000", self.succeed("tokenize", "--model", model, "a <image>"))


class Checkpoint(CliTest):
    def refuse(self, checkpoint, *says, status=1, dim="256"):
        out = self.folder / "out.json"
        for options in ((), ("--output", out)):
            done = self.fail_with(status, "embed", "--model", checkpoint, "--dim", dim, *options, "text", says=says)
            self.assertEqual(done.stdout, b"")
            self.assertFalse(out.exists())

    def edit_header(self, file, edit):
        content = file.read_bytes()
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8:8 + length])
        edit(header)
        text = json.dumps(header).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length:])

    def test_truncated_weights(self):
        broken = self.copy_checkpoint()
        file = broken / "model.safetensors"
        whole = file.read_bytes()
        for size in (0, 7, 100, len(whole) - 1):
            file.write_bytes(whole[:size])
            self.refuse(broken, "model.safetensors")

    def test_lying_header(self):
        broken = self.copy_checkpoint()
        file = broken / "model.safetensors"
        whole = file.read_bytes()
        file.write_bytes(struct.pack("<Q", 1 << 60) + whole[8:])
        self.refuse(broken, "model.safetensors")
        file.write_bytes(whole)

        def move(header):
            name = next(key for key in header if key != "__metadata__")
            header[name]["data_offsets"][1] += 1 << 40
        self.edit_header(file, move)
        self.refuse(broken, "model.safetensors")

    def test_missing_tensor(self):
        broken = self.copy_checkpoint()
        removed = []

        def remove(header):
            name = next(key for key in header if key.endswith("attention.o_proj.weight"))
            removed.append(name)
            header["unused.tensor"] = header.pop(name)
        self.edit_header(broken / "model.safetensors", remove)
        self.refuse(broken, "model.safetensors", "attention.o_proj.weight")

    def test_wrong_shape(self):
        broken = self.copy_checkpoint()

        def reshape(header):
            name = next(key for key in header if key.endswith("attention.o_proj.weight"))
            rows, columns = header[name]["shape"]
            header[name]["shape"] = [rows * columns, 1]
        self.edit_header(broken / "model.safetensors", reshape)
        self.refuse(broken, "model.safetensors", "attention.o_proj.weight")

    def test_a_head_that_is_damaged_or_missing(self):
        broken = self.copy_checkpoint()
        file = broken / "2_Dense_256/model.safetensors"
        file.write_bytes(file.read_bytes()[:-10])
        self.refuse(broken, "2_Dense_256")
        self.assertEqual(len(self.rows("--model", broken, "--dim", "1024", "text")), 1)

    def test_unknown_model_type(self):
        broken = self.copy_checkpoint()
        config = json.loads((broken / "config.json").read_text())
        config["model_type"] = "mamba"
        (broken / "config.json").write_text(json.dumps(config))
        self.refuse(broken, "mamba")

    def test_broken_json(self):
        for name in ("config.json", "tokenizer.json", "modules.json", "config_sentence_transformers.json"):
            broken = self.copy_checkpoint(name=f"broken-{name}")
            text = (broken / name).read_text(encoding="utf-8")
            (broken / name).write_text(text[: len(text) // 2], encoding="utf-8")
            self.refuse(broken, name)

    def test_missing_files(self):
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            broken = self.copy_checkpoint(name=f"without-{name}")
            (broken / name).unlink()
            self.refuse(broken, name)

    def test_an_empty_directory_is_no_model(self):
        (self.folder / "empty").mkdir()
        # Its files are read concurrently: which missing one is met first is not fixed, what the line says of it is.
        self.refuse("empty", "'empty' has no file '", ".json'; is it a whole model directory?")


class Input(CliTest):
    def test_texts(self):
        self.fail_with(2, "embed", "--model", SMALL, "", says=["TEXT argument 1", "empty"])
        self.fail_with(2, "embed", "--model", SMALL, "a", b"\xff".decode(errors="surrogateescape"), says=["TEXT argument 2", "UTF-8"])
        self.fail_with(2, "similarity", "--model", SMALL, "a", "", says=["TEXT argument 2", "empty"])
        self.fail_with(2, "tokenize", "--model", SMALL, "", says="empty")
        texts = self.write("long.txt", "a" * 1_000_001)
        self.fail_with(2, "embed", "--model", SMALL, "--input", texts, says=["line 1", "1,000,000"])

    def test_unreadable_input(self):
        self.fail_with(2, "embed", "--model", SMALL, "--input", "missing.txt", says=["missing.txt", "No such file"])
        self.fail_with(2, "embed", "--model", SMALL, "--input", self.folder, says=[str(self.folder), "directory"])
        if os.geteuid() != 0:
            secret = self.write("secret.txt", "text\n")
            secret.chmod(0)
            self.fail_with(2, "embed", "--model", SMALL, "--input", secret, says=["secret.txt", "Permission denied"])
        # A file that opens but cannot be read.
        self.fail_with(2, "embed", "--model", SMALL, "--input", "/proc/self/mem", says="/proc/self/mem")

    def test_a_read_only_input_is_fine(self):
        texts = self.write("texts.txt", "text\n")
        texts.chmod(0o400)
        self.assertEqual(len(self.rows("--model", SMALL, "--input", texts)), 1)


if __name__ == "__main__":
    unittest.main()
