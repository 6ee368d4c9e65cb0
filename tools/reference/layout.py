"""The files of a Stella checkpoint: configurations, tokenizers, and every tensor's name, shape and spread. Standard library only.

Variants: small (Stella 400M), large (Stella 1.5B), and two tiny-only ones: bert (all-MiniLM's layout) and gte (a relative of
small as its family's configuration allows: no tensor prefix, no token types, separate q, k and v, plain RoPE).
"""
import gzip
import json
import math
from pathlib import Path

TOKENIZERS = Path(__file__).resolve().parents[2] / "tests/data/tokenizers"
DIMS = (256, 768, 1024, 2048, 4096, 6144, 8192)
PROMPTS = {
    "s2p_query": "Instruct: Given a web search query, retrieve relevant passages that answer the query.\nQuery: ",
    "s2s_query": "Instruct: Retrieve semantically similar text.\nQuery: ",
}

SMALL_FULL = dict(
    architectures=["NewModel"], model_type="new", vocab_size=30528, hidden_size=1024, num_hidden_layers=24,
    num_attention_heads=16, intermediate_size=4096, hidden_act="gelu", hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.0, max_position_embeddings=8192, type_vocab_size=2, initializer_range=0.02,
    layer_norm_type="layer_norm", layer_norm_eps=1e-12, position_embedding_type="rope", rope_theta=160000,
    rope_scaling={"factor": 2.0, "type": "ntk"}, pack_qkv=True, unpad_inputs=False,
    use_memory_efficient_attention=False, logn_attention_scale=False, logn_attention_clip1=False, pad_token_id=0,
    torch_dtype="float32", transformers_version="4.42.3")
LARGE_FULL = dict(
    architectures=["Qwen2Model"], model_type="qwen2", vocab_size=151646, hidden_size=1536, num_hidden_layers=28,
    num_attention_heads=12, num_key_value_heads=2, intermediate_size=8960, hidden_act="silu", attention_dropout=0.0,
    max_position_embeddings=131072, max_window_layers=21, initializer_range=0.02, rms_norm_eps=1e-6,
    rope_theta=1000000.0, use_sliding_window=False, sliding_window=131072, tie_word_embeddings=False, use_cache=True,
    is_causal=False, bos_token_id=151643, eos_token_id=151643, torch_dtype="float32", transformers_version="4.42.3")
SMALL_TINY = dict(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=160)
LARGE_TINY = dict(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, intermediate_size=176)
BERT_TINY = dict(
    architectures=["BertModel"], model_type="bert", vocab_size=0, hidden_size=72, num_hidden_layers=2,
    num_attention_heads=6, intermediate_size=100, hidden_act="gelu", hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1, max_position_embeddings=512, type_vocab_size=2, initializer_range=0.02,
    layer_norm_eps=1e-12, position_embedding_type="absolute", pad_token_id=0, use_cache=True)
GTE_TINY = SMALL_FULL | dict(
    hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=84, type_vocab_size=0, pack_qkv=False,
    rope_theta=500000, rope_scaling=None)
TINY_CONFIGS = dict(bert=BERT_TINY, gte=GTE_TINY)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def tokenizer(variant, tiny, size=3000):
    """The real tokenizer.json, or one cut to about `size` entries that keeps its structure."""
    name = "qwen2" if variant == "large" else "bert-base-uncased"
    tok = json.loads(gzip.open(TOKENIZERS / f"{name}.json.gz").read())
    if not tiny:
        return tok
    model = tok["model"]
    if variant != "large":
        keep = [t for t, _ in sorted(model["vocab"].items(), key=lambda kv: kv[1]) if not t.startswith("[unused")]
        special = [t["content"] for t in tok["added_tokens"]]
        pieces = [t for t in keep if t not in special]
        chars = [t for t in pieces if len(t.removeprefix("##")) == 1]
        words = [t for t in pieces if len(t.removeprefix("##")) > 1]
        model["vocab"] = {t: i for i, t in enumerate(special + chars[:1200] + words[: size - 1200])}
        for t in tok["added_tokens"]:
            t["id"] = model["vocab"][t["content"]]
        for t in tok["post_processor"]["special_tokens"].values():
            t["ids"] = [model["vocab"][t["id"]]]
    else:
        merges = model["merges"][: size - 256]
        vocab = dict(sorted(model["vocab"].items(), key=lambda kv: kv[1])[:256])
        for m in merges:
            piece = m.replace(" ", "") if isinstance(m, str) else "".join(m)
            vocab.setdefault(piece, len(vocab))
        model["vocab"], model["merges"] = vocab, merges
        for i, t in enumerate(tok["added_tokens"]):
            t["id"] = len(vocab) + i
        text = json.dumps(tok["post_processor"])
        post = json.loads(text)
        for part in post.get("processors", [post]):
            for t in part.get("special_tokens", {}).values():
                t["ids"] = [next(a["id"] for a in tok["added_tokens"] if a["content"] == t["id"])]
        tok["post_processor"] = post
    return tok


def tensors(variant, cfg, tiny):
    """(name, shape, mean, standard deviation) of each tensor, in the order in which they are drawn."""
    h, inter, layers = cfg["hidden_size"], cfg["intermediate_size"], cfg["num_hidden_layers"]
    spread = 0.15 if tiny else 0.03
    out_std = spread if tiny else spread / math.sqrt(2 * layers)  # keeps a deep random model from amplifying rounding chaotically
    words = 0.5 if tiny else 0.05

    def norm(name):  # weights near, but not at, one
        return [(name + ".weight", (h,), 1.0, 0.1), (name + ".bias", (h,), 0.0, 0.02)]

    def linear(name, n, k, std=spread):
        return [(name + ".weight", (n, k), 0.0, std), (name + ".bias", (n,), 0.0, 0.02)]

    def new(prefix):
        yield prefix + "embeddings.word_embeddings.weight", (cfg["vocab_size"], h), 0.0, words
        if cfg["type_vocab_size"]:
            yield prefix + "embeddings.token_type_embeddings.weight", (cfg["type_vocab_size"], h), 0.0, 0.02
        yield from norm(prefix + "embeddings.LayerNorm")
        for i in range(layers):
            p = f"{prefix}encoder.layer.{i}."
            if cfg["pack_qkv"]:
                yield from linear(p + "attention.qkv_proj", 3 * h, h)
            else:
                for name in "qkv":
                    yield from linear(p + f"attention.{name}_proj", h, h)
            yield from linear(p + "attention.o_proj", h, h, out_std)
            yield from norm(p + "attn_ln")
            yield p + "mlp.up_gate_proj.weight", (2 * inter, h), 0.0, spread
            yield from linear(p + "mlp.down_proj", h, inter, out_std)
            yield from norm(p + "mlp_ln")

    def qwen2():
        kv = h // cfg["num_attention_heads"] * cfg["num_key_value_heads"]
        yield "model.embed_tokens.weight", (cfg["vocab_size"], h), 0.0, words
        for i in range(layers):
            p = f"model.layers.{i}."
            yield p + "input_layernorm.weight", (h,), 1.0, 0.1
            yield p + "post_attention_layernorm.weight", (h,), 1.0, 0.1
            for name, out in (("q", h), ("k", kv), ("v", kv)):
                yield p + f"self_attn.{name}_proj.weight", (out, h), 0.0, spread
                yield p + f"self_attn.{name}_proj.bias", (out,), 0.0, 0.05
            yield p + "self_attn.o_proj.weight", (h, h), 0.0, out_std
            yield p + "mlp.gate_proj.weight", (inter, h), 0.0, spread
            yield p + "mlp.up_proj.weight", (inter, h), 0.0, spread
            yield p + "mlp.down_proj.weight", (h, inter), 0.0, out_std
        yield "model.norm.weight", (h,), 1.0, 0.1

    def bert():
        yield "embeddings.word_embeddings.weight", (cfg["vocab_size"], h), 0.0, words
        yield "embeddings.position_embeddings.weight", (cfg["max_position_embeddings"], h), 0.0, 0.1
        yield "embeddings.token_type_embeddings.weight", (cfg["type_vocab_size"], h), 0.0, 0.1
        yield from norm("embeddings.LayerNorm")
        for i in range(layers):
            p = f"encoder.layer.{i}."
            for name in ("query", "key", "value"):
                yield from linear(p + "attention.self." + name, h, h)
            yield from linear(p + "attention.output.dense", h, h, out_std)
            yield from norm(p + "attention.output.LayerNorm")
            yield from linear(p + "intermediate.dense", inter, h)
            yield from linear(p + "output.dense", h, inter, out_std)
            yield from norm(p + "output.LayerNorm")
        yield from linear("pooler.dense", h, h)  # present in such files, and of no use here

    return dict(small=lambda: new("new."), gte=lambda: new(""), large=qwen2, bert=bert)[variant]()


def head_tensors(dim, hidden):
    return [("linear.weight", (dim, hidden), 0.0, 0.1), ("linear.bias", (dim,), 0.0, 0.1)]


def write_small_files(variant, out, cfg, tok, dims):
    """Everything but the tensors."""
    h, stella = cfg["hidden_size"], variant in ("small", "large")
    write_json(out / "config.json", cfg)
    write_json(out / "tokenizer.json", tok)
    pad = "<|endoftext|>" if variant == "large" else "[PAD]"
    side = "left" if variant == "large" else "right"
    write_json(out / "tokenizer_config.json", dict(model_max_length=512, padding_side=side, pad_token=pad))
    write_json(out / "special_tokens_map.json", dict(pad_token=pad))
    write_json(out / "sentence_bert_config.json", dict(max_seq_length=512, do_lower_case=False))
    if stella:
        write_json(out / "config_sentence_transformers.json",
                   dict(prompts=PROMPTS, default_prompt_name=None, similarity_fn_name="cosine"))
    last = ("2_Dense_1024", "Dense") if stella else ("2_Normalize", "Normalize")
    write_json(out / "modules.json", [
        dict(idx=0, name="0", path="", type="sentence_transformers.models.Transformer"),
        dict(idx=1, name="1", path="1_Pooling", type="sentence_transformers.models.Pooling"),
        dict(idx=2, name="2", path=last[0], type="sentence_transformers.models." + last[1])])
    write_json(out / "1_Pooling/config.json", dict(
        word_embedding_dimension=h, pooling_mode_cls_token=False, pooling_mode_mean_tokens=True,
        pooling_mode_max_tokens=False, pooling_mode_mean_sqrt_len_tokens=False, include_prompt=True))
    for dim in dims:
        write_json(out / f"2_Dense_{dim}/config.json", dict(
            in_features=h, out_features=dim, bias=True, activation_function="torch.nn.modules.linear.Identity"))
