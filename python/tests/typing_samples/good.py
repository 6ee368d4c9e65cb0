"""A program that type checkers accept in their strictest mode."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stella_cpp import F32, Embeddings, Precision, StellaEmbeddingModel, Texts, bulk, errors, ray

precision: Precision = "f32"


def vectors(model: StellaEmbeddingModel, texts: Texts) -> F32:
    return model.encode_query(texts, truncate_dim=256)


def main() -> int:
    with StellaEmbeddingModel(Path("demo"), precision=precision, threads=2, token=False) as model:
        one: NDArray[np.float32] = model.encode("text", prompt_name="s2p_query")
        many: NDArray[np.float32] = model.encode(["a", "b"], batch_size=8, out=np.empty((2, 1024), np.float32))
        older: NDArray[np.float32] = model.encode(sentences=["a"])
        lazily: Iterator[NDArray[np.float32]] = model.encode_iter(text for text in ["a"])
        counted: Embeddings = model.embed(["a"], task="s2p", on_long="error")
        tokens: NDArray[np.uint32] = counted.tokens
        rows, _, _, truncated = counted
        length: int = model.max_seq_length
        model.max_seq_length = length // 2
        sizes: tuple[int, ...] = model.dimensions
        prompts: dict[str, str] = model.prompts
        same: StellaEmbeddingModel = model.to("cpu").eval()
        ids: list[NDArray[np.int32]] = model.tokenize(["a"])
        score = float(same.similarity(one, many)[0, 0]) + float(model.similarity_pairwise(rows, older)[0])
        try:
            vectors(model, "text")
        except errors.TextTooLongError as error:
            code: str = error.code
            index: str | int | None = error.context.get("index")
            print(code, index)
        print(tokens, truncated, sizes, prompts, ids, score, next(lazily))
    return 0


async def concurrently(model: StellaEmbeddingModel) -> list[F32]:
    await model.aload()
    return list(await asyncio.gather(model.aencode("a"), model.aencode_query(["b"]), model.aencode_document("c")))


def told(state: bulk.Progress) -> None:
    left: float | None = state.eta_seconds
    print(state.parts_finished, left)


def in_bulk(model: StellaEmbeddingModel) -> int:
    part: bulk.Part = bulk.embed_part("texts.parquet", 0, Path("vectors"), model=model, dtype="float16", columns=["id"])
    report: bulk.Report = bulk.embed_parquet(["a.parquet"], "vectors", dimension=256, precision="int8", progress=told)
    same: bulk.Report = ray.embed_parquet(Path("texts"), "vectors", task="s2p", normalize=False, workers=2, progress=True)
    rows: list[int] = [count for _, _, count, _ in bulk.row_groups("texts")]
    embedder = ray.Embedder("demo", column="text", dimension=256, prompt_name="s2p_query")
    print(sorted(embedder({"text": ["a"]})))
    return part.rows + report.rows + same.restarts + sum(rows)
