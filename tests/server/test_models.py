"""Several models behind one server."""

import http.server
import socket
import threading
import unittest

from server_support import BERT, LARGE, SMALL, ServerTest, command_line, in_threads


def vector_of(model, text, *arguments):
    return command_line("--model", model, "--task", "none", "--format", "json", *arguments, text)[0]["embedding"]


class Several(ServerTest):
    ARGUMENTS = ("--model", LARGE, "--served-model-name", "small", "--served-model-name", "large", "--allow-model", BERT)

    def embed(self, model, text="a red car"):
        return self.server.post("/v1/embeddings", {"input": text, "model": model})

    def test_all_are_listed_and_the_first_is_the_default(self):
        self.assertEqual([model["id"] for model in self.server.get("/v1/models").json()["data"]], ["small", "large", BERT])
        for name in ("small", SMALL, "large", BERT):
            self.assertEqual(self.server.get("/v1/models/" + name).status, 200)
        self.assertEqual(self.server.get("/info").json()["served_model_name"], "small")

    def test_a_request_chooses(self):
        for model, directory in (("small", SMALL), ("large", LARGE), (BERT, BERT), ("", SMALL)):
            answer = self.embed(model).json()
            self.assertEqual(answer["data"][0]["embedding"], vector_of(directory, "a red car"), model)
        self.assertEqual(self.embed("large").json()["model"], "large")
        self.assertEqual(self.server.post("/v1/embeddings", {"input": "a red car"}).json(), self.embed("small").json())
        self.assertEqual(self.server.post("/embed", {"inputs": "a red car", "model": "large"}).json()[0], vector_of(SMALL, "a red car"))

    def test_an_unknown_one_is_refused_with_those_there_are(self):
        for name in ("other", "small2", "../small", SMALL + "/"):
            answer = self.embed(name)
            self.assertEqual((answer.status, answer.json()["error"]["code"], answer.json()["error"]["param"]), (404, "model_not_found", "model"))
            self.assertIn("`small`, `large`", answer.json()["error"]["message"])
        self.assertEqual(self.server.get("/v1/models/other").status, 404)

    def test_a_header_chooses_where_a_body_cannot(self):
        large = {"x-model": "large"}
        self.assertEqual(self.server.get("/info", headers=large).json()["served_model_name"], "large")
        self.assertEqual(self.server.post("/embed", {"inputs": "a red car"}, headers=large).json()[0], vector_of(LARGE, "a red car"))
        ids = [self.server.post("/tokenize", {"inputs": "a red car"}, headers={"x-model": name}).json() for name in ("small", "large")]
        self.assertNotEqual(*ids)
        escaped = {"x-model": "".join(f"%{byte:02x}" for byte in BERT.encode())}
        self.assertEqual(self.server.get("/info", headers=escaped).json()["model_id"], BERT)
        self.assertEqual(self.server.post("/v1/embeddings", {"input": "a"}, headers=large).json()["model"], "large")
        self.assertEqual(self.server.post("/v1/embeddings", {"input": "a", "model": "small"}, headers=large).json()["model"], "small", "the body says it better")
        for answer in (self.server.get("/info", headers={"x-model": "other"}), self.server.post("/embed", {"inputs": "a"}, headers={"x-model": "other"})):
            self.assertEqual((answer.status, answer.json()["error_type"]), (404, "Validation"))
            self.assertIn("`small`, `large`", answer.json()["error"])

    def test_a_tag_counts_once(self):
        for times in (2, 250_000):  # as many as a body can have
            self.assertEqual(self.embed("small" + ":latest" * times).status, 404)

    def test_all_at_the_same_time(self):
        names = ("small", "large", BERT)
        alone = [self.embed(name).json()["data"] for name in names]
        together = in_threads(24, lambda i: self.embed(names[i % 3]).json()["data"])
        for index, data in enumerate(together):
            self.assertEqual(data, alone[index % 3])


class Start(ServerTest):
    def test_models_are_told_apart(self):
        self.fail_with(2, "--model", SMALL, "--model", SMALL, says=[SMALL, "two models"])
        self.fail_with(2, "--model", SMALL, "--allow-model", SMALL, says=[SMALL, "two models"])
        self.fail_with(2, "--model", SMALL, "--served-model-name", "a", "--served-model-name", "b", says=["--served-model-name", "--model"])
        self.fail_with(2, "--model", SMALL, "--allow-model", "no/such/model", says=["no/such/model"])

    def test_memory_that_does_not_suffice(self):
        server = self.start("--memory-limit", 8, model="demo", ready=False)
        self.assertEqual(server.wait(), 1)
        self.assertIn("the pool may use 8192 KiB (--memory-limit)", server.process.stderr.read())
        server = self.start("--memory-limit", 8, "--allow-model", "demo")
        answer = server.post("/v1/embeddings", {"input": "a", "model": "demo"})
        self.assertEqual((answer.status, answer.json()["error"]["type"]), (503, "server_error"))
        self.assertIn("(--memory-limit)", answer.json()["error"]["message"])
        self.assertTrue(answer.headers["retry-after"].isdigit())
        self.assertEqual(server.post("/v1/embeddings", {"input": "a"}).status, 200)


class Revisions(ServerTest):
    """A hub that has nothing and remembers what it was asked for."""

    def setUp(self):
        self.asked = asked = []

        class Hub(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_error(404)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        self.addCleanup(hub.server_close)
        self.addCleanup(hub.shutdown)
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        self.env = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}"}

    def revisions(self, name):
        return {path.split("/resolve/")[1].split("/")[0] for path in self.asked if path.startswith(f"/{name}/resolve/")}

    def test_each_model_has_its_own(self):
        server = self.start("--revision", "first", "--allow-model", "org/one@v1.2", "--allow-model", "org/two", env=self.env)
        self.assertEqual([model["id"] for model in server.get("/v1/models").json()["data"]], [SMALL, "org/one", "org/two"])
        for name in ("org/one", "org/two"):
            self.assertEqual(server.post("/v1/embeddings", {"input": "a", "model": name}).status, 503)
        self.assertEqual((self.revisions("org/one"), self.revisions("org/two")), ({"v1.2"}, {"main"}))

    def test_the_default_models_stands_behind_its_name_too(self):
        for arguments, model in (((), "org/one@v1"), (("--revision", "v1"), "org/one")):
            self.asked.clear()
            server = self.start(*arguments, model=model, ready=False, env=self.env)
            self.assertEqual(server.wait(), 3)
            self.assertEqual(self.revisions("org/one"), {"v1"})

    def test_what_cannot_be(self):
        self.fail_with(2, "--model", "org/one@v1", "--revision", "v2", says=["--model org/one@v1", "--revision v2"])
        self.fail_with(2, "--model", SMALL, "--allow-model", "org/one@", says=["org/one@", "tag"])
        self.fail_with(2, "--model", SMALL, "--allow-model", "org/one@v1", "--allow-model", "org/one@v2", says=["org/one", "two models"])


class OnDemand(ServerTest):
    def test_a_model_that_does_not_come_holds_nobody_up(self):
        """The hub takes the connection and says nothing."""
        hub = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(hub.close)
        server = self.start("--allow-model", "org/model", env={"HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}"})
        answer = server.post("/v1/embeddings", {"input": "a", "model": "org/model"}, headers={"x-timeout-ms": "100"})
        self.assertEqual((answer.status, answer.json()["error"]["code"]), (504, "timeout"))
        self.assertEqual(server.post("/v1/embeddings", {"input": "a"}).status, 200)
        self.assertEqual(server.get("/health").status, 200)

    def test_a_hub_that_cannot_be_reached(self):
        server = self.start("--allow-model", "org/model")
        answer = server.post("/v1/embeddings", {"input": "a", "model": "org/model"})
        self.assertEqual((answer.status, answer.json()["error"]["type"]), (503, "server_error"))

    def test_idle_models_go_and_come_back(self):
        server = self.start("--idle-unload", 1, "--allow-model", LARGE)
        for _ in range(2):
            for model in (SMALL, LARGE):
                self.assertEqual(server.post("/v1/embeddings", {"input": "a", "model": model}).json()["data"][0]["embedding"], vector_of(model, "a"))


if __name__ == "__main__":
    unittest.main()
