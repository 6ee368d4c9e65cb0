"""Frameworks and clients of other families as they are installed from the package registry, unchanged: LangChain, LlamaIndex, Haystack, Ollama, Cohere."""

import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["STELLA_PROGRAM"], os.environ["STELLA_SOURCE"] = sys.argv[1:3]
sys.argv[1:] = []
# Nothing but the server is asked for anything.
os.environ.update(HF_ENDPOINT="http://127.0.0.1:1", HAYSTACK_TELEMETRY_ENABLED="False", LANGCHAIN_TRACING_V2="false", DO_NOT_TRACK="1")

from server_support import SMALL, ServerTest, command_line

TEXTS = ["What are safetensors?", "a red car", "a crimson automobile"]
KEY, MODEL = "secret", "org/model"


class FrameworkTest(ServerTest):
    ARGUMENTS = ("--api-key", KEY, "--served-model-name", MODEL)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rows = {task: [row["embedding"] for row in command_line("--model", SMALL, "--task", task, "--format", "json", *TEXTS)]
                    for task in ("none", "s2p", "s2s")}

    def assert_vectors(self, vectors, task="none", count=len(TEXTS)):
        self.assertEqual(len(vectors), count)
        for vector, row in zip(vectors, self.rows[task]):
            self.assertEqual(len(vector), len(row))
            self.assertLess(max(abs(a - b) for a, b in zip(vector, row)), 1e-6)


class LangChain(FrameworkTest):
    def embeddings(self, **options):
        from langchain_openai import OpenAIEmbeddings
        return OpenAIEmbeddings(base_url=self.server.url + "/v1", api_key=KEY, model=MODEL, max_retries=0, **options)

    def test_texts(self):
        embeddings = self.embeddings(check_embedding_ctx_length=False)
        self.assert_vectors(embeddings.embed_documents(TEXTS))
        self.assert_vectors([embeddings.embed_query(TEXTS[0])], count=1)

    def test_ids_of_another_vocabulary_are_named(self):
        """By default the class tokenizes with tiktoken, whose vocabularies are downloaded: here one of bytes stands in."""
        import openai
        import tiktoken
        import tiktoken.registry
        tiktoken.registry.ENCODINGS["cl100k_base"] = tiktoken.Encoding(
            "cl100k_base", pat_str=r"[\s\S]", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={"<|endoftext|>": 256})
        with self.assertRaises(openai.BadRequestError) as caught:
            self.embeddings().embed_documents(TEXTS)
        self.assertIn("check_embedding_ctx_length=False", str(caught.exception))

    def test_hugging_face(self):
        """The class takes no URL; its client does."""
        from huggingface_hub import InferenceClient
        from langchain_huggingface import HuggingFaceEndpointEmbeddings
        embeddings = HuggingFaceEndpointEmbeddings(model=MODEL, huggingfacehub_api_token=KEY)
        embeddings.client = InferenceClient(base_url=self.server.url, token=KEY)
        self.assert_vectors(embeddings.embed_documents(TEXTS))
        self.assert_vectors([embeddings.embed_query(TEXTS[0])], count=1)


class LlamaIndex(FrameworkTest):
    def test_openai(self):
        from llama_index.embeddings.openai import OpenAIEmbedding
        embedding = OpenAIEmbedding(model_name=MODEL, api_base=self.server.url + "/v1", api_key=KEY, max_retries=0)
        self.assert_vectors(embedding.get_text_embedding_batch(TEXTS))
        self.assert_vectors([embedding.get_query_embedding(TEXTS[0])], count=1)

    def test_text_embeddings_inference(self):
        from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
        embedding = TextEmbeddingsInference(model_name=MODEL, base_url=self.server.url, auth_token=KEY)
        self.assert_vectors(embedding.get_text_embedding_batch(TEXTS))
        self.assert_vectors([embedding.get_query_embedding(TEXTS[0])], count=1)


class Haystack(FrameworkTest):
    def options(self):
        from haystack.utils import Secret
        return dict(api_base_url=self.server.url + "/v1", api_key=Secret.from_token(KEY), model=MODEL, max_retries=0)

    def test_texts(self):
        from haystack.components.embedders import OpenAITextEmbedder
        self.assert_vectors([OpenAITextEmbedder(**self.options()).run(TEXTS[0])["embedding"]], count=1)

    def test_documents(self):
        from haystack import Document
        from haystack.components.embedders import OpenAIDocumentEmbedder
        answer = OpenAIDocumentEmbedder(progress_bar=False, **self.options()).run([Document(content=text) for text in TEXTS])
        self.assert_vectors([document.embedding for document in answer["documents"]])


class Ollama(FrameworkTest):
    ARGUMENTS = ("--served-model-name", "stella")

    def client(self):
        import ollama
        return ollama.Client(host=self.server.url)

    def test_embed(self):
        answer = self.client().embed(model="stella", input=TEXTS)
        self.assert_vectors(answer.embeddings)
        self.assertEqual(answer.model, "stella")
        self.assertGreater(answer.prompt_eval_count, 0)
        self.assert_vectors(self.client().embed(model="stella:latest", input=TEXTS[0], truncate=True, keep_alive="5m", options={"num_ctx": 512}).embeddings, count=1)
        self.assert_vectors([self.client().embeddings(model="stella", prompt=TEXTS[0]).embedding], count=1)

    def test_errors_are_its_own_exceptions(self):
        import ollama
        with self.assertRaises(ollama.ResponseError) as caught:
            self.client().embed(model="llama3", input="a")
        self.assertEqual(caught.exception.status_code, 404)
        self.assertIn("llama3", caught.exception.error)


class Cohere(FrameworkTest):
    def client(self, key=KEY):
        import cohere
        return cohere.ClientV2(api_key=key, base_url=self.server.url)

    def test_embed(self):
        for kind, task in (("search_query", "s2p"), ("search_document", "none"), ("clustering", "s2s")):
            answer = self.client().embed(model=MODEL, texts=TEXTS, input_type=kind, embedding_types=["float", "int8"])
            self.assert_vectors(answer.embeddings.float_, task)
            self.assertEqual(len(answer.embeddings.int8), len(TEXTS))
        self.assertEqual(answer.texts, TEXTS)

    def test_errors_are_its_own_exceptions(self):
        import cohere
        with self.assertRaises(cohere.BadRequestError) as caught:
            self.client().embed(model=MODEL, texts=TEXTS, input_type="clustering", embedding_types=["float"], output_dimension=3)
        self.assertIn("output_dimension", str(caught.exception.body))
        with self.assertRaises(cohere.UnauthorizedError):
            self.client("wrong").embed(model=MODEL, texts=TEXTS, input_type="clustering", embedding_types=["float"])
        with self.assertRaises(cohere.NotFoundError):
            self.client().embed(model="embed-v4.0", texts=TEXTS, input_type="clustering", embedding_types=["float"])


if __name__ == "__main__":
    unittest.main()
