from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from r1ray.config import CheckpointConfig, DataConfig, LearnerConfig, LoraConfig, RewardConfig, RunConfig
from r1ray.main import main
from r1ray.runtime.files import digest_of
from r1ray.stages.rl import ReinforcementLearning


def test_a_run_may_go_on_with_other_ranks_and_checkpoints_but_not_with_another_learning_rate() -> None:
    def digest(learner: LearnerConfig, checkpoint: CheckpointConfig | None = None) -> str:
        config = RunConfig(
            model="org/model",
            data=DataConfig(train="s3://bucket/train.parquet"),
            reward=RewardConfig(parts={"accuracy": {}}),
            learner=learner,
            checkpoint=checkpoint or CheckpointConfig(),
        )
        return digest_of(ReinforcementLearning(config).settings())

    one = digest(LearnerConfig())
    assert digest(LearnerConfig(num_ranks=8, threads=4), CheckpointConfig(every=7, best="pass@1")) == one
    assert digest(LearnerConfig(lora=LoraConfig(export="adapter")), CheckpointConfig(export_every=3)) == one
    assert digest(LearnerConfig(lr=1e-4)) != one


def test_the_files_of_a_preference_model_are_inputs(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    reward = RewardConfig(parts={"helpful": {}}, models={"helpful": {"model": str(tmp_path)}})
    stage = ReinforcementLearning(RunConfig(model="org/model", data=DataConfig(train="t"), reward=reward))
    before = digest_of(stage.settings())
    assert digest_of(stage.settings()) == before
    (tmp_path / "config.json").write_text("{ }")
    assert digest_of(stage.settings()) != before


def test_a_pattern_that_the_model_has_no_token_for_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, qwen_folder: Path, arithmetic_jsonl: Path
) -> None:
    own = [f"model={qwen_folder}", f"data.train={arithmetic_jsonl}", f"output_dir={tmp_path}"]
    small = ["data.max_prompt_tokens=16", "algo.max_completion_tokens=24", "data.template=none"]
    assert main(["run", *own, *small, "+reward.parts.cold_start_format={weight: 1.0}"]) == 2
    assert "which reward.parts.cold_start_format pays for, is no token of its tokenizer" in capsys.readouterr().err


def test_a_reward_model_of_another_chat_template_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, llama_folder: Path, arithmetic_jsonl: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    for name in ("policy", "helpful"):
        shutil.copytree(llama_folder, tmp_path / name)
        tokenizer = AutoTokenizer.from_pretrained(llama_folder)
        tokenizer.chat_template = f"{{% for m in messages %}}<{name}>{{{{ m['content'] }}}}{{% endfor %}}"
        tokenizer.save_pretrained(tmp_path / name)
    AutoModelForSequenceClassification.from_pretrained(llama_folder, num_labels=1).save_pretrained(tmp_path / "helpful")
    own = [f"model={tmp_path}/policy", f"data.train={arithmetic_jsonl}", f"output_dir={tmp_path}/runs"]
    small = ["data.max_prompt_tokens=64", "algo.max_completion_tokens=24", "data.template=chat"]
    preferred = [
        f"+reward.models.helpful={{model: {tmp_path}/helpful, cpus_per_actor: 0}}",
        "+reward.parts.helpful={weight: 1.0}",
    ]
    assert main(["run", *own, *small, *preferred]) == 2
    assert f"reward.models.helpful.model={tmp_path}/helpful: its chat template is not that" in capsys.readouterr().err


def test_a_generation_config_that_cannot_be_read_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, qwen_folder: Path, arithmetic_jsonl: Path
) -> None:
    model = Path(shutil.copytree(qwen_folder, tmp_path / "model"))
    (model / "generation_config.json").write_text('{"early_stopping": "sometimes"}')
    own = [f"model={model}", f"data.train={arithmetic_jsonl}", f"output_dir={tmp_path / 'runs'}"]
    assert main(["run", *own, "data.template=none", "data.max_prompt_tokens=16", "algo.max_completion_tokens=24"]) == 2
    assert f"{model}/generation_config.json: transformers cannot read it" in capsys.readouterr().err
