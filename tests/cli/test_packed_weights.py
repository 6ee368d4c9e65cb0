"""Packed weights through the command line: kept, mapped, listed, removed and checked beside the hub's cache."""

import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["STELLA_SOURCE"]) / "tests/python"))

from cli_support import SMALL, CliTest, cosine  # noqa: E402
from hub_support import Hub  # noqa: E402

SOURCE = "org/name"


def crc32c(data):
    """Bit by bit, from RFC 3720."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def write_packed(path, source=SOURCE, precision="int16", content="c"):
    """A file in the format that src/models/packed_file.hpp describes."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    parts = bytes(range(256)) * 40
    about = json.dumps({"source": source, "content": content, "precision": precision, "layout": "l"})
    index = f"{about}\n{len(parts)} {crc32c(parts):08x} whole weights\n".encode()
    trailer = struct.pack("<8sQQQI24x", b"stellaPW", 2, len(parts), len(index), crc32c(index))
    path.write_bytes(parts + index + trailer + struct.pack("<I", crc32c(trailer)))
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


class PackedModelTest(PackedWeightsTest):
    def setUp(self):
        super().setUp()
        self.model = self.copy_checkpoint(name="model")
        pad_weights(self.model / "model.safetensors", 33 << 20)

    def embed(self, *arguments, model=None):
        [row] = self.rows("--model", model or self.model, "--dim", "256", *arguments, "a text")
        return row["embedding"]


class Loading(PackedModelTest):
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

    def test_a_flipped_bit_is_noticed(self):
        first = self.embed("--precision", "f32")
        [path] = self.stella.iterdir()
        content = path.read_bytes()
        for place in (200, len(content) // 2, len(content) - 500):
            damaged = bytearray(content)
            damaged[place] ^= 4
            path.write_bytes(damaged)
            done = self.run_stella("embed", "--model", self.model, "--dim", "256", "--precision", "f32", "a text")
            self.assertEqual(json.loads(done.stdout)["data"][0]["embedding"], first)
            self.assertEqual(done.stderr.count(b"packing again"), 1, done.stderr)
            self.assertEqual(path.read_bytes(), content)

    def test_weights_replaced_in_place_with_size_and_time_kept(self):
        weights = self.model / "model.safetensors"
        other = self.folder / "other.safetensors"
        content = bytearray(weights.read_bytes())
        (length,) = struct.unpack_from("<Q", content)
        for place in range(8 + length, 8 + length + 400_000, 4):  # the sign of each weight
            content[place + 3] ^= 0x80
        other.write_bytes(content)
        shutil.copystat(weights, other)
        first = self.embed("--precision", "int16")  # auto measures anew, and may come to another
        shutil.copy2(other, weights)  # cp -p
        self.assertEqual(weights.stat().st_mtime_ns, other.stat().st_mtime_ns)
        second = self.embed("--precision", "int16")
        self.assertNotEqual(first, second)
        self.assertGreaterEqual(cosine(second, self.embed("--precision", "f32", "--no-packed-weights")), 0.9995)
        self.assertEqual(len(self.names()), 1, self.names())

    def test_a_small_model_keeps_nothing(self):
        self.embed(model=SMALL)
        self.assertFalse(self.stella.exists())

    def test_the_folder_is_never_beside_the_hubs_cache_nor_in_it(self):
        arguments = ("embed", "--model", self.model, "--dim", "256", "a text")
        self.succeed(*arguments, env={"HF_HUB_CACHE": self.folder / "shared/hub"})
        self.assertEqual(len(self.names()), 2)
        self.assertFalse((self.folder / "shared").exists())
        done = self.run_stella(*arguments, env={"HF_HOME": self.folder / "x", "HF_HUB_CACHE": self.folder / "x/"})
        self.assertEqual((done.returncode, done.stderr.count(b"\n")), (0, 1), done.stderr)
        self.assertIn(b"HF_HOME", done.stderr)
        self.assertFalse((self.folder / "x").exists())

    def test_a_folder_that_others_can_write_to(self):
        first = self.embed()
        before = {name: (self.stella / name).read_bytes() for name in self.names()}
        for name in self.names():
            if name.endswith(".packed"):
                (self.stella / name).write_bytes(b"planted")
        self.stella.chmod(0o777)
        done = self.run_stella("embed", "--model", self.model, "--dim", "256", "a text")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
        self.assertIn(b"chmod go-w", done.stderr)
        self.assertGreaterEqual(cosine(json.loads(done.stdout)["data"][0]["embedding"], first), 0.9995)
        self.assertEqual(self.names(), sorted(before))
        self.stella.chmod(0o700)
        self.assertEqual(self.embed(), first)

    def test_a_planted_link_is_not_followed(self):
        first = self.embed("--precision", "f32")
        [path] = self.stella.iterdir()
        victim = self.write("victim", "untouched")
        path.unlink()
        path.symlink_to(victim)
        self.assertEqual(self.embed("--precision", "f32"), first)
        self.assertFalse(path.is_symlink())
        self.assertEqual(victim.read_text(), "untouched")

    def test_info_deletes_nothing(self):
        self.embed("--precision", "f32")
        [path] = self.stella.iterdir()
        path.write_bytes(path.read_bytes()[:1000])
        self.succeed("info", self.model, "--precision", "f32")
        self.assertEqual(path.stat().st_size, 1000)


class Together(PackedModelTest):
    """Several processes at once, and processes that are killed."""

    def begin(self, *arguments):
        return self.start_stella("embed", "--model", self.model, "--dim", "256", "--threads", "1", *arguments, "a text")

    def end(self, process):
        out, error = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, error)
        return json.loads(out)["data"][0]["embedding"]

    def test_a_cold_store_is_packed_once_and_all_agree(self):
        for _ in range(10):
            shutil.rmtree(self.stella, ignore_errors=True)
            processes = [self.begin("--log-level", "debug") for _ in range(4)]
            results = [process.communicate(timeout=120) for process in processes]
            self.assertEqual([process.returncode for process in processes], [0] * 4, results)
            self.assertEqual(len({out for out, _ in results}), 1, "other vectors, or another precision")
            errors = b"".join(error for _, error in results)
            self.assertEqual(errors.count(b"packed, kept and mapped"), 1, errors)
            self.assertEqual(errors.count(b"mapped as an earlier start packed them"), 3, errors)
            self.assertEqual([name.rpartition(".")[2] for name in self.names()], ["choice", "packed"])

    def held_lock(self):
        """The lock of whoever chooses and packs; nothing where there is none."""
        for path in self.stella.glob("*.lock"):
            try:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return path
            except FileNotFoundError:
                pass
        return None

    def test_a_killed_packer_holds_nobody_up(self):
        for _ in range(20):  # a packer may be too fast to be stopped
            shutil.rmtree(self.stella, ignore_errors=True)
            packer = self.begin()
            while packer.poll() is None and not self.held_lock():
                pass
            packer.send_signal(signal.SIGSTOP)
            if self.held_lock():
                break
            packer.send_signal(signal.SIGCONT)
            packer.communicate(timeout=120)
        self.assertTrue(self.held_lock(), "no packer was caught at work")
        waiting = [self.begin("--log-level", "debug") for _ in range(3)]
        while not all(self.has_open(process, self.held_lock()) for process in waiting):
            time.sleep(0.01)
        self.assertEqual([process.poll() for process in waiting], [None] * 3)
        packer.kill()
        results = [process.communicate(timeout=120) for process in waiting]
        self.assertEqual([process.returncode for process in waiting], [0] * 3, results)
        self.assertEqual(len({out for out, _ in results}), 1)
        errors = b"".join(error for _, error in results)
        self.assertEqual(errors.count(b"packed, kept and mapped"), 1, errors)
        self.assertNotIn(b"no life", errors)
        self.assertEqual([name.rpartition(".")[2] for name in self.names()], ["choice", "packed"])

    @staticmethod
    def has_open(process, path):
        folder = f"/proc/{process.pid}/fd"
        for name in os.listdir(folder):
            try:
                if os.path.samefile(f"{folder}/{name}", path):
                    return True
            except OSError:
                pass
        return False

    def test_killed_at_any_time(self):
        exact = self.embed("--precision", "f32", "--no-packed-weights")
        start = time.monotonic()
        self.end(self.begin())
        usual = time.monotonic() - start
        chance = random.Random(14)
        deadline = time.monotonic() + 40
        for kill in range(30):
            if time.monotonic() > deadline:
                break
            if kill % 3 == 0:
                shutil.rmtree(self.stella, ignore_errors=True)
            processes = [self.begin() for _ in range(2)]
            time.sleep(chance.uniform(0, 2 * usual))
            for process in processes:
                process.kill()
                process.communicate()
        first = self.end(self.begin())
        self.assertGreaterEqual(cosine(first, exact), 0.9995)
        self.assertEqual([name.rpartition(".")[2] for name in self.names()], ["choice", "packed"])
        self.assertEqual(self.end(self.begin()), first)

    def test_a_holder_that_dies_passes_its_turn_on(self):
        self.embed()
        kept = self.names()
        holder = self.stella / "model-0123456789abcdef.lock"
        holder.write_bytes(b"")  # of a process that was killed
        [packed] = [name for name in kept if name.endswith(".packed")]
        (self.stella / packed).unlink()
        self.embed()
        self.assertEqual(self.names(), kept)


class Damaged(PackedWeightsTest):
    """A blob of the hub's cache that does not have the hash that is its name."""

    def setUp(self):
        super().setUp()
        repo = self.copy_checkpoint(name="repo")
        pad_weights(repo / "model.safetensors", 33 << 20)
        hub = Hub(os.environ["STELLA_HUB_SERVER"], {SOURCE: repo})
        self.addCleanup(hub.__exit__)
        self.env = {"HF_ENDPOINT": hub.endpoint}

    def embed(self, *arguments):
        [row] = self.rows("--model", SOURCE, "--dim", "256", *arguments, "a text", env=self.env)
        return row["embedding"]

    def blob(self):
        [link] = (self.folder / "hf/hub").glob("models--*/snapshots/*/model.safetensors")
        return link.resolve()

    def damage(self):
        blob = self.blob()
        content = bytearray(blob.read_bytes())
        (length,) = struct.unpack_from("<Q", content)
        for place in range(8 + length, 8 + length + 400_000, 4):
            content[place + 3] ^= 0x80
        blob.write_bytes(content)

    def test_is_never_packed(self):
        first = self.embed()
        for mend in (("cache", "verify", "--repair"), ("embed", "--model", SOURCE, "--dim", "256", "a text")):
            shutil.rmtree(self.stella)
            self.damage()
            for arguments in ((), ("--precision", "f32"), ("--no-packed-weights",)):
                self.fail_with(3, "embed", "--model", SOURCE, "--offline", "--dim", "256", *arguments, "a text",
                               env=self.env, says=("model.safetensors", "stella cache verify --repair"))
                self.assertEqual(self.names() if self.stella.exists() else [], [])
            self.succeed(*mend, env=self.env)
            self.assertGreaterEqual(cosine(self.embed(), first), 0.9995)

    def test_repair_takes_away_what_was_made_of_it(self):
        self.embed()
        poisoned = self.packed("name-int8-0123456789abcdef", precision="int8", content=f"{'0' * 64}|{self.blob().name}")
        other = self.packed("other-int8-0123456789abcdef", source="org/other")
        self.assertEqual(len(self.names()), 4)
        self.damage()
        self.succeed("cache", "verify", "--repair", env=self.env)
        self.assertEqual(self.names(), [other.name], poisoned)


    def test_prune_takes_away_what_no_load_will_use(self):
        self.embed()
        kept = self.names()
        self.packed("name-int8-0123456789abcdef", precision="int8", content=f"{'0' * 64}|{self.blob().name}")
        self.packed("gone-int8-0123456789abcdef", source="org/gone")
        self.packed("folder-int8-0123456789abcdef", source=str(self.folder / "no-folder"))
        local = self.packed("repo-int8-0123456789abcdef", source=str(self.folder / "repo"), content="0" * 64)
        left = self.stella / "name-f32-0123456789abcdef.packed.tmp-1-0"
        left.write_bytes(b"x" * 3000)
        damaged = self.stella / "name-bf16-0123456789abcdef.packed"  # for verify to find
        damaged.write_bytes(b"x")
        before = self.names()
        said = self.succeed("cache", "prune", "--dry-run").decode()
        self.assertIn("packed weights  4 files", said)
        self.assertEqual(self.names(), before)
        self.assertEqual(self.succeed("cache", "prune").decode(), said.replace("would free", "freed"))
        self.assertEqual(self.names(), sorted([*kept, local.name, damaged.name]))
        self.succeed("cache", "rm", SOURCE)
        self.succeed("cache", "prune")
        self.assertEqual(self.names(), [local.name])


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
        self.assertIn("removed 2 files of packed weights", self.succeed("cache", "rm", "--packed", SOURCE).decode())
        self.assertEqual(self.names(), [other.name])
        self.assertIn("removed 0 files", self.succeed("cache", "rm", "--packed", SOURCE).decode())
        self.assertIn("removed 1 file ", self.succeed("cache", "rm", "--packed").decode())
        self.assertEqual(self.names(), [])

    def test_what_is_being_written_is_kept(self):
        new = self.packed("name-int16-0123456789abcdef").rename(self.stella / "name-int16-0123456789abcdef.packed.tmp-1-0")
        with open(new, "rb") as writer:
            fcntl.flock(writer, fcntl.LOCK_EX)
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
