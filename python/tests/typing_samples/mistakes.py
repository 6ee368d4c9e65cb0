"""Five mistakes, each on a line that ends with the word; type checkers have to find these and nothing else."""

from stella_cpp import StellaEmbeddingModel

StellaEmbeddingModel("demo", precision="f64")  # mistake
model = StellaEmbeddingModel("demo")
model.encode([1, 2])  # mistake
model.encode("text", convert_to_tensor=True)  # mistake
words: list[str] = model.encode("text")  # mistake
model.embed(["text"], on_long="ignore")  # mistake
