"""Stella Small's architecture for transformers, so that servers built on sentence-transformers can load a checkpoint of it: copied beside a checkpoint, whose
config.json then names it in `auto_map`. Attention is PyTorch's own; no dropout, no cache, no training.
"""
import torch
import torch.nn.functional as F
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class NewConfig(PretrainedConfig):
    model_type = "new"


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, ids):
        return self.LayerNorm(self.word_embeddings(ids) + self.token_type_embeddings.weight[0])


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.num_attention_heads
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x, cos, sin, mask):
        batch, length, hidden = x.shape
        q, k, v = self.qkv_proj(x).view(batch, length, 3, self.heads, hidden // self.heads).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, attn_mask=mask)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, hidden))


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class Mlp(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.up_gate_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x):
        up, gate = self.up_gate_proj(x).chunk(2, -1)
        return self.down_proj(up * F.gelu(gate))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention, self.mlp = Attention(config), Mlp(config)
        self.attn_ln = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp_ln = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, x, cos, sin, mask):
        x = self.attn_ln(x + self.attention(x, cos, sin, mask))
        return self.mlp_ln(x + self.mlp(x))


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))


class NewModel(PreTrainedModel):
    config_class = NewConfig
    base_model_prefix = "new"

    def __init__(self, config, **_):
        super().__init__(config)
        self.embeddings, self.encoder = Embeddings(config), Encoder(config)
        self.post_init()

    def _init_weights(self, module):
        pass  # all of them come from the checkpoint

    def forward(self, input_ids=None, attention_mask=None, **_):
        config = self.config
        size = config.hidden_size // config.num_attention_heads
        scaling = getattr(config, "rope_scaling", None) or getattr(config, "rope_parameters", None) or {}
        factor = float(scaling.get("factor", 1.0))
        theta = float(getattr(config, "rope_theta", None) or scaling["rope_theta"])
        frequencies = 1.0 / (theta * factor) ** (torch.arange(0, size, 2).float() / size) / factor ** (2 / size)
        angles = torch.outer(torch.arange(input_ids.shape[1]).float(), frequencies)
        cos, sin = (torch.cat([table] * 2, -1).to(self.dtype) for table in (angles.cos(), angles.sin()))
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        x = self.embeddings(input_ids)
        for layer in self.encoder.layer:
            x = layer(x, cos, sin, mask)
        return BaseModelOutput(last_hidden_state=x)
