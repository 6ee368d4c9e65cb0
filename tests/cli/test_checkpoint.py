"""Checkpoints as others write them: what Python loads loads here, with the same vectors, or is refused by name."""

import json
import os
import pathlib
import shutil
import struct
import unittest

from cli_support import BERT, LARGE, SMALL, CliTest


def read_safetensors(path):
    """The header without metadata, and {name: bytes}."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    begin = 8 + length
    return header, {name: data[begin + e["data_offsets"][0] : begin + e["data_offsets"][1]] for name, e in header.items()}


def write_safetensors(path, tensors):
    """tensors: {name: (dtype, shape, bytes)}."""
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = dict(dtype=dtype, shape=shape, data_offsets=[at, at + len(data)])
        at += len(data)
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values()))


class Checkpoint(CliTest):
    def copy(self, source, name):
        target = self.folder / name
        shutil.copytree(source, target)
        return target

    def rewrite(self, folder, change):
        """Every tensor of the encoder through `change`(name, dtype, shape, bytes) -> (name, dtype, bytes)."""
        header, tensors = read_safetensors(folder / "model.safetensors")
        result = {}
        for name, entry in header.items():
            new, dtype, data = change(name, entry["dtype"], entry["shape"], tensors[name])
            result[new] = (dtype, entry["shape"], data)
        write_safetensors(folder / "model.safetensors", result)

    def vectors(self, folder, *arguments):
        return self.rows("--model", folder, "--precision", "f32", *arguments, "one text", "another, longer one")

    def edit(self, folder, file, **changes):
        path = folder / file
        settings = json.loads(path.read_text()) if path.exists() else {}
        settings.update(changes)
        path.write_text(json.dumps(settings))


class Loads(Checkpoint):
    def test_plain_bert_as_published(self):
        plain = self.copy(BERT, "bert-base-uncased")
        for extra in ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "tokenizer_config.json"):
            (plain / extra).unlink(missing_ok=True)

        def old_name(name, dtype, shape, data):
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            return "bert." + name, dtype, data
        self.rewrite(plain, old_name)
        header, tensors = read_safetensors(plain / "model.safetensors")
        self.assertTrue(any(name.endswith("LayerNorm.gamma") for name in header))
        whole = {name: (entry["dtype"], entry["shape"], tensors[name]) for name, entry in header.items()}
        whole["cls.predictions.bias"] = ("F32", [2], b"\0" * 8)
        write_safetensors(plain / "model.safetensors", whole)
        self.assertEqual(self.vectors(plain), self.vectors(BERT))

    def test_doubles(self):
        wide = self.copy(BERT, "doubles")

        def double(name, dtype, shape, data):
            if dtype != "F32":
                return name, dtype, data
            count = len(data) // 4
            return name, "F64", struct.pack(f"<{count}d", *struct.unpack(f"<{count}f", data))
        self.rewrite(wide, double)
        self.assertEqual(self.vectors(wide), self.vectors(BERT))

    def test_json_as_python_writes_it(self):
        odd = self.copy(SMALL, "odd")
        text = (odd / "config.json").read_text().rstrip()
        text = text.replace('"hidden_size": 64', '"hidden_size": 32, "hidden_size": 64.0')
        text = text.replace('"initializer_range": 0.02', '"initializer_range": NaN, "limit": -Infinity')
        (odd / "config.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
        prompts = json.loads((odd / "config_sentence_transformers.json").read_text())
        prompts["prompts"]["document"] = None
        (odd / "config_sentence_transformers.json").write_text(json.dumps(prompts))
        self.assertEqual(self.vectors(odd), self.vectors(SMALL))

    def test_as_sentence_transformers_6_saves_it(self):
        saved = self.copy(BERT, "saved")
        kinds = ("base.modules.transformer.Transformer", "sentence_transformer.modules.pooling.Pooling",
                 "base.modules.normalize.Normalize")
        modules = [dict(idx=i, name=str(i), path=path, type="sentence_transformers." + kind)
                   for i, (path, kind) in enumerate(zip(("", "1_Pooling", "2_Normalize"), kinds))]
        (saved / "modules.json").write_text(json.dumps(modules))
        (saved / "1_Pooling/config.json").write_text(json.dumps(dict(embedding_dimension=72, pooling_mode="mean", include_prompt=True)))
        (saved / "sentence_bert_config.json").write_text(json.dumps(dict(
            transformer_task="feature-extraction", module_output_name="token_embeddings",
            modality_config=dict(text=dict(method="forward", method_output_name="last_hidden_state")))))
        self.edit(saved, "tokenizer_config.json", model_max_length=512)
        self.edit(saved, "config_sentence_transformers.json", model_type="SentenceTransformer", default_prompt_name=None,
                  prompts=dict(query="", document=""))
        self.assertEqual(self.vectors(saved), self.vectors(BERT))

    def test_the_bert_tokenizers_settings_go_before_its_file(self):
        # BertTokenizer of transformers makes its normalizer anew from tokenizer_config.json, lowercase unless told otherwise.
        def ids(folder):
            return self.succeed("tokenize", "--model", folder, "Zoë's CAFÉ 漢字")

        def normalizer(folder, **changes):
            path = folder / "tokenizer.json"
            text = json.loads(path.read_text())
            text["normalizer"].update(changes)
            path.write_text(json.dumps(text))
            return folder
        cased = normalizer(self.copy(BERT, "cased"), lowercase=False)
        self.assertNotEqual(ids(cased), ids(BERT))
        (cased / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
        self.assertEqual(ids(cased), ids(BERT))
        for number, (settings, changes) in enumerate([
                (dict(do_lower_case=False), dict(lowercase=False)),
                (dict(strip_accents=False), dict(strip_accents=False)),
                (dict(do_lower_case=False, strip_accents=True), dict(lowercase=False, strip_accents=True)),
                (dict(tokenize_chinese_chars=False), dict(handle_chinese_chars=False))]):
            told = self.copy(BERT, f"told{number}")
            (told / "tokenizer_config.json").write_text(json.dumps(dict(settings, tokenizer_class="BertTokenizer")))
            self.assertEqual(ids(told), ids(normalizer(self.copy(BERT, f"written{number}"), **changes)), settings)

    def test_do_lower_case(self):
        cased = self.copy(LARGE, "cased")
        self.edit(cased, "sentence_bert_config.json", do_lower_case=True)
        self.assertEqual(self.succeed("tokenize", "--model", cased, "--task", "none", "A TEXT Ünd More"),
                         self.succeed("tokenize", "--model", LARGE, "--task", "none", "a text ünd more"))

    def test_a_normalize_module_is_part_of_the_model(self):
        # bert-tiny's modules.json has one.
        self.assertEqual(self.vectors(BERT, "--no-normalize"), self.vectors(BERT))


class Refuses(Checkpoint):
    def test_what_would_change_a_vector(self):
        for number, (file, changes, name) in enumerate([
                ("sentence_bert_config.json", dict(query_length=32), "query_length"),
                ("sentence_bert_config.json", dict(processing_kwargs=dict(text=dict(max_length=8))), "processing_kwargs"),
                ("1_Pooling/config.json", dict(include_prompt=False), "include_prompt"),
                ("1_Pooling/config.json", dict(pooling_mode=["cls", "mean"]), "pooling_mode"),
                ("2_Dense_1024/config.json", dict(use_residual=True), "use_residual"),
                ("2_Dense_1024/config.json", dict(activation_function="torch.nn.modules.activation.Tanh"), "activation_function"),
                ("config.json", dict(hidden_act="relu"), "hidden_act"),
                ("config_sentence_transformers.json", dict(model_type="CrossEncoder"), "model_type")]):
            own = self.copy(SMALL, f"own{number}")
            self.edit(own, file, **changes)
            self.fail_with(1, "embed", "--model", own, "--dim", "1024", "text", says=(name, file))

    def test_pointers_of_git_lfs(self):
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 123\n"
        for number, file in enumerate(("model.safetensors", "config.json", "tokenizer.json", "2_Dense_1024/model.safetensors")):
            own = self.copy(SMALL, f"lfs{number}")
            (own / file).write_text(pointer)
            self.fail_with(1, "embed", "--model", own, "--dim", "1024", "text", says=("git lfs pull", file))

    def test_weights_in_another_format(self):
        own = self.copy(SMALL, "bin")
        (own / "model.safetensors").rename(own / "pytorch_model.bin")
        self.fail_with(1, "embed", "--model", own, "text", says=("model.safetensors", "pytorch_model.bin"))

    def test_an_index_that_leads_elsewhere(self):
        for number, name in enumerate(("../x.safetensors", "/etc/passwd", "x.bin", "", 7)):
            own = self.copy(SMALL, f"index{number}")
            (own / "model.safetensors").unlink()
            (own / "model.safetensors.index.json").write_text(json.dumps(dict(weight_map=dict(t=name))))
            self.fail_with(1, "embed", "--model", own, "text", says="model.safetensors.index.json")

    def test_what_is_no_file_is_not_waited_for(self):
        makers = [("FIFO", os.mkfifo), ("folder", os.mkdir), ("device", lambda path: os.symlink("/dev/zero", path))]
        for number, (kind, make) in enumerate(makers):
            for file in ("config.json", "modules.json", "tokenizer.json", "model.safetensors"):
                own = self.copy(SMALL, f"{number}-{file}")
                (own / file).unlink()
                make(own / file)
                self.fail_with(1, "embed", "--model", own, "text", says=kind)

    def test_limits(self):
        own = self.copy(SMALL, "big")
        with open(own / "config.json", "r+b") as file:
            file.truncate(3 << 30)
        self.fail_with(1, "embed", "--model", own, "text", says=("config.json", "16777216"))
        own = self.copy(SMALL, "deep")
        (own / "modules.json").write_text("[" * 200 + "]" * 200)
        self.fail_with(1, "embed", "--model", own, "text", says=("modules.json", "128 levels"))
        own = self.copy(SMALL, "header")
        size = 98_000_000
        (own / "model.safetensors").write_bytes(struct.pack("<Q", size) + b"{}" + b" " * (size - 2))
        self.fail_with(1, "embed", "--model", own, "text", says=("model.safetensors", "16777216"))

    def test_names_that_are_no_model(self):
        (self.folder / "weights.gguf").write_bytes(b"GGUF")
        self.fail_with(2, "embed", "--model", self.folder / "weights.gguf", "text", says=("is a file", "weights.gguf"))
        self.fail_with(2, "embed", "--model", self.folder / "absent", "text", says=("there is no directory", "absent"))
        for name in ("./absent", "a/b/c", "~/models/x"):
            self.fail_with(2, "embed", "--model", name, "text", says=("there is no directory", name))
        self.fail_with(2, "embed", "--model", "model.gguf", "text", says="model.gguf")


if __name__ == "__main__":
    unittest.main()
