"""MTEB's protocol, its prompts, and a whole retrieval task whose data lies here."""

import mteb
from conftest import PASSAGES, QUERY, same
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.models_protocols import EncoderProtocol
from mteb.types import PromptType

from stella_cpp.mteb import StellaEncoder


class Bread(AbsTaskRetrieval):
    metadata = TaskMetadata(
        name="Bread",
        description="Three passages and a query.",
        reference=None,
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        dataset={"path": "local/bread", "revision": "1"},
        date=None,
        domains=None,
        task_subtypes=None,
        license=None,
        annotations_creators=None,
        dialect=None,
        sample_creation=None,
        bibtex_citation="",
    )

    def load_data(self, *_, **__):
        ids = [str(i) for i in range(len(PASSAGES))]
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_dict({"id": ids, "title": [""] * len(ids), "text": PASSAGES}),
                    "queries": Dataset.from_dict({"id": ["q"], "text": [QUERY]}),
                    "relevant_docs": {"q": {"0": 1}},
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True


def test_prompts(expected):
    ours = StellaEncoder("demo", precision="f32")
    assert isinstance(ours, EncoderProtocol)

    def encode(texts, prompt_type):
        batches = [{"text": texts[:1]}, {"text": texts[1:]}]
        return ours.encode(batches, task_metadata=Bread.metadata, hf_split="test", hf_subset="default",
                           prompt_type=prompt_type)  # fmt: skip

    texts = [QUERY, *PASSAGES]
    assert same(encode(texts, PromptType.query), ours.model.encode_query(texts))
    assert same(encode(texts, PromptType.document), ours.model.encode_document(texts))
    assert same(encode(texts, None), ours.model.encode(texts, prompt_name="s2s"))
    assert same(ours.similarity(*expected[::-1]), ours.model.similarity(*expected[::-1]))


def test_a_task_without_the_network():
    result = mteb.evaluate(StellaEncoder("demo", precision="f32"), Bread(), cache=None, show_progress_bar=False)
    assert result.task_results[0].get_score() == 1
