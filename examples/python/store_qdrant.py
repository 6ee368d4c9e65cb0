"""Qdrant's local mode: pip install qdrant-client"""

from qdrant_client import QdrantClient, models

from stella_cpp import StellaEmbeddingModel

PASSAGES = [
    "Yeast turns sugar into carbon dioxide, which makes dough rise.",
    "A flat tire is patched from the inside, or its tube is replaced.",
    "The moon pulls the oceans, and so there are tides.",
]

model = StellaEmbeddingModel("demo", truncate_dim=256)  # or "NovaSearch/stella_en_400M_v5"
vectors = model.encode_document(PASSAGES)
query = model.encode_query("what makes bread rise")

client = QdrantClient(":memory:")
client.create_collection("passages", models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE))
client.upload_collection("passages", vectors, [{"text": text} for text in PASSAGES])
print(client.query_points("passages", query.tolist(), limit=1).points[0].payload["text"])
