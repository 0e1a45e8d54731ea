"""The agents of others that r1ray/environments/README.md shows, as it shows them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from r1ray.environments.agent import Agent
from r1ray.environments.tools.option_types import wrong_option
from r1ray.turns import Done
from r1ray.types import Prompt
from tests.environments.agents.endpoint import Reply, call, serving
from tests.environments.test_agent import played, prompt
from tests.test_layering import ROOT

README = (ROOT / "environments/README.md").read_text()
MINI, VERIFIERS = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
ROW = json.loads(re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0])
SOLVING = ("cat calc.py", "sed -i 's/a - b/a + b/' calc.py", "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")
"""Commands that mend the repository of the row."""
OPTIONS: dict[str, dict[str, Any]] = {
    "mini-swe-agent": MINI["environment"]["worlds"]["mini"]["options"],
    "verifiers": VERIFIERS["options"],
}


def asked() -> Prompt:
    return prompt(ROW["prompt"], **{name: ROW[name] for name in ("files", "judge_files")})


def installed(name: str) -> dict[str, Any]:
    """Return the options of an agent that its script has installed."""
    options = OPTIONS[name]
    if not Path(options["command"][0]).exists():
        pytest.skip(f"launch/{name}.sh has not made {options['command'][0]}")
    more = {name: None for name in ("SSL_CERT_FILE",) if name in os.environ}
    return {**options, "env": {**options["env"], **more}}


def test_the_options_that_are_shown_are_those_of_an_agent() -> None:
    for options in OPTIONS.values():
        assert wrong_option(Agent, options) is None
        world = Agent(**{**options, "command": ["true", *options["command"][1:]]})
        assert world.row_problem(asked()) is None


def mended(reply: Reply) -> Done:
    with serving(reply) as endpoint:
        return played(Agent(**installed("mini-swe-agent")), asked(), endpoint.access, out_of_time_s=100)


@pytest.mark.long
def test_mini_swe_agent_mends_a_repository_by_what_the_policy_says() -> None:
    done = mended(lambda said: call("bash", command=SOLVING[sum(each["role"] == "assistant" for each in said)]))
    assert done.rewards == {"agent_failed": 0.0, "agent_deadline": 0.0, "agent_limit": 0.0, "judge": 1.0}


@pytest.mark.long
def test_mini_swe_agent_mends_nothing_by_nonsense() -> None:
    assert mended(lambda _: "I would rather not.").rewards["judge"] == 0.0


@pytest.mark.long
@pytest.mark.parametrize(("reply", "reward"), [("It is 3049.", 1.0), ("It is 7.", 0.0)])
def test_the_command_of_verifiers_evaluates_a_task_and_its_reward_is_the_trajectorys(reply: str, reward: float) -> None:
    with serving(lambda _: reply) as endpoint:
        done = played(Agent(**installed("verifiers")), prompt(), endpoint.access, out_of_time_s=200)
    assert done.rewards["verifiers"] == reward and len(endpoint.asked) == 1
