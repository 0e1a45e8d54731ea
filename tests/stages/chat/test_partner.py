from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from r1ray.commands.compose import compose, to_yaml
from r1ray.config import RunConfig
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.stages.chat.partner import MAX_TOKENS, partner_of
from r1ray.stages.model_form import write_form


@pytest.fixture(scope="module")
def settings_of_a_run(llama_folder: Path) -> str:
    config = compose(
        [
            *(f"model={llama_folder}", "data.train=t.jsonl", "data.template=r1_zero", "data.suffix=Think.", "steps=12"),
            *("eval.temperature=0.3", "eval.top_p=0.8", "algo.max_completion_tokens=33", "rollout.dtype=float32"),
            *("rollout.num_actors=2", "placement=separate"),
        ]
    )
    assert isinstance(config, RunConfig)
    return to_yaml(asdict(config))


@pytest.fixture
def run_dir(tmp_path: Path, llama_folder: Path, settings_of_a_run: str) -> Path:
    """A run that has exported versions 3 and 12."""
    folder = tmp_path / "mine"
    for version in (3, 12):
        shutil.copytree(llama_folder, folder / "hf" / str(version))
    (folder / "config.yaml").write_text(settings_of_a_run)
    return folder


def test_of_a_run_the_last_model_is_asked_and_sampled_as_the_run_does(run_dir: Path) -> None:
    found = partner_of(str(run_dir), settings={})
    config = found.config
    assert found.model == str(run_dir / "hf" / "12") and found.form == Form("r1_zero", suffix="Think.")
    assert (config.temperature, config.top_p, config.max_tokens) == (0.3, 0.8, 33)
    assert config.rollout.dtype == "float32" and config.rollout.num_actors == 1


def test_the_best_model_goes_before_the_last(run_dir: Path) -> None:
    (run_dir / "checkpoints" / "3").mkdir(parents=True)
    (run_dir / "checkpoints" / "best.json").write_text('{"version": 3}')
    assert partner_of(str(run_dir), settings={}).model == str(run_dir / "hf" / "3")


def test_a_model_is_asked_as_it_was_tuned(run_dir: Path) -> None:
    model = run_dir / "hf" / "3"
    write_form(model, Form("r1_zero"))
    found = partner_of(str(model), settings={})
    assert found.form == Form("r1_zero") and found.config.temperature == 0.6
    assert found.config.max_tokens == min(MAX_TOKENS, found.context - 1)


def test_a_model_without_a_chat_template_is_asked_as_it_stands(llama_folder: Path) -> None:
    assert partner_of(str(llama_folder), settings={}).form == Form("none")


def test_what_the_user_sets_goes_before_all(run_dir: Path) -> None:
    settings = {"temperature": 0.0, "seed": 7, "template": "none", "max_tokens": 5}
    found = partner_of(str(run_dir), settings=settings)
    assert found.form == Form("none", suffix="Think.")
    assert (found.config.temperature, found.config.seed, found.config.max_tokens) == (0.0, 7, 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature=-1"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"template": "none", "system_prompt": "Be brief."}, "system_prompt"),
        ({"template": "chat"}, "no chat template"),
    ],
)
def test_settings_that_cannot_be_are_refused(run_dir: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        partner_of(str(run_dir), settings=settings)


def test_folders_with_nothing_to_talk_to_are_refused(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"config\.json"):
        partner_of(str(tmp_path / "empty"), settings={})
    with pytest.raises(UserError, match="no such folder"):
        partner_of(str(tmp_path / "none"), settings={})
    shutil.rmtree(run_dir / "hf")
    with pytest.raises(UserError, match="has no checkpoint"):
        partner_of(str(run_dir), settings={})
    (run_dir / "checkpoints" / "3").mkdir(parents=True)
    with pytest.raises(UserError, match="r1ray export"):
        partner_of(str(run_dir), settings={})
