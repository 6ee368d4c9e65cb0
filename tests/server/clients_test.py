"""Clients as they are installed from the package registry, unchanged: openai and huggingface_hub."""

import asyncio
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["STELLA_PROGRAM"], os.environ["STELLA_SOURCE"] = sys.argv[1:3]
sys.argv[1:] = []

import huggingface_hub
import openai

from server_support import SMALL, ServerTest, command_line

TEXTS = ["What are safetensors?", "a red car", "a crimson automobile"]


def difference(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


class OpenAiClient(ServerTest):
    ARGUMENTS = ("--api-key", "secret", "--served-model-name", "org/model")

    def options(self, key="secret"):
        return dict(base_url=self.server.url + "/v1", api_key=key, max_retries=0)

    def setUp(self):
        self.client = openai.OpenAI(**self.options())
        self.addCleanup(self.client.close)
        self.rows = [row["embedding"] for row in command_line("--model", SMALL, "--task", "none", "--format", "json", *TEXTS)]

    def test_embeddings(self):
        answer = self.client.embeddings.create(model="org/model", input=TEXTS)
        for item, row in zip(answer.data, self.rows, strict=True):
            self.assertLess(difference(item.embedding, row), 1e-6)
        self.assertEqual(answer.usage.prompt_tokens, answer.usage.total_tokens)
        answer = self.client.embeddings.create(model="org/model", input=TEXTS[0], encoding_format="float", dimensions=len(self.rows[0]))
        self.assertLess(difference(answer.data[0].embedding, self.rows[0]), 1e-6)

    def test_asynchronous(self):
        async def ask():
            async with openai.AsyncOpenAI(**self.options()) as client:
                return await asyncio.gather(*(client.embeddings.create(model="org/model", input=text) for text in TEXTS))
        for answer, row in zip(asyncio.run(ask()), self.rows, strict=True):
            self.assertLess(difference(answer.data[0].embedding, row), 1e-6)

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["org/model"])
        self.assertEqual(self.client.models.retrieve("org/model").id, "org/model")

    def test_errors_are_its_own_exceptions(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.embeddings.create(model="other", input="a")
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.embeddings.create(model="org/model", input="a", dimensions=3)
        self.assertEqual(caught.exception.param, "dimensions")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.embeddings.create(model="org/model", input=[5, 6])
        self.assertIn("check_embedding_ctx_length=False", str(caught.exception))
        with openai.OpenAI(**self.options("wrong")) as client, self.assertRaises(openai.AuthenticationError):
            client.embeddings.create(model="org/model", input="a")


class HuggingFaceClient(ServerTest):
    def setUp(self):
        self.client = huggingface_hub.InferenceClient(base_url=self.server.url)

    def test_feature_extraction(self):
        rows = command_line("--model", SMALL, "--task", "none", "--format", "json", TEXTS[0])
        vectors = self.client.feature_extraction(TEXTS[0])
        self.assertEqual(vectors.shape, (1, len(rows[0]["embedding"])))
        self.assertLess(difference(vectors[0].tolist(), rows[0]["embedding"]), 1e-6)
        query = command_line("--model", SMALL, "--task", "s2p", "--format", "json", TEXTS[0])
        vectors = self.client.feature_extraction(TEXTS[0], prompt_name="s2p", normalize=True, truncate=True, truncation_direction="right")
        self.assertLess(difference(vectors[0].tolist(), query[0]["embedding"]), 1e-6)

    def test_sentence_similarity(self):
        near, far = self.client.sentence_similarity(TEXTS[1], TEXTS[2:] + TEXTS[:1])
        self.assertTrue(-1 <= far <= 1 and -1 <= near <= 1)
        same, = self.client.sentence_similarity(TEXTS[1], TEXTS[1:2])
        self.assertAlmostEqual(same, 1, places=5)


if __name__ == "__main__":
    unittest.main()
