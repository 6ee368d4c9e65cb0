"""FAISS: vectors are of unit length, so the inner product is the cosine: pip install faiss-cpu"""

import faiss

from stella_cpp import StellaEmbeddingModel

PASSAGES = [
    "Yeast turns sugar into carbon dioxide, which makes dough rise.",
    "A flat tire is patched from the inside, or its tube is replaced.",
    "The moon pulls the oceans, and so there are tides.",
]

model = StellaEmbeddingModel("demo", truncate_dim=256)  # or "NovaSearch/stella_en_400M_v5"
vectors = model.encode_document(PASSAGES)
query = model.encode_query("what makes bread rise")

index = faiss.IndexFlatIP(vectors.shape[1])
index.add(vectors)
_, found = index.search(query.reshape(1, -1), 1)
print(PASSAGES[found[0, 0]])
