"""The playground in headless Chromium, driven by Playwright, with the demo model behind it.

    page_test.py PROGRAM SOURCE [--screenshots FOLDER]

Exits 77 where no chromium is on PATH.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["STELLA_PROGRAM"], os.environ["STELLA_SOURCE"] = sys.argv[1:3]
SCREENSHOTS = pathlib.Path(sys.argv[4]) if "--screenshots" in sys.argv else None
del sys.argv[1:5 if SCREENSHOTS else 3]

import numpy
from playwright.sync_api import expect, sync_playwright

from server_support import BERT, PROGRAM, SMALL, Server, ServerTest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TIME_LIMIT_MS = 60_000
EXAMPLE = ["A red car is parked by the road.", "A crimson automobile stands at the kerb.", "Bread rises because yeast makes gas in the dough.",
           "How do I bake a loaf at home?", "The moon's pull moves the sea up and down.", "Why is there high and low tide twice a day?",
           "A safe file format for the weights of a model.", "Stretch your legs after a long run."]
SIZES = [256, 768, 1024, 2048, 4096, 6144, 8192]
VIEWS = ("similarity", "search", "map", "tokens")
# The ratio of WCAG 2 between a text's colour and what is behind it, for each element that shows text.
CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgb = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = (node) => { for (; node; node = node.parentElement) { const color = rgb(getComputedStyle(node).backgroundColor); if (color[3] === 255) return color; } return [255, 255, 255, 255]; };
  const low = [];
  for (const node of document.body.querySelectorAll('*')) {
    const text = [...node.childNodes].filter((one) => one.nodeType === 3).map((one) => one.textContent.trim()).join('');
    const box = node.getBoundingClientRect();
    if (!text || !box.width || node.closest('.unseen,.skip,svg,script,style,noscript,option') || getComputedStyle(node).fontSize === '0px') continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""


def command(*arguments):
    with tempfile.TemporaryDirectory(prefix="stella-page-") as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home, "HF_HOME": home, "HF_ENDPOINT": "http://127.0.0.1:1"}
        return json.loads(subprocess.run([PROGRAM, *map(str, arguments)], env=environment, capture_output=True, check=True, timeout=240).stdout)


class PageTest(ServerTest):
    MODEL = "demo"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        playwright = sync_playwright().start()
        cls.addClassCleanup(playwright.stop)
        cls.browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        cls.addClassCleanup(cls.browser.close)

    def open(self, view="similarity", server=None, ready=True, **options):
        """A page in a context of its own. At the end of the test: no error in its console, nothing asked of anybody else."""
        server = server or self.server
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 860}, "reduced_motion": "reduce", **options})
        page = context.new_page()
        page.set_default_timeout(TIME_LIMIT_MS)
        expect.set_options(timeout=TIME_LIMIT_MS)
        page.errors, page.requests, page.expected_statuses = [], [], set()
        page.on("console", lambda message: message.type == "error" and page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.requests.append(request))
        self.addCleanup(self.check, page, server)
        self.addCleanup(context.close)  # first
        page.goto(f"{server.url}/#{view}")
        if ready:
            self.wait_ready(page)
        return page

    def check(self, page, server):
        # A status that a test brought about is an error in the browser's console, and meant to be.
        unexpected = [error for error in page.errors if not any(str(status) in error for status in page.expected_statuses)]
        self.assertEqual(unexpected, [])
        foreign = [request.url for request in page.requests if not request.url.startswith((server.url + "/", "data:"))]
        self.assertEqual(foreign, [])

    def wait_ready(self, page):
        expect(page.locator("#state")).to_have_text("Ready")

    def choose(self, page, view):
        page.get_by_role("tab", name=view.capitalize(), exact=True).click()
        self.wait_ready(page)

    def type_texts(self, page, texts):
        page.get_by_role("textbox", name="Texts").fill("\n".join(texts))
        expect(page.locator("#count")).to_have_text(f"{len(texts)} text{'s' if len(texts) != 1 else ''}")
        self.wait_ready(page)

    def slide_to(self, page, size):
        page.locator("#dimension").evaluate("(node, at) => { node.value = at; node.dispatchEvent(new Event('input')); }", SIZES.index(size))
        expect(page.locator("#dimension-value")).to_have_text(f"{size:,}")
        self.wait_ready(page)

    def heat(self, page):
        rows = page.locator("#heat tbody tr").all()
        return [[float(cell) for cell in row.locator("td").all_text_contents()] for row in rows]

    def asked(self, page, path="embed"):
        return [json.loads(request.post_data) for request in page.requests if request.url == f"{self.server.url}/{path}"]


    def code(self, page, language):
        page.get_by_role("tab", name=language).click()
        return page.locator("#code").text_content()

    def check_code(self, page, wanted):
        """What is shown as code has that answer, in each language."""
        done = subprocess.run(["bash", "-c", self.code(page, "curl")], capture_output=True, timeout=240)
        self.assertEqual(json.loads(done.stdout), wanted)
        # `requests` is what users have; all that the code uses of it is this.
        stand_in = ("import json as _json, urllib.request\n"
                    "class _Answer:\n    def __init__(self, text): self.text = text\n    def raise_for_status(self): pass\n    def json(self): return _json.dumps(_json.loads(self.text))\n"
                    "def post(url, json, headers={}):\n"
                    "    asked = urllib.request.Request(url, _json.dumps(json).encode(), {'Content-Type': 'application/json', **headers})\n"
                    "    return _Answer(urllib.request.urlopen(asked).read())\n")
        with tempfile.TemporaryDirectory(prefix="stella-page-") as folder:
            pathlib.Path(folder, "requests.py").write_text(stand_in)
            done = subprocess.run([sys.executable, "-"], input=self.code(page, "Python").encode(), env={"PYTHONPATH": folder}, capture_output=True, timeout=240)
        self.assertEqual(json.loads(done.stdout), wanted, done.stderr)
        javascript = self.code(page, "JavaScript").replace("console.log(", "return (")
        self.assertEqual(page.evaluate(f"async () => {{ {javascript} }}"), wanted)


class Views(PageTest):
    def test_similarity(self):
        page = self.open()
        expect(page.get_by_role("grid")).to_have_accessible_name("Similarity of 8 texts, each with each")
        for size in (1024, 256):
            self.slide_to(page, size)
            wanted = command("similarity", "--model", "demo", "--task", "s2s", "--dim", size, "--json", *EXAMPLE)["similarity"]
            numpy.testing.assert_allclose(self.heat(page), wanted, atol=0.00501)
        # The best pair is shown, then whichever is pointed at.
        matrix = numpy.array(wanted) - 2 * numpy.eye(8)
        row, column = sorted(divmod(int(matrix.argmax()), 8))
        expect(page.locator("#pair")).to_contain_text(f"{matrix[row][column]:.3f}")
        page.get_by_role("gridcell").nth(2 * 8 + 3).hover()
        for text in (f"{wanted[2][3]:.3f}", EXAMPLE[2], EXAMPLE[3]):
            expect(page.locator("#pair")).to_contain_text(text)
        # All seven sizes came from one request.
        self.assertEqual([body["dimensions"] for body in self.asked(page)], [SIZES])

    def test_only_what_is_new_is_asked_for(self):
        page = self.open()
        self.type_texts(page, EXAMPLE[:2] + ["Something new", EXAMPLE[0]])
        self.assertEqual(self.asked(page)[1]["inputs"], ["Something new"])
        self.assertEqual(len(self.heat(page)), 4)

    def test_task(self):
        page = self.open()
        self.assertEqual(page.get_by_label("Task", exact=True).locator("option").evaluate_all("all => all.map((one) => one.value)"), ["none", "s2p", "s2s"])
        page.get_by_label("Task", exact=True).select_option("none")
        expect(page.locator("#task-note")).to_have_text("Texts are taken as they are.")
        self.wait_ready(page)
        wanted = command("similarity", "--model", "demo", "--task", "none", "--dim", 1024, "--json", *EXAMPLE)["similarity"]
        numpy.testing.assert_allclose(self.heat(page), wanted, atol=0.00501)

    def ranking(self, page):
        return page.locator("#hits li").evaluate_all("rows => rows.map((row) => [Number(row.dataset.index), Number(row.querySelector('.score').textContent)])")

    def test_search_and_how_the_ranking_changes(self):
        page = self.open("search")
        passages = (pathlib.Path(os.environ["STELLA_SOURCE"]) / "examples/search/passages.txt").read_text().splitlines()[:40]
        self.type_texts(page, passages)
        query = "ways to lower stress"
        page.get_by_role("searchbox", name="Query").fill(query)
        expect(page.locator("#hits li").first).to_be_visible()
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(passages))
            file.flush()
    
            page.get_by_role("search").locator("input").press("Enter")
            self.wait_ready(page)
            places = {}
            for size in (8192, 256):
                self.slide_to(page, size)
                wanted = places[size] = command("search", "--model", "demo", "--input", file.name, "--dim", size, "--top", 40, "--json", query)["results"]
                wanted = wanted[:20]
                self.assertEqual([index for index, _ in self.ranking(page)], [hit["index"] for hit in wanted])
                numpy.testing.assert_allclose([score for _, score in self.ranking(page)], [hit["score"] for hit in wanted], atol=0.000501)
        same = sum(a["index"] == b["index"] for a, b in zip(places[256], places[8192], strict=True))
        expect(page.locator("#order")).to_contain_text(f"{same} of 40 texts keep the place" if same < 40 else "Every text keeps the place")
        expect(page.locator("#order")).to_contain_text("1/32 of the memory")
        asked = [body for body in self.asked(page) if body["inputs"] == [query]]
        self.assertEqual([(body["dimensions"], body["prompt_name"]) for body in asked], [(SIZES, "s2p")])
        self.assertEqual({body["prompt_name"] for body in self.asked(page) if len(body["inputs"]) > 1}, {"document"})

    def test_files(self):
        page = self.open("search")
        lines = [f"line {number} of a file about bread" for number in range(70)]
        page.locator("#file").set_input_files({"name": "lines.txt", "mimeType": "text/plain", "buffer": ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()})
        expect(page.locator("#count")).to_have_text("70 texts")
        self.wait_ready(page)
        self.assertEqual(page.locator("#texts").input_value().splitlines(), lines)
        expect(page.locator("#hits li")).to_have_count(20)
        expect(page.locator("#order")).to_contain_text("The best 20 of 70 texts")
        # So many are asked for at one size only.
        self.assertEqual({tuple(body["dimensions"]) for body in self.asked(page) if "of a file" in body["inputs"][0]}, {(1024,)})
        drop = """([name, text]) => { const data = new DataTransfer(); data.items.add(new File([text], name));
                  for (const kind of ['dragover', 'drop']) document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true })); }"""
        page.evaluate(drop, ["texts.jsonl", '"one"\n{"text": "two\\nlines", "id": 2}\n'])
        expect(page.locator("#texts")).to_have_value("one\ntwo lines")
        for name, text, says in (("texts.jsonl", '{"no": 1}', "neither a JSON string"), ("picture.png", "\0PNG", "not text")):
            page.evaluate(drop, [name, text])
            expect(page.locator("#note")).to_contain_text(says)
        expect(page.locator("#texts")).to_have_value("one\ntwo lines")
        self.wait_ready(page)

    def test_map(self):
        page = self.open("map")
        vectors = numpy.array(self.server.post("/embed", {"inputs": EXAMPLE, "prompt_name": "s2s", "dimensions": 1024}).json(), numpy.float64)
        left, values, _ = numpy.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
        wanted = left[:, :2] * values[:2]
        points = page.locator("#map g.point").evaluate_all("all => all.map((one) => [Number(one.dataset.x), Number(one.dataset.y)])")
        got = numpy.array(points)
        for axis in (0, 1):
            sign = numpy.sign(got[:, axis] @ wanted[:, axis])
            numpy.testing.assert_allclose(sign * got[:, axis], wanted[:, axis], atol=1e-4)
        share = round(100 * (values[:2] ** 2).sum() / (values ** 2).sum())
        expect(page.locator("#near")).to_contain_text(f"{share} %")
        page.locator("#map g.point").first.hover()
        likes = vectors @ vectors[0]
        nearest = EXAMPLE[int(numpy.argsort(-likes)[1])]
        expect(page.locator("#near")).to_contain_text(f"nearest: {nearest}")
        expect(page.locator("#map .links line")).to_have_count(3)

    def test_tokens(self):
        page = self.open("tokens")
        limit = self.server.get("/info").json()["max_input_length"]
        long = "water " * (limit + 40)
        self.type_texts(page, ["Ünïque <b>bread</b>", long])
        page.get_by_label("Task", exact=True).select_option("none")
        self.wait_ready(page)
        report = self.server.post("/embed", {"inputs": ["Ünïque <b>bread</b>", long.strip()], "report": True}).json()["report"]
        wanted = self.server.post("/tokenize", {"inputs": "Ünïque <b>bread</b>"}).json()[0]
        row, cut = page.locator("#tokens li").all()
        self.assertEqual(row.locator(".pieces span").all_text_contents(), [token["text"] for token in wanted])
        self.assertEqual(row.locator(".special").count(), sum(token["special"] for token in wanted))
        expect(row).to_contain_text(f"{report[0]['tokens']} tokens")
        expect(cut).to_contain_text(f"{report[1]['full_tokens']:,} tokens, cut to {report[1]['tokens']:,}")
        pieces = cut.locator(".pieces span").evaluate_all("all => all.map((one) => one.className)")
        self.assertEqual(pieces.count("lost"), report[1]["full_tokens"] - report[1]["tokens"])
        expect(page.locator("#note")).to_contain_text(f"1 text longer than {limit:,} tokens")

    def test_latency_is_shown(self):
        page = self.open()
        answer = self.server.post("/embed", {"inputs": EXAMPLE, "prompt_name": "s2s"})
        self.assertRegex(page.locator("#timing").text_content(), rf"^8 texts · {answer.headers['x-compute-tokens']} tokens · \d+ ms, \d+ ms of it in the server$")

    def test_too_few_texts(self):
        page = self.open()
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#empty")).to_contain_text("at least two texts")
        page.get_by_role("button", name="Example").click()
        self.wait_ready(page)
        expect(page.locator("#heat td")).to_have_count(64)

    def test_texts_stay_in_the_tab(self):
        page = self.open()
        self.type_texts(page, ["one text", "another <i>text</i>"])
        page.reload()
        self.wait_ready(page)
        expect(page.locator("#texts")).to_have_value("one text\nanother <i>text</i>")
        expect(page.locator("#heat i")).to_have_count(0)


class Code(PageTest):
    TEXTS = ["it's a \"quoted\" text with \\ and $HOME", "日本語 — naïve"]

    def setUp(self):
        self.page = self.open()
        self.type_texts(self.page, self.TEXTS)
        self.page.get_by_text("This request as code").click()
        self.wanted = self.server.post("/embed", {"inputs": self.TEXTS, "prompt_name": "s2s", "dimensions": SIZES, "truncate": True, "report": True}).json()

    def test_it_gives_the_same_answer(self):
        self.check_code(self.page, self.wanted)

    def test_copy(self):
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        code = self.code(self.page, "curl")
        self.page.get_by_role("button", name="Copy").click()
        expect(self.page.get_by_role("button", name="Copied")).to_be_visible()
        self.assertEqual(self.page.evaluate("() => navigator.clipboard.readText()"), code)


class Models(PageTest):
    NAME = "gr\u00f6\u00dfer 41%41"
    ARGUMENTS = ("--served-model-name", "demo", "--model", SMALL, "--served-model-name", NAME, "--allow-model", BERT)

    def similarity(self, model):
        return command("similarity", "--model", model, "--task", "s2s", "--json", *EXAMPLE)["similarity"]

    def names_asked_for(self, page, path):
        return [request.headers.get("x-model") for request in page.requests if request.url == f"{self.server.url}/{path}"]

    def test_one_is_chosen_for_every_request(self):
        page = self.open()
        choice = page.get_by_role("combobox", name="Model", exact=True)
        self.assertEqual(choice.locator("option").all_text_contents(), ["demo", self.NAME, BERT])
        expect(choice).to_have_value("demo")
        numpy.testing.assert_allclose(self.heat(page), self.similarity("demo"), atol=0.00501)
        choice.select_option(self.NAME)
        expect(page.locator("#model")).to_have_text(self.NAME)
        self.wait_ready(page)
        numpy.testing.assert_allclose(self.heat(page), self.similarity(SMALL), atol=0.00501)
        header = "gr%C3%B6%C3%9Fer%2041%2541"
        self.choose(page, "tokens")
        for path, names in (("info", [None, header]), ("embed", [None, header]), ("tokenize", [header])):
            self.assertEqual(self.names_asked_for(page, path), names, path)
        page.reload()
        self.wait_ready(page)
        expect(choice).to_have_value(self.NAME)
        # By keyboard; one that is loaded for this, and has one size and no prompts.
        choice.focus()
        page.keyboard.press("ArrowDown")
        expect(page.locator("#model")).to_have_text(BERT)
        self.wait_ready(page)
        expect(page.locator("#dimension-field")).to_be_hidden()
        page.keyboard.press("Home")
        expect(page.locator("#model")).to_have_text("demo")
        self.wait_ready(page)
        self.assertEqual(self.names_asked_for(page, "embed")[-1], None)

    def test_its_code_names_it(self):
        page = self.open()
        page.get_by_role("combobox", name="Model", exact=True).select_option(self.NAME)
        expect(page.locator("#model")).to_have_text(self.NAME)
        self.wait_ready(page)
        page.get_by_text("This request as code").click()
        body = self.asked(page)[-1]
        wanted = self.server.post("/embed", body, headers={"x-model": "gr%C3%B6%C3%9Fer%2041%2541"}).json()
        self.assertNotEqual(wanted, self.server.post("/embed", body).json())
        self.check_code(page, wanted)

    def test_a_phones_width(self):
        page = self.open(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
        expect(page.get_by_role("combobox", name="Model", exact=True)).to_be_visible()
        self.assertLessEqual(page.evaluate("() => document.documentElement.scrollWidth"), 360)


class Key(PageTest):
    ARGUMENTS = ("--api-key", "secret")

    def test_the_page_asks_for_it(self):
        page = self.open(ready=False)
        page.expected_statuses = {401}
        dialog = page.get_by_role("dialog", name="This server wants an API key")
        expect(dialog).to_be_visible()
        dialog.get_by_label("API key").fill("wrong")
        dialog.get_by_label("API key").press("Enter")
        expect(dialog).to_contain_text("The server does not know this API key.")
        dialog.get_by_label("API key").fill("secret")
        dialog.get_by_role("button", name="Use it").click()
        self.wait_ready(page)
        expect(page.locator("#heat td")).to_have_count(64)
        page.get_by_text("This request as code").click()
        expect(page.locator("#code")).to_contain_text("$STELLA_API_KEY")
        self.assertNotIn("secret", page.locator("#code").text_content())
        self.assertEqual(page.evaluate("() => [localStorage.length, document.cookie]"), [0, ""])
        page.reload()
        self.wait_ready(page)
        other = self.open(ready=False)
        other.expected_statuses = {401}
        expect(other.get_by_role("dialog")).to_be_visible()


class Errors(PageTest):
    def answer_once(self, page, status, body, headers=None):
        page.expected_statuses.add(status)
        page.route("**/embed", lambda route: route.fulfill(status=status, body=body, headers=headers or {}, content_type="application/json"), times=1)

    def test_each_in_plain_words(self):
        page = self.open()
        cases = [(400, "broken", "could not use this: broken."), (413, "x", "more than the server takes"), (422, "`inputs` must have less", "could not use this"),
                 (424, "Backend error: y", "The model failed on this: Backend error: y."), (500, "z", "The model failed on this: z."), (504, "late", "time limit"),
                 (404, "no route", "no such route"), (408, "", "in time"), (431, "head", "status 431: head.")]
        for number, (status, reason, says) in enumerate(cases):
            self.answer_once(page, status, json.dumps({"error": reason, "error_type": "X"}))
            page.get_by_role("textbox", name="Texts").fill(f"one {number}\ntwo {number}")
            expect(page.get_by_role("alert")).to_contain_text(says)
            page.get_by_role("button", name="Try again").click()
            self.wait_ready(page)
            expect(page.get_by_role("alert")).to_be_hidden()
        self.answer_once(page, 502, "<html>bad gateway</html>")
        page.get_by_role("textbox", name="Texts").fill("one\ntwo")
        expect(page.get_by_role("alert")).to_have_text(re.compile("The server answered with status 502."))

    def test_what_passes_is_tried_again_by_itself(self):
        for status, reason, says in ((429, "Model is overloaded", "more work than it lets in"), (503, "the model is being loaded", "still being loaded")):
            page = self.open()
            self.answer_once(page, status, json.dumps({"error": reason, "error_type": "X"}), {"retry-after": "2"})
            page.get_by_role("textbox", name="Texts").fill(f"one {status}\ntwo")
            expect(page.get_by_role("alert")).to_contain_text(says)
            expect(page.get_by_role("alert")).to_contain_text("Trying again in")
            self.wait_ready(page)
            expect(page.locator("#heat td")).to_have_count(4)

    def test_a_server_that_is_loading(self):
        hub = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(hub.close)
        server = self.start(model="org/model", ready=False, env={"HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}"})
        page = self.open(server=server, ready=False)
        page.expected_statuses = {503}
        expect(page.get_by_role("alert")).to_contain_text("The model is still being loaded.")

    def test_a_server_that_has_gone(self):
        server = self.start()
        page = self.open(server=server)
        server.terminate()
        server.wait()
        page.errors.clear()
        page.get_by_role("textbox", name="Texts").fill("one\ntwo")
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        page.expected_statuses = {"ERR_CONNECTION_REFUSED"}

    def test_a_model_with_one_size_and_no_prompts(self):
        server = self.start(model=BERT)
        page = self.open(server=server)
        expect(page.locator("#dimension-field")).to_be_hidden()
        expect(page.locator("#model-field")).to_be_hidden()
        expect(page.locator("#heat td")).to_have_count(64)
        self.choose(page, "search")
        expect(page.locator("#hits li")).to_have_count(8)


class Everybody(PageTest):
    def test_by_keyboard_alone(self):
        page = self.open()
        focused = "() => document.activeElement.id || document.activeElement.textContent"
        page.keyboard.press("Tab")
        self.assertEqual(page.evaluate(focused), "Skip to the results")
        order = []
        while "tab-similarity" not in order:
            page.keyboard.press("Tab")
            order.append(page.evaluate(focused))
            self.assertLess(len(order), 20)
        self.assertEqual(order, ["theme", "texts", "open", "example", "clear", "task", "dimension", "tab-similarity"])
        # The grid: one stop, arrows inside.
        page.keyboard.press("Tab")
        self.assertEqual(page.evaluate("() => document.activeElement.getAttribute('role')"), "gridcell")
        for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
        expect(page.locator("#pair")).to_contain_text(EXAMPLE[1])
        expect(page.locator("#pair")).to_contain_text(EXAMPLE[2])
        page.keyboard.press("Shift+Tab")
        # The views by arrow keys.
        for view in VIEWS[1:]:
            page.keyboard.press("ArrowRight")
            expect(page.get_by_role("tabpanel", name=view.capitalize())).to_be_visible()
            self.wait_ready(page)
        page.keyboard.press("ArrowLeft")
        self.wait_ready(page)
        page.keyboard.press("Tab")
        expect(page.locator("#near")).to_contain_text("nearest:")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#near")).to_contain_text(EXAMPLE[1])
        # The slider.
        page.locator("#dimension").focus()
        page.keyboard.press("Home")
        expect(page.locator("#dimension")).to_have_attribute("aria-valuetext", "256 dimensions")

    def test_everything_has_a_name(self):
        page = self.open()
        for view in VIEWS:
            self.choose(page, view)
            for role in ("button", "tab", "textbox", "combobox", "slider", "searchbox", "gridcell"):
                for one in page.get_by_role(role).all():
                    self.assertTrue(one.evaluate("(node) => (node.labels?.[0]?.textContent || node.getAttribute('aria-label') || node.textContent).trim()"), (view, role))
        self.assertEqual(page.evaluate("() => document.documentElement.lang"), "en")
        for role in ("status", "alert"):
            self.assertTrue(page.locator(f"[role={role}]").count(), role)

    def test_a_phones_width_and_contrast_in_light_and_dark(self):
        for scheme in ("light", "dark"):
            for width, options in ((360, {"is_mobile": True, "has_touch": True}), (1280, {})):
                page = self.open(viewport={"width": width, "height": 740}, color_scheme=scheme, **options)
                page.get_by_text("This request as code").click()
                for view in VIEWS:
                    self.choose(page, view)
                    self.assertLessEqual(page.evaluate("() => document.documentElement.scrollWidth"), width, (scheme, view))
                    self.assertEqual(page.evaluate(CONTRASTS), [], (scheme, width, view))
                ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
                self.assertEqual(sum(map(int, re.findall(r"\d+", ground)[:3])) < 384, scheme == "dark", ground)

    def test_the_theme_can_be_chosen(self):
        page = self.open(color_scheme="light")
        ground = "() => getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_role("button", name="Theme: auto").click()
        page.get_by_role("button", name="Theme: light").click()
        expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
        self.assertNotEqual(page.evaluate(ground), light)
        page.reload()
        self.assertNotEqual(page.evaluate(ground), light)

    def test_many_texts(self):
        page = self.open()
        self.type_texts(page, [f"text number {number} about bread" for number in range(60)])
        expect(page.locator("#heat tbody tr")).to_have_count(40)
        expect(page.locator("#note")).to_contain_text("This view shows the first 40.")
        self.choose(page, "map")
        expect(page.locator("#map g.point")).to_have_count(60)


@unittest.skipUnless(SCREENSHOTS, "only with --screenshots")
class Screenshots(PageTest):
    def test_take(self):
        phone = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2}
        passages = (pathlib.Path(os.environ["STELLA_SOURCE"]) / "examples/search/passages.txt").read_text()
        for view in VIEWS:
            for name, options in (("", {}), ("-dark", {"color_scheme": "dark"}), ("-phone", phone), ("-phone-dark", phone | {"color_scheme": "dark"})):
                page = self.open(view, **options)
                if view == "search":
                    self.type_texts(page, passages.splitlines()[:40])
                    page.get_by_role("searchbox").fill("ways to lower stress")
                    self.slide_to(page, 256)
                page.screenshot(path=SCREENSHOTS / f"{view}{name}.png")


if __name__ == "__main__":
    if not CHROMIUM:
        print("skipped: no chromium on PATH (apt-get install chromium)")
        sys.exit(77)
    unittest.main()
