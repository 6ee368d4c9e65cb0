"""Offsets, special flags and decoded text of generated Unicode texts, compared with the Hugging Face library's.

offsets_and_decoding_test.py TOKENIZE_LINES FOLDER COUNT MADE_COUNT: COUNT texts for each real tokenizer in FOLDER,
MADE_COUNT for each that is made from them.
"""

import json
import random
import sys

from library_comparison import Comparison
from random_texts_test import LENGTHS, text
from variants import all_variants, decoder_variants, trimming_variants


def some_ids(rng, limit, of_text):
    """Ids as a model may give them: of a text, part of one, anything, ids that do not exist."""
    kind = rng.randrange(4)
    if kind == 0:
        return of_text
    if kind == 1:
        begin = rng.randrange(len(of_text) + 1)
        return of_text[begin : begin + rng.randrange(8)]
    if kind == 2:
        return [rng.randrange(limit + 10) for _ in range(rng.randrange(12))]
    mixed = of_text + [rng.randrange(limit + 1000) for _ in range(3)]
    rng.shuffle(mixed)
    return mixed


def main():
    program, folder, count, made_count = sys.argv[1:]
    equal = True
    tokenizers = [*all_variants(folder), *trimming_variants(folder), *decoder_variants(folder)]
    for index, (name, tokenizer) in enumerate(tokenizers):
        rng = random.Random("offsets " + name)
        comparison = Comparison(program, name, json.dumps(tokenizer))
        requests = [(rng.choice([None, None, *LENGTHS]), rng.random() < 0.8, text(rng))
                    for _ in range(int(count if index < 2 else made_count))]
        ids = comparison.compare_offsets(requests)
        limit = comparison.library.get_vocab_size()
        comparison.compare_decoded((rng.random() < 0.5, some_ids(rng, limit, one)) for one in ids)
        equal = comparison.report() and equal
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
