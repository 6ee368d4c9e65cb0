"""Processes, signals, threads, memory: each in an interpreter of its own, which has to end with status 0 and silently."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import TEXTS, run_python

from stella_cpp import StellaEmbeddingModel, StellaError

BUSY = (
    "import os, signal, sys, threading, time\n"
    "from stella_cpp import StellaEmbeddingModel\n"
    "model = StellaEmbeddingModel('demo', precision='f32', threads=2)\n"
    "expected = model.encode('short')\n"
    "long = ['a passage of some length ' * 100] * 20000\n"
    "def busy():\n"
    "    try: model.encode(long)\n"
    "    except Exception: pass\n"
    "def wait_until_busy():\n"
    "    while not model._running: time.sleep(0.001)\n"
)


def silent(code, **options):
    done = run_python(code, **options)
    assert done.stdout == "" and done.stderr == ""


@pytest.mark.parametrize("busy", [False, True])
def test_a_forked_child_embeds_and_exits(busy):
    start = "threading.Thread(target=busy, daemon=True).start(); wait_until_busy()\n" if busy else ""
    silent(
        BUSY + start + "for _ in range(10):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        same = (model.encode('short') == expected).all()\n"
        "        sys.exit(0 if same else 3)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert (model.encode('short') == expected).all()\n"
    )


def test_a_forked_child_that_embeds_nothing_exits():
    silent(BUSY + "child = os.fork()\nif child == 0: sys.exit(0)\n"
           "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n")


def test_a_forked_child_has_asyncio():
    silent(
        BUSY + "import asyncio\n"
        "assert (asyncio.run(model.aencode('short')) == expected).all()\n"
        "child = os.fork()\n"
        "if child == 0: sys.exit(0 if (asyncio.run(model.aencode('short')) == expected).all() else 3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert (asyncio.run(model.aencode('short')) == expected).all()\n"
    )


def encode_in_child(model):
    return model.encode(TEXTS)


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_models_go_to_other_processes(model, method):
    expected = model.encode(TEXTS)
    with multiprocessing.get_context(method).Pool(2) as pool:
        for rows in pool.map(encode_in_child, [model] * 4):
            assert np.array_equal(rows, expected)


def test_ctrl_c_is_a_keyboard_interrupt_and_leaves_the_model_usable():
    silent(
        BUSY + "def press():\n"
        "    wait_until_busy()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=press).start()\n"
        "try:\n"
        "    model.encode(long)\n"
        "    sys.exit(3)\n"
        "except KeyboardInterrupt: pass\n"
        "assert not model._running\n"
        "assert (model.encode('short') == expected).all()\n"
    )


@pytest.mark.parametrize(
    "end", ["", "sys.exit(0)\n", "import asyncio\nasyncio.run(asyncio.sleep(0))\n", "del model\n"]
)
def test_exit_while_busy(end):
    silent(BUSY + "for _ in range(3): threading.Thread(target=busy, daemon=True).start()\nwait_until_busy()\n" + end)


def test_exit_while_loading():
    silent("import stella_cpp, threading\n"
           "model = stella_cpp.StellaEmbeddingModel('demo')\n"
           "threading.Thread(target=model.encode, args=('x',), daemon=True).start()\n")


def test_exit_right_away():
    for _ in range(5):
        silent("import stella_cpp\nmodel = stella_cpp.StellaEmbeddingModel('demo')\nmodel.encode('x')\n")


def test_terminated_while_busy():
    child = subprocess.Popen([sys.executable, "-c", BUSY + "print('busy', flush=True)\nmodel.encode(long)\n"],
                             stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "busy\n"
    child.terminate()
    assert child.wait(30) == -signal.SIGTERM
    child.stdout.close()


def test_python_goes_on_while_a_thread_embeds():
    """While one call runs, another thread of Python takes many turns: the interpreter's lock is free."""
    model = StellaEmbeddingModel("demo", precision="f32", threads=1)
    model.encode("warm")
    texts = ["a passage of some length " * 100] * 20_000

    def embed():
        with pytest.raises(StellaError, match="cancelled"):
            model.encode(texts)

    thread = threading.Thread(target=embed)
    thread.start()
    turns = 0
    while thread.is_alive() and turns < 1_000_000:
        turns += 1
    assert turns == 1_000_000, f"only {turns} turns"
    model._cancel_all()
    thread.join()


def test_importing_is_light():
    silent(
        "import os, sys, stella_cpp\n"
        "heavy = {'torch', 'transformers', 'tensorflow', 'numpy', 'asyncio', 'sentence_transformers', 'tqdm', 'certifi'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
        "stella_cpp.StellaEmbeddingModel('demo')\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
    )


MEMORY = (
    "import os, gc\n"
    "from stella_cpp import StellaEmbeddingModel\n"
    "def resident():\n"
    "    gc.collect()\n"
    "    return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')\n"
)


def test_ten_thousand_calls_take_no_more_memory():
    silent(
        MEMORY + "model = StellaEmbeddingModel('demo', precision='f32')\n"
        "texts = ['número %d — ' % i + 'words ' * (i % 50) for i in range(500)]\n"
        "for text in texts * 2: model.encode(text)\n"
        "before = resident()\n"
        "for text in texts * 20: model.encode(text)\n"
        "grown = resident() - before\n"
        "assert grown <= 8 << 20, grown\n",
        timeout=280,
    )


def test_rows_in_place_take_little_beside_the_result():
    silent(
        MEMORY + "import numpy as np\n"
        "def peak(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) << 10\n"
        "model = StellaEmbeddingModel('demo', precision='f32'); model.encode('warm')\n"
        "before = peak()\n"
        "out = np.empty((20_000, 1024), np.float32)\n"
        "model.encode((f'text {i}' for i in range(len(out))), out=out)\n"
        "assert np.isfinite(out).all() and (out[-1] == model.encode('text 19999')).all()\n"
        "beside = peak() - before - out.nbytes\n"
        "assert beside <= 96 << 20, beside\n"
    )


def test_close_gives_memory_and_threads_back():
    silent(
        MEMORY + "import numpy, time\n"
        "first = StellaEmbeddingModel('demo', precision='f32'); first.encode('x'); first.close()\n"
        "before, tasks = resident(), len(os.listdir('/proc/self/task'))\n"
        "for _ in range(10):\n"
        "    with StellaEmbeddingModel('demo', precision='f32') as model: model.encode(['a few words ' * 50] * 50)\n"
        "    deadline = time.monotonic() + 20\n"
        "    while len(os.listdir('/proc/self/task')) > tasks and time.monotonic() < deadline: time.sleep(0.01)\n"
        "    assert len(os.listdir('/proc/self/task')) <= tasks\n"
        "assert resident() - before <= 4 << 20, resident() - before\n",
        env={"MALLOC_ARENA_MAX": "1"},  # other arenas keep a little, more or less of it by chance
    )


def test_models_share_a_runtime():
    silent(
        "import os\n"
        "from stella_cpp import StellaEmbeddingModel\n"
        "one = StellaEmbeddingModel('demo'); one.encode('x')\n"
        "tasks = len(os.listdir('/proc/self/task'))\n"
        "others = [StellaEmbeddingModel('demo') for _ in range(3)]\n"
        "for other in others: other.encode('x')\n"
        "assert len(os.listdir('/proc/self/task')) <= tasks + 3\n"
    )


def test_free_threading_is_declared():
    """Where there is such an interpreter: importing the package leaves its lock off."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    if enabled is None or not __import__("sysconfig").get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this Python is not free-threaded")
    assert not enabled()
    assert os.environ.get("PYTHON_GIL") != "1"
