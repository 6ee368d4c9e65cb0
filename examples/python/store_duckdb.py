"""DuckDB: arrays as a column: pip install duckdb"""

import duckdb

from stella_cpp import StellaEmbeddingModel

PASSAGES = [
    "Yeast turns sugar into carbon dioxide, which makes dough rise.",
    "A flat tire is patched from the inside, or its tube is replaced.",
    "The moon pulls the oceans, and so there are tides.",
]

model = StellaEmbeddingModel("demo", truncate_dim=256)  # or "NovaSearch/stella_en_400M_v5"
vectors = model.encode_document(PASSAGES)
query = model.encode_query("what makes bread rise")

database = duckdb.connect()
database.execute(f"CREATE TABLE passages (text VARCHAR, vector FLOAT[{len(query)}])")
database.executemany("INSERT INTO passages VALUES (?, ?)", [[t, v.tolist()] for t, v in zip(PASSAGES, vectors)])
ranked = f"SELECT text FROM passages ORDER BY array_cosine_similarity(vector, ?::FLOAT[{len(query)}]) DESC LIMIT 1"
print(database.execute(ranked, [query.tolist()]).fetchone()[0])
