"""What the cross tests share: our ids from tokenize_lines, the library's from `tokenizers`, and their comparison."""

import json
import subprocess
import tempfile

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
        self.compared = 0
        self.failures = []

    def ours(self, requests):
        """(tokens before truncation, ids) for each (max_length or None, text)."""
        lines = "".join(json.dumps(list(request)) + "\n" for request in requests)
        done = subprocess.run([self.program, self.file.name], input=lines, capture_output=True, text=True, check=False,
                              timeout=300)
        if done.returncode != 0:
            raise SystemExit(f"{self.name}: tokenize_lines failed: {done.stderr}")
        answers = [[int(x) for x in line.split()] for line in done.stdout.splitlines()]
        if len(answers) != len(requests):
            raise SystemExit(f"{self.name}: {len(answers)} answers to {len(requests)} texts")
        return [(answer[0], answer[1:]) for answer in answers]

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
            self.library.enable_truncation(max_length)
            for index, encoding in zip(indices, self.library.encode_batch_fast([requests[i][1] for i in indices])):
                expected[index] = (expected[index][0], encoding.ids)
            self.library.no_truncation()
        for request, want, have in zip(requests, expected, self.ours(requests)):
            self.compared += 1
            if want != have and len(self.failures) < 10:
                self.failures.append((request, want, have))

    def report(self):
        """Prints the outcome; whether everything was equal."""
        for (max_length, text), want, have in self.failures:
            print(f"{self.name}: {text!r} at most {max_length}\n  library {want}\n  ours    {have}")
        print(f"{self.name}: {self.compared} texts compared, {'different' if self.failures else 'all equal'}")
        return not self.failures
