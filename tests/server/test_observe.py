"""What the server says of itself: metrics, logs, traces."""

import http.server
import json
import pathlib
import queue
import re
import threading
import unittest

from server_support import LARGE, TIME_LIMIT, ServerTest

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SECRET = "opensesame"
TEXT = "a text that no log may hold"


class Collector:
    """Takes spans as an OpenTelemetry collector does; `status` is what it answers with."""

    def __init__(self, status=200):
        self.requests = queue.Queue()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.put((self.path, self.headers["Content-Type"], json.loads(body)))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def spans(self, count):
        """So many spans, with the service's name and version."""
        found = []
        while len(found) < count:
            path, kind, body = self.requests.get(timeout=TIME_LIMIT)
            assert (path, kind) == ("/v1/traces", "application/json"), (path, kind)
            for resource in body["resourceSpans"]:
                names = values(resource["resource"]["attributes"])
                found += [(names, span) for scope in resource["scopeSpans"] for span in scope["spans"]]
        return found


def values(attributes):
    return {one["key"]: next(iter(one["value"].values())) for one in attributes}


class Traces(ServerTest):
    def collector(self, **options):
        collector = Collector(**options)
        self.addCleanup(collector.close)
        return collector

    def test_spans_reach_a_collector(self):
        collector = self.collector()
        server = self.start("--otlp-endpoint", collector.url, "--otlp-service-name", "search", "--api-key", SECRET)
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "one", "Authorization": f"Bearer {SECRET}"}
        answer = server.post("/embed", {"inputs": [TEXT, "b"]}, headers=headers)
        (resource, span), = collector.spans(1)
        self.assertEqual(resource["service.name"], "search")
        self.assertTrue(resource["service.version"])
        self.assertEqual((span["traceId"], span["parentSpanId"], span["name"], span["kind"]), (TRACE, PARENT, "POST /embed", 2))
        self.assertRegex(span["spanId"], "^[0-9a-f]{16}$")
        self.assertEqual(answer.headers["traceparent"], f"00-{TRACE}-{span['spanId']}-01")
        self.assertLess(int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]))
        about = values(span["attributes"])
        self.assertEqual((about["http.route"], about["http.response.status_code"], about["stella.request_id"], about["stella.texts"]),
                         ("/embed", "200", "one", "2"))
        self.assertEqual(about["stella.tokens"], answer.headers["x-compute-tokens"])
        self.assertEqual(span["status"], {})
        self.assertNotIn(SECRET, json.dumps(span))
        self.assertNotIn(TEXT, json.dumps(span))

    def test_what_is_sent_and_what_not(self):
        collector = self.collector()
        server = self.start("--otlp-endpoint", collector.url)
        server.get("/health")  # a probe
        server.post("/embed", {"inputs": "a"}, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})  # not sampled
        server.post("/embed", {"inputs": "a"}, headers={"traceparent": "nonsense"})
        self.assertEqual(server.post("/embed", {"inputs": 7}).status, 422)
        server.terminate()
        self.assertEqual(server.wait(), 0)
        spans = [span for _, span in collector.spans(2)]
        self.assertTrue(collector.requests.empty())
        self.assertEqual([values(span["attributes"])["http.response.status_code"] for span in spans], ["200", "422"])
        for span in spans:
            self.assertNotIn("parentSpanId", span)
            self.assertNotEqual(span["traceId"], TRACE)

    def test_a_collector_that_refuses_or_is_not_there_hinders_nobody(self):
        refusing = self.collector(status=500)
        for url in (refusing.url, "http://127.0.0.1:1"):
            server = self.start("--otlp-endpoint", url)
            for _ in range(20):
                self.assertEqual(server.post("/embed", {"inputs": "a"}).status, 200)
            server.terminate()
            self.assertEqual(server.wait(), 0)


class Logs(ServerTest):
    def lines_of(self, *arguments):
        """What the server wrote for one good request and two bad ones."""
        server = self.start("--api-key", SECRET, "--access-log", *arguments)
        headers = {"Authorization": f"Bearer {SECRET}", "x-request-id": "one", "traceparent": f"00-{TRACE}-{PARENT}-01"}
        self.assertEqual(server.post("/v1/embeddings?key=" + SECRET, {"input": [TEXT, "b"]}, headers=headers).status, 200)
        self.assertEqual(server.post("/embed", {"inputs": TEXT}).status, 401)
        server.raw(b"POST /embed HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        server.terminate()
        lines = server.lines + server.process.stderr.read().splitlines()
        self.assertEqual(server.wait(), 0)
        for line in lines:
            self.assertNotIn(SECRET, line)
            self.assertNotIn(TEXT, line)
        return lines

    def test_text(self):
        lines = [line for line in self.lines_of() if "127.0.0.1 \"" in line]
        self.assertRegex(lines[0], r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z 127\.0\.0\.1 "POST /v1/embeddings" 200 [\d.]+ ms, 2 texts, \d+ tokens, '
                         rf"\d+ bytes, id one, trace {TRACE}$")
        self.assertRegex(lines[1], r'"POST /embed" 401 [\d.]+ ms, id [0-9a-f]{16}$')
        self.assertRegex(lines[2], r'"POST /embed" 400 ')
        self.assertEqual(len(lines), 3)

    def test_json(self):
        lines = [json.loads(line) for line in self.lines_of("--json-output")]
        for line in lines:
            self.assertRegex(line["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertEqual(line["level"], "INFO")
        self.assertIn("listening on http://127.0.0.1:", lines[0]["message"])
        requests = [line for line in lines if line["message"] == "request"]
        self.assertEqual([(line["method"], line["path"], line["status"]) for line in requests],
                         [("POST", "/v1/embeddings", 200), ("POST", "/embed", 401), ("POST", "/embed", 400)])
        self.assertEqual((requests[0]["request_id"], requests[0]["trace_id"], requests[0]["texts"]), ("one", TRACE, 2))

    def test_nothing_is_logged_unasked(self):
        server = self.start()
        server.post("/embed", {"inputs": TEXT})
        server.terminate()
        self.assertNotIn("/embed", server.process.stderr.read().replace("/v1/embeddings", ""))


class Metrics(ServerTest):
    MODEL = LARGE
    ARGUMENTS = ("--served-model-name", "org/large")

    def figures(self):
        text = self.server.get("/metrics").body.decode()
        return {match[1]: float(match[2]) for match in re.finditer(r"^([^#\s]\S*(?:\{[^}]*\})?) (\S+)$", text, re.M)}

    def test_by_model_head_and_precision(self):
        info = self.server.get("/info").json()
        before = self.figures()

        def name(kind, dimension):
            return f'stella_embedded_{kind}_total{{model="org/large",dimension="{dimension}",precision="f32"}}'

        for dimension in info["dimensions"]:
            self.assertIn(name("texts", dimension), before)
        head = info["dimensions"][0]
        answer = self.server.post("/embed", {"inputs": ["a", "b"], "dimensions": head})
        after = self.figures()
        self.assertEqual(after[name("texts", head)], before[name("texts", head)] + 2)
        self.assertEqual(after[name("tokens", head)], before[name("tokens", head)] + int(answer.headers["x-compute-tokens"]))

    def test_passes(self):
        before = self.figures()
        answer = self.server.post("/embed", {"inputs": ["a", "b c", "d"]})
        after = self.figures()
        for name, amount in (("size", 3), ("tokens", int(answer.headers["x-compute-tokens"]))):
            self.assertEqual(after[f"te_batch_next_{name}_sum"], before[f"te_batch_next_{name}_sum"] + amount)
            self.assertGreater(after[f"te_batch_next_{name}_count"], before[f"te_batch_next_{name}_count"])

    def test_by_queue(self):
        before = self.figures()
        self.server.post("/embed", {"inputs": "a"})
        self.server.post("/embed", {"inputs": "a"}, headers={"x-priority": "bulk"})
        self.server.post("/embed", {"inputs": "word " * 2000})
        after = self.figures()
        for queue_name, count in (("interactive", 1), ("bulk", 2)):
            name = f'stella_requests_total{{queue="{queue_name}"}}'
            self.assertEqual(after[name], before[name] + count)

    def test_figures_of_the_process_and_the_hub(self):
        figures = self.figures()
        lines = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        self.assertEqual(figures["process_threads"], int(status["Threads"]))
        self.assertAlmostEqual(figures["process_resident_memory_bytes"] / (int(status["VmRSS"].split()[0]) * 1024), 1, delta=0.5)
        for name in ("process_virtual_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total", "process_start_time_seconds"):
            self.assertGreater(figures[name], 0)
        for name in ("files", "bytes"):
            self.assertEqual(figures[f"stella_hub_downloaded_{name}_total"], 0)


if __name__ == "__main__":
    unittest.main()
