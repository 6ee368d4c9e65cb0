"""What the cross tests share: our ids from tokenize_lines, the library's from `tokenizers`, and their comparison."""

import json
import subprocess
import tempfile
import threading

import tokenizers


class Comparison:
    """One tokenizer.json, given as text, in both implementations."""

    def __init__(self, program, name, text):
        self.program, self.name = program, name
        self.file = tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8")
        self.file.write(text)
        self.file.flush()
        self.library = tokenizers.Tokenizer.from_str(text)
        self.library.no_padding()
        self.library.no_truncation()
        self.process = subprocess.Popen([program, self.file.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        encoding="utf-8")
        self.direction = ((json.loads(text).get("truncation") or {}).get("direction") or "Right").lower()
        self.compared = 0
        self.failures = []

    def ask(self, requests):
        """The program's line for each request."""
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        # Written beside reading: the program answers as it reads, and both pipes are small.
        writer = threading.Thread(target=lambda: (self.process.stdin.write(lines), self.process.stdin.flush()))
        writer.start()
        answers = []
        for _ in requests:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"{self.name}: tokenize_lines ended with status {self.process.wait()}")
            answers.append(line)
        writer.join()
        return answers

    def ours(self, requests):
        """(tokens before truncation, ids) for each (max_length or None, text)."""
        answers = [[int(number) for number in line.split()] for line in self.ask([list(request) for request in requests])]
        return [(count, ids) for count, *ids in answers]

    def compare(self, requests):
        """Encodes everything with both; keeps the first differences for report()."""
        requests = list(requests)
        by_length = {}
        for index, (max_length, _) in enumerate(requests):
            by_length.setdefault(max_length, []).append(index)
        whole = self.library.encode_batch_fast([text for _, text in requests])
        expected = [(len(encoding.ids), encoding.ids) for encoding in whole]
        for max_length, indices in by_length.items():
            if max_length is None:
                continue
            self.library.enable_truncation(max_length, direction=self.direction)
            for index, encoding in zip(indices, self.library.encode_batch_fast([requests[i][1] for i in indices])):
                expected[index] = (expected[index][0], encoding.ids)
            self.library.no_truncation()
        self.note(requests, expected, self.ours(requests))

    def compare_offsets(self, requests):
        """[id, start, stop, special] of each token for each (max_length or None, add_special_tokens, text)."""
        requests = list(requests)
        answers = self.ask([{"max_length": max_length, "add_special_tokens": special, "text": text}
                            for max_length, special, text in requests])
        expected = []
        for max_length, special, text in requests:
            if max_length is not None:
                self.library.enable_truncation(max_length, direction=self.direction)
            encoding = self.library.encode(text, add_special_tokens=special)
            self.library.no_truncation()
            at = [0]  # byte offset of each character
            for c in text:
                at.append(at[-1] + len(c.encode()))
            expected.append([[token, at[start], at[stop], bool(added)] for token, (start, stop), added in
                             zip(encoding.ids, encoding.offsets, encoding.special_tokens_mask)])
        self.note(requests, expected, [json.loads(line) for line in answers])
        return [[token[0] for token in tokens] for tokens in expected]

    def compare_decoded(self, requests):
        """The text for each (skip_special_tokens, ids)."""
        requests = list(requests)
        answers = self.ask([{"skip_special_tokens": skip, "ids": ids} for skip, ids in requests])
        expected = [self.library.decode(ids, skip_special_tokens=skip) for skip, ids in requests]
        self.note(requests, expected, [json.loads(line) for line in answers])

    def note(self, requests, expected, answers):
        for request, want, have in zip(requests, expected, answers, strict=True):
            self.compared += 1
            if want != have and len(self.failures) < 10:
                self.failures.append((request, want, have))

    def report(self):
        """Ends the program and prints the outcome; whether everything was equal."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        for request, want, have in self.failures:
            print(f"{self.name}: {request!r}\n  library {want!r}\n  ours    {have!r}")
        print(f"{self.name}: {self.compared} compared, {'different' if self.failures else 'all equal'}", flush=True)
        return not self.failures
