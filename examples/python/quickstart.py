"""The package from end to end, with the bundled model: python examples/python/quickstart.py"""

import asyncio

import numpy as np

from stella_cpp import StellaEmbeddingModel, errors

PASSAGES = [
    "Yeast turns sugar into carbon dioxide, which makes dough rise.",
    "A flat tire is patched from the inside, or its tube is replaced.",
    "The moon pulls the oceans, and so there are tides.",
]

with StellaEmbeddingModel("demo", precision="f32") as model:
    # Search: a query with the model's prompt against passages without one.
    passages = model.encode_document(PASSAGES)
    scores = model.similarity(model.encode_query("what makes bread rise"), passages)[0]
    print(f"{scores.max():.2f} {PASSAGES[scores.argmax()]}")

    # A smaller trained size, into memory that is there already.
    small = np.empty((len(PASSAGES), 256), np.float32)
    model.encode_document(PASSAGES, truncate_dim=256, out=small)
    print(small.shape)

    # More texts than fit in memory: rows come while texts are read.
    lines = (f"line number {i}" for i in range(1000))
    print(sum(1 for _ in model.encode_iter(lines, truncate_dim=256)), "rows")

    # What became of each text.
    counted = model.embed(PASSAGES, task="document", max_length=8)
    print(counted.tokens, counted.full_tokens, counted.truncated)

    # Errors say which text.
    try:
        model.encode(["fine", ""])
    except errors.EmptyTextError as error:
        print("refused:", error.context["index"])


async def many_at_once(model: StellaEmbeddingModel) -> int:
    return len(await asyncio.gather(*(model.aencode_query(f"question {i}") for i in range(100))))


print(asyncio.run(many_at_once(StellaEmbeddingModel("demo"))), "answers")
