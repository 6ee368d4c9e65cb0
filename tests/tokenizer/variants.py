"""Tokenizers made from the two real ones, each to show a part that their own ids hide or do not use."""

import copy
import gzip
import json
import pathlib

QWEN2_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
                 r"|\s+(?!\S)|\s+")


def byte_characters():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def byte_level(use_regex=False):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": use_regex}


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def base(normalizer, pre_tokenizer, model):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": None, "model": model}


def normalized_bytes(normalizer):
    """Every byte of the normalized text is a token: nothing that a normalizer does is lost in the unknown token."""
    vocabulary = {c: i for i, c in enumerate(byte_characters())}
    return base(normalizer, byte_level(), {"type": "BPE", "vocab": vocabulary, "merges": []})


def word_ends(*steps):
    """Merges of every byte with a preceding and a following x, which only a word's end between them prevents: real
    vocabularies have few tokens that would show where words of rare characters end."""
    bytes_ = byte_characters()
    vocabulary = {c: i for i, c in enumerate(bytes_)}
    merges = []
    for c in bytes_:
        for pair in ([c, "x"], ["x", c]):
            if "".join(pair) not in vocabulary:
                vocabulary["".join(pair)] = len(vocabulary)
                merges.append(pair)
    pre_tokenizer = steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": list(steps)}
    return base(None, pre_tokenizer, {"type": "BPE", "vocab": vocabulary, "merges": merges})


def bert_splits():
    """Shows where words end: letters that are known, everything else unknown."""
    vocabulary = {"[UNK]": 0}
    for c in "abcdexyz019":
        vocabulary[c] = len(vocabulary)
        vocabulary["##" + c] = len(vocabulary)
    return base(None, {"type": "BertPreTokenizer"},
                {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                 "max_input_chars_per_word": 7, "vocab": vocabulary})


def bert_normalizer(clean=False, chinese=False, accents=False, lowercase=False):
    return {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents,
            "lowercase": lowercase}


def with_pre_tokenizer(tokenizer, *steps):
    changed = copy.copy(tokenizer)
    changed["pre_tokenizer"] = steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": list(steps)}
    return changed


def with_added_tokens(tokenizer):
    """Added tokens of every kind, some prefixes of others, some known to the model, ids that the library ignores. None
    begins with whitespace: the library panics where rstrip swallowed it before."""
    changed = copy.copy(tokenizer)
    kinds = [("[CLS", {}), ("<|im", {"rstrip": True}), ("[cls]", {"normalized": True}), ("the", {"single_word": True}),
             ("naïve", {"normalized": True, "single_word": True}), ("É", {"normalized": True}),
             ("👩", {"lstrip": True, "rstrip": True}), ("ing", {"normalized": True, "lstrip": True}), ("##", {"special": True}),
             ("##", {"special": True, "rstrip": True}), ("", {}), ("Москва", {"normalized": True})]
    changed["added_tokens"] = list(tokenizer["added_tokens"]) + [
        {"id": 7_000 + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": False} | kind for i, (content, kind) in enumerate(kinds)]
    return changed


def with_model(tokenizer, **settings):
    changed = copy.copy(tokenizer)
    changed["model"] = tokenizer["model"] | settings
    return changed


def real(folder, name):
    with gzip.open(pathlib.Path(folder) / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


def with_processor(tokenizer, processor, truncation=None):
    return tokenizer | {"post_processor": processor, "truncation": truncation}


def legacy(tokenizer, **processor):
    """As old versions of the library wrote it: neither the model nor the post-processor has a type."""
    model = {name: value for name, value in tokenizer["model"].items() if name != "type"}
    return tokenizer | {"model": model, "post_processor": processor}


def words_of(*steps, normalizer=None):
    """Single characters of WordPiece, unknown ones left to the unknown token, by other pre-tokenizers than BERT's."""
    return bert_splits() | {"normalizer": normalizer, "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}}


def split_by(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def published_forms(bert, qwen2):
    """What published files of BERT's and Qwen2's kind have beside the two real ones' components."""
    left = {"direction": "Left", "max_length": 512, "strategy": "LongestFirst", "stride": 0}
    sep, cls = ["[SEP]", 102], ["[CLS]", 101]
    bert_processing = {"type": "BertProcessing", "sep": sep, "cls": cls}
    roberta = {"type": "RobertaProcessing", "sep": sep, "cls": cls, "trim_offsets": True, "add_prefix_space": False}
    byte_processor = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    spaced = byte_level(use_regex=True) | {"add_prefix_space": True}
    return [
        ("bert truncated on the left", with_processor(bert, bert["post_processor"], left)),
        ("qwen2 truncated on the left", with_processor(qwen2, qwen2["post_processor"], left | {"strategy": "OnlyFirst"})),
        ("BertProcessing", with_processor(bert, bert_processing)),
        ("RobertaProcessing", with_processor(bert, roberta, left)),
        ("ByteLevel and BertProcessing", with_processor(
            bert, {"type": "Sequence", "processors": [byte_processor, bert_processing]})),
        ("bert without types", legacy(bert, sep=sep, cls=cls)),
        ("qwen2 without types", legacy(qwen2, sep=sep, cls=cls)),
        ("bert without a pre-tokenizer", bert | {"pre_tokenizer": None}),
        ("BERT's normalizer in parts", bert | {"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}]}}),
        ("NFD in bytes", normalized_bytes({"type": "NFD"})),
        ("Lowercase in bytes", normalized_bytes({"type": "Lowercase"})),
        ("StripAccents in bytes", normalized_bytes({"type": "StripAccents"})),
        ("Strip in bytes", normalized_bytes({"type": "Strip", "strip_left": True, "strip_right": True})),
        ("Strip on the right in bytes", normalized_bytes({"type": "Strip", "strip_left": False, "strip_right": True})),
        ("Prepend in bytes", normalized_bytes({"type": "Prepend", "prepend": "é▁"})),
        ("Replace in bytes", normalized_bytes({"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            {"type": "Replace", "pattern": {"Regex": r"\p{N}+|[eé]{2,}"}, "content": "0"},
            {"type": "Replace", "pattern": {"String": "the"}, "content": ""}]})),
        ("Whitespace", words_of({"type": "Whitespace"})),
        ("WhitespaceSplit", words_of({"type": "WhitespaceSplit"})),
        ("WhitespaceSplit, Punctuation, Digits", words_of(
            {"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"},
            {"type": "Digits", "individual_digits": True})),
        ("Digits together, then BERT's words", words_of({"type": "Digits", "individual_digits": False},
                                                        {"type": "BertPreTokenizer"})),
        ("CharDelimiterSplit", words_of({"type": "CharDelimiterSplit", "delimiter": "e"})),
        ("ByteLevel with a space before", with_pre_tokenizer(qwen2, spaced)),
        ("a space before every number", with_pre_tokenizer(qwen2, {"type": "Digits", "individual_digits": False}, spaced)),
        *((f"Split by a string, {behavior}{', inverted' if invert else ''}",
           word_ends(split_by({"String": "x"}, behavior, invert), byte_level()))
          for behavior in behaviors for invert in (False, True)),
        *((f"Split by a pattern, {behavior}{', inverted' if invert else ''}",
           word_ends(split_by({"Regex": r"x|\s*|\p{L}+(?=e)"}, behavior, invert), byte_level()))
          for behavior in behaviors for invert in (False, True)),
        *((f"Punctuation, {behavior}", word_ends({"type": "Punctuation", "behavior": behavior}, byte_level()))
          for behavior in behaviors),
        ("Digits", word_ends({"type": "Digits", "individual_digits": True}, byte_level())),
    ]


def trimming_variants(folder):
    """Post-processors that take spaces out of offsets."""
    bert, qwen2 = real(folder, "bert-base-uncased"), real(folder, "qwen2")
    sep, cls = ["<|im_end|>", 151645], ["<|im_start|>", 151644]

    def byte_processor(add_prefix_space):
        return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": True}

    def roberta(add_prefix_space):
        return {"type": "RobertaProcessing", "sep": sep, "cls": cls, "trim_offsets": True,
                "add_prefix_space": add_prefix_space}

    def sequence(*processors):
        return {"type": "Sequence", "processors": list(processors)}

    template = qwen2["post_processor"]["processors"][1]
    spaced = with_pre_tokenizer(qwen2, byte_level(use_regex=True) | {"add_prefix_space": True})
    whole_words = with_pre_tokenizer(with_added_tokens(qwen2), byte_level())
    kinds = [("by ByteLevel", byte_processor(False)), ("but for one space", byte_processor(True)),
             ("by RobertaProcessing", roberta(False)), ("twice", sequence(byte_processor(True), roberta(True))),
             ("before the template", sequence(byte_processor(True), template)),
             ("behind the template", sequence(template, byte_processor(True))),
             ("behind BertProcessing", sequence({"type": "BertProcessing", "sep": sep, "cls": cls}, byte_processor(True))),
             ("behind RobertaProcessing", sequence(roberta(True), byte_processor(True)))]
    for kind, processor in kinds:
        yield f"trimmed {kind}", with_processor(qwen2, processor)
        yield f"trimmed {kind}, a space before", with_processor(spaced, processor)
        yield f"trimmed {kind}, whole words", with_processor(whole_words, processor)
    yield "bert trimmed", with_processor(with_added_tokens(bert), byte_processor(True))
    yield "bytes left out, trimmed", with_processor(dict(all_variants(folder))["bytes left out"], byte_processor(True))


def decoder_variants(folder):
    """Decoders of every kind, and none."""
    bert, qwen2 = with_added_tokens(real(folder, "bert-base-uncased")), with_added_tokens(real(folder, "qwen2"))

    def sequence(*decoders):
        return {"type": "Sequence", "decoders": list(decoders)}

    def replace(pattern, content):
        return {"type": "Replace", "pattern": pattern, "content": content}

    fallback = bert_splits()
    fallback["decoder"] = sequence({"type": "ByteFallback"}, {"type": "Fuse"})
    for token in ["<0x41>", "<0xc3>", "<0xA9>", "<0xE2>", "<0x82>", "<0xAC>", "<0x+A>", "<0x-A>", "<0xGG>", "<0xé>"]:
        fallback["model"]["vocab"][token] = len(fallback["model"]["vocab"])
    yield "ByteFallback", fallback
    decoders = [("none", None), ("WordPiece", {"type": "WordPiece", "prefix": "##", "cleanup": False}),
                ("WordPiece with cleanup", {"type": "WordPiece", "prefix": "##", "cleanup": True}),
                ("WordPiece without a prefix", {"type": "WordPiece", "prefix": "", "cleanup": True}),
                ("ByteLevel", byte_level()), ("BPEDecoder", {"type": "BPEDecoder", "suffix": "e"}),
                ("Fuse", {"type": "Fuse"}), ("Replace", replace({"String": "Ġ"}, " ")),
                ("Sequence", sequence(replace({"Regex": r"\p{N}+|[eé]{1,2}"}, "<>"), {"type": "Fuse"},
                                      {"type": "Strip", "content": "Ġ", "start": 1, "stop": 0},
                                      replace({"String": "Ġ"}, ""), byte_level()))]
    for name, decoder in decoders:
        yield f"bert decoded by {name}", bert | {"decoder": decoder}
        yield f"qwen2 decoded by {name}", qwen2 | {"decoder": decoder}
    # The library panics on tokens that are shorter than what may be stripped of them.
    yield "qwen2 decoded by Strip", qwen2 | {"decoder": {"type": "Strip", "content": "Ġ", "start": 3, "stop": 0}}
    yield "bert decoded by Strip", bert | {"decoder": {"type": "Strip", "content": "e", "start": 0, "stop": 1}}


def all_variants(folder):
    """(name, tokenizer) for the real tokenizers and what is made from them."""
    bert, qwen2 = real(folder, "bert-base-uncased"), real(folder, "qwen2")
    lossy = {c: i for c, i in qwen2["model"]["vocab"].items() if c not in "éÃ©Ġx!"}
    few = [m for m in qwen2["model"]["merges"][:20000] if not set(m) & set("éÃ©Ġx!")]
    some = {k: v for k, v in qwen2.items() if k != "model"}
    some["model"] = qwen2["model"] | {"vocab": lossy, "merges": few}
    return [
        ("bert-base-uncased", bert),
        ("qwen2", qwen2),
        ("clean_text in bytes", normalized_bytes(bert_normalizer(clean=True))),
        ("handle_chinese_chars in bytes", normalized_bytes(bert_normalizer(chinese=True))),
        ("strip_accents in bytes", normalized_bytes(bert_normalizer(accents=True))),
        ("lowercase in bytes", normalized_bytes(bert_normalizer(lowercase=True))),
        ("BertNormalizer in bytes", normalized_bytes(bert_normalizer(True, True, None, True))),
        ("NFC in bytes", normalized_bytes({"type": "NFC"})),
        ("BertNormalizer of NFC in bytes", normalized_bytes(
            {"type": "Sequence", "normalizers": [{"type": "NFC"}, bert_normalizer(True, True, None, True)]})),
        ("BertPreTokenizer's words", bert_splits()),
        ("word ends of Qwen2", word_ends(split(QWEN2_PATTERN), byte_level())),
        ("word ends of Qwen2 by the general way", word_ends(split(QWEN2_PATTERN + r"|\p{L}"), byte_level())),
        ("word ends of GPT-2", word_ends(byte_level(use_regex=True))),
        ("GPT-2's pattern", with_pre_tokenizer(qwen2, byte_level(use_regex=True))),
        ("three digits", with_pre_tokenizer(qwen2, split(QWEN2_PATTERN.replace(r"\p{N}|", r"\p{N}{1,3}|")), byte_level())),
        ("Qwen2's pattern by the general way", with_pre_tokenizer(qwen2, split(QWEN2_PATTERN + r"|\p{L}"), byte_level())),
        ("another pattern", with_pre_tokenizer(qwen2, split(r"(?:\P{L}\p{L}){2}|[\S\n]?\p{N}*|[^\P{N}1]+"), byte_level())),
        ("no splitting", with_pre_tokenizer(qwen2, byte_level())),
        ("bert with added tokens", with_added_tokens(bert)),
        ("qwen2 with added tokens", with_added_tokens(qwen2)),
        ("ignore_merges", with_model(qwen2, ignore_merges=True, merges=qwen2["model"]["merges"][:1000])),
        ("bytes left out", some),
        ("unknown bytes", with_model(some, unk_token="a")),
        *published_forms(bert, qwen2),
    ]
