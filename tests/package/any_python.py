"""The wheel on another version of Python: calls, asyncio, pickles, a fork, and an end while a thread embeds."""

import asyncio
import os
import pickle
import sys
import threading
import time
import warnings

from stella_cpp import StellaEmbeddingModel, errors

warnings.simplefilter("ignore", DeprecationWarning)  # newer versions warn of any fork beside threads
model = StellaEmbeddingModel("demo", precision="f32")
rows = model.encode(["one text", "another"])
assert rows.shape == (2, 1024)
assert (asyncio.run(model.aencode(["one text", "another"])) == rows).all()
assert (pickle.loads(pickle.dumps(model)).encode(["one text", "another"]) == rows).all()
try:
    model.encode(["one text", ""])
    raise SystemExit("an empty text was embedded")
except errors.EmptyTextError as error:
    assert pickle.loads(pickle.dumps(error)).context == error.context == {"index": 1}
child = os.fork()
if child == 0:
    sys.exit(0 if (model.encode(["one text", "another"]) == rows).all() else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
threading.Thread(target=lambda: model.encode(["a long text " * 200] * 20000), daemon=True).start()
while not model._running:
    time.sleep(0.001)
