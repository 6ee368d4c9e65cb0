"""LanceDB: a table in a folder: pip install lancedb"""

import tempfile

import lancedb

from stella_cpp import StellaEmbeddingModel

PASSAGES = [
    "Yeast turns sugar into carbon dioxide, which makes dough rise.",
    "A flat tire is patched from the inside, or its tube is replaced.",
    "The moon pulls the oceans, and so there are tides.",
]

model = StellaEmbeddingModel("demo", truncate_dim=256)  # or "NovaSearch/stella_en_400M_v5"
vectors = model.encode_document(PASSAGES)
query = model.encode_query("what makes bread rise")

with tempfile.TemporaryDirectory() as folder:
    rows = [{"vector": vector, "text": text} for vector, text in zip(vectors, PASSAGES)]
    table = lancedb.connect(folder).create_table("passages", rows)
    print(table.search(query).distance_type("cosine").limit(1).to_list()[0]["text"])
