"""What users would run instead of stella.cpp, as a process that answers timing requests.

    python peers.py CHECKPOINT WORKLOAD.jsonl PEER [--texts N] [--batch N] [--threads N] [--max-length N] [--cache DIR]

PEER: torch-f32, torch-bf16, ort-f32, ort-int8 (dynamic), ov-f32, ov-bf16 (its own default where the processor has AMX), ov-int8 (NNCF). Batches are sorted by length and padded, as
sentence-transformers does; --batch 1 is one text at a time, in the order given. After loading, each line read from standard input is
answered by one timed pass over the workload, as one JSON line {"seconds", "tokens", "texts"}; tokens are real ones, padding not
counted. Before, {"ready", "vector"} gives the first text's vector. The ONNX export is kept in --cache.
"""
import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn


def rope_tables(cfg, head_dim, length):
    factor = float((cfg.get("rope_scaling") or {}).get("factor", 1.0))
    inv = 1.0 / (cfg["rope_theta"] * factor) ** (torch.arange(0, head_dim, 2).float() / head_dim) / factor ** (2 / head_dim)
    angles = torch.outer(torch.arange(length).float(), inv)
    return torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)


def rope(x, cos, sin):
    half, t = x.shape[-1] // 2, x.shape[2]
    return x * cos[:t] + torch.cat([-x[..., half:], x[..., :half]], -1) * sin[:t]


def linear(w, name, bias=True):
    layer = nn.Linear(w[name + ".weight"].shape[1], w[name + ".weight"].shape[0], bias=bias)
    layer.weight.data = w[name + ".weight"]
    if bias:
        layer.bias.data = w[name + ".bias"]
    return layer


def layer_norm(w, name, eps):
    layer = nn.LayerNorm(w[name + ".weight"].shape[0], eps)
    layer.weight.data, layer.bias.data = w[name + ".weight"], w[name + ".bias"]
    return layer


class Small(nn.Module):
    """ids, mask: (batch, tokens) -> (batch, dim) unit vectors."""

    def __init__(self, directory, dim=1024, length=512):
        super().__init__()
        cfg, w = json.loads((directory / "config.json").read_text()), load_file(directory / "model.safetensors")
        self.heads, self.dim = cfg["num_attention_heads"], cfg["hidden_size"] // cfg["num_attention_heads"]
        eps = cfg["layer_norm_eps"]
        self.words = nn.Embedding.from_pretrained(w["new.embeddings.word_embeddings.weight"])
        self.token_type = nn.Parameter(w["new.embeddings.token_type_embeddings.weight"][0])
        self.norm = layer_norm(w, "new.embeddings.LayerNorm", eps)
        p = [f"new.encoder.layer.{i}." for i in range(cfg["num_hidden_layers"])]
        self.layers = nn.ModuleList(nn.ModuleDict(dict(
            qkv=linear(w, q + "attention.qkv_proj"), out=linear(w, q + "attention.o_proj"), attn_ln=layer_norm(w, q + "attn_ln", eps),
            up_gate=linear(w, q + "mlp.up_gate_proj", False), down=linear(w, q + "mlp.down_proj"), mlp_ln=layer_norm(w, q + "mlp_ln", eps))) for q in p)
        self.head = linear(load_file(directory / f"2_Dense_{dim}" / "model.safetensors"), "linear")
        for name, table in zip(("cos", "sin"), rope_tables(cfg, self.dim, length)):
            self.register_buffer(name, table)

    def forward(self, ids, mask):
        b, t = ids.shape[0], ids.shape[1]
        x = self.norm(self.words(ids) + self.token_type)
        keep = mask[:, None, None, :].bool()
        for layer in self.layers:
            q, k, v = layer["qkv"](x).view(b, t, 3, self.heads, self.dim).permute(2, 0, 3, 1, 4).unbind(0)
            a = F.scaled_dot_product_attention(rope(q, self.cos, self.sin), rope(k, self.cos, self.sin), v, attn_mask=keep)
            x = layer["attn_ln"](x + layer["out"](a.transpose(1, 2).reshape(b, t, -1)))
            up, gate = layer["up_gate"](x).chunk(2, -1)
            x = layer["mlp_ln"](x + layer["down"](up * F.gelu(gate)))
        m = mask.unsqueeze(-1).to(x.dtype)
        return F.normalize(self.head((x * m).sum(1) / m.sum(1)), dim=-1)


class Large(nn.Module):
    def __init__(self, directory, dim=1024, length=512):
        super().__init__()
        cfg, w = json.loads((directory / "config.json").read_text()), load_file(directory / "model.safetensors")
        self.n, self.h = cfg["num_hidden_layers"], cfg["hidden_size"]
        self.dim, self.group = self.h // cfg["num_attention_heads"], cfg["num_attention_heads"] // cfg["num_key_value_heads"]
        self.exporting = False  # in operations that ONNX has, as Hugging Face's own model writes them
        self.head = linear(load_file(directory / f"2_Dense_{dim}" / "model.safetensors"), "linear")
        for name, weight in w.items():
            self.register_parameter(name.replace(".", "_"), nn.Parameter(weight, requires_grad=False))
        for name, table in zip(("cos", "sin"), rope_tables(cfg, self.dim, length)):
            self.register_buffer(name, table)

    def norm(self, x, weight):
        if self.exporting:
            return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))
        return F.rms_norm(x, (self.h,), weight, 1e-6)

    def attend(self, q, k, v, keep):
        if not self.exporting:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=keep, enable_gqa=True)
        k, v = (s[:, :, None].expand(-1, -1, self.group, -1, -1).flatten(1, 2) for s in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=keep)

    def forward(self, ids, mask):
        b, t = ids.shape[0], ids.shape[1]
        keep, w = mask[:, None, None, :].bool(), lambda name: getattr(self, name.replace(".", "_"))
        x = F.embedding(ids, w("model.embed_tokens.weight"))
        for i in range(self.n):
            p = f"model.layers.{i}."
            y = self.norm(x, w(p + "input_layernorm.weight"))
            q, k, v = (F.linear(y, w(p + f"self_attn.{m}_proj.weight"), w(p + f"self_attn.{m}_proj.bias")).view(b, t, -1, self.dim).transpose(1, 2) for m in "qkv")
            a = self.attend(rope(q, self.cos, self.sin), rope(k, self.cos, self.sin), v, keep)
            x = x + F.linear(a.transpose(1, 2).reshape(b, t, -1), w(p + "self_attn.o_proj.weight"))
            y = self.norm(x, w(p + "post_attention_layernorm.weight"))
            gate, up = (F.linear(y, w(p + f"mlp.{m}_proj.weight")) for m in ("gate", "up"))
            x = x + F.linear(F.silu(gate) * up, w(p + "mlp.down_proj.weight"))
        x, m = self.norm(x, w("model.norm.weight")), mask.unsqueeze(-1).to(x.dtype)
        return F.normalize(self.head((x * m).sum(1) / m.sum(1)), dim=-1)


def module(directory, options):
    small = json.loads((directory / "config.json").read_text())["model_type"] == "new"
    return (Small if small else Large)(directory, length=options.max_length).eval()


def torch_peer(directory, dtype, options):
    model = module(directory, options)
    model = model.to(torch.bfloat16) if dtype == "bf16" else model

    def run(ids, mask):
        with torch.inference_mode():
            return model(torch.from_numpy(ids), torch.from_numpy(mask)).float().numpy()
    return run


def export_onnx(model, path):
    ids = torch.ones(2, 16, dtype=torch.long)
    axes = {"ids": {0: "b", 1: "t"}, "mask": {0: "b", 1: "t"}, "vector": {0: "b"}}
    with torch.inference_mode():
        torch.onnx.export(model, (ids, ids), str(path), input_names=["ids", "mask"], output_names=["vector"], dynamic_axes=axes,
                          dynamo=False, opset_version=17, export_params=isinstance(model, Small), do_constant_folding=isinstance(model, Small))


def add_weights(model, path):
    """Of a graph that was exported without its weights: written one after another beside it, so that memory holds one at a time.
    Those that the graph transposes are transposed here, as an exporter that holds them all would do."""
    import onnx
    graph_file = onnx.load(path)
    graph, tensors = graph_file.graph, dict(model.named_parameters()) | dict(model.named_buffers())
    turned = {node.input[0]: node for node in graph.node if node.op_type == "Transpose" and node.input[0] in tensors}
    gone = {node.output[0] for node in turned.values()}
    kept = [node for node in graph.node if node.output[0] not in gone]
    inputs = [value for value in graph.input if value.name not in tensors]
    with open(path.with_suffix(".weights"), "wb") as out:
        for value in graph.input:
            if value.name not in tensors:
                continue
            tensor, name = tensors[value.name], value.name
            if name in turned:
                tensor, name = tensor.t(), turned[name].output[0]
            array = np.ascontiguousarray(tensor.detach().numpy())
            out.write(b"\0" * (-out.tell() % 4096))
            place = dict(location=path.with_suffix(".weights").name, offset=str(out.tell()), length=str(array.nbytes))
            stored = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=array.shape, data_location=onnx.TensorProto.EXTERNAL)
            stored.external_data.extend(onnx.StringStringEntryProto(key=k, value=v) for k, v in place.items())
            graph.initializer.append(stored)
            out.write(array)
    del graph.node[:], graph.input[:]
    graph.node.extend(kept), graph.input.extend(inputs)
    onnx.save(graph_file, path)


def onnx_file(directory, options):
    path = options.cache / f"f32-{options.max_length}.onnx"
    if not path.exists():
        options.cache.mkdir(parents=True, exist_ok=True)
        model, unfinished = module(directory, options), path.with_suffix(".unfinished")
        model.exporting = True
        export_onnx(model, unfinished)
        if isinstance(model, Large):
            add_weights(model, unfinished)
        unfinished.rename(path)
    return path


def ort_peer(directory, dtype, options):
    import onnxruntime as ort
    from onnxruntime.quantization import QuantType, quantize_dynamic
    f32, int8 = onnx_file(directory, options), options.cache / f"int8-{options.max_length}.onnx"
    if dtype == "int8" and not int8.exists():
        quantize_dynamic(str(f32), str(int8), weight_type=QuantType.QInt8, per_channel=True,
                         use_external_data_format=f32.with_suffix(".weights").exists())
    session_options = ort.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    session = ort.InferenceSession(str(int8 if dtype == "int8" else f32), session_options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"ids": ids, "mask": mask})[0]


def ov_peer(directory, dtype, options):
    import openvino as ov
    core, stored = ov.Core(), options.cache / f"ov-int8-{options.max_length}.xml"
    if dtype == "int8" and not stored.exists():
        import nncf
        model = core.read_model(onnx_file(directory, options))
        count = 4 if options.cache.joinpath(f"f32-{options.max_length}.weights").exists() else 32  # time and memory of a large model
        samples = [dict(ids=ids, mask=mask) for ids, mask in batches(options.encoded[:count], 1)]
        ov.save_model(nncf.quantize(model, nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER), stored)
    source = stored if dtype == "int8" else onnx_file(directory, options)
    compiled = core.compile_model(core.read_model(source), "CPU", {
        "INFERENCE_NUM_THREADS": options.threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16" if dtype == "bf16" else "f32"})
    return lambda ids, mask: compiled({"ids": ids, "mask": mask})[0]


def batches(encoded, size):
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i])) if size > 1 else range(len(encoded))
    for start in range(0, len(order), size):
        rows = order[start:start + size]
        width = max(len(encoded[i]) for i in rows)
        ids, mask = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
        for r, i in enumerate(rows):
            ids[r, :len(encoded[i])], mask[r, :len(encoded[i])] = encoded[i], 1
        yield ids, mask


PEERS = {"torch": torch_peer, "ort": ort_peer, "ov": ov_peer}


def main(options):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print is no answer
    torch.set_num_threads(options.threads)
    texts = [json.loads(line) for line in options.workload.read_text().splitlines()][:options.texts]
    tokenizer = Tokenizer.from_file(str(options.checkpoint / "tokenizer.json"))
    tokenizer.no_padding(), tokenizer.enable_truncation(options.max_length)
    options.encoded = [e.ids for e in tokenizer.encode_batch(texts)]
    library, dtype = options.peer.split("-")
    run = PEERS[library](options.checkpoint, dtype, options)
    first = np.array([options.encoded[0]])
    print(json.dumps(dict(ready=options.peer, vector=run(first, np.ones_like(first))[0].tolist())), file=answers, flush=True)
    for _ in sys.stdin:
        run(first, np.ones_like(first))  # brings back what the system took from a process that waited for its turn
        start = time.perf_counter()
        for ids, mask in batches([e.ids for e in tokenizer.encode_batch(texts)], options.batch):
            run(ids, mask)
        seconds = time.perf_counter() - start
        print(json.dumps(dict(seconds=seconds, tokens=sum(map(len, options.encoded)), texts=len(texts))), file=answers, flush=True)


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("checkpoint", type=Path)
    a.add_argument("workload", type=Path)
    a.add_argument("peer")
    a.add_argument("--texts", type=int, default=64)
    a.add_argument("--batch", type=int, default=8)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--max-length", type=int, default=512)
    a.add_argument("--cache", type=Path, default=Path("onnx-cache"))
    main(a.parse_args())
