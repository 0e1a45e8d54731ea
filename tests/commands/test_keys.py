from __future__ import annotations

import re
from pathlib import Path

import pytest

from r1ray import main as cli
from r1ray.commands.keys import all_sections, choices

CONF = Path(__file__).parents[2] / "conf"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what the command prints."""
    assert cli.main(["keys", *arguments]) == 0
    return capsys.readouterr().out


def names(text: str) -> list[str]:
    """Return the keys of a text, without the groups."""
    below = text.partition("\n\n")[2] if text.startswith("groups: ") else text
    return re.findall(r"(?m)^  ([\w.\[\]]+)=", below)


def test_all_keys_and_groups_are_shown_without_a_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys)
    assert all(f"\n  {group}=" in text for group in choices())
    assert names(text) == [key.name for section in all_sections() for key in section.keys]
    assert max(map(len, text.splitlines())) <= 112


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("max_staleness", ["algo.max_staleness"]),
        ("learner.lora.*", [f"learner.lora.{name}" for name in ("rank", "alpha", "targets", "publish", "export")]),
        ("algo.clip_???", ["algo.clip_low"]),
        ("algo.clip_low=0.2", ["algo.clip_low"]),
        ("reward.parts.accuracy.weight", ["reward.parts.NAME.weight"]),
        ("eval.compare[0].expect", ["eval.compare[].expect"]),
        ("grad_clip", ["learner.grad_clip"]),
        ("nucleus", ["collect.top_p", "eval.top_p", "top_p"]),
        ("NUCLEUS", ["collect.top_p", "eval.top_p", "top_p"]),
        ("probability_mass", ["collect.top_p", "eval.top_p", "top_p"]),
    ],
)
def test_a_pattern_is_looked_for_in_names_and_then_in_meanings(
    capsys: pytest.CaptureFixture[str], pattern: str, found: list[str]
) -> None:
    assert names(shown(capsys, pattern)) == found


def test_a_pattern_shows_the_whole_meaning_with_type_and_unit(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, "data.max_prompt_tokens").split())
    assert "data.max_prompt_tokens=1024 Longest prompt. Longer training" in text
    assert text.endswith("[int; tokens]")


def test_a_key_of_another_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "(only r1ray eval)" in shown(capsys, "search.budget")
    assert "(only r1ray score)" in shown(capsys, "output")
    assert "(only r1ray export)" in shown(capsys, "version")
    assert "only" not in shown(capsys, "learner.zero_stage").partition("\n")[0]


@pytest.mark.parametrize("pattern", ["algo", "algo="])
def test_the_name_of_a_group_shows_its_files(capsys: pytest.CaptureFixture[str], pattern: str) -> None:
    text = shown(capsys, pattern)
    assert re.search(r"\n  algo=paper +async, cispo, dapo, ", text)
    assert "algo.group_size=16" in text


def test_groups_are_the_folders_of_the_configuration() -> None:
    assert sorted(choices()) == sorted(path.name for path in CONF.iterdir() if path.is_dir())
    assert choices()["algo"][0] == "paper"
    assert all(f"{name}.yaml" in {path.name for path in (CONF / "algo").iterdir()} for name in choices()["algo"][1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grup_size"], "grup_size: no such key; the nearest is algo.group_size."),
        (["algo.clip_hgh*"], "the nearest is algo.clip_high."),
        (["a", "b"], "keys takes one PATTERN, found 2: a, b."),
    ],
)
def test_what_matches_nothing_is_refused_with_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(["keys", *arguments]) == 2
    assert message in capsys.readouterr().err
