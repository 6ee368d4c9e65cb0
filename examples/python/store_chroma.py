"""Chroma: a collection that is given its vectors: pip install chromadb"""

import chromadb

from stella_cpp import StellaEmbeddingModel

PASSAGES = [
    "Yeast turns sugar into carbon dioxide, which makes dough rise.",
    "A flat tire is patched from the inside, or its tube is replaced.",
    "The moon pulls the oceans, and so there are tides.",
]

model = StellaEmbeddingModel("demo", truncate_dim=256)  # or "NovaSearch/stella_en_400M_v5"
vectors = model.encode_document(PASSAGES)
query = model.encode_query("what makes bread rise")

collection = chromadb.EphemeralClient().create_collection(
    "passages", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
)
collection.add(ids=[str(i) for i in range(len(PASSAGES))], embeddings=vectors, documents=PASSAGES)
print(collection.query(query_embeddings=[query], n_results=1)["documents"][0][0])
