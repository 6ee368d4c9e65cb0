"""What the frameworks' tests share."""

import numpy as np
import pytest

from stella_cpp import StellaEmbeddingModel

QUERY = "what makes bread rise"
PASSAGES = [
    "Yeast turns sugar into carbon dioxide, which makes dough rise.",
    "A flat tire is patched from the inside, or its tube is replaced.",
    "The moon pulls the oceans, and so there are tides.",
]


@pytest.fixture(scope="session")
def expected():
    """(query's vector, passages' vectors) at 256 dimensions, as the model itself makes them."""
    with StellaEmbeddingModel("demo", precision="f32", truncate_dim=256) as model:
        return model.encode_query(QUERY), model.encode_document(PASSAGES)


def same(got, wanted):
    return np.array_equal(np.asarray(got, np.float32), wanted)
