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

    def ours(self, requests):
        """(tokens before truncation, ids) for each (max_length or None, text)."""
        lines = "".join(json.dumps(list(request)) + "\n" for request in requests)
        # Written beside reading: the program answers as it reads, and both pipes are small.
        writer = threading.Thread(target=lambda: (self.process.stdin.write(lines), self.process.stdin.flush()))
        writer.start()
        answers = []
        for _ in requests:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"{self.name}: tokenize_lines ended with status {self.process.wait()}")
            count, *ids = map(int, line.split())
            answers.append((count, ids))
        writer.join()
        return answers

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
        for request, want, have in zip(requests, expected, self.ours(requests)):
            self.compared += 1
            if want != have and len(self.failures) < 10:
                self.failures.append((request, want, have))

    def report(self):
        """Ends the program and prints the outcome; whether everything was equal."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        for (max_length, text), want, have in self.failures:
            print(f"{self.name}: {text!r} at most {max_length}\n  library {want}\n  ours    {have}")
        print(f"{self.name}: {self.compared} texts compared, {'different' if self.failures else 'all equal'}")
        return not self.failures
