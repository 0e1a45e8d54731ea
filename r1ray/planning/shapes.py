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
KNOWN = (*DENSE, "qwen3_moe", *LATENT)


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
    def attention_linears(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each linear layer of one attention."""
        out = (self.heads * self.value_dim, self.hidden)
        if not self.kv_rank:
            kv = self.kv_heads * self.value_dim
            return (self.hidden, self.query_width), (self.hidden, self.kv_width), (self.hidden, kv), out
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
        linear = sum(inner * outer for inner, outer in self.attention_linears)
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
        shared = 3 * self.hidden * self.shared_intermediate
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
        return self.layers * self.attention_parameters + self.mlp_parameters() + norms

    @property
    def parameters(self) -> int:
        """All of them; a tied output layer counts once."""
        return self.body_parameters + self.embedding_parameters * (1 if self.tied else 2)

    @property
    def active_parameters(self) -> int:
        """Whose product with one token is computed: without the embedding's look-up, with the output layer, and with
        a token's own experts alone."""
        linear = self.layers * sum(inner * outer for inner, outer in self.attention_linears)
        return linear + self.mlp_parameters(active=True) + self.embedding_parameters

    @property
    def layer_parameters(self) -> int:
        """Of the largest layer."""
        width = self.shared_intermediate if self.experts else self.intermediate
        mlp = 3 * self.hidden * width + (self.expert_parameters + self.hidden * self.experts if self.experts else 0)
        return self.attention_parameters + mlp + 2 * self.hidden

    @property
    def largest_parameter(self) -> int:
        """The largest tensor; the experts of a layer are one."""
        return max(self.embedding_parameters, 2 * self.expert_parameters // 3)

    @property
    def quantised_parameters(self) -> int:
        """Those that an fp8 checkpoint has in 8 bits: linear layers, experts; not embeddings, norms, routers."""
        linear = self.layers * sum(inner * outer for inner, outer in self.attention_linears)
        return linear + self.mlp_parameters() - self.expert_layers * self.hidden * self.experts

    def adapter_parameters(self, rank: int) -> int:
        """Of low-rank adapters on all linear layers but the output layer (learner.lora.targets=null); of a model with
        experts on those of the attention."""
        attention = sum(inner + outer for inner, outer in self.attention_linears)
        mlp = 0 if self.experts else 3 * (self.hidden + self.intermediate)
        return rank * self.layers * (attention + mlp)

    # ------------------------------------------------------------------ work and cache

    def forward_flops(self, tokens: float, *, context: float) -> float:
        """Of a forward pass over ``tokens`` tokens that each see ``context`` others on average (of a causal sequence:
        half its length). Two a multiply-add."""
        attention = self.layers * self.heads * (self.query_key_dim + self.value_dim) * context
        return 2.0 * tokens * (self.active_parameters + attention)

    @property
    def cache_values(self) -> int:
        """Numbers that a key-value cache keeps of one token, in all layers."""
        if self.kv_rank:
            return self.layers * (self.kv_rank + self.rope_dim)
        return self.layers * self.kv_heads * (self.query_key_dim + self.value_dim)

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
)
"""Fields that a shape is made of, where a configuration has it."""


def shape_of(config: Mapping[str, Any], *, name: str) -> Shape:
    """The shape of a config.json. Raises UserError for a model type that is not counted here."""
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
        intermediate=config["intermediate_size"],
        tied=bool(config.get("tie_word_embeddings", False)),
        has_qk_norm=kind in ("qwen3", "qwen3_moe"),
        context=config.get("max_position_embeddings"),
        checkpoint_dtype=str(config.get("dtype") or config.get("torch_dtype") or "bfloat16"),
        is_fp8=(config.get("quantization_config") or {}).get("quant_method") == "fp8",
        **own,
    )


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
