"""`stella serve` on a machine whose memory fails: each request is answered, refused or its connection closed, and the server goes on."""

import os
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["STELLA_SOURCE"]) / "tests/server"))
from server_support import ServerTest, post_bytes, read_all, statuses  # noqa: E402

REFUSED = {429, 503}


class NoMemory(ServerTest):
    def start_failing(self, calls, step, least):
        """So many allocations in a row of at least so many bytes fail from each SIGUSR1 on, each time `step` later than the time before."""
        return self.start("--access-log", env={"LD_PRELOAD": os.environ["STELLA_FAULT_SHIM"], "STELLA_FAULT": f"malloc:1+{calls - 1}",
                                               "STELLA_FAULT_STEP": str(step), "STELLA_FAULT_BYTES": str(least)})

    REQUESTS = [("/v1/embeddings", {"input": "What are safetensors?"}), ("/embed", {"inputs": ["a red car"] * 40}), ("/tokenize", {"inputs": "a red car"}),
                ("/embed", {"inputs": ["word " * 200] * 80}),  # on the pool
                ("/v1/embeddings", {"input": ["a", "b"], "dimensions": 256}), ("/embed_all", {"inputs": "a red car"}), ("/embed", {"inputs": 5})]

    def answer(self, server, content):
        """The status, or nothing where the connection was closed without one."""
        with server.socket() as connection:
            try:
                connection.sendall(content)
                found = statuses(read_all(connection))
            except (BrokenPipeError, ConnectionResetError):
                return None
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def check(self, rounds, **failing):
        server = self.start_failing(**failing)
        contents = [post_bytes(path, body, "Connection: close") for path, body in self.REQUESTS]
        usual = [self.answer(server, content) for content in contents]
        self.assertEqual(usual, [200] * 6 + [422])
        seen = {}
        for number in range(rounds):
            at = number % len(contents)
            server.process.send_signal(signal.SIGUSR1)
            if number % 3 == 2:  # a client that leaves
                with server.socket() as connection:
                    connection.sendall(contents[at])
            else:
                status = self.answer(server, contents[at])
                seen[status] = seen.get(status, 0) + 1
                self.assertIn(status, REFUSED | {usual[at], None}, (number, self.REQUESTS[at][0]))
            self.assertIsNone(server.process.poll(), (number, at))
            for _ in range(failing["calls"] + 20):  # what is left to fail does so, and then nothing does
                if self.answer(server, contents[0]) == 200:
                    break
            else:
                self.fail(f"nothing is answered after round {number}")
        server.terminate()
        server.process.stderr.read()  # a log that nobody reads holds its end up
        self.assertEqual(server.wait(), 0)
        return seen

    def test_one_large_piece_after_the_other(self):
        seen = self.check(150, calls=1, step=1, least=1025)
        self.assertTrue(REFUSED & set(seen), seen)

    def test_many_large_pieces(self):
        self.check(150, calls=20, step=3, least=1025)

    def test_all_pieces_for_a_while(self):
        seen = self.check(250, calls=60, step=11, least=1)
        self.assertIn(200, seen)

    def test_all_pieces_for_long(self):
        self.check(60, calls=2000, step=25, least=1)


if __name__ == "__main__":
    unittest.main()
