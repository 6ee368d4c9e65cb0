"""sqlite-vec: a virtual table of SQLite: pip install sqlite-vec"""

import sqlite3

import sqlite_vec

from stella_cpp import StellaEmbeddingModel

PASSAGES = [
    "Yeast turns sugar into carbon dioxide, which makes dough rise.",
    "A flat tire is patched from the inside, or its tube is replaced.",
    "The moon pulls the oceans, and so there are tides.",
]

model = StellaEmbeddingModel("demo", truncate_dim=256)  # or "NovaSearch/stella_en_400M_v5"
vectors = model.encode_document(PASSAGES)
query = model.encode_query("what makes bread rise")

database = sqlite3.connect(":memory:")
database.enable_load_extension(True)
sqlite_vec.load(database)
database.execute(f"CREATE VIRTUAL TABLE passages USING vec0(vector float[{len(query)}] distance_metric=cosine, +text TEXT)")
database.executemany("INSERT INTO passages(vector, text) VALUES (?, ?)", zip(vectors, PASSAGES))
rows = database.execute("SELECT text FROM passages WHERE vector MATCH ? AND k = 1", (query,))
print(rows.fetchone()[0])
