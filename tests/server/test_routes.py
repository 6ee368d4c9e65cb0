"""What the routes answer: OpenAI's and TEI's shapes, and the same vectors as the command line's."""

import base64
import json
import math
import struct
import unittest

from server_support import LARGE, SMALL, ServerTest, command_line, in_threads

TEXTS = ["What are safetensors?", "a red car", "Ünïcödé 文字", "one " * 200]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


class OpenAi(ServerTest):
    def embeddings(self, **body):
        return self.server.post("/v1/embeddings", body)

    def test_vectors_are_the_command_lines(self):
        rows = command_line("--model", SMALL, "--task", "none", "--format", "json", *TEXTS)
        answer = self.embeddings(input=TEXTS, model=SMALL, user="u", other=None).json()
        self.assertEqual((answer["object"], answer["model"], len(answer["data"])), ("list", SMALL, len(TEXTS)))
        for index, (item, row) in enumerate(zip(answer["data"], rows, strict=True)):
            self.assertEqual((item["object"], item["index"]), ("embedding", index))
            self.assertLess(max(abs(a - b) for a, b in zip(item["embedding"], row["embedding"], strict=True)), 1e-6)
        tokens = sum(row["tokens"] for row in rows)
        self.assertEqual(answer["usage"], {"prompt_tokens": tokens, "total_tokens": tokens})

    def test_prompts(self):
        row = command_line("--model", SMALL, "--task", "s2p", "--format", "json", TEXTS[0])[0]["embedding"]
        for field in ("task", "prompt_name"):
            for name in ("s2p", "s2p_query"):
                self.assertEqual(self.embeddings(input=TEXTS[0], **{field: name}).json()["data"][0]["embedding"], row)
        answer = self.embeddings(input="a", task="nonsense")
        self.assertEqual(answer.status, 400)
        self.assertIn("s2p", answer.json()["error"]["message"])

    def test_the_same_bits_alone_in_a_batch_and_at_the_same_time(self):
        batch = [item["embedding"] for item in self.embeddings(input=TEXTS).json()["data"]]
        alone = in_threads(16, lambda i: self.embeddings(input=TEXTS[i % len(TEXTS)]).json()["data"][0]["embedding"])
        for index, vector in enumerate(alone):
            self.assertEqual(vector, batch[index % len(TEXTS)])

    def test_encodings(self):
        plain = self.embeddings(input="a").json()["data"][0]["embedding"]

        def encoded(kind):
            return self.embeddings(input="a", encoding_format=kind).json()["data"][0]

        self.assertEqual(encoded("float")["embedding"], plain)
        packed = base64.b64decode(encoded("base64")["embedding"])
        self.assertEqual([struct.pack("<f", value) for value in plain], [packed[i:i + 4] for i in range(0, len(packed), 4)])
        small = encoded("int8")
        self.assertGreater(cosine([value * small["scale"] for value in small["embedding"]], plain), 0.999)
        signs = [sum((plain[i + k] > 0) << (7 - k) for k in range(8)) for i in range(0, len(plain), 8)]
        self.assertEqual(encoded("ubinary")["embedding"], signs)
        self.assertEqual(encoded("binary")["embedding"], [sign - 128 for sign in signs])
        self.assertEqual(self.embeddings(input="a", encoding_format="f64").status, 400)

    def test_dimensions(self):
        heads = self.server.get("/info").json()["dimensions"]
        for head in heads:
            row = command_line("--model", SMALL, "--task", "none", "--dim", head, "--format", "json", "a")[0]["embedding"]
            self.assertEqual(self.embeddings(input="a", dimensions=head).json()["data"][0]["embedding"], row)
        answer = self.embeddings(input="a", dimensions=heads[0] + 1)
        self.assertEqual((answer.status, answer.json()["error"]["param"]), (400, "dimensions"))
        self.assertIn(str(heads[-1]), answer.json()["error"]["message"])

    def test_token_ids(self):
        ids = [token["id"] for token in self.server.post("/tokenize", {"inputs": TEXTS[0]}).json()[0]]
        text = self.embeddings(input=TEXTS[0]).json()["data"][0]["embedding"]
        self.assertEqual(self.embeddings(input=ids).json()["data"][0]["embedding"], text)
        self.assertEqual(self.embeddings(input=[ids, ids]).json()["data"][1]["embedding"], text)
        for foreign in (ids[1:-1], [10_000_000]):
            answer = self.embeddings(input=foreign)
            self.assertEqual(answer.status, 400)
            self.assertIn("check_embedding_ctx_length=False", answer.json()["error"]["message"])

    def test_models(self):
        self.assertEqual(self.server.get("/v1/models").json()["data"][0]["id"], SMALL)
        self.assertEqual(self.server.get("/v1/models/" + SMALL).json()["id"], SMALL)
        self.assertEqual(self.server.get("/v1/models/" + SMALL.replace("/", "%2F")).json()["object"], "model")
        self.assertEqual(self.server.get("/v1/models/other").json()["error"]["code"], "model_not_found")
        self.assertEqual(self.embeddings(input="a", model="other").status, 404)

    def test_broken_json(self):
        for body in ("", "{", '{"input":"a","input":"b"}', '{"input":"a"} x', '{"input":"\\ud800"}', '{"input":' + "[" * 100,
                     '{"input":[1e999]}', '{"input":NaN}', b'{"input":"\xff"}', "[]", '"a"', "null", '{"input":"a","dimensions":1e400}'):
            answer = self.server.post("/v1/embeddings", body)
            self.assertEqual(answer.status, 400, body)
            self.assertEqual(set(answer.json()["error"]), {"message", "type", "param", "code"})

    def test_large_bodies(self):
        texts = [f"text number {i} " + "word " * 40 for i in range(400)]  # parsed and written on the pool
        answer = self.embeddings(input=texts).json()
        self.assertEqual(len(answer["data"]), 400)
        self.assertEqual(answer["data"][399]["embedding"], self.embeddings(input=texts[399]).json()["data"][0]["embedding"])


class Tei(ServerTest):
    def embed(self, **body):
        return self.server.post("/embed", body)

    def test_vectors_are_the_command_lines(self):
        rows = [row["embedding"] for row in command_line("--model", SMALL, "--task", "none", "--format", "json", *TEXTS)]
        self.assertEqual(self.embed(inputs=TEXTS).json(), rows)
        self.assertEqual(self.embed(inputs=TEXTS[0]).json(), rows[:1])
        for path in ("/", "/invocations"):
            self.assertEqual(self.server.post(path, {"inputs": TEXTS[0]}).json(), rows[:1])
        instances = {"instances": [{"inputs": TEXTS[0]}, {"inputs": TEXTS[1:3]}]}
        self.assertEqual(self.server.post("/vertex", instances).json(), {"predictions": [rows[:1], rows[1:3]]})

    def test_texts_and_ids_mixed(self):
        ids = [token["id"] for token in self.server.post("/tokenize", {"inputs": TEXTS[1]}).json()[0]]
        rows = self.embed(inputs=TEXTS[:3]).json()
        self.assertEqual(self.embed(inputs=[TEXTS[0], ids, TEXTS[2]]).json(), rows)

    def test_several_dimensions_from_one_pass(self):
        heads = self.server.get("/info").json()["dimensions"][:2]
        answer = self.embed(inputs=TEXTS[:2], dimensions=heads).json()
        self.assertEqual(list(answer), [str(head) for head in heads])
        for head in heads:
            self.assertEqual(answer[str(head)], self.embed(inputs=TEXTS[:2], dimensions=head).json())

    def test_truncation_is_said(self):
        longest = self.server.get("/info").json()["max_input_length"]
        long = "word " * (longest + 20)
        answer = self.embed(inputs=["a", long], report=True)
        self.assertEqual(answer.headers["x-truncated-inputs"], "1")
        report = answer.json()["report"]
        self.assertEqual((report[0]["truncated"], report[1]["truncated"], report[1]["tokens"]), (False, True, longest))
        self.assertGreater(report[1]["full_tokens"], longest)
        refused = self.embed(inputs=long, truncate=False)
        self.assertEqual(refused.status, 422)
        self.assertEqual(refused.json()["error"], f"Input validation error: `inputs` must have less than {longest} tokens. Given: {report[1]['full_tokens']}")
        refused = self.server.post("/v2/embed", {"texts": ["a", long], "input_type": "search_document", "truncate": "NONE"})
        self.assertEqual(refused.json(), {"message": f"`texts` must have less than {longest} tokens. Given: {report[1]['full_tokens']}"})
        right, left = (self.embed(inputs="start " + long + "end", truncation_direction=side).json() for side in ("Right", "Left"))
        self.assertNotEqual(right, left)

    def test_normalisation(self):
        raw = self.embed(inputs="a", normalize=False).json()[0]
        unit = self.embed(inputs="a").json()[0]
        self.assertAlmostEqual(math.sqrt(sum(x * x for x in unit)), 1, places=5)
        self.assertAlmostEqual(cosine(raw, unit), 1, places=5)

    def test_similarity(self):
        vectors = self.embed(inputs=TEXTS[:3]).json()
        body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:3]}, "parameters": {}}
        for path in ("/similarity", "/"):
            for got, vector in zip(self.server.post(path, body).json(), vectors[1:], strict=True):
                self.assertAlmostEqual(got, cosine(vectors[0], vector), places=5)

    def test_tokens_of_all_texts(self):
        states = self.server.post("/embed_all", {"inputs": TEXTS[:2]}).json()
        tokens = self.server.post("/tokenize", {"inputs": TEXTS[:2]}).json()
        self.assertEqual([len(one) for one in states], [len(one) for one in tokens])

    def test_tokenize_and_decode(self):
        text = "Ünï cödé tokens"
        tokens = self.server.post("/tokenize", {"inputs": text}).json()[0]
        self.assertTrue(tokens[0]["special"] and tokens[0]["start"] is None and tokens[0]["stop"] is None)
        inner = [token for token in tokens if not token["special"]]
        for token in inner:
            self.assertEqual(token["text"], text.encode()[token["start"]:token["stop"]].decode())
        self.assertEqual([token["id"] for token in self.server.post("/tokenize", {"inputs": text, "add_special_tokens": False}).json()[0]],
                         [token["id"] for token in inner])
        self.assertEqual(len(self.server.post("/tokenize", {"inputs": ["a", "b"]}).json()), 2)
        ids = [token["id"] for token in self.server.post("/tokenize", {"inputs": "a red car"}).json()[0]]
        self.assertEqual(self.server.post("/decode", {"ids": ids}).json(), ["a red car"])
        self.assertEqual(len(self.server.post("/decode", {"ids": [ids, ids], "skip_special_tokens": False}).json()), 2)

    def test_errors_word_for_word(self):
        for inputs in ([], "", ["a", ""], [[]]):
            answer = self.embed(inputs=inputs)
            self.assertEqual((answer.status, answer.json()), (400, {"error": "Input validation error: `inputs` cannot be empty", "error_type": "Empty"}))
        for path, text in (("/rerank", "Model is not a re-ranker model"), ("/predict", "Model is not a classifier model"),
                           ("/embed_sparse", "Model is not an embedding model with SPLADE pooling")):
            answer = self.server.post(path, {})
            self.assertEqual((answer.status, answer.json()), (424, {"error": "Backend error: " + text, "error_type": "Backend"}))
        self.assertEqual(self.embed(inputs={"a": 1}).status, 422)
        self.assertEqual(self.embed(inputs="a", prompt_name="nonsense").status, 422)
        self.assertEqual(self.server.post("/embed", "{").status, 400)

    def test_headers_and_metrics(self):
        answer = self.embed(inputs=["a", "bc"])
        for name in ("x-compute-time", "x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"):
            self.assertTrue(answer.headers[name].isdigit(), name)
        self.assertEqual((answer.headers["x-compute-characters"], answer.headers["x-compute-type"]), ("3", "cpu"))
        text = self.server.get("/metrics").body.decode()
        self.assertRegex(text, r'te_request_count\{method="batch"\} [1-9]')
        self.assertRegex(text, r"te_request_duration_count [1-9]")
        self.assertIn("te_queue_size 0\n", text)

    def test_info(self):
        info = self.server.get("/info").json()
        self.assertEqual((info["model_id"], info["model_type"], info["model_dtype"]), (SMALL, {"embedding": {"pooling": "mean"}}, "float32"))
        for name in ("model_sha", "served_model_name", "max_concurrent_requests", "max_input_length", "max_batch_tokens", "max_batch_requests",
                     "max_client_batch_size", "auto_truncate", "tokenization_workers", "version", "sha", "docker_label"):
            self.assertIn(name, info)

    def test_terms(self):
        self.assertEqual(self.server.post("/embed", {"inputs": "a"}, headers={"x-priority": "bulk", "x-timeout-ms": "60000"}).status, 200)
        for name, value in (("x-priority", "high"), ("x-timeout-ms", "soon"), ("x-timeout-ms", "0")):
            self.assertEqual(self.server.post("/embed", {"inputs": "a"}, headers={name: value}).status, 422)


class Ollama(ServerTest):
    def test_vectors_are_the_command_lines(self):
        rows = [row["embedding"] for row in command_line("--model", SMALL, "--task", "none", "--format", "json", *TEXTS[:2])]
        answer = self.server.post("/api/embed", {"model": SMALL, "input": TEXTS[:2]}).json()
        self.assertEqual((answer["model"], answer["embeddings"]), (SMALL, rows))
        self.assertGreater(answer["prompt_eval_count"], 2)
        self.assertGreater(answer["total_duration"], 0)
        self.assertEqual(self.server.post("/api/embeddings", {"model": SMALL, "prompt": TEXTS[0]}).json(), {"embedding": rows[0]})

    def test_as_its_documentation_asks(self):
        """curl -d says that it sends a form."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self.assertEqual(len(self.server.post("/api/embed", {"input": "a"}, headers=headers).json()["embeddings"]), 1)
        self.assertEqual(self.server.post("/embed", {"inputs": "a"}, headers=headers).status, 415)

    def test_an_empty_input_and_errors(self):
        self.assertEqual(self.server.post("/api/embed", {"model": SMALL, "input": ""}).json()["embeddings"], [])
        self.assertEqual(self.server.post("/api/embed", {"model": SMALL + ":latest", "input": "a"}).json()["model"], SMALL + ":latest")
        answer = self.server.post("/api/embed", {"model": "llama3", "input": "a"})
        self.assertEqual((answer.status, list(answer.json())), (404, ["error"]))
        self.assertEqual(self.server.post("/api/generate", {}).status, 404)


class Cohere(ServerTest):
    def test_input_types_choose_the_prompt(self):
        for kind, task in (("search_query", "s2p"), ("search_document", "none"), ("classification", "s2s"), ("clustering", "s2s")):
            rows = [row["embedding"] for row in command_line("--model", SMALL, "--task", task, "--format", "json", *TEXTS[:2])]
            answer = self.server.post("/v2/embed", {"model": SMALL, "texts": TEXTS[:2], "input_type": kind}, headers={"x-request-id": kind}).json()
            self.assertEqual((answer["embeddings"], answer["texts"], answer["id"]), ({"float": rows}, TEXTS[:2], kind))

    def test_types(self):
        kinds = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
        answer = self.server.post("/v2/embed", {"model": SMALL, "texts": ["a"], "input_type": "search_document", "embedding_types": kinds}).json()
        vectors = {kind: answer["embeddings"][kind][0] for kind in kinds}
        self.assertEqual(struct.unpack(f"<{len(vectors['float'])}f", base64.b64decode(vectors["base64"])),
                         tuple(struct.unpack("<f", struct.pack("<f", value))[0] for value in vectors["float"]))
        self.assertEqual([value + 128 for value in vectors["int8"]], vectors["uint8"])
        self.assertGreater(cosine(vectors["int8"], vectors["float"]), 0.999)
        self.assertEqual([value + 128 for value in vectors["binary"]], vectors["ubinary"])

    def test_errors(self):
        for body in ({"texts": ["a"]}, {"texts": ["a"], "input_type": "x"}, {"texts": ["a"], "input_type": "clustering", "output_dimension": 3}):
            answer = self.server.post("/v2/embed", body)
            self.assertEqual((answer.status, list(answer.json())), (400, ["message"]))


class Fingerprints(ServerTest):
    def test_equal_ones_for_equal_vectors(self):
        def of(path="/embed", **body):
            return self.server.post(path, body).headers["x-embedding-fingerprint"]

        heads = self.server.get("/info").json()["dimensions"]
        default = self.server.get("/info").json()["embedding_fingerprint"]
        self.assertRegex(default, r"^weights=sha256:[0-9a-f]{16}; dimension=\d+; precision=f32; prompt=none; normalized=true$")
        for same in (of(inputs="a"), of(inputs=["b", "c"]), of("/v1/embeddings", input="a"), of("/api/embed", input="a"),
                     of("/v2/embed", texts=["a"], input_type="search_document"), of("/similarity", inputs={"source_sentence": "a", "sentences": ["b"]})):
            self.assertEqual(same, default)
        query = of(inputs="a", prompt_name="s2p")
        self.assertEqual(of("/vertex", instances=[{"inputs": "a"}, {"inputs": "b"}]), default)
        self.assertEqual(of("/vertex", instances=[{"inputs": "a"}, {"inputs": "b", "prompt_name": "s2p"}]), f"{default}, {query}")
        self.assertIn("prompt=s2p", query)
        self.assertEqual(of("/v2/embed", texts=["a"], input_type="search_query"), query)
        others = {default, query, of(inputs="a", normalize=False), of(inputs="a", dimensions=heads[0]), of("/embed_all", inputs="a")}
        self.assertEqual(len(others), 5)
        self.assertNotIn(self.start(model=LARGE).get("/info").json()["embedding_fingerprint"], others)


class Documents(ServerTest):
    ARGUMENTS = ("--api-key", "secret")

    def test_they_need_no_key(self):
        answer = self.server.get("/api-doc/openapi.json")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
        self.assertIn("/v1/embeddings", answer.json()["paths"])
        page = self.server.get("/docs")
        self.assertEqual((page.status, page.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", page.headers["content-security-policy"])


class LargeModel(ServerTest):
    MODEL = LARGE
    ARGUMENTS = ("--served-model-name", "org/large", "--default-prompt-name", "s2p", "--max-client-batch-size", 2, "--max-batch-split", 1, "--auto-truncate", "false")

    def test_names_prompts_and_limits(self):
        row = command_line("--model", LARGE, "--task", "s2p", "--format", "json", "a")[0]["embedding"]
        answer = self.server.post("/v1/embeddings", {"input": "a", "model": "org/large"}).json()
        self.assertEqual((answer["model"], answer["data"][0]["embedding"]), ("org/large", row))
        self.assertEqual(self.server.get("/v1/models/org/large").status, 200)
        answer = self.server.post("/embed", {"inputs": ["a", "b", "c"]})
        self.assertEqual((answer.status, answer.json()["error"]), (422, "batch size 3 > maximum allowed batch size 2"))
        long = "word " * (self.server.get("/info").json()["max_input_length"] + 10)
        self.assertEqual(self.server.post("/embed", {"inputs": long}).status, 422)
        self.assertEqual(self.server.post("/embed", {"inputs": long, "truncate": True}).status, 200)


if __name__ == "__main__":
    unittest.main()
