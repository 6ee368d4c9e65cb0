"""The playground as HTTP gives it; page_test.py uses it in a browser."""

import base64
import hashlib
import html.parser
import re
import unittest

from server_support import ServerTest


class Elements(html.parser.HTMLParser):
    """Every element with its attributes, and the text of styles and scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.inline, self._inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self._inside = tag if tag in ("style", "script") else None

    def handle_data(self, text):
        if self._inside:
            self.inline[self._inside] = self.inline.get(self._inside, "") + text

    def handle_endtag(self, tag):
        self._inside = None


class Page(ServerTest):
    ARGUMENTS = ("--api-key", "secret")

    def test_it_is_open_and_posting_there_is_not(self):
        answer = self.server.get("/")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertTrue(answer.body.startswith(b"<!doctype html>"))
        head = self.server.ask("HEAD", "/")
        self.assertEqual((head.status, head.headers["content-length"], head.body), (200, str(len(answer.body)), b""))
        self.assertEqual(self.server.post("/", {"inputs": "a"}).status, 401)
        self.assertEqual(self.server.post("/", {"inputs": "a"}, headers={"Authorization": "Bearer secret"}).status, 200)
        answer = self.server.ask("PUT", "/")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, POST"))

    def test_nothing_comes_from_elsewhere(self):
        answer = self.server.get("/")
        text = answer.body.decode()
        page = Elements(text)
        for tag, attributes in page.found:
            for name in ("src", "href", "action", "srcset", "poster", "data"):
                self.assertRegex(attributes.get(name) or "#", r"^(#|data:)", (tag, attributes))
            self.assertFalse([name for name in attributes if name.startswith("on") or name == "style"], "the policy forbids these")
        self.assertNotRegex(page.inline["style"], r"@import|url\(")
        outside = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        self.assertEqual(outside, set())

    def test_the_policy_allows_this_script_and_style_and_no_other(self):
        answer = self.server.get("/")
        inline = Elements(answer.body.decode()).inline
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        for directive, tag in (("script-src", "script"), ("style-src", "style")):
            digest = base64.b64encode(hashlib.sha256(inline[tag].encode()).digest()).decode()
            self.assertEqual(policy[directive], f"'sha256-{digest}'")
        self.assertEqual((policy["default-src"], policy["connect-src"], policy["frame-ancestors"]), ("'none'", "'self'", "'none'"))
        self.assertEqual((answer.headers["x-content-type-options"], answer.headers["referrer-policy"]), ("nosniff", "no-referrer"))


if __name__ == "__main__":
    unittest.main()
