"""Packed weights through the command line: kept, mapped, listed, removed and checked beside the hub's cache."""

import hashlib
import json
import os
import struct
import time
import unittest

from cli_support import SMALL, CliTest, cosine

SOURCE = "org/name"


def write_packed(path, source=SOURCE, precision="int16"):
    """A file in the format that src/models/packed_file.hpp describes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = bytes(range(256)) * 40
    about = json.dumps({"source": source, "content": "c", "precision": precision, "layout": "l"})
    index = f"{about}\n0 {len(parts)} weights\n".encode()
    body = parts + index
    path.write_bytes(body + struct.pack("<8sQQQ", b"stellaPW", 1, len(parts), len(index)) + hashlib.sha256(body).digest())
    return path


def pad_weights(path, size):
    """The checkpoint's weights with one more tensor that no model asks for: `size` bytes, a hole in the file."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + length])
    end = len(content) - 8 - length
    header["padding"] = {"dtype": "F32", "shape": [size // 4], "data_offsets": [end, end + size]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length:])
    os.truncate(path, 8 + len(text) + end + size)


class PackedWeightsTest(CliTest):
    def setUp(self):
        super().setUp()
        self.stella = self.folder / "hf/stella"

    def packed(self, name, **options):
        return write_packed(self.stella / f"{name}.packed", **options)

    def names(self):
        return sorted(path.name for path in self.stella.iterdir())


class Loading(PackedWeightsTest):
    def setUp(self):
        super().setUp()
        self.model = self.copy_checkpoint(name="model")
        pad_weights(self.model / "model.safetensors", 33 << 20)

    def embed(self, *arguments, model=None):
        [row] = self.rows("--model", model or self.model, "--dim", "256", *arguments, "a text")
        return row["embedding"]

    def test_the_first_start_keeps_and_the_second_maps(self):
        exact = self.embed("--precision", "f32", "--no-packed-weights")
        self.assertFalse(self.stella.exists())
        first = self.embed()
        kept = self.names()
        self.assertEqual([name.rpartition(".")[2] for name in kept], ["choice", "packed"])
        stamps = [(self.stella / name).stat().st_mtime_ns for name in kept]
        self.assertEqual(self.embed(), first)
        self.assertEqual(self.embed(model="model/"), first)  # the same directory under another name
        self.assertEqual(self.names(), kept)
        self.assertEqual([(self.stella / name).stat().st_mtime_ns for name in kept], stamps)
        self.assertGreaterEqual(cosine(first, exact), 0.9995)

        listing = json.loads(self.succeed("cache", "ls", "--json"))
        [file] = listing["packed_weights"]["files"]
        self.assertEqual(file["source"], str(self.model))
        info = json.loads(self.succeed("info", self.model, "--json"))
        self.assertEqual(info["precision"], file["precision"])
        self.assertIn("all right", self.succeed("cache", "verify", self.model).decode())
        self.assertIn("removed 1 file of packed weights", self.succeed("cache", "rm", "--packed", "./model").decode())
        self.assertEqual(self.names(), [])

    def test_damaged_weights_are_packed_again(self):
        first = self.embed("--precision", "f32")
        [path] = self.stella.iterdir()
        content = path.read_bytes()
        path.write_bytes(content[:len(content) // 2])
        done = self.run_stella("embed", "--model", self.model, "--dim", "256", "--precision", "f32", "a text")
        self.assertEqual(json.loads(done.stdout)["data"][0]["embedding"], first)
        self.assertIn(b"packing again", done.stderr)
        self.assertEqual(path.read_bytes(), content)

    def test_a_small_model_keeps_nothing(self):
        self.embed(model=SMALL)
        self.assertFalse(self.stella.exists())


class List(PackedWeightsTest):
    def test_says_sources_precisions_and_sizes(self):
        whole = self.packed("name-int16-0123456789abcdef")
        (self.stella / "name-int8-0123456789abcdef.packed").write_bytes(b"x" * 2000)
        (self.stella / "name-f32-0123456789abcdef.packed.tmp-1-0").write_bytes(b"x" * 3000)
        size = whole.stat().st_size
        listing = json.loads(self.succeed("cache", "ls", "--json"))
        self.assertEqual(listing["size"], 0)
        self.assertEqual(listing["total"], size + 5000)
        packed = listing["packed_weights"]
        self.assertEqual((packed["folder"], packed["size"]), (str(self.stella), size + 5000))
        self.assertEqual({file["file"]: (file["source"], file["precision"], file["size"], file["readable"], file["unfinished"])
                          for file in packed["files"]},
                         {whole.name: (SOURCE, "int16", size, True, False),
                          "name-int8-0123456789abcdef.packed": (None, None, 2000, False, False),
                          "name-f32-0123456789abcdef.packed.tmp-1-0": (None, None, 3000, False, True)})
        text = self.succeed("cache", "ls").decode()
        for part in ("packed weights: 15.4 kB\n", f"  {SOURCE}  int16, 10.4 kB\n", "packed  damaged, 2.00 kB\n", "tmp-1-0  unfinished, 3.00 kB\n",
                     f"15.4 kB in {self.folder}/hf/hub and {self.stella}\n"):
            self.assertIn(part, text)


class Remove(PackedWeightsTest):
    def test_a_model_all_and_left_overs(self):
        self.packed("name-int16-0123456789abcdef")
        (self.stella / "name-auto-0123456789abcdef.choice").write_text(json.dumps({"source": SOURCE}) + "\n")
        other = self.packed("other-int16-0123456789abcdef", source="org/other")
        left = self.stella / "name-f32-0123456789abcdef.packed.tmp-1-0"
        left.write_bytes(b"x")
        os.utime(left, (time.time() - 7200,) * 2)
        self.assertIn("removed 2 files of packed weights", self.succeed("cache", "rm", "--packed", SOURCE).decode())
        self.assertEqual(self.names(), [other.name])
        self.assertIn("removed 0 files", self.succeed("cache", "rm", "--packed", SOURCE).decode())
        self.assertIn("removed 1 file ", self.succeed("cache", "rm", "--packed").decode())
        self.assertEqual(self.names(), [])

    def test_what_is_being_written_is_kept(self):
        new = self.packed("name-int16-0123456789abcdef").rename(self.stella / "name-int16-0123456789abcdef.packed.tmp-1-0")
        done = self.run_stella("cache", "rm", "--packed")
        self.assertIn(b"1 file kept", done.stderr)
        self.assertTrue(new.exists())

    def test_a_model_that_is_only_packed(self):
        self.packed("name-int16-0123456789abcdef")
        self.assertIn("1 file of packed weights", self.succeed("cache", "rm", SOURCE).decode())
        self.fail_with(2, "cache", "rm", SOURCE, says=[SOURCE, "cache ls"])

    def test_usage(self):
        self.fail_with(2, "cache", "rm", SOURCE, "--packed", "--revision", "main", says="--revision")
        self.fail_with(2, "cache", "rm", says="MODEL")


class Verify(PackedWeightsTest):
    def test_finds_and_removes_what_is_damaged(self):
        sound = self.packed("other-int16-0123456789abcdef", source="org/other")
        bad = self.packed("name-int16-0123456789abcdef")
        self.assertIn("2 files of packed weights", self.succeed("cache", "verify").decode())
        content = bytearray(bad.read_bytes())
        content[100] ^= 1
        bad.write_bytes(content)
        self.succeed("cache", "verify", "org/other")
        done = self.fail_with(3, "cache", "verify", says="--repair")
        self.assertIn(f"damaged: packed weights {bad} of {SOURCE}", done.stdout.decode())
        self.assertTrue(bad.exists())
        done = self.succeed("cache", "verify", "--repair").decode()
        self.assertIn("1 problem, 1 repaired", done)
        self.assertIn("packs again", done)
        self.assertEqual(self.names(), [sound.name])
        self.assertIn("all right", self.succeed("cache", "verify").decode())
        self.fail_with(2, "cache", "verify", "org/absent", says="org/absent")


if __name__ == "__main__":
    unittest.main()
