"""asyncio: results, coalescing, several loops, cancellation, and that a loop goes on meanwhile. Nothing here waits for a
time to pass."""

import asyncio
import os
import threading

import numpy as np
import pytest
from conftest import TEXTS, run_python

from stella_cpp import StellaEmbeddingModel, StellaError, _core, errors

LONG = ["a passage of some length " * 100 + str(i) for i in range(20_000)]


class NoReader(asyncio.SelectorEventLoop):
    """A loop that cannot read descriptors."""

    def add_reader(self, *arguments):
        if isinstance(arguments[0], int):
            raise NotImplementedError
        super().add_reader(*arguments)


def uvloop_loop():
    return pytest.importorskip("uvloop").new_event_loop()


LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop_loop, NoReader])


def run(main, new_loop=asyncio.new_event_loop):
    loop = new_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main, 100))
    finally:
        loop.close()


@LOOPS
def test_same_vectors(model, new_loop):
    async def main():
        fresh = StellaEmbeddingModel("demo", precision="f32")
        await fresh.aload()
        assert fresh._loaded.native.is_loaded
        return await asyncio.gather(
            fresh.aencode(TEXTS), fresh.aencode("short"), fresh.aencode_query(TEXTS), fresh.aencode_document(TEXTS),
            fresh.aencode([]), fresh.aencode(TEXTS, "s2s_query", truncate_dim=256, normalize_embeddings=False),
        )  # fmt: skip

    many, one, queries, documents, none, other = run(main(), new_loop)
    assert np.array_equal(many, model.encode(TEXTS)) and np.array_equal(one, model.encode("short"))
    assert np.array_equal(queries, model.encode_query(TEXTS)) and np.array_equal(documents, many)
    assert none.shape == (0, 1024)
    assert np.array_equal(other, model.encode(TEXTS, "s2s_query", truncate_dim=256, normalize_embeddings=False))
    assert one.flags.owndata and many.flags.owndata


@LOOPS
def test_errors_come_to_whom_they_belong(model, new_loop):
    async def main():
        return await asyncio.gather(
            model.aencode(["fine", ""]), model.aencode("fine"), model.aencode(["fine", 3]),
            model.aencode("fine", prompt_name="nobody"), return_exceptions=True,
        )  # fmt: skip

    bad, good, wrong, unknown = run(main(), new_loop)
    assert isinstance(bad, errors.EmptyTextError) and bad.context["index"] == 1
    assert np.array_equal(good, model.encode("fine"))
    assert isinstance(wrong, TypeError) and isinstance(unknown, errors.InputError)


def test_a_thousand_at_once_share_passes():
    texts = [f"query number {i}" for i in range(1000)]

    async def main():
        with StellaEmbeddingModel("demo", precision="f32") as own:
            await own.aload()
            expected = await own.aencode(texts)
            threads, passes = len(os.listdir("/proc/self/task")), own._runtime.passes
            rows = await asyncio.gather(*(own.aencode(text) for text in texts))
            assert own._runtime.passes - passes <= 300
            assert len(os.listdir("/proc/self/task")) - threads <= 8
            assert np.array_equal(np.stack(rows), expected)

    run(main())


def test_loops_in_threads_and_one_after_another(model):
    expected = model.encode(TEXTS)
    results = []

    def work():
        for _ in range(5):
            results.append(asyncio.run(model.aencode(TEXTS)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert len(results) == 20 and all(np.array_equal(rows, expected) for rows in results)


def test_loops_leave_no_descriptor(model):
    import gc

    def descriptors():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    asyncio.run(model.aencode("short"))
    asyncio.run(model.aencode("short"))
    before = descriptors()
    for _ in range(20):
        asyncio.run(model.aencode("short"))
    assert descriptors() <= before + 1


@LOOPS
def test_cancelling_a_task_cancels_the_work(new_loop):
    async def main():
        with StellaEmbeddingModel("demo", precision="f32", threads=1) as own:
            await own.aload()
            tasks = [asyncio.ensure_future(own.aencode(LONG)) for _ in range(3)]
            while not own._running:
                await asyncio.sleep(0)
            operations = list(own._running.values())
            tasks[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            assert await asyncio.to_thread(operations[0].wait, 60), "it is over without having been computed"
            with pytest.raises(_core.NativeError) as caught:
                operations[0].result()
            assert caught.value.args[0] == "cancelled"
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks[1:], return_exceptions=True)
            assert not own._running
            assert (await own.aencode("still there")).shape == (1024,)

    run(main(), new_loop)


def test_closing_the_model_ends_its_tasks():
    async def main():
        own = StellaEmbeddingModel("demo", precision="f32", threads=1)
        await own.aload()
        task = asyncio.ensure_future(own.aencode(LONG))
        while not own._running:
            await asyncio.sleep(0)
        own.close()
        with pytest.raises(StellaError) as caught:
            await task
        assert caught.value.code in ("cancelled", "shut_down")

    run(main())


def test_the_loop_goes_on_meanwhile():
    """While the model computes, the loop takes a thousand turns."""

    async def main():
        with StellaEmbeddingModel("demo", precision="f32", threads=1) as own:
            task = asyncio.ensure_future(own.aencode(LONG))
            for _ in range(1000):
                await asyncio.sleep(0)
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_a_loop_that_is_left_with_work_under_way():
    done = run_python(
        "import asyncio, stella_cpp\n"
        "model = stella_cpp.StellaEmbeddingModel('demo', threads=1)\n"
        "async def main():\n"
        "    await model.aload()\n"
        "    asyncio.ensure_future(model.aencode(['a text ' * 400] * 20000))\n"
        "    await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
    )
    assert done.stdout == "" and done.stderr == ""
