"""search: the ranking against embed's own vectors, vectors from files, and what is refused."""

import json
import os
import signal
import struct
import subprocess
import unicodedata
import unittest

from cli_support import BERT, SMALL, CliTest, cosine, floats

PASSAGES = ["Emperor penguins breed during the Antarctic winter.", "Bread dough rises because yeast makes gas.",
            "The Eiffel Tower stands in Paris.", "Bread dough rises because yeast makes gas.", "日本の首都は東京です。"]
QUERIES = ["why does dough rise", "capital of Japan"]
COMMON = ("--model", "demo", "--dim", "256")


class Search(CliTest):
    def setUp(self):
        super().setUp()
        self.passages = self.write("passages.txt", "\n".join(PASSAGES) + "\n")

    def results(self, *arguments, **options):
        out = self.succeed("search", *COMMON, "--json", *arguments, **options).decode()
        return [json.loads(line) for line in out.splitlines()]

    def npy(self, name, content, rows, columns, descr="<f4"):
        header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}".encode().ljust(117) + b"\n"
        return self.write(name, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content)

    def test_queries_against_documents_by_cosine(self):
        queries = self.rows(*COMMON, "--task", "s2p", *QUERIES)
        documents = self.rows(*COMMON, "--task", "document", "--", *PASSAGES)
        found = self.results("--top", "10", "--input", self.passages, *QUERIES)
        self.assertEqual([entry["query"] for entry in found], QUERIES)
        for query, entry in zip(queries, found):
            scores = [cosine(query["embedding"], document["embedding"]) for document in documents]
            wanted = sorted(range(len(PASSAGES)), key=lambda i: (-round(scores[i], 9), i))
            self.assertEqual([result["index"] for result in entry["results"]], wanted)
            for rank, result in enumerate(entry["results"], 1):
                self.assertEqual(list(result), ["rank", "index", "score", "text"])
                self.assertEqual((result["rank"], result["text"]), (rank, PASSAGES[result["index"]]))
                self.assertAlmostEqual(result["score"], scores[result["index"]], places=6)
        self.assertEqual([result["index"] for result in found[0]["results"]][:2], [1, 3], "of equal ones the first")

    def test_five_are_printed_unless_top_says_otherwise(self):
        many = self.write("many.txt", "".join(f"passage {i}\n" for i in range(700)))
        self.assertEqual(len(self.results("--input", many, "passage")[0]["results"]), 5)
        whole = self.results("--input", many, "--top", "1000", "passage 3")[0]["results"]
        self.assertEqual(len(whole), 700)
        self.assertEqual([r["score"] for r in whole], sorted((r["score"] for r in whole), reverse=True))
        self.assertEqual(self.results("--input", many, "--top", "3", "passage 3")[0]["results"], whole[:3])
        self.fail_with(2, "search", *COMMON, "--input", many, "--top", "0", "x", says="--top")

    def test_vectors_of_a_file_give_the_same(self):
        wanted = self.results("--input", self.passages, *QUERIES)
        self.fail_with(2, "search", *COMMON, "--input", self.passages, "--vectors", "my v.npy", "x",
                       says=["'my v.npy' is not there", "stella embed --model demo --task document --input", "--dim 256", "--output 'my v.npy'"])
        self.succeed("embed", *COMMON, "--task", "document", "--input", self.passages, "--output", "v.npy")
        self.assertEqual(self.results("--input", self.passages, "--vectors", "v.npy", *QUERIES), wanted)
        out = self.succeed("search", "--model", "demo", "--json", "--input", self.passages, "--vectors", "v.npy", *QUERIES)
        self.assertEqual([json.loads(line) for line in out.splitlines()], wanted, "the size is that of the rows")
        self.succeed("embed", *COMMON, "--task", "document", "--no-normalize", "--input", self.passages, "--output", "raw.npy")
        raw = self.results("--input", self.passages, "--vectors", "raw.npy", *QUERIES)
        for entry, other in zip(raw, wanted):
            for a, b in zip(entry["results"], other["results"]):
                self.assertEqual(a["index"], b["index"])
                self.assertAlmostEqual(a["score"], b["score"], places=6)

    def test_vectors_that_do_not_fit_are_refused(self):
        def refuse(*says, vectors="v.npy", dim=()):
            self.fail_with(2, "search", "--model", "demo", *dim, "--input", self.passages, "--vectors", vectors, "x", says=says)
        row = floats(self.succeed("embed", *COMMON, "--format", "f32", "x")).tobytes()
        for count in (4, 6):
            self.npy("v.npy", row * count, count, 256)
            refuse(f"{count} rows", "passages")
        self.npy("v.npy", row * 5, 5, 256)
        refuse("256", "--dim 1024", dim=("--dim", "1024"))
        self.npy("v.npy", bytes(5 * 300 * 4), 5, 300)
        refuse("300", "256", "1024")
        self.npy("v.npy", row * 5, 5, 128, "<f8")
        refuse("float32")
        self.npy("v.npy", row * 4, 5, 256)
        refuse("v.npy", "bytes")
        self.npy("v.npy", row * 4 + row[:-4] + struct.pack("<f", float("nan")), 5, 256)
        refuse("not finite", "row 5")
        refuse("passages.txt", "no .npy file", vectors=self.passages)
        refuse(str(self.folder), vectors=self.folder)

    def test_json_lines_and_skipped_ones(self):
        lines = self.write("p.jsonl", "".join(json.dumps({"body": text}) + "\n\n" for text in PASSAGES))
        self.fail_with(2, "search", *COMMON, "--input", lines, "--field", "body", "x", says=["line 2", "--skip-empty"])
        options = ("--input", lines, "--field", "body", "--skip-empty")
        found = self.results(*options, QUERIES[0])[0]["results"]
        self.assertEqual([(r["index"], r["text"]) for r in found][:2], [(2, PASSAGES[1]), (6, PASSAGES[3])])
        self.succeed("embed", *COMMON, "--task", "document", *options, "--output", "v.npy")
        self.assertEqual(self.results(*options, "--vectors", "v.npy", QUERIES[0])[0]["results"], found)

    def test_the_table_keeps_its_columns_and_its_terminal(self):
        passages = self.write("wide.txt", "日本の首都は東京です。" * 30 + "\nshort \x1b[2J\x9bx\ne\u0301\u0301\n")
        out = self.succeed("search", *COMMON, "--input", passages, *QUERIES).decode()
        self.assertNotRegex(out, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        first, second = out.split("\n\n")
        lines = first.splitlines()
        self.assertEqual((lines[0], lines[1].split()), (QUERIES[0], ["rank", "score", "line", "text"]))
        self.assertEqual(len(lines), 5)
        self.assertEqual(second.splitlines()[0], QUERIES[1])
        for rank, line in enumerate(lines[2:], 1):
            self.assertRegex(line, rf"^ +{rank}  [ -]?\d\.\d{{4}} +[123]  ")
            self.assertLessEqual(sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line), 120)

    def test_what_is_missing_or_wrong(self):
        self.fail_with(2, "search", *COMMON, "--input", self.passages, says="no QUERY")
        self.fail_with(2, "search", *COMMON, "x", says=["no passages", "--input"])
        self.fail_with(2, "search", *COMMON, "--input", "missing.txt", "x", says="missing.txt")
        self.fail_with(2, "search", *COMMON, "--input", self.passages, "x", "", says=["QUERY 2", "empty"])
        self.fail_with(2, "search", *COMMON, "--input", "-", "x", stdin="one\n\n", says=["line 2", "empty"])
        self.fail_with(2, "search", *COMMON, "--input", self.passages, "--field", "body", "x", says="--field")
        self.assertEqual(self.results("--input", "-", "x", stdin=""), [{"query": "x", "results": []}])

    def test_memory_does_not_grow_with_the_passages(self):
        def peak(count):
            passages = self.write("many.txt", "".join(f"passage {i}\n" for i in range(count)))
            process = self.start_stella("search", *COMMON, "--json", "--input", passages, "passage 7", stdin=None, stderr=None)
            self.assertIn(b'"passage 7"', process.stdout.read())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(process.returncode, 0)
            return usage.ru_maxrss * 1024
        # The vectors alone would be 20 MB.
        self.assertLess(peak(22_000), peak(2_000) + (12 << 20))

    def test_a_model_without_prompts(self):
        out = self.succeed("search", "--model", BERT, "--json", "--input", self.passages, "x")
        self.assertEqual(len(json.loads(out)["results"]), 5)

    def test_cut_texts_are_said(self):
        done = self.run_stella("search", "--model", SMALL, "--dim", "256", "--max-length", "64", "--input", "-", "word " * 80,
                               stdin="short\n" + "word " * 80 + "\n")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"QUERY 1 was cut", done.stderr)
        self.assertIn(b"1 of 2 texts were cut to 64 tokens", done.stderr)

    def test_an_interruption_ends_it(self):
        process = self.start_stella("search", *COMMON, "--input", "-", "x")
        process.stdin.write(b"one\n")
        process.stdin.flush()
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        self.check_failure(process.wait(60), process.stderr.read(), 130, "interrupted")


if __name__ == "__main__":
    unittest.main()
