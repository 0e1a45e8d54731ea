from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from r1ray.checks import FormatOnly
from r1ray.config import EnvironmentConfig, RewardConfig, RewardPart, SandboxConfig
from r1ray.conversation import ConversationSettings
from r1ray.data.layouts import RawPrompt
from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import PromptTable
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.stages.worlds import RunWorlds
from r1ray.turns import Message, Observation
from r1ray.types import Prompt
from tests.conversation.tokenizers_made import made_tokenizer, published_tokenizer
from tests.data.prompt_files import OWN as OWN_ROW
from tests.data.prompt_files import jsonl
from tests.environments.own_worlds import Guess

OWN = "tests.environments.own_worlds"


class Particular(Guess):
    def row_problem(self, prompt: Any) -> str | None:
        if not prompt.messages:
            raise ValueError("nothing is asked")
        return None if "number" in prompt.columns else "it has no number"


def worlds(path: str, **options: Any) -> RunWorlds:
    config = EnvironmentConfig(worlds={"maze": {"path": path, "options": options}})
    return RunWorlds(config, SandboxConfig(), Form("none"))


def raw(environment: str = "maze", columns: str = "{}", question: Any = "q") -> RawPrompt:
    return RawPrompt("7", question, FormatOnly(), "math", "en", columns, environment)


def test_an_environment_is_looked_up_when_a_row_names_it() -> None:
    found = worlds(f"{OWN}:Guess")
    assert found.sources == {} and found.problem(raw()) is None
    assert [each.path for each in found.sources.values()] == [f"{OWN}:Guess"]
    with pytest.raises(UserError, match=r"^environment mase: no such environment; needs one of .*maze"):
        found.problem(raw("mase"))


def test_it_may_look_at_each_row() -> None:
    found = worlds(f"{__name__}:Particular")
    assert found.problem(raw()) == "it has no number" and found.problem(raw(columns='{"number": 7}')) is None
    with pytest.raises(UserError, match="environment maze: row_problem: ValueError: nothing is asked"):
        found.problem(raw(question=[]))


def prompt(**columns: object) -> Prompt:
    return Prompt(id="7", text="", check=FormatOnly(), domain="m", language="en", columns=columns, environment="maze")


def test_it_is_made_once_and_reset_before_a_run() -> None:
    for path, message in (("Checked", "the corpus is not there"), ("Broken", "no licence"), ("nothing", "no method")):
        found = worlds(f"{OWN}:{path}")
        found.problem(raw())
        with pytest.raises(UserError, match=f"environment maze: .*{message}"):
            found.try_out([prompt()])
    found = worlds(f"{OWN}:Coroutines")
    found.problem(raw())
    (begun,) = found.try_out([prompt()]).values()
    assert [each.content for each in begun.messages] == ["Be short.", "3 0"]


def test_a_short_prompt_of_each_environment_is_tried(tmp_path: Path) -> None:
    asked = (("none", "q"), ("maze", "long " * 9), ("guess", "long " * 9), ("maze", "short"))
    rows = [{**OWN_ROW, "id": str(i), "environment": name, "prompt": q} for i, (name, q) in enumerate(asked)]
    spool_prompts(jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow", key="data.train")
    table = PromptTable(tmp_path / "s.arrow", str)
    assert [each.id for each in worlds(f"{OWN}:Guess").samples(table, [table])] == ["3", "2"]


def test_an_environment_without_a_share_is_not_tried_unless_it_is_evaluated(tmp_path: Path) -> None:
    rows = [{**OWN_ROW, "id": name, "environment": name} for name in ("maze", "guess")]
    spool_prompts(jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow", key="data.train")
    train, held_out = (PromptTable(tmp_path / "s.arrow", str) for _ in range(2))
    found = RunWorlds(EnvironmentConfig(shares={"guess": 1}), SandboxConfig(), Form("none"))
    assert [each.id for each in found.samples(train)] == ["guess"]
    assert [each.id for each in found.samples(train, [held_out])] == ["guess", "maze"]


def test_the_beginning_of_an_environment_has_to_fit() -> None:
    found = worlds(f"{OWN}:Talkative")
    found.problem(raw())
    begun, settings = found.try_out([prompt()]), ConversationSettings(model="made")
    found.check_conversations(made_tokenizer(), begun, settings, max_prompt_tokens=4000)
    with pytest.raises(UserError, match=r"max_prompt_tokens=400: none of the first prompts in .* maze fits"):
        found.check_conversations(made_tokenizer(), begun, settings, max_prompt_tokens=400)


def test_the_beginning_of_an_environment_is_shown_with_its_tools(said: list[str]) -> None:
    found = worlds(f"{OWN}:Guess")
    tool = {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {"type": "object"}}}
    begun = {"sums": Observation(messages=(Message("user", "2 + 2?"),), tools=(tool,))}
    settings = ConversationSettings(model="made")
    renderer = found.check_conversations(published_tokenizer("qwen3"), begun, settings, max_prompt_tokens=4000)
    length = len(renderer.prompt(begun["sums"].messages, (tool,)))
    (shown,) = [each for each in said if each.startswith("environment sums: a prompt as the model reads it")]
    assert f", {length} tokens: " in shown and '"name": "add"' in shown and "2 + 2?" in shown and "\n" not in shown


def test_what_rewrites_earlier_turns_is_said_once(said: list[str]) -> None:
    found = worlds(f"{OWN}:Guess")
    tool = {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {"type": "object"}}}
    asked = (Message("user", "2 + 2?"),)
    begun = {"maze": Observation(messages=asked), "sums": Observation(messages=asked, tools=(tool,))}
    settings = ConversationSettings(model="made", renderer="auto")
    found.check_conversations(published_tokenizer("qwen3"), begun, settings, max_prompt_tokens=4000)
    assert sum("rewrites earlier turns" in each for each in said) == 1


def test_the_command_of_an_agent_is_looked_up_with_the_first_row_and_needs_one() -> None:
    forms: dict[str, object] = {
        "own": {"path": "agent", "options": {"command": ["true"]}},
        "keys": {"path": "agent", "options": {"command": None}},
    }

    def of(*command: str) -> RunWorlds:
        return RunWorlds(EnvironmentConfig(command=list(command), worlds=forms), SandboxConfig(), Form("chat"))

    with pytest.raises(UserError, match=r"environment\.command=\['no-such-agent', '-x'\]: there is no program"):
        of("no-such-agent", "-x").problem(raw("agent"))
    with pytest.raises(UserError, match="needs a list of a program"):
        of().problem(raw("agent"))
    for name in ("agent", "keys"):
        found = of("true", "{prompt}")
        assert found.problem(raw("own")) is None
        with pytest.raises(UserError, match="no prompt has an agent"):
            found.check_command()
        assert found.problem(raw(name)) is None
        found.check_command()
    of().check_command()


def test_parts_of_the_reward_that_no_environment_can_pay_are_refused() -> None:
    rewards = RewardConfig(parts={"right": RewardPart(weight=1.0, from_environment=True)})
    found = worlds(f"{OWN}:Guess")
    with pytest.raises(UserError, match=r"reward\.parts\.right\.from_environment=true: no prompt has an environment"):
        found.check_rewards(rewards)
    found.problem(raw())
    found.check_rewards(rewards)
