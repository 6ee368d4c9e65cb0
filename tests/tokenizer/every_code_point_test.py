"""Every code point in company, compared with the Hugging Face library's ids.

every_code_point_test.py TOKENIZE_LINES FOLDER: FOLDER has the real tokenizers.
"""

import itertools
import json
import sys

from library_comparison import Comparison
from variants import all_variants

EVERY = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# Without ideographs, Hangul syllables, private use and empty planes but for their edges; EVERY has those once.
MIXED = [c for c in EVERY if (c < 0x20000 or 0xE0000 <= c < 0xE0200 or c & 0xFFF < 4)
         and not (0x3410 < c < 0x9FF0 or 0xAC40 < c < 0xD770 or 0xE010 < c < 0xF8F0 or 0x17000 < c < 0x18D00)]
LOW = [c for c in MIXED if c < 0x3400]

BETWEEN = "x{0}y\n"
WORDS = "x{0}y {0}{0} 1{0}. '{0}\n"
ENDS = "x{0} {0}x '{0}x\n"
MARKS = "{0}\u0323\u0301 a\u0301{0}{0}\n"
ALONE = "{0}"

# Which code points are put where for which tokenizer. A text holds many, a line each, but for ALONE.
PLAN = {
    "qwen2": [(EVERY, BETWEEN), (MIXED, WORDS), (LOW, ALONE)],
    "word ends of Qwen2": [(EVERY, ENDS)],
    "word ends of Qwen2 by the general way": [(MIXED, ENDS)],
    "word ends of GPT-2": [(MIXED, ENDS)],
    "BertNormalizer in bytes": [(EVERY, BETWEEN), (MIXED, MARKS), (LOW, ALONE)],
    "BertPreTokenizer's words": [(EVERY, BETWEEN), (LOW, ALONE)],
    "bert-base-uncased": [(MIXED, WORDS), (LOW, ALONE)],
    "NFC in bytes": [(MIXED, MARKS)],
    "strip_accents in bytes": [(MIXED, MARKS)],
    "clean_text in bytes": [(MIXED, BETWEEN)],
    "handle_chinese_chars in bytes": [(MIXED, BETWEEN)],
    "lowercase in bytes": [(MIXED, BETWEEN)],
    "NFD in bytes": [(MIXED, MARKS)],
    "StripAccents in bytes": [(MIXED, MARKS)],
    "Lowercase in bytes": [(MIXED, BETWEEN)],
    "Digits": [(MIXED, ENDS)],
    "Whitespace": [(MIXED, BETWEEN)],
    "Punctuation, Isolated": [(MIXED, ENDS)],
    "qwen2 with added tokens": [(LOW, "[cls]{0}naïve{0} <|im_end|>{0}<|im {0}\n")],
}


def texts(code_points, template):
    per_text = 1 if template == ALONE else 100
    for start in range(0, len(code_points), per_text):
        yield "".join(template.format(chr(c)) for c in code_points[start : start + per_text])


def main():
    program, folder = sys.argv[1:]
    tokenizers = dict(all_variants(folder))
    equal = True
    for name, parts in PLAN.items():
        comparison = Comparison(program, name, json.dumps(tokenizers[name]))
        requests = ((None, text) for code_points, template in parts for text in texts(code_points, template))
        # The library's encodings are large: a batch at a time.
        while batch := list(itertools.islice(requests, 1000)):
            comparison.compare(batch)
        equal = comparison.report() and equal
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
