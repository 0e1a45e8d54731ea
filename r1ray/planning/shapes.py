"""A model's shape, from its config.json: parameters, floating-point operations and cache, counted exactly.

Counted are the models as transformers builds them (tests compare). Sizes are in parameters; who holds them in which
type is :mod:`r1ray.planning.memory`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from r1ray.errors import UserError

SHIPPED = Path(__file__).parent / "models"
MADE = {
    "r1ray.examples.running_total.maker:make": "running_total",
    "r1ray.examples.tiny_programs.maker:make": "tiny_programs",
    "r1ray.examples.bilingual_total.maker:make": "bilingual_total",
    "r1ray.examples.smollm2.maker:make": "smollm2",
    "r1ray.examples.python_agent.maker:make": "smollm2",
}
"""Models that a first stage makes (prepare.maker), by the names under which their shapes ship."""
DENSE = ("llama", "mistral", "qwen2", "qwen3")
LATENT = ("deepseek_v2", "deepseek_v3")
"""Multi-head latent attention."""
HYBRID = ("qwen3_5_text", "qwen3_5_moe_text")
"""Most layers have linear attention (gated delta rule), the others gated attention."""
KNOWN = (*DENSE, "qwen3_moe", *LATENT, *HYBRID)
DELTA_CHUNK = 64
"""Tokens of which the gated delta rule keeps one state for the backward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A causal language model. H hidden size, L layers, V vocabulary."""

    name: str
    kind: str
    """``model_type`` of config.json."""
    hidden: int
    layers: int
    vocabulary: int
    heads: int
    kv_heads: int
    query_key_dim: int
    """Of one head, of queries and keys."""
    value_dim: int
    intermediate: int
    """Width of a dense layer's MLP."""
    tied: bool
    attention_bias: bool
    output_bias: bool
    has_qk_norm: bool
    context: int | None
    query_rank: int = 0
    """Of the compressed queries of latent attention; 0: they are not compressed."""
    kv_rank: int = 0
    """Of the compressed keys and values of latent attention; 0: there is none."""
    rope_dim: int = 0
    """Of the part of keys that all heads share there."""
    experts: int = 0
    experts_per_token: int = 0
    expert_intermediate: int = 0
    shared_intermediate: int = 0
    """Width of the MLP that every token goes through beside its experts."""
    dense_layers: int = 0
    """First layers without experts, of a model that has experts."""
    is_shared_gated: bool = False
    """That MLP has a gate of its own."""
    linear_layers: int = 0
    """Layers with linear attention in the place of attention."""
    linear_key_dim: int = 0
    """Channels of the keys and queries of one head."""
    linear_key_width: int = 0
    """Heads * dim of its keys, and of its queries."""
    linear_value_heads: int = 0
    linear_value_width: int = 0
    """Heads * dim of its values."""
    conv_kernel: int = 0
    is_output_gated: bool = False
    """Attention has a gate beside each query."""
    checkpoint_dtype: str = "bfloat16"
    is_fp8: bool = False
    """Linear layers of its files, and of an engine that loads them, are 8-bit (``quantization_config``)."""

    # ------------------------------------------------------------------ parameters

    @property
    def query_width(self) -> int:
        """Heads * dim of queries."""
        return self.heads * self.query_key_dim

    @property
    def kv_width(self) -> int:
        """Key heads * dim of keys as attention computes them."""
        return self.kv_heads * self.query_key_dim

    @property
    def full_layers(self) -> int:
        """Layers with attention over all tokens."""
        return self.layers - self.linear_layers

    @property
    def linear_attention_linears(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each linear layer of one linear attention."""
        keys_and_values, values = 2 * self.linear_key_width + self.linear_value_width, self.linear_value_width
        gates = ((self.hidden, self.linear_value_heads),) * 2
        return (self.hidden, keys_and_values), (self.hidden, values), *gates, (values, self.hidden)

    @property
    def linear_attention_parameters(self) -> int:
        if not self.linear_layers:
            return 0
        conv = (2 * self.linear_key_width + self.linear_value_width) * self.conv_kernel
        norm = self.linear_value_width // self.linear_value_heads
        return self._sum(self.linear_attention_linears) + conv + 2 * self.linear_value_heads + norm

    def over_layers(self, of_attention: float, of_linear_attention: float) -> float:
        """Return the sum over all layers of what depends on their kind of attention."""
        return self.full_layers * of_attention + self.linear_layers * of_linear_attention

    @staticmethod
    def _sum(linears: tuple[tuple[int, int], ...]) -> int:
        return sum(inner * outer for inner, outer in linears)

    @property
    def attention_linears(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each linear layer of one attention."""
        out = (self.heads * self.value_dim, self.hidden)
        if not self.kv_rank:
            kv = self.kv_heads * self.value_dim
            query = (1 + self.is_output_gated) * self.query_width
            return (self.hidden, query), (self.hidden, self.kv_width), (self.hidden, kv), out
        queries = (
            ((self.hidden, self.query_rank), (self.query_rank, self.query_width))
            if self.query_rank
            else ((self.hidden, self.query_width),)
        )
        nope = self.query_key_dim - self.rope_dim
        return (
            *queries,
            (self.hidden, self.kv_rank + self.rope_dim),
            (self.kv_rank, self.heads * (nope + self.value_dim)),
            out,
        )

    @property
    def attention_parameters(self) -> int:
        linear = self._sum(self.attention_linears)
        if self.kv_rank:
            biases = self.attention_bias * ((self.query_rank or 0) + self.kv_rank + self.rope_dim + self.hidden)
            return linear + biases + self.query_rank + self.kv_rank
        biases = self.attention_bias * (self.query_width + self.kv_width + self.kv_heads * self.value_dim)
        return linear + biases + self.output_bias * self.hidden + 2 * self.has_qk_norm * self.query_key_dim

    @property
    def expert_layers(self) -> int:
        return self.layers - self.dense_layers if self.experts else 0

    @property
    def expert_parameters(self) -> int:
        """Of all experts of one layer."""
        return 3 * self.hidden * self.expert_intermediate * self.experts

    def mlp_parameters(self, *, active: bool = False) -> int:
        """Of all layers; ``active``: only what one token goes through."""
        dense = 3 * self.hidden * self.intermediate * (self.layers - self.expert_layers)
        shared = 3 * self.hidden * self.shared_intermediate + self.is_shared_gated * self.hidden
        router = self.hidden * self.experts
        routed = 3 * self.hidden * self.expert_intermediate * (self.experts_per_token if active else self.experts)
        return dense + self.expert_layers * (routed + shared + router)

    @property
    def embedding_parameters(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def body_parameters(self) -> int:
        """All but embedding and output layer."""
        norms = self.layers * 2 * self.hidden + self.hidden
        attention = self.over_layers(self.attention_parameters, self.linear_attention_parameters)
        return int(attention) + self.mlp_parameters() + norms

    @property
    def parameters(self) -> int:
        """All of them; a tied output layer counts once."""
        return self.body_parameters + self.embedding_parameters * (1 if self.tied else 2)

    @property
    def active_parameters(self) -> int:
        """Whose product with one token is computed: without the embedding's look-up, with the output layer, and with
        a token's own experts alone."""
        return self.attention_linear_parameters + self.mlp_parameters(active=True) + self.embedding_parameters

    @property
    def attention_linear_parameters(self) -> int:
        """Return the parameters of the linear layers of attention, in all layers."""
        return int(self.over_layers(self._sum(self.attention_linears), self._sum(self.linear_attention_linears)))

    @property
    def layer_parameters(self) -> int:
        """Of the largest layer."""
        width = self.shared_intermediate if self.experts else self.intermediate
        routed = self.expert_parameters + self.hidden * (self.experts + self.is_shared_gated) if self.experts else 0
        mlp = 3 * self.hidden * width + routed
        return max(self.attention_parameters, self.linear_attention_parameters) + mlp + 2 * self.hidden

    @property
    def largest_parameter(self) -> int:
        """The largest tensor; the experts of a layer are one."""
        return max(self.embedding_parameters, 2 * self.expert_parameters // 3)

    @property
    def quantised_parameters(self) -> int:
        """Those that an fp8 checkpoint has in 8 bits: linear layers, experts; not embeddings, norms, routers."""
        return (
            self.attention_linear_parameters + self.mlp_parameters() - self.expert_layers * self.hidden * self.experts
        )

    def adapter_parameters(self, rank: int) -> int:
        """Of low-rank adapters on all linear layers but the output layer (learner.lora.targets=null); of a model with
        experts on those of the attention."""
        both = (self.attention_linears, self.linear_attention_linears)
        attention = self.over_layers(*(sum(inner + outer for inner, outer in linears) for linears in both))
        mlp = 0 if self.experts else 3 * (self.hidden + self.intermediate)
        return rank * int(attention + self.layers * mlp)

    # ------------------------------------------------------------------ work and cache

    def forward_flops(self, tokens: float, *, context: float) -> float:
        """Of a forward pass over ``tokens`` tokens that each see ``context`` others on average (of a causal sequence:
        half its length). Two a multiply-add."""
        attention = self.heads * (self.query_key_dim + self.value_dim) * context
        # A token's key reads the state of every head, and changes it; its query reads it.
        state = 3 * self.linear_key_dim * self.linear_value_width
        return 2.0 * tokens * (self.active_parameters + self.over_layers(attention, state))

    @property
    def cache_values(self) -> int:
        """Numbers that a key-value cache keeps of one token, in all layers."""
        if self.kv_rank:
            return self.layers * (self.kv_rank + self.rope_dim)
        return self.full_layers * self.kv_heads * (self.query_key_dim + self.value_dim)

    @property
    def state_tokens(self) -> float:
        """Tokens that would take the place in a key-value cache which the states of a sequence's linear attention
        take: keys by values of each head, and the last inputs of the convolution."""
        inputs = (self.conv_kernel - 1) * (2 * self.linear_key_width + self.linear_value_width)
        state = self.linear_key_dim * self.linear_value_width + inputs
        return self.linear_layers * state / self.cache_values

    def cache_values_of_rank(self, tensor_parallel: int) -> int:
        """The same on one of so many tensor-parallel ranks: a latent cache is on each, and so is a head that there are
        fewer of than ranks."""
        if self.kv_rank:
            return self.cache_values
        return self.cache_values * max(1, self.kv_heads // tensor_parallel) // self.kv_heads


SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "vocab_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "max_position_embeddings",
    "num_local_experts",
    "num_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "n_routed_experts",
    "shared_expert_intermediate_size",
    "full_attention_interval",
    "linear_num_key_heads",
    "linear_num_value_heads",
    "linear_key_head_dim",
    "linear_value_head_dim",
    "linear_conv_kernel_dim",
)
"""Fields that a shape is made of, where a configuration has it."""


def shape_of(config: Mapping[str, Any], *, name: str) -> Shape:
    """The shape of a config.json; of a model that reads images too, of its language model. Raises UserError for a
    model type that is not counted here."""
    if isinstance(text := config.get("text_config"), Mapping):
        config = {"tie_word_embeddings": config.get("tie_word_embeddings", False), **text}
    kind = str(config.get("model_type"))
    if kind not in KNOWN:
        raise UserError(f"model={name}: plan counts the model types {', '.join(KNOWN)}, and this is {kind}.")
    for key in SIZES:
        size = config.get(key)
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise UserError(f"model={name}: its config.json has {key}={size!r:.40}; needs a whole number above 0.")
    try:
        return _read(config, kind, name)
    except KeyError as error:
        raise UserError(f"model={name}: its config.json has no {error.args[0]}.") from error


def _read(config: Mapping[str, Any], kind: str, name: str) -> Shape:
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    head_dim = config.get("head_dim") or hidden // heads
    own: dict[str, Any] = {
        "attention_bias": kind == "qwen2" or bool(config.get("attention_bias", False)),
        "output_bias": kind != "qwen2" and bool(config.get("attention_bias", False)),
        "query_key_dim": head_dim,
        "value_dim": head_dim,
        "kv_heads": config.get("num_key_value_heads") or heads,
    }
    if kind == "qwen3_moe":
        own |= {
            "experts": config.get("num_local_experts") or config["num_experts"],
            "experts_per_token": config["num_experts_per_tok"],
            "expert_intermediate": config["moe_intermediate_size"],
        }
    if kind in HYBRID:
        own |= _hybrid(config)
    if kind in LATENT:
        own |= {
            "query_key_dim": config["qk_nope_head_dim"] + config["qk_rope_head_dim"],
            "value_dim": config["v_head_dim"],
            "query_rank": config.get("q_lora_rank") or 0,
            "kv_rank": config["kv_lora_rank"],
            "rope_dim": config["qk_rope_head_dim"],
            "experts": config["n_routed_experts"],
            "experts_per_token": config["num_experts_per_tok"],
            "expert_intermediate": config["moe_intermediate_size"],
            "shared_intermediate": config["n_shared_experts"] * config["moe_intermediate_size"],
            "dense_layers": config.get("first_k_dense_replace", 0),
        }
    return Shape(
        name=name,
        kind=kind,
        hidden=hidden,
        layers=config["num_hidden_layers"],
        vocabulary=config["vocab_size"],
        heads=heads,
        intermediate=config.get("intermediate_size") or config["moe_intermediate_size"],
        tied=bool(config.get("tie_word_embeddings", False)),
        has_qk_norm=kind in ("qwen3", "qwen3_moe", *HYBRID),
        context=config.get("max_position_embeddings"),
        checkpoint_dtype=str(config.get("dtype") or config.get("torch_dtype") or "bfloat16"),
        is_fp8=(config.get("quantization_config") or {}).get("quant_method") == "fp8",
        **own,
    )


def _hybrid(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model with linear attention has beside others."""
    layers = config["num_hidden_layers"]
    kinds = config.get("layer_types")
    interval = config.get("full_attention_interval") or 4
    key_dim, value_heads = config["linear_key_head_dim"], config["linear_num_value_heads"]
    own: dict[str, Any] = {
        "linear_layers": layers - layers // interval if kinds is None else kinds.count("linear_attention"),
        "linear_key_dim": key_dim,
        "linear_key_width": config["linear_num_key_heads"] * key_dim,
        "linear_value_heads": value_heads,
        "linear_value_width": value_heads * config["linear_value_head_dim"],
        "conv_kernel": config["linear_conv_kernel_dim"],
        "is_output_gated": True,
    }
    if config.get("num_experts"):
        own |= {
            "experts": config["num_experts"],
            "experts_per_token": config["num_experts_per_tok"],
            "expert_intermediate": config["moe_intermediate_size"],
            "shared_intermediate": config["shared_expert_intermediate_size"],
            "is_shared_gated": True,
        }
    return own


@lru_cache(maxsize=64)  # advice plans a run hundreds of times
def load_shape(model: str, *, key: str = "model") -> Shape:
    """Of a model folder, a shipped name (``Qwen/Qwen2.5-7B``), or the local copy of a hub name. Nothing is downloaded.
    Raises UserError."""
    folder = Path(model).expanduser()
    shipped = SHIPPED / f"{model.replace('/', '--')}.json"
    if (folder / "config.json").is_file():
        file = folder / "config.json"
    elif folder.is_dir():
        raise UserError(f"{key}={model}: the folder has no config.json; needs a Hugging Face model folder.")
    elif shipped.is_file():
        file = shipped
    else:
        file = _cached(model, key)
    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{key}={model}: {file} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{key}={model}: {file} has no JSON object; needs the config.json of a model.")
    return shape_of(config, name=model)


def _cached(model: str, key: str) -> Path:
    """config.json in the local copy of a hub name."""
    from r1ray.runtime.model_files import local_folder

    try:
        return Path(local_folder(model, key=key)) / "config.json"
    except UserError as error:
        known = ", ".join(sorted(path.stem.replace("--", "/") for path in SHIPPED.glob("*--*.json")))
        raise UserError(
            f"{key}={model}: no model folder and no local copy; needs a folder with a config.json, or one of the "
            f"models whose shapes ship: {known}."
        ) from error
