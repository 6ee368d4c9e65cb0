"""Ids of generated Unicode texts, compared with the Hugging Face library's, whole and truncated.

random_texts_test.py TOKENIZE_LINES FOLDER COUNT MADE_COUNT: COUNT texts for each real tokenizer in FOLDER, MADE_COUNT for
each that is made from them.
"""

import json
import random
import sys

from library_comparison import Comparison
from variants import all_variants

SCRIPTS = [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F), (0x590, 0x5FF),
           (0x600, 0x6FF), (0x900, 0x97F), (0x980, 0x9FF), (0xB80, 0xBFF), (0xC80, 0xCFF), (0xE00, 0xE7F), (0xF00, 0xFFF),
           (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1780, 0x17FF), (0x1E00, 0x1FFF),
           (0x3041, 0x30FF), (0x3100, 0x312F), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFB00, 0xFDFF),
           (0xFF00, 0xFFEF), (0x10400, 0x1044F), (0x1D100, 0x1D1FF), (0x1D400, 0x1D7FF), (0x1E900, 0x1E95F),
           (0x20000, 0x2A6DF), (0x2F800, 0x2FA1F)]
MARKS = [*range(0x300, 0x370), 0x483, 0x5B0, 0x5C1, 0x64B, 0x93C, 0x94D, 0x9BE, 0xB3E, 0xDCA, 0xDCF, 0xE38, 0xF71, 0xF72,
         0x1037, 0x302A, 0x302E, 0x3099, 0x309A, 0x20D0, 0x1D165, 0x1D16E, 0x110BA, 0x11127]
SPACES = [" ", " ", " ", "  ", "\n", "\r\n", "\t", "\v", "\f", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u180e", "\u2003",
          "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff"]
WORDS = ("the of and embedding tokenizer s2p Newton's I'm we'll THEY'RE don't O'Clock ISN'T 'Tis rock'n'roll it'ſ e-mail "
         "co-operate naïve café Ångström São Übergröße ǅ İstanbul ΣΊΣΥΦΟΣ ЁЛКА Москва 東京 한국어 ไทย हिन्दी العربية עברית "
         "x=3.14 f(x) a_b C++ #tag @user https://example.org/a?b=c&d=%20 100,000 1e-5 №5 ½ ² Ⅷ ٣٤ 𝟘𝟙 १२३").split()
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🇩🇪", "✊🏽", "❤️", "☎︎", "🏴\U000e0067\U000e007f", "\u200d", "\ufe0f"]
SPECIALS = ["[CLS]", "[SEP]", "[UNK]", "[MASK]", "[PAD]", "[cls]", "[CL", "[MASK]]", "<|endoftext|>", "<|im_start|>",
            "<|im_end|>", "<|im_", "<|endoftext|", "<<|im_end|>>", "##", "##ing", "Ġthe"]
# First, last and neighbours of planes, surrogates, non-characters, private use, Hangul's arithmetic, CJK's ranges.
EDGES = [0, 1, 8, 0x7F, 0x80, 0xFF, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xF8FF, 0xFDD0, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000, 0x1FFFF,
         0x2FFFE, 0xE0001, 0xE01EF, 0xF0000, 0x10FFFD, 0x10FFFF, 0x1100, 0x1112, 0x1113, 0x1160, 0x1161, 0x1175, 0x11A7,
         0x11A8, 0x11C2, 0x11C3, 0xABFF, 0xAC00, 0xAC01, 0xD7A3, 0xD7A4, 0x33FF, 0x3400, 0x4DBF, 0x4DC0, 0x4DFF, 0x4E00,
         0x9FFF, 0xA000, 0x1F9FF, 0x20000, 0x2A6DF, 0x2A6E0, 0x2A700, 0x2B73F, 0x2B740, 0x2B81F, 0x2B820, 0x2B91F, 0x2B920,
         0x2CEAF, 0x2CEB0, 0x2EBF0, 0x30000, 0x130, 0x131, 0x17F, 0x212A, 0x212B, 0x1E9E, 0x345, 0x340, 0x958, 0xFB1D]
LENGTHS = [2, 3, 4, 5, 8, 13, 32, 512]


def any_code_point(rng):
    c = rng.randrange(0x110000 - 0x800)
    return chr(c if c < 0xD800 else c + 0x800)


def piece(rng):
    kind = rng.randrange(18)
    if kind == 0:
        return "".join(any_code_point(rng) for _ in range(rng.randint(1, 6)))
    if kind == 1:
        return "".join(chr(c if not 0xD800 <= c < 0xE000 else 0xE000) for c in
                       (rng.randrange(0x10000) for _ in range(rng.randint(1, 8))))
    if kind in (2, 3):
        low, high = rng.choice(SCRIPTS)
        return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 10)))
    if kind == 4:
        return "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 5)))
    if kind == 5:
        base = rng.choice([rng.choice("aeiouAEIOUcnsSşḍ가ಕ"), any_code_point(rng)])
        return base + "".join(chr(rng.choice(MARKS)) for _ in range(rng.randint(1, 5)))
    if kind == 6:
        return rng.choice(EMOJI) * rng.randint(1, 2)
    if kind == 7:
        return rng.choice(SPECIALS)
    if kind == 8:
        return chr(rng.choice(EDGES)) + chr(rng.choice(EDGES))
    if kind == 9:
        return rng.choice("abXé字1_'") * rng.choice([3, 20, 47, 48, 49, 98, 99, 100, 101, 150, 400])
    if kind == 10:
        return str(rng.randrange(10 ** rng.randint(1, 12)))
    if kind == 11:
        ending = rng.choice(["s", "t", "re", "ve", "m", "ll", "d", "S", "RE", "lL", "ſ", "x", "r", "v", "é"])
        return rng.choice("'’`") + ending + rng.choice(["", "", "x", "ſ", "é1"])
    if kind == 12:
        return "".join(rng.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»…—¿¡§©™€") for _ in range(rng.randint(1, 6)))
    if kind == 13:
        return "".join(chr(0x1100 + rng.randrange(256)) for _ in range(rng.randint(1, 6)))
    if kind == 14:
        return "x".join(any_code_point(rng) for _ in range(rng.randint(2, 8)))
    return rng.choice(WORDS)


def text(rng):
    joint = rng.choice(["", " ", " ", rng.choice(SPACES)])
    return joint.join(piece(rng) for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 8, 20])))


def main():
    program, folder, count, made_count = sys.argv[1:]
    equal = True
    for index, (name, tokenizer) in enumerate(all_variants(folder)):
        rng = random.Random(name)
        comparison = Comparison(program, name, json.dumps(tokenizer))
        texts = [text(rng) for _ in range(int(count if index < 2 else made_count))]
        comparison.compare((None, one) for one in texts)
        comparison.compare((rng.choice(LENGTHS), one) for one in texts)
        equal = comparison.report() and equal
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
