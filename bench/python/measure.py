#!/usr/bin/env python3
"""What the Python package costs, measured with whatever interpreter runs this: import, one query, the longest gap of an
event loop while a model is loaded and embeds, a thousand concurrent calls against one at a time, how soon Ctrl-C is
seen, and how fast a thread of Python is beside a call. One JSON object.

    measure.py [MODEL]
"""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time

MODEL = sys.argv[1] if len(sys.argv) > 1 else "demo"
LONG = ["a passage of some length " * 40] * 4000


def import_seconds():
    code = "import time; t = time.perf_counter(); import stella_cpp; print(time.perf_counter() - t)"
    return min(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5))


def query_seconds(model):
    def once(i):
        begin = time.perf_counter()
        model.encode_query(f"how long does query {i} take")
        return time.perf_counter() - begin

    return statistics.median(once(i) for i in range(200))


async def longest_gap(model):
    """While another task loads the model and embeds; the task under test asks for a turn every millisecond."""
    work = asyncio.ensure_future(model.aencode(LONG))
    gap = 0.0
    last = time.perf_counter()
    while not work.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        gap, last = max(gap, now - last - 0.001), now
    await work
    return gap


async def concurrent_over_serial(model):
    """Median of five turns."""
    texts, ratios = [f"question number {i}" for i in range(1000)], []
    for _ in range(5):
        begin = time.perf_counter()
        for text in texts:
            await model.aencode(text)
        serial = time.perf_counter() - begin
        begin = time.perf_counter()
        await asyncio.gather(*(model.aencode(text) for text in texts))
        ratios.append((time.perf_counter() - begin) / serial)
    return statistics.median(ratios)


def interrupt_seconds(model):
    pressed = []

    def press():
        while not model._running:
            time.sleep(0.001)
        time.sleep(0.2)
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    try:
        model.encode(LONG * 10)
    except KeyboardInterrupt:
        return time.perf_counter() - pressed[0]
    raise SystemExit("the call ended before Ctrl-C was seen")


def counted(seconds):
    end, turns = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        turns += 1
    return turns


def counter_speed_beside_a_call(model):
    alone = counted(1)
    thread = threading.Thread(target=model.encode, args=(LONG * 4,))
    thread.start()
    beside = counted(1)
    still = thread.is_alive()
    model._cancel_all()
    thread.join()
    return beside / alone if still else None


def main():
    from stella_cpp import StellaEmbeddingModel, StellaError

    threading.excepthook = lambda args: None if args.exc_type is StellaError else threading.__excepthook__(args)
    figures = {"import_s": import_seconds()}
    with StellaEmbeddingModel(MODEL) as model:
        figures["loop_longest_gap_s"] = asyncio.run(longest_gap(model))
        figures["query_median_s"] = query_seconds(model)
        figures["thousand_concurrent_over_serial"] = asyncio.run(concurrent_over_serial(model))
        figures["interrupt_s"] = interrupt_seconds(model)
        figures["counter_beside_a_call_over_alone"] = counter_speed_beside_a_call(model)
    print(json.dumps({k: v if v is None else round(v, 5) for k, v in figures.items()}, indent=1))


if __name__ == "__main__":
    main()
