"""Planted faults, and what vLLM's CPU engines hold: a tied head, packed copies, a mixture of experts."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.running import LEFT_OPEN, SMALL, environment, own

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long, pytest.mark.filterwarnings(LEFT_OPEN)]
SEEDS = 50
DENSE = ("layers.0.mlp", "layers.1.self_attn.o_proj", "lm_head", "embed_tokens", "drop layers.1.mlp")
EXPERTS = ("experts.gate_up_proj 3", "experts.down_proj 5", "mlp.gate.weight", "lm_head", "drop layers.0.mlp.experts")


@pytest.fixture
def moe_folder(tmp_path: Path, qwen_folder: Path) -> Path:
    """An untrained mixture of eight experts with the quickstart's tokenizer."""
    import torch
    from transformers import AutoTokenizer, Qwen3MoeConfig, Qwen3MoeForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(qwen_folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "moe_intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
    config = Qwen3MoeConfig(
        vocab_size=len(tokenizer),
        num_experts=8,
        num_experts_per_tok=2,
        eos_token_id=tokenizer.eos_token_id,
        **sizes,
        **heads,
    )
    Qwen3MoeForCausalLM(config).save_pretrained(tmp_path / "moe")
    tokenizer.save_pretrained(tmp_path / "moe")
    return tmp_path / "moe"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["dense", "experts"])
def test_whatever_is_left_behind_is_found_in_every_seed(
    kind: str, dtype: str, qwen_folder: Path, moe_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm import LLM

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    llm = LLM(
        model=str(moe_folder if kind == "experts" else qwen_folder),
        dtype=dtype,
        max_model_len=64,
        enforce_eager=True,
        worker_extension_cls="tests.real.extensions.Rounds",
    )
    try:
        victims = list(EXPERTS if kind == "experts" else DENSE)
        (result,) = llm.collective_rpc("rounds", args=(SEEDS, victims))
    finally:
        llm.llm_engine.engine_core.shutdown()
        del llm
        gc.collect()
    assert not result["false_alarms"]
    assert {victim: sum(map(bool, raised)) for victim, raised in result["found"].items()} == dict.fromkeys(
        victims, SEEDS
    )


DROPPING = """
def register():
    from vllm.model_executor.models.qwen3 import Qwen3ForCausalLM

    load = Qwen3ForCausalLM.load_weights

    def load_weights(self, weights):
        return load(self, ((name, weight) for name, weight in weights if "layers.1.mlp" not in name))

    Qwen3ForCausalLM.load_weights = load_weights
"""


def test_an_mlp_that_another_plugin_of_vllm_drops_at_every_load_ends_the_run(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    plugin = tmp_path / "plugin"
    installed = plugin / "dropping-1.0.dist-info"
    installed.mkdir(parents=True)
    (plugin / "dropping.py").write_text(DROPPING)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: dropping\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[vllm.general_plugins]\ndropping = dropping:register\n")
    files = own(qwen_folder, running_total / "train.parquet", None, tmp_path / "runs")
    settings = [*SMALL, "data.template=none", "data.max_prompt_tokens=16", "weights.probe_every=50", "name=dropped"]
    env = environment()
    done = subprocess.run(
        [sys.executable, "-m", "r1ray", "run", *files, *settings],
        cwd=tmp_path,
        env=env | {"PYTHONPATH": f"{env['PYTHONPATH']}:{plugin}"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "model.layers.1.mlp" in done.stderr and "computes with weights that no publish has sent" in done.stderr
