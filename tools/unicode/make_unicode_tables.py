#!/usr/bin/env python3
"""Writes the Unicode tables of src/tokenizer by probing the Hugging Face `tokenizers` library.

The library mixes several Unicode versions (Rust's standard library, two crates and Oniguruma), so no published version of
the Unicode data gives its classes. Every code point is put through the library's own components instead:

    pip install tokenizers==0.23.3
    tools/unicode/make_unicode_tables.py            # rewrites src/tokenizer/unicode_{classes,mappings}.cpp
    tools/unicode/make_unicode_tables.py --check    # exit status 1 where the files differ from what would be written
"""

import argparse
import functools
import pathlib
import sys

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

VERSION = "0.23.3"
OUT = pathlib.Path(__file__).resolve().parents[2] / "src" / "tokenizer"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xAC00 + 11172)

# Bit numbers of unicode_data.hpp.
LETTER, NUMBER, SPACE, WORD, WHITE, DROPPED, BLANKED, PUNCTUATION, MARK, CJK, COMBINING, NUMERIC = range(12)


def matched(pattern):
    """Code points that a one-character regular expression of the `Split` pre-tokenizer matches."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for start in range(0, len(CODE_POINTS), 4096):
        chunk = CODE_POINTS[start : start + 4096]
        kept = set()
        for _, (begin, end) in split.pre_tokenize_str("".join(map(chr, chunk))):
            kept.update(range(begin, end))
        found.update(c for i, c in enumerate(chunk) if i not in kept)
    return found


def classes():
    """A list over all code points of class bits."""
    bits = [0] * 0x110000

    def mark(code_points, bit):
        for c in code_points:
            bits[c] |= 1 << bit

    mark(matched(r"\p{L}"), LETTER)
    mark(matched(r"\p{N}"), NUMBER)
    mark(matched(r"\s"), SPACE)
    if matched(r"\S") & matched(r"\s"):
        sys.exit("\\S is not the complement of \\s")
    word_split = pre_tokenizers.Whitespace()
    bert_split = pre_tokenizers.BertPreTokenizer()
    bert = functools.partial(normalizers.BertNormalizer, clean_text=False, handle_chinese_chars=False,
                             strip_accents=False, lowercase=False)
    clean = bert(clean_text=True)
    cjk = bert(handle_chinese_chars=True)
    strip = bert(strip_accents=True)
    nfd = normalizers.NFD()
    accents = normalizers.StripAccents()
    digits = pre_tokenizers.Digits()
    others = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    for c in CODE_POINTS:
        ch = chr(c)
        around = f"a{ch}a"
        word = len(word_split.pre_tokenize_str("a" + ch))
        regex_space = word == 1 and word_split.pre_tokenize_str(ch) == []
        if word == 1 and not regex_space:
            bits[c] |= 1 << WORD
        pieces = bert_split.pre_tokenize_str(around)
        white = len(pieces) == 2
        if white != regex_space:
            sys.exit(f"U+{c:04X}: whitespace differs between regex and char")
        bits[c] |= white << WHITE | (len(pieces) == 3) << PUNCTUATION
        if [len(other.pre_tokenize_str(around)) for other in others] != [1 + white, 3 if len(pieces) == 3 else 1]:
            sys.exit(f"U+{c:04X}: WhitespaceSplit or Punctuation differ from BertPreTokenizer")
        bits[c] |= (accents.normalize_str(around) == "aa") << COMBINING | (len(digits.pre_tokenize_str(around)) == 3) << NUMERIC
        cleaned = clean.normalize_str(around)
        if cleaned == "aa":
            bits[c] |= 1 << DROPPED
        elif cleaned == "a a":
            bits[c] |= 1 << BLANKED
        elif cleaned != around:
            sys.exit(f"U+{c:04X}: unexpected clean_text result {cleaned!r}")
        if cjk.normalize_str(around) == f"a {ch} a":
            bits[c] |= 1 << CJK
        if nfd.normalize_str(ch) == ch and strip.normalize_str(around) == "aa":
            bits[c] |= 1 << MARK
    return bits


def runs(values):
    """(start, value) where a list over code points changes value."""
    found = []
    previous = None
    for c, value in enumerate(values):
        if value != previous:
            found.append((c, value))
            previous = value
    return found


def lowercase():
    """Runs (start, count, step, difference) of single mappings, and a list of mappings to several characters."""
    lower = normalizers.Lowercase()
    single, several = [], []
    for c in CODE_POINTS:
        to = lower.normalize_str(chr(c))
        if to == chr(c):
            continue
        if len(to) == 1:
            single.append((c, ord(to) - c))
        else:
            several.append((c, [ord(x) for x in to]))
    packed = []
    for c, difference in single:
        if packed:
            start, count, step, run_difference = packed[-1]
            gap = c - (start + (count - 1) * step)
            if run_difference == difference and gap in (1, 2) and (count == 1 or gap == step):
                packed[-1] = (start, count + 1, gap, difference)
                continue
        packed.append((c, 1, 1, difference))
    return packed, several


def decompositions():
    """(code point, canonical decomposition, whether composition gives it back), Hangul syllables left out."""
    nfd, nfc = normalizers.NFD(), normalizers.NFC()
    found = []
    for c in CODE_POINTS:
        to = nfd.normalize_str(chr(c))
        if to == chr(c):
            continue
        if c in HANGUL:
            syllable = c - 0xAC00
            parts = [0x1100 + syllable // 588, 0x1161 + syllable % 588 // 28, 0x11A7 + syllable % 28]
            if [ord(x) for x in to] != (parts if syllable % 28 else parts[:2]):
                sys.exit(f"U+{c:04X}: not the algorithmic decomposition")
            if nfc.normalize_str(to) != chr(c):
                sys.exit(f"U+{c:04X}: not the algorithmic composition")
            continue
        composes = nfc.normalize_str(to) == chr(c)
        if not composes and nfc.normalize_str(chr(c)) == chr(c):
            sys.exit(f"U+{c:04X}: composition is not idempotent")
        found.append((c, [ord(x) for x in to], composes))
    composites = {chr(c) for c, _, composes in found if composes}
    for c, to, composes in found:
        if composes and len(to) > 2 and nfc.normalize_str("".join(map(chr, to[:-1]))) not in composites:
            sys.exit(f"U+{c:04X}: no primary composite for its decomposition but the last character")
    return found


def combining_classes(decomposed):
    """A list over all code points of ranks that order as the combining classes do (0: a starter)."""
    nfd = normalizers.NFD()

    def swapped(a, b):
        return nfd.normalize_str(chr(a) + chr(b)) != chr(a) + chr(b)

    plain = [c for c in CODE_POINTS if c not in decomposed and c not in HANGUL]
    # U+0334 has the lowest class of the common marks and U+0345 the highest: one of the two trades places with any mark.
    marks = [c for c in plain if swapped(c, 0x334) or swapped(0x345, c)]

    def order(a, b):
        return 1 if swapped(a, b) else -1 if swapped(b, a) else 0

    ranks = [0] * 0x110000
    rank, previous = 0, None
    for c in sorted(marks, key=functools.cmp_to_key(order)):
        if previous is None or order(previous, c) < 0:
            rank += 1
        ranks[c] = rank
        previous = c
    return ranks


def array(name, type_name, words, comment):
    lines = [f"// {comment}", f"constexpr {type_name} k{name}[] = {{"]
    line = "   "
    for word in words:
        if len(line) + len(word) > 118:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return lines + [line, "};"]


def source(arrays, functions):
    head = [f"// Written by tools/unicode/make_unicode_tables.py from tokenizers {VERSION}: do not edit.",
            '#include "tokenizer/unicode_data.hpp"', "", "// clang-format off", "namespace stella::tokenizer {",
            "namespace {", ""]
    tail = ["", "}  // namespace stella::tokenizer", ""]
    body = [line for lines in arrays for line in lines + [""]]
    return "\n".join(head + body + ["}  // namespace", ""] + functions + tail)


def classes_source(bits, ranks):
    class_words = [f"0x{start << 12 | value:x}" for start, value in runs(bits)]
    rank_words = [f"0x{start << 8 | value:x}" for start, value in runs(ranks)]
    return source(
        [array("ClassRuns", "std::uint64_t", class_words,
               "First code point of a run << 12 | its class bits; a run ends where the next begins."),
         array("RankRuns", "std::uint32_t", rank_words,
               "First code point of a run << 8 | its combining rank (0: a starter).")],
        ["std::span<const std::uint64_t> class_runs() { return kClassRuns; }",
         "std::span<const std::uint32_t> combining_runs() { return kRankRuns; }"])


def mappings_source(decomposed):
    single, several = lowercase()
    lower_words = [f"{{0x{start:x},{count},{step},{difference}}}" for start, count, step, difference in single]
    several_words = [f"0x{x:x}" for c, to in several for x in [c << 3 | len(to)] + to]
    nfd_words = [f"0x{x:x}" for c, to, composes in decomposed for x in [c << 4 | composes << 3 | len(to)] + to]
    return source(
        [array("LowercaseRuns", "LowercaseRun", lower_words, "First code point, count, step, difference."),
         array("LowercaseSeveral", "std::uint32_t", several_words,
               "Code point << 3 | length of its lowercase form, then that form."),
         array("Decompositions", "std::uint32_t", nfd_words,
               "Code point << 4 | whether composition gives it back << 3 | length, then its canonical decomposition.")],
        ["std::span<const LowercaseRun> lowercase_runs() { return kLowercaseRuns; }",
         "std::span<const std::uint32_t> lowercase_several() { return kLowercaseSeveral; }",
         "std::span<const std::uint32_t> decompositions() { return kDecompositions; }"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    if tokenizers.__version__ != VERSION:
        sys.exit(f"tokenizers {VERSION} is needed, this is {tokenizers.__version__}")
    decomposed = decompositions()
    ranks = combining_classes({c for c, _, _ in decomposed})
    wanted = {"unicode_classes.cpp": classes_source(classes(), ranks), "unicode_mappings.cpp": mappings_source(decomposed)}
    different = [name for name, text in wanted.items()
                 if not (OUT / name).exists() or (OUT / name).read_text(encoding="utf-8") != text]
    if arguments.check:
        for name in different:
            print(f"{name} differs from what tokenizers {VERSION} gives", file=sys.stderr)
        return 1 if different else 0
    for name in different:
        (OUT / name).write_text(wanted[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
