"""embed, tokenize, similarity, verify and info against the reference's goldens."""

import array
import json
import unicodedata
import unittest

from cli_support import BERT, CHECKPOINTS, DEMO, LARGE, SMALL, CliTest, Goldens, cosine, difference, floats, read_npy

LEAST_COSINE = 0.999999
GREATEST_DIFFERENCE = 2e-5
S2P = "Instruct: Given a web search query, retrieve relevant passages that answer the query.\nQuery: "


class AgainstGoldens(CliTest):
    def check_rows(self, checkpoint, task, dimensions):
        goldens = Goldens(checkpoint)
        numbers = [i for i, text in enumerate(goldens.texts) if text]
        texts = self.write("texts.jsonl", "".join(json.dumps({"text": goldens.texts[i]}) + "\n" for i in numbers))
        rows = self.rows("--model", checkpoint, "--task", task, "--dim", ",".join(map(str, dimensions)), "--precision", "f32",
                         "--input", texts, "--input-format", "jsonl", "--format", "jsonl")
        self.assertEqual([row["index"] for row in rows], list(range(len(numbers))))
        for row, number in zip(rows, numbers):
            ids = goldens.ids(number, task)
            self.assertEqual(row["tokens"], len(ids))
            self.assertEqual(row["truncated"], len(ids) == 512)
            for dimension in dimensions:
                vector, wanted = row["embeddings"][str(dimension)], goldens.vector(number, task, dimension)
                self.assertGreaterEqual(cosine(vector, wanted), LEAST_COSINE, (number, dimension))
                self.assertLessEqual(difference(vector, wanted), GREATEST_DIFFERENCE, (number, dimension))

    def test_small(self):
        for task in ("s2p", "s2s", "none"):
            self.check_rows(SMALL, task, [256, 1024])

    def test_large(self):
        for task in ("s2p", "s2s", "none"):
            self.check_rows(LARGE, task, [256, 1024])

    def test_demo(self):
        self.check_rows(str(DEMO), "s2p", [256, 1024])

    def test_every_head(self):
        dimensions = [256, 768, 1024, 2048, 4096, 6144, 8192]
        goldens = Goldens(SMALL)
        rows = self.rows("--model", SMALL, "--task", "none", "--dim", ",".join(map(str, dimensions)), *goldens.texts[:4])
        for number, row in enumerate(rows):
            for dimension in dimensions:
                vector = row["embeddings"][str(dimension)]
                self.assertLessEqual(difference(vector, goldens.vector(number, "none", dimension)), GREATEST_DIFFERENCE)

    def test_token_ids(self):
        for checkpoint in (SMALL, LARGE, str(DEMO)):
            goldens = Goldens(checkpoint)
            for task in ("none", "s2p", "s2s"):
                numbers = [i for i, text in enumerate(goldens.texts) if text]
                lines = "".join(json.dumps(goldens.texts[i]) + "\n" for i in numbers)
                out = self.succeed("tokenize", "--model", checkpoint, "--task", task, "--max-length", "512",
                                   "--input", "-", "--input-format", "jsonl", stdin=lines)
                ids = [json.loads(line) for line in out.splitlines()]
                self.assertEqual(ids, [goldens.ids(i, task) for i in numbers])


class Verify(CliTest):
    def test_checkpoints_pass(self):
        for name in ("stella-small-tiny", "stella-large-tiny", "stella-small-tiny-bf16", "stella-large-tiny-f16"):
            report = json.loads(self.succeed("verify", CHECKPOINTS / name, "--precision", "f32", "--json"))
            self.assertTrue(report["passed"], name)
            self.assertGreater(report["token_lists"], 30)
            self.assertEqual(report["wrong_token_lists"], 0)
            self.assertTrue(all(head["min_cosine"] >= LEAST_COSINE for head in report["heads"]))
        self.assertEqual([head["dimension"] for head in report["heads"]], [256, 1024])

    def test_the_demo_model_passes_at_every_precision_of_this_machine(self):
        precisions = json.loads(self.succeed("info", "--json"))["precisions"]
        self.assertIn("f32", precisions)
        for precision in precisions:
            with self.subTest(precision):
                report = json.loads(self.succeed("verify", "demo", "--precision", precision, "--json"))
                self.assertEqual((report["precision"], report["passed"]), (precision, True))
                self.assertEqual(report["least_cosine"], {"f32": 0.999999, "int8": 0.985}.get(precision, 0.9995))
                if precision.startswith("int"):  # bf16 may be exact: the demo's weights are
                    self.assertTrue(all(head["max_difference"] > 2e-5 for head in report["heads"]))

    def test_demo_prints_a_cosine_per_head(self):
        text = self.succeed("verify", "demo", "--precision", "f32").decode()
        for dimension in (256, 768, 1024, 2048, 4096, 6144, 8192):
            self.assertRegex(text, rf"head +{dimension}: cosine mean [01]\.\d+ min [01]\.\d+.*: pass\n")
        self.assertTrue(text.endswith("\npass\n"))

    def test_damage_is_found(self):
        broken = self.copy_checkpoint()
        (broken / "goldens").mkdir()
        for name in ("goldens.json", "goldens.safetensors"):
            (broken / "goldens" / name).write_bytes((CHECKPOINTS / "stella-small-tiny/goldens" / name).read_bytes())
        weights = bytearray((broken / "2_Dense_256/model.safetensors").read_bytes())
        weights[-401:-1] = bytes(400)  # a hundred weights of one head become zero, or nearly
        (broken / "2_Dense_256/model.safetensors").write_bytes(weights)
        done = self.run_stella("verify", broken, "--precision", "f32")
        self.assertEqual(done.returncode, 1)
        text = done.stdout.decode()
        self.assertRegex(text, r"head +256: .*: FAIL\n")
        self.assertRegex(text, r"head +1024: .*: pass\n")
        self.assertTrue(text.endswith("\nFAIL\n"))

    def test_a_model_without_known_vectors(self):
        self.fail_with(2, "verify", self.copy_checkpoint(), says="goldens")


class Options(CliTest):
    def test_default_dimension_and_task(self):
        (row,) = self.rows("--model", SMALL, "text")
        self.assertEqual((row["dimension"], len(row["embedding"])), (1024, 1024))
        self.assertEqual(self.rows("--model", SMALL, "--task", "s2p", "--dim", "1024", "text"), [row])
        document = json.loads(self.succeed("embed", "--model", SMALL, "--precision", "f32", "text"))
        self.assertEqual((document["model"], document["task"], document["precision"]), (SMALL, "s2p", "f32"))

    def test_an_unknown_task_is_an_error_that_lists_the_known_ones(self):
        for command in (("embed",), ("tokenize",), ("similarity", "other"), ("embed", "--quiet")):
            for task in ("s2q", "NONE", "S2P"):
                done = self.fail_with(2, *command, "--model", SMALL, "--task", task, "text", says=[f"'{task}'", "s2p", "s2s", "document"])
                self.assertEqual(done.stdout, b"")
        # Known before any weight is read.
        light = self.copy_checkpoint(name="light")
        for file in light.rglob("*.safetensors"):
            file.unlink()
        self.fail_with(2, "embed", "--model", light, "--task", "s2q", "text", says="s2q")

    def test_texts_of_a_file_are_said_to_be_embedded_as_queries(self):
        texts = self.write("texts.txt", "one\ntwo\n")

        def remarks(*arguments):
            done = self.run_stella("embed", "--model", SMALL, "--dim", "256", *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stderr.decode().splitlines()
        said = remarks("--input", texts)
        self.assertEqual(len(said), 1, said)
        for part in ("queries", "s2p", "--task document"):
            self.assertIn(part, said[0])
        self.assertEqual(remarks("--input", texts, "--quiet"), [])
        self.assertEqual(remarks("--input", texts, "--task", "s2p"), [])
        self.assertEqual(remarks("--input", texts, "--prompt", ""), [])
        self.assertEqual(remarks("one"), [])
        self.assertEqual(remarks("--input", self.write("empty.txt", "")), [])
        done = self.run_stella("embed", "--model", BERT, "--input", texts)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_similarity_compares_likes(self):
        default = self.succeed("similarity", "--model", SMALL, "--json", "one", "two")
        self.assertEqual(default, self.succeed("similarity", "--model", SMALL, "--task", "s2s", "--json", "one", "two"))
        self.assertEqual(json.loads(default)["task"], "s2s")
        self.assertNotEqual(default, self.succeed("similarity", "--model", SMALL, "--task", "s2p", "--json", "one", "two"))
        self.assertEqual(json.loads(self.succeed("similarity", "--model", BERT, "--json", "one", "two"))["task"], "none")

    def test_names_that_mean_the_same(self):
        def ids(task):
            return self.succeed("tokenize", "--model", SMALL, "--task", task, "text")
        for task in ("query", "search_query", "retrieval", "retrieval.query", "s2p_query", "web_query"):
            self.assertEqual(ids(task), ids("s2p"), task)
        for task in ("classification", "clustering", "sts", "similarity", "s2s_query"):
            self.assertEqual(ids(task), ids("s2s"), task)
        for task in ("document", "search_document", "passage", "doc", "documents", "retrieval.passage"):
            self.assertEqual(ids(task), ids("none"), task)

    def test_the_default_prompt_of_the_checkpoint(self):
        own = self.copy_checkpoint(name="default-prompt")
        settings = {"prompts": {"document": "", "passage": "passage: ", "query": "query: "}, "default_prompt_name": "query"}
        (own / "config_sentence_transformers.json").write_text(json.dumps(settings))
        self.assertEqual(self.rows("--model", own, "text"), self.rows("--model", own, "--prompt", "query: ", "text"))
        self.assertEqual(json.loads(self.succeed("embed", "--model", own, "text"))["task"], "query")
        self.assertEqual(self.rows("--model", own, "--task", "document", "text"),
                         self.rows("--model", own, "--task", "none", "text"))
        settings["default_prompt_name"] = "absent"
        (own / "config_sentence_transformers.json").write_text(json.dumps(settings))
        self.fail_with(1, "embed", "--model", own, "text", says="'absent'")

    def test_the_tokenizers_limit_where_sentence_transformers_6_keeps_it(self):
        own = self.copy_checkpoint(name="limit")
        (own / "sentence_bert_config.json").write_text('{"transformer_task": "feature-extraction"}')
        (own / "tokenizer_config.json").write_text('{"model_max_length": 32, "tokenizer_class": "BertTokenizer"}')
        text = "one two three " * 100
        (row,) = self.rows("--model", own, "--task", "none", text)
        self.assertEqual((row["tokens"], row["truncated"]), (32, True))
        self.assertEqual(row["embedding"],
                         self.rows("--model", SMALL, "--task", "none", "--max-length", "32", text)[0]["embedding"])
        (own / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
        (row,) = self.rows("--model", own, "--task", "none", text)
        self.assertFalse(row["truncated"])  # max_position_embeddings is 8192

    def test_the_side_that_is_cut(self):
        own = self.copy_checkpoint(name="left")
        whole = json.loads(self.succeed("tokenize", "--model", SMALL, "--task", "none", "one two three four"))
        (own / "tokenizer_config.json").write_text('{"truncation_side": "left"}')
        self.assertEqual(json.loads(self.succeed("tokenize", "--model", own, "--task", "none", "--max-length", "4",
                                                 "one two three four")), [whole[0], *whole[-3:]])
        # Of the prompt nothing is left, of the text everything.
        self.assertEqual(json.loads(self.succeed("tokenize", "--model", own, "--max-length", "4", "one two three four")),
                         [whole[0], *whole[-3:]])

    def test_a_length_that_the_prompt_fills(self):
        count = len(json.loads(self.succeed("tokenize", "--model", SMALL, "--task", "none", S2P)))  # [CLS] and [SEP] too
        for command in ("embed", "tokenize"):
            for most in (2, 16, count):
                self.fail_with(2, command, "--model", SMALL, "--max-length", str(most), "a text", "another",
                               says=(f" {most} tokens", f" {count};"))
            self.fail_with(2, command, "--model", SMALL, "--task", "none", "--max-length", "2", "a text", says=" 2 tokens")
        first, second = self.rows("--model", SMALL, "--max-length", str(count + 1), "a text", "my text")
        self.assertNotEqual(first["embedding"], second["embedding"])
        self.assertEqual(len(json.loads(self.succeed("tokenize", "--model", SMALL, "--task", "none", "--max-length", "1",
                                                     "--no-special", "a text"))), 1)

    def test_no_prompt_tasks(self):
        none = self.rows("--model", SMALL, "--task", "none", "text")
        for task in ("document", "search_document"):
            self.assertEqual(self.rows("--model", SMALL, "--task", task, "text"), none)
        self.assertEqual(self.rows("--model", SMALL, "--prompt", "", "text"), none)
        self.assertNotEqual(self.rows("--model", SMALL, "text"), none)

    def test_a_literal_prompt(self):
        self.assertEqual(self.rows("--model", SMALL, "--prompt", S2P, "text"), self.rows("--model", SMALL, "text"))
        self.assertIsNone(json.loads(self.succeed("embed", "--model", SMALL, "--prompt", "x", "text"))["task"])

    def test_prompts_of_the_checkpoint_win(self):
        own = self.copy_checkpoint(name="own")
        settings = {"prompts": {"s2p_query": "find: ", "other": "other: "}, "default_prompt_name": None}
        (own / "config_sentence_transformers.json").write_text(json.dumps(settings))
        literal = self.succeed("tokenize", "--model", own, "--prompt", "find: ", "text")
        self.assertEqual(self.succeed("tokenize", "--model", own, "text"), literal)
        self.assertEqual(self.succeed("tokenize", "--model", own, "--task", "s2p", "text"), literal)
        self.assertEqual(self.succeed("tokenize", "--model", own, "--task", "other", "text"),
                         self.succeed("tokenize", "--model", own, "--prompt", "other: ", "text"))

    def test_tasks_of_a_checkpoint_without_prompts(self):
        bare = self.copy_checkpoint(name="bare")
        (bare / "config_sentence_transformers.json").unlink()
        self.assertEqual(self.succeed("tokenize", "--model", bare, "text"),
                         self.succeed("tokenize", "--model", bare, "--task", "none", "text"))
        for task in ("s2p", "s2s"):
            self.fail_with(2, "tokenize", "--model", BERT, "--task", task, "text", says=task)
            self.fail_with(2, "embed", "--model", BERT, "--task", task, "text", says=task)
        self.assertTrue(self.succeed("tokenize", "--model", BERT, "text"))

    def test_a_checkpoint_without_heads_gives_its_pooled_vector(self):
        goldens = Goldens(BERT)
        (row,) = self.rows("--model", BERT, "--precision", "f32", goldens.texts[0])
        self.assertEqual(len(row["embedding"]), row["dimension"])
        pooled = goldens.vector(0, "none", "pooled")
        self.assertGreaterEqual(cosine(row["embedding"], pooled), LEAST_COSINE)

    def test_an_unknown_dimension_lists_the_heads(self):
        self.fail_with(2, "embed", "--model", SMALL, "--dim", "512", "text", says=["512", "256", "1024", "8192"])
        self.fail_with(2, "similarity", "--model", SMALL, "--dim", "512", "a", "b", says=["512", "256"])

    def test_no_normalize_changes_the_length_only(self):
        (unit,) = self.rows("--model", SMALL, "--dim", "256", "text")
        (raw,) = self.rows("--model", SMALL, "--dim", "256", "--no-normalize", "text")
        self.assertAlmostEqual(sum(x * x for x in unit["embedding"]), 1, places=5)
        self.assertNotAlmostEqual(sum(x * x for x in raw["embedding"]), 1, places=3)
        self.assertGreaterEqual(cosine(unit["embedding"], raw["embedding"]), LEAST_COSINE)

    def test_max_length_truncates_and_says_so(self):
        text = "one two three four five six seven eight nine ten"
        (row,) = self.rows("--model", SMALL, "--task", "none", "--max-length", "8", text)
        self.assertEqual((row["tokens"], row["truncated"]), (8, True))
        ids = json.loads(self.succeed("tokenize", "--model", SMALL, "--task", "none", "--max-length", "8", text))
        whole = json.loads(self.succeed("tokenize", "--model", SMALL, "--task", "none", text))
        self.assertEqual(ids, whole[:7] + whole[-1:])

    def test_on_long_error_names_the_text_its_tokens_and_the_limit(self):
        long = " ".join(["word"] * 50)
        count = len(json.loads(self.succeed("tokenize", "--model", SMALL, "--task", "none", long)))
        common = ("embed", "--model", SMALL, "--task", "none", "--dim", "256", "--max-length", "20", "--on-long", "error")
        self.fail_with(2, *common, "short", long, says=["TEXT argument 2", str(count), "20"])
        done = self.fail_with(2, *common, "--input", "-", stdin=f"short\nshort\n{long}\nshort\n", says=["line 3", str(count), "20"])
        self.assertEqual(len(done.stdout.splitlines()), 2, "the rows before it are good")
        out = self.folder / "out.jsonl"
        self.fail_with(2, *common, "--output", out, long)
        self.assertFalse(out.exists())

    def test_tokenize_without_special_tokens(self):
        whole = json.loads(self.succeed("tokenize", "--model", SMALL, "--task", "none", "some text"))
        bare = json.loads(self.succeed("tokenize", "--model", SMALL, "--task", "none", "--no-special", "some text"))
        self.assertEqual(whole[1:-1], bare)

    def test_tokenize_reads_no_weights(self):
        light = self.copy_checkpoint(name="light")
        for file in light.rglob("*.safetensors"):
            file.unlink()
        self.assertEqual(self.succeed("tokenize", "--model", light, "text"), self.succeed("tokenize", "--model", SMALL, "text"))

    def test_threads_do_not_change_a_bit(self):
        one = self.succeed("embed", "--model", SMALL, "--threads", "1", "first", "second")
        self.assertEqual(self.succeed("embed", "--model", SMALL, "--threads", "2", "first", "second"), one)

    def test_odd_texts_arrive_as_they_are(self):
        texts = ["[a,b]", "[MASK]", "{}", "%%", "-", "embed", "\x01x", " ", "--", "a\nb", "'q\" $HOME"]
        lines = self.write("texts.jsonl", "".join(json.dumps(text) + "\n" for text in texts))
        wanted = self.succeed("tokenize", "--model", LARGE, "--input", lines, "--input-format", "jsonl")
        self.assertEqual(self.succeed("tokenize", "--model", LARGE, "--", *texts), wanted)
        self.assertEqual(self.succeed("tokenize", "--model", LARGE, "--prompt", "[x,y]", "text"),
                         self.succeed("tokenize", "--model", LARGE, "--prompt", "", "[x,y]text"))


class Formats(CliTest):
    TEXTS = ["first text", "second text", "third"]

    def test_json_for_arguments_and_jsonl_for_input(self):
        document = json.loads(self.succeed("embed", "--model", SMALL, *self.TEXTS))
        self.assertEqual(list(document), ["model", "task", "precision", "data"])
        lines = self.succeed("embed", "--model", SMALL, "--input", "-", stdin="\n".join(self.TEXTS)).decode().splitlines()
        self.assertEqual([json.loads(line) for line in lines], document["data"])
        self.assertEqual(list(document["data"][0]), ["index", "tokens", "truncated", "dimension", "embedding"])
        self.assertTrue(lines[0].startswith('{"index":0,"tokens":'))
        as_json = json.loads(self.succeed("embed", "--model", SMALL, "--format", "json", "--input", "-", stdin="\n".join(self.TEXTS)))
        self.assertEqual(as_json, document)

    def test_several_dimensions(self):
        (row,) = self.rows("--model", SMALL, "--dim", "1024,256", "text")
        self.assertEqual(list(row), ["index", "tokens", "truncated", "embeddings"])
        self.assertEqual({key: len(vector) for key, vector in row["embeddings"].items()}, {"256": 256, "1024": 1024})
        for dimension in (256, 1024):
            (single,) = self.rows("--model", SMALL, "--dim", dimension, "text")
            self.assertEqual(row["embeddings"][str(dimension)], single["embedding"])

    def test_numbers_read_back_to_the_same_float32(self):
        raw = floats(self.succeed("embed", "--model", SMALL, "--format", "f32", *self.TEXTS))
        printed = array.array("f", [x for row in self.rows("--model", SMALL, *self.TEXTS) for x in row["embedding"]])
        self.assertEqual(printed, raw)
        text = self.succeed("embed", "--model", SMALL, "--dim", "256", "text").decode()
        numbers = text[text.index("[0") if "[0" in text else text.index("[-"):].split("]")[0].lstrip("[").split(",")
        for number in numbers:  # nine digits always suffice
            digits = number.lstrip("-").split("e")[0].replace(".", "").strip("0")
            self.assertLessEqual(len(digits), 9, number)

    def test_npy(self):
        rows = self.rows("--model", SMALL, "--dim", "256,1024", *self.TEXTS)
        self.succeed("embed", "--model", SMALL, "--dim", "256,1024", "--format", "npy", "--output", "v.npy", *self.TEXTS)
        self.assertFalse((self.folder / "v.npy").exists())
        for dimension in (256, 1024):
            shape, values = read_npy(self.folder / f"v.{dimension}.npy")
            self.assertEqual(shape, (3, dimension))
            self.assertEqual(values, array.array("f", [x for row in rows for x in row["embeddings"][str(dimension)]]))
        self.succeed("embed", "--model", SMALL, "--dim", "256", "--format", "npy", "--output", "one.npy", "x")
        self.assertEqual(read_npy(self.folder / "one.npy")[0], (1, 256))

    def test_f32_files(self):
        self.succeed("embed", "--model", SMALL, "--dim", "256,1024", "--format", "f32", "--output", "v.f32", *self.TEXTS)
        self.assertEqual((self.folder / "v.256.f32").stat().st_size, 3 * 256 * 4)
        self.assertEqual((self.folder / "v.1024.f32").stat().st_size, 3 * 1024 * 4)

    def test_the_format_is_that_of_the_name(self):
        self.succeed("embed", "--model", SMALL, "--dim", "256", "--output", "v.npy", *self.TEXTS)
        self.assertEqual(read_npy(self.folder / "v.npy")[0], (3, 256))
        for name in ("v.f32", "v.bin"):
            self.succeed("embed", "--model", SMALL, "--dim", "256", "--output", name, *self.TEXTS)
            self.assertEqual((self.folder / name).stat().st_size, 3 * 256 * 4)
        for name in ("v.jsonl", "v.ndjson"):
            self.succeed("embed", "--model", SMALL, "--dim", "256", "--output", name, *self.TEXTS)
            self.assertEqual(len((self.folder / name).read_text().splitlines()), 3)
        lines = self.write("texts.ndjson", '"one"\n')
        self.succeed("embed", "--model", SMALL, "--dim", "256", "--output", "v.json", "--input", lines)
        self.assertEqual(len(json.loads((self.folder / "v.json").read_text())["data"]), 1)
        self.succeed("embed", "--model", SMALL, "--dim", "256", "--output", "w.npy", "--format", "jsonl", "one")
        self.assertEqual(len((self.folder / "w.npy").read_text().splitlines()), 1)
        upper = self.write("TEXTS.JSONL", '{"text":"one"}\n')
        self.assertEqual(self.succeed("tokenize", "--model", SMALL, "--input", upper), self.succeed("tokenize", "--model", SMALL, "one"))
        as_lines = self.succeed("tokenize", "--model", SMALL, "--input", upper, "--input-format", "lines")
        self.assertNotEqual(as_lines, self.succeed("tokenize", "--model", SMALL, "one"))

    def test_truncated_texts_are_counted(self):
        texts = self.write("texts.txt", "short\n" + "one two three four five six seven eight\n" * 2)
        common = ("embed", "--model", SMALL, "--task", "none", "--dim", "256", "--max-length", "8", "--input", texts)
        for form in ("json", "jsonl", "npy", "f32"):
            done = self.run_stella(*common, "--format", form, "--output", "out")
            self.assertEqual(done.returncode, 0)
            self.assertEqual(done.stderr.decode().count("2 of 3 texts were cut to 8 tokens"), 1, done.stderr)
        self.assertEqual(self.run_stella(*common, "--quiet").stderr, b"")
        rows = self.rows(*common[1:])
        whole = json.loads(self.succeed("tokenize", "--model", SMALL, "--task", "none", "one two three four five six seven eight"))
        self.assertEqual([row.get("full_tokens") for row in rows], [None, len(whole), len(whole)])
        self.assertEqual(list(rows[1]), ["index", "tokens", "truncated", "full_tokens", "dimension", "embedding"])

    def test_fields_are_kept(self):
        lines = self.write("docs.jsonl", '{"id": 12345678901234567890, "text":"one", "m": {"a": [1.50, "x"]}}\n'
                                         '{"text":"two","id":"\\u001b[2J"}\n"three"\n')
        rows = [json.loads(line) for line in
                self.succeed("embed", "--model", SMALL, "--dim", "256", "--input", lines, "--keep", "id,m").splitlines()]
        self.assertEqual(list(rows[0]), ["index", "id", "m", "tokens", "truncated", "dimension", "embedding"])
        self.assertEqual([(row["id"], row["m"]) for row in rows],
                         [(12345678901234567890, {"a": [1.5, "x"]}), ("\x1b[2J", None), (None, None)])
        document = json.loads(self.succeed("embed", "--model", SMALL, "--dim", "256", "--format", "json", "--input", lines, "--keep", "id"))
        self.assertEqual([row["id"] for row in document["data"]], [row["id"] for row in rows])
        plain = self.write("plain.txt", "one\n")
        self.fail_with(2, "embed", "--model", SMALL, "--input", plain, "--keep", "id", says=["--keep", "plain.txt", "jsonl"])
        self.fail_with(2, "embed", "--model", SMALL, "--keep", "id", "one", says="--keep")
        self.fail_with(2, "embed", "--model", SMALL, "--input", lines, "--keep", "id,index", says="index")
        self.fail_with(2, "embed", "--model", SMALL, "--input", lines, "--keep", "id,", says="--keep")
        self.fail_with(2, "embed", "--model", SMALL, "--input", lines, "--keep", "id,id", says="twice")
        self.fail_with(2, "embed", "--model", SMALL, "--input", lines, "--keep", "id", "--output", "v.npy", says=["--keep", "npy"])

    def test_a_field_of_plain_lines_is_refused(self):
        plain = self.write("plain.txt", "one\n")
        for command in ("embed", "tokenize", "similarity"):
            self.fail_with(2, command, "--model", SMALL, "--input", plain, "--field", "text", says=["--field", "plain.txt", "jsonl"])
            self.fail_with(2, command, "--model", SMALL, "--field", "text", "one", "two", says="--field")

    def test_empty_texts_are_skipped_and_counted(self):
        lines = "one\n\ntwo\n\r\n"
        done = self.run_stella("embed", "--model", SMALL, "--task", "none", "--dim", "256", "--skip-empty", "--input", "-", stdin=lines)
        self.assertEqual([json.loads(line)["index"] for line in done.stdout.splitlines()], [0, 2])
        self.assertIn(b"2 empty texts were skipped", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.succeed("embed", "--model", SMALL, "--dim", "256", "--skip-empty", "--output", "v.npy", "--input", "-", stdin=lines)
        self.assertEqual(read_npy(self.folder / "v.npy")[0], (2, 256))
        self.succeed("embed", "--model", SMALL, "--dim", "256", "--skip-empty", "--output", "v.npy", "--input", "-", stdin="\n\n")
        self.assertEqual(read_npy(self.folder / "v.npy")[0], (0, 256))
        self.fail_with(2, "embed", "--model", SMALL, "--input", "-", stdin=lines, says=["line 2", "--skip-empty"])

    def test_meta_says_how_the_vectors_were_made(self):
        lines = "one\n\n" + "long " * 40 + "\n"
        self.succeed("embed", "--model", SMALL, "--task", "s2s", "--dim", "256,1024", "--max-length", "30", "--skip-empty",
                     "--precision", "f32", "--output", "v.npy", "--meta", "v.json", "--input", "-", stdin=lines)
        meta = json.loads((self.folder / "v.json").read_text())
        tokens = [len(json.loads(ids)) for ids in self.succeed("tokenize", "--model", SMALL, "--task", "s2s", "--max-length", "30",
                                                               "--skip-empty", "--input", "-", stdin=lines).splitlines()]
        self.assertEqual(meta.pop("counts"), {"rows": 2, "skipped": 1, "truncated": 1, "tokens": sum(tokens)})
        self.assertTrue(meta.pop("version"))
        self.assertEqual(meta, {"model": SMALL, "commit": None, "task": "s2s", "precision": "f32", "dimensions": [256, 1024],
                                "prompt": "Instruct: Retrieve semantically similar text.\nQuery: ", "normalized": True,
                                "max_length": 30, "format": "npy"})
        self.succeed("embed", "--model", SMALL, "--prompt", "x: ", "--no-normalize", "--meta", "m.json", "one")
        meta = json.loads((self.folder / "m.json").read_text())
        self.assertEqual((meta["task"], meta["prompt"], meta["normalized"], meta["format"]), (None, "x: ", False, "json"))
        snapshot = self.folder / "hub/models--a--b/snapshots/0123456789abcdef0123456789abcdef01234567"
        snapshot.parent.mkdir(parents=True)
        self.copy_checkpoint(name=str(snapshot))
        self.succeed("embed", "--model", f"{snapshot}/", "--meta", "m.json", "one")
        self.assertEqual(json.loads((self.folder / "m.json").read_text())["commit"], snapshot.name)

    def test_a_byte_order_mark_is_no_text(self):
        for name, content in (("a.txt", "one\ntwo\n"), ("a.jsonl", '"one"\n{"text":"two"}\n')):
            plain = self.succeed("tokenize", "--model", LARGE, "--input", self.write(name, content))
            marked = self.write("marked-" + name, b"\xef\xbb\xbf" + content.encode())
            self.assertEqual(self.succeed("tokenize", "--model", LARGE, "--input", marked), plain)
        self.assertEqual(self.succeed("tokenize", "--model", LARGE, "--input", self.write("mark.txt", b"\xef\xbb\xbf")), b"")

    def test_fields_may_be_as_deep_as_python_reads_them(self):
        for depth in (33, 1024, 5000):
            line = '{"m":' + "[" * depth + "]" * depth + ',"n":1e99999,"text":"x","text":"one"}\n'
            self.assertEqual(self.succeed("tokenize", "--model", SMALL, "--input", self.write("deep.jsonl", line)),
                             self.succeed("tokenize", "--model", SMALL, "one"))
        self.fail_with(2, "tokenize", "--model", SMALL, "--input", self.write("deep.jsonl", "[" * 100_000), says=["line 1", "10000 levels"])
        for line, says in (('{"text":"\\ud800"}', "surrogate"), ('{"text":7}', "a number"), ('{"body":"x"}', '"text"')):
            self.fail_with(2, "tokenize", "--model", SMALL, "--input", self.write("bad.jsonl", '"one"\n' + line), says=["line 2", says])

    def test_an_empty_input_gives_no_rows(self):
        self.assertEqual(self.succeed("embed", "--model", SMALL, "--input", "-", stdin=""), b"")
        document = json.loads(self.succeed("embed", "--model", SMALL, "--format", "json", "--input", "-", stdin=""))
        self.assertEqual(document["data"], [])
        self.succeed("embed", "--model", SMALL, "--format", "npy", "--output", "v.npy", "--input", "-", stdin="")
        self.assertEqual(read_npy(self.folder / "v.npy")[0], (0, 1024))

    def test_lines_end_with_lf_or_crlf(self):
        plain = self.succeed("tokenize", "--model", LARGE, "--input", "-", stdin="one\ntwo\n \n")
        self.assertEqual(len(plain.splitlines()), 3)
        self.assertEqual(self.succeed("tokenize", "--model", LARGE, "--input", "-", stdin="one\r\ntwo\r\n "), plain)

    def test_jsonl_fields(self):
        lines = '{"body":"one","text":"two"}\n"three"\n'
        body = self.succeed("tokenize", "--model", SMALL, "--input", "-", "--input-format", "jsonl", "--field", "body", stdin=lines)
        self.assertEqual(body, self.succeed("tokenize", "--model", SMALL, "one", "three"))
        text = self.succeed("tokenize", "--model", SMALL, "--input", "-", "--input-format", "jsonl", stdin=lines)
        self.assertEqual(text, self.succeed("tokenize", "--model", SMALL, "two", "three"))


class Similarity(CliTest):
    TEXTS = ["a red car", "a crimson automobile", "a bowl of soup"]

    def test_json_is_the_matrix_of_cosines(self):
        document = json.loads(self.succeed("similarity", "--model", "demo", "--task", "s2s", "--dim", "256", "--json", *self.TEXTS))
        self.assertEqual((document["dimension"], document["task"]), (256, "s2s"))
        rows = self.rows("--model", "demo", "--task", "s2s", "--dim", "256", *self.TEXTS)
        for i in range(3):
            for j in range(3):
                self.assertAlmostEqual(document["similarity"][i][j], cosine(rows[i]["embedding"], rows[j]["embedding"]), places=5)
        matrix = document["similarity"]
        self.assertGreater(matrix[0][1], matrix[0][2])

    def test_the_table_is_readable(self):
        lines = self.succeed("similarity", "--model", "demo", "--input", "-", stdin="\n".join(self.TEXTS)).decode().splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual(lines[0].split(), ["1", "2", "3"])
        for number, (line, text) in enumerate(zip(lines[1:], self.TEXTS), 1):
            self.assertTrue(line.startswith(f"{number}  {text} "), line)
            self.assertEqual(line.split()[-3 + number - 1], "1.0000")


    def test_wide_and_controlling_characters_keep_the_columns(self):
        texts = ["日本語のテキスト", "abc", "e\u0301te\u0301", "\x1b[31mred", "長い" * 40]
        out = self.succeed("similarity", "--model", "demo", "--", *texts).decode()
        self.assertNotIn("\x1b", out)

        def columns(line):
            return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
        self.assertEqual(len({columns(line) for line in out.splitlines()}), 1, out)


class Info(CliTest):
    def test_the_machine(self):
        report = json.loads(self.succeed("info", "--json"))
        for key in ("version", "processor", "kernels", "precision", "threads", "cache"):
            self.assertTrue(report[key], key)
        self.assertIn("f32", report["precisions"])
        self.assertEqual(report["precision"], "chosen for a model at its first load")  # never the word auto
        self.assertIn("kernels: ", self.succeed("info").decode())
        self.assertEqual(json.loads(self.succeed("info", "--threads", "1", "--json"))["threads"], 1)

    def test_a_model(self):
        report = json.loads(self.succeed("info", SMALL, "--json"))
        config = json.loads((CHECKPOINTS / "stella-small-tiny/config.json").read_text())
        self.assertEqual(report["type"], config["model_type"])
        self.assertEqual(report["hidden"], config["hidden_size"])
        self.assertEqual(report["layers"], config["num_hidden_layers"])
        self.assertEqual(report["dimensions"], [256, 768, 1024, 2048, 4096, 6144, 8192])
        self.assertEqual((report["default_dimension"], report["max_length"], report["default_task"]), (1024, 512, "s2p"))
        self.assertEqual(report["prompts"]["s2p"], S2P)
        sizes = {entry["file"]: entry["size"] for entry in report["files"]}
        self.assertEqual(sizes["model.safetensors"], (CHECKPOINTS / "stella-small-tiny/model.safetensors").stat().st_size)
        self.assertIn("dimensions: ", self.succeed("info", "--model", SMALL).decode())


if __name__ == "__main__":
    unittest.main()
