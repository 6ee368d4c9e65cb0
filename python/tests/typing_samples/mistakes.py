"""Eight mistakes, each on a line that ends with the word; type checkers have to find these and nothing else."""

from stella_cpp import StellaEmbeddingModel, bulk, ray

StellaEmbeddingModel("demo", precision="f64")  # mistake
model = StellaEmbeddingModel("demo")
model.encode([1, 2])  # mistake
model.encode("text", convert_to_tensor=True)  # mistake
words: list[str] = model.encode("text")  # mistake
model.embed(["text"], on_long="ignore")  # mistake
bulk.embed_part("texts.parquet", 0, "vectors", model="demo", dtype="int4")  # mistake
rows: float | None = bulk.embed_parquet("texts", "vectors", model="demo")  # mistake
ray.embed_parquet("texts", "vectors", model="demo", normalise=False)  # mistake
