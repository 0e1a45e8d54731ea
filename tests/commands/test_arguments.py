from __future__ import annotations

from types import ModuleType

import pytest

from r1ray.commands import doctor, evaluate, export, plan, run, score, submit
from r1ray.commands.arguments import Parser
from r1ray.errors import UserError


def parser() -> Parser:
    made = Parser("fly", "Fly.", usage="[key=value ...]", examples="r1ray fly")
    made.flags.add_argument("--json", action="store_true")
    made.flags.add_argument("--out")
    return made


OVERRIDES = ["algo.group_size=8", "~reward.parts.format", "+a.b=1", "++a.c={x: -1}", "learner.lr=-1e-6", "a='--json'"]


@pytest.mark.parametrize("place", range(len(OVERRIDES) + 1))
@pytest.mark.parametrize("flags", [["--json", "--out", "x"], ["--out=x", "--json"]])
def test_words_pass_untouched_before_between_and_after_flags(place: int, flags: list[str]) -> None:
    given = parser().read([*OVERRIDES[:place], *flags, *OVERRIDES[place:]])
    assert (given.words, given.json, given.out) == (OVERRIDES, True, "x")


def test_flags_may_stand_between_words_more_than_once() -> None:
    given = parser().read(["a=1", "--json", "b=2", "--out", "x", "c=3"])
    assert given.words == ["a=1", "b=2", "c=3"]
    assert parser().read([]).words == []


@pytest.mark.parametrize(
    ("made", "arguments", "message"),
    [
        (
            run.parser(),
            ["steps=3", "--cgf", "job"],
            r"--cgf: no such flag; the nearest is --cfg \(see r1ray run --help\)",
        ),
        (doctor.parser(), ["--smok"], "--smok: no such flag; the nearest is --smoke"),
        (doctor.parser(), ["a=1", "--smoke", "b=2", "--jso=1", "c=3"], "--jso: no such flag; the nearest is --json"),
        (doctor.parser(), ["-j"], "-j: no such flag; the nearest is "),
        (doctor.parser(), ["--json=3"], "--json: ignored explicit argument '3'"),
        (export.parser(), ["runs/a", "--out"], r"--out: expected one argument \(see r1ray export --help\)"),
        (submit.parser(), ["--stop", "--status", "a"], "--status: not allowed with argument --stop"),
    ],
)
def test_a_mistake_names_the_flag_and_the_nearest(made: Parser, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        made.read(arguments)


@pytest.mark.parametrize("verb", [run, plan, doctor, submit, score, evaluate])
def test_every_verb_that_composes_takes_a_folder_of_files(verb: ModuleType) -> None:
    assert verb.parser().read(["a=1", "--config-dir", "conf"]).config_dir == "conf"
    assert verb.parser().read(["a=1"]).config_dir is None


def test_a_key_of_another_framework_written_as_a_flag_is_told_so() -> None:
    with pytest.raises(UserError, match=r"--num_generations: no such flag; TRL's num_generations is algo\.group_size"):
        run.parser().read(["--num_generations", "8"])
    with pytest.raises(UserError, match=r"--steps: no such flag; keys have no dashes before them: steps=VALUE"):
        run.parser().read(["--steps=8"])
