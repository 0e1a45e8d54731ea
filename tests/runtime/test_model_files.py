"""Generation settings of the user's model: read before anything starts, and written so that transformers takes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig

from r1ray.errors import UserError
from r1ray.runtime.model_files import accepted_generation_config, load_generation_config


@pytest.fixture
def model(llama_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llama_folder, tmp_path / "model"))


def write(model: Path, values: Any) -> Path:
    path = model / "generation_config.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def saved(config: Any, folder: Path) -> dict[str, Any]:
    """What transformers writes of it."""
    config.save_pretrained(folder)
    values: dict[str, Any] = json.loads((folder / "generation_config.json").read_text())
    return {name: value for name, value in values.items() if name not in ("transformers_version", "_from_model_config")}


SAMPLED = {"temperature": 0.9, "top_p": 0.6, "eos_token_id": 2, "pad_token_id": 0}


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (SAMPLED, SAMPLED | {"do_sample": True}),
        ({"do_sample": False, "temperature": 0.6}, {"do_sample": True, "temperature": 0.6}),
        ({"top_k": 20, "min_p": 0.1}, {"top_k": 20, "min_p": 0.1, "do_sample": True}),
        ({"temperature": 0.0, "top_p": 0.9}, {}),
        ({"temperature": 1.0, "top_p": 1.0, "top_k": 50}, {"temperature": 1.0, "top_p": 1.0, "top_k": 50}),
        ({"length_penalty": 2.0, "early_stopping": True}, {}),
        ({"num_beams": 4, "length_penalty": 2.0}, {"num_beams": 4, "length_penalty": 2.0}),
        ({"use_cache": False, "cache_implementation": "static"}, {"use_cache": False}),
        ({"output_scores": True}, {}),
        ({"pad_token_id": -1, "eos_token_id": [1, 2, 3]}, {"eos_token_id": [1, 2, 3]}),
    ],
)
def test_settings_that_transformers_would_not_save_are_written_with_their_meaning(
    model: Path, tmp_path: Path, values: dict[str, Any], written: dict[str, Any]
) -> None:
    write(model, values)
    assert saved(load_generation_config(str(model)), tmp_path / "out") == written


FLAGS = {
    "do_sample": st.booleans(),
    "temperature": st.sampled_from([0.0, 0.6, 1.0]),
    "top_p": st.sampled_from([0.5, 1.0]),
    "top_k": st.sampled_from([0, 20, 50]),
    "min_p": st.just(0.1),
    "top_h": st.just(0.4),
    "typical_p": st.just(0.9),
    "epsilon_cutoff": st.just(3e-4),
    "eta_cutoff": st.just(3e-4),
    "num_beams": st.sampled_from([1, 4]),
    "early_stopping": st.sampled_from([True, False, "never"]),
    "length_penalty": st.sampled_from([1.0, 2.0]),
    "use_cache": st.booleans(),
    "cache_implementation": st.just("static"),
    "return_dict_in_generate": st.booleans(),
    "output_scores": st.booleans(),
    "output_logits": st.booleans(),
    "pad_token_id": st.sampled_from([-1, 0]),
    "eos_token_id": st.just([1, 2]),
}


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({}, optional=FLAGS))
def test_every_combination_of_flags_is_accepted_and_what_has_effect_stays(flags: dict[str, Any]) -> None:
    made = accepted_generation_config(GenerationConfig(**flags))
    made.validate(strict=True)
    assert accepted_generation_config(made).to_dict() == made.to_dict()
    assert made.eos_token_id == flags.get("eos_token_id") and made.num_beams == flags.get("num_beams")
    if flags.get("do_sample"):
        assert all(getattr(made, name) == flags[name] for name in ("temperature", "top_p", "min_p") if name in flags)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{bad", "is not a valid JSON file"),
        ([1], "not a mapping"),
        ({"early_stopping": "sometimes"}, "`early_stopping` must be a boolean or 'never'"),
        ({"cache_implementation": "nope"}, "Invalid `cache_implementation`"),
        ({"temperature": "hot"}, "temperature is 'hot'; needs a number"),
        ({"eos_token_id": ["<eos>"]}, r"eos_token_id is \['<eos>'\]; needs a token id or several"),
        ({"num_return_sequences": 4}, "do not support `num_return_sequences`"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_file_s_name(model: Path, values: Any, message: str) -> None:
    path = write(model, values)
    with pytest.raises(UserError, match=message) as caught:
        load_generation_config(str(model))
    assert str(path) in str(caught.value)


def test_a_model_without_the_file_has_the_settings_of_its_config(model: Path, tmp_path: Path) -> None:
    (model / "generation_config.json").unlink()
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"temperature": 0.7, "eos_token_id": [1, 2]}))
    written = saved(load_generation_config(str(model)), tmp_path / "out")
    assert written["do_sample"] is True and written["temperature"] == 0.7 and written["eos_token_id"] == [1, 2]
