from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from r1ray.checks import FormatOnly
from r1ray.config import EnvironmentConfig, SandboxConfig
from r1ray.config.environment import AgentsConfig
from r1ray.environments.agent import Agent
from r1ray.environments.registry import source_of
from r1ray.environments.world_context import WorldContext
from r1ray.errors import EnvironmentFailed, UserError
from r1ray.turns import Access, Done, Message
from r1ray.types import Prompt
from tests.environments.agents.endpoint import KEY, Endpoint, Reply, call, serving
from tests.environments.agents.test_process import lives, pids_in

EXAMPLE = "r1ray/examples/calculator_agent/openai_agent.py"
NOBODY = Access(base_url="http://127.0.0.1:9/v1", api_key=KEY, model="policy")
TREE = {"calc.py": "def add(a, b):\n    return a - b\n"}
TESTS = "import calc, unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(calc.add(2, 2), 4)\n"
MENDED = "def add(a, b):\n    return a + b\n"
ONE_CALL = (
    "import json, os, subprocess, sys\nfrom urllib.request import Request, urlopen\n"
    "body = json.dumps({'messages': [{'role': 'user', 'content': sys.argv[1]}]}).encode()\n"
    "key = {'Authorization': 'Bearer ' + os.environ['OPENAI_API_KEY']}\n"
    "said = urlopen(Request(os.environ['OPENAI_BASE_URL'] + '/chat/completions', body, key))\n"
    "subprocess.run(['sh', '-c', json.load(said)['choices'][0]['message']['content']])\n"
)
"""An agent that executes what the policy says."""


def prompt(text: str = "What is 37*82+15?", **columns: Any) -> Prompt:
    messages = (Message("system", "Be short."), Message("user", text))
    return Prompt(id="1", text=text, check=FormatOnly(), domain="m", language="en", columns=columns, messages=messages)


def agent(command: list[Any] | None, *, sandbox: bool = False, step_timeout_s: float = 60.0, **options: Any) -> Agent:
    context = WorldContext(sandbox=SandboxConfig(), step_timeout_s=step_timeout_s)
    return Agent(command=command, sandbox=sandbox, context=context, **options)


def played(world: Agent, asked: Prompt, access: Access = NOBODY, *, out_of_time_s: float | None = None) -> Done:
    async def play() -> Done:
        assert world.row_problem(asked) is None
        begun = await world.reset(asked, 7)
        assert begun.is_agents and begun.messages == asked.messages
        out_of_time = asyncio.Event()
        if out_of_time_s is not None:
            asyncio.get_running_loop().call_later(out_of_time_s, out_of_time.set)
        try:
            return await world.run(access, out_of_time)
        finally:
            await world.close()

    return asyncio.run(asyncio.wait_for(play(), 300))


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = tmp_path / "tmpdir"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def test_an_agent_of_openais_client_serves_its_tool_and_answers() -> None:
    def reply(messages: list[dict[str, Any]]) -> str | dict[str, Any]:
        match len(messages):
            case 1:
                return call("calculator", expression="__import__('os')")
            case 3:
                return call("calculator", expression=messages[0]["content"].removeprefix("What is ").rstrip("?"))
        return f"It is {messages[-1]['content']}."

    with serving(reply) as endpoint:
        done = played(agent(["python", EXAMPLE, "{prompt}"], sandbox=True), prompt(), endpoint.access)
    assert done.label == "exited" and "It is 3049." in done.detail
    assert done.rewards == {"agent_failed": 0.0, "agent_deadline": 0.0, "agent_limit": 0.0}
    assert endpoint.asked[0]["messages"] == [{"role": "user", "content": "What is 37*82+15?"}]
    last = endpoint.asked[-1]["messages"]
    assert [message["role"] for message in last] == ["user", "assistant", "tool", "assistant", "tool"]
    assert last[2]["content"] == "Error: only whole numbers and + - * can be computed"


def test_its_words_its_variables_and_its_folder_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hush-hush")
    monkeypatch.setenv("NOT_NAMED", "x")
    script = "env; pwd; cat a/b $R1RAY_PROMPT_FILE {prompt_file}; echo $0 $1 {seed}"
    options: dict[str, Any] = {
        "env": {"URL": "{base_url}", "MY_TOKEN": None},
        "files": {"a/b": "template", "c": "kept"},
    }
    world = agent(["sh", "-c", script, "{prompt}", "openai/{model}"], **options)
    said = played(world, prompt("Say {model}.", files={"a/b": "row"})).detail
    assert f"OPENAI_BASE_URL={NOBODY.base_url}\n" in said and f"URL={NOBODY.base_url}\n" in said
    assert "OPENAI_API_KEY=***\n" in said and KEY not in said and "hush-hush" not in said
    assert "NOT_NAMED" not in said and "/work\nrowSay {model}.Say {model}.Say {model}. openai/policy 7" in said


@pytest.mark.parametrize(
    ("command", "said", "failed"),
    [
        ("exit 0", "exit code 0", 0.0),
        ("echo no luck >&2; exit 3", "exit code 3; it printed 8 bytes: no luck", 1.0),
        ("kill -11 $$", "ended by signal 11", 1.0),
    ],
)
def test_its_exit_code_is_told_and_no_reward(command: str, said: str, failed: float) -> None:
    done = played(agent(["sh", "-c", command]), prompt())
    assert said in done.detail and done.rewards == {"agent_failed": failed, "agent_deadline": 0.0, "agent_limit": 0.0}
    assert done.label == "exited" and not done.turn_rewards


def test_an_agent_that_hangs_is_ended_and_what_it_left_is_judged(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"echo done > made; trap '' TERM; setsid sleep 300 & echo $! $$ > {pids}; while :; do sleep 1; done"
    world = agent(["sh", "-c", script], judge=["sh", "-c", "test -f made"])
    done = played(world, prompt(), out_of_time_s=0.5)
    assert done.label == "deadline" and done.rewards == {
        "agent_failed": 1.0,
        "agent_deadline": 1.0,
        "agent_limit": 0.0,
        "judge": 1.0,
    }
    assert len(pids_in(pids)) == 2 and not any(map(lives, pids_in(pids)))


def test_a_cancelled_agent_leaves_nothing(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def cancelled() -> None:
        world = agent(["sh", "-c", f"setsid sleep 300 & echo $! $$ > {pids}; sleep 300"])
        await world.reset(prompt(), 0)
        running = asyncio.ensure_future(world.run(NOBODY, asyncio.Event()))
        while len(pids_in(pids)) < 2:
            await asyncio.sleep(0.01)
        running.cancel()
        await world.close()
        assert running.done()

    asyncio.run(asyncio.wait_for(cancelled(), 60))
    assert not any(map(lives, pids_in(pids)))


def test_a_call_with_a_wrong_key_is_refused_and_the_agents_failure() -> None:
    with serving(lambda _: "never") as endpoint:
        world = agent(["/usr/bin/python3", "-c", ONE_CALL, "{prompt}"], env={"OPENAI_API_KEY": "another"})
        done = played(world, prompt(), endpoint.access)
    assert (endpoint.num_refused, endpoint.asked) == (1, [])
    assert done.rewards["agent_failed"] == 1.0 and "401" in done.detail


# ---------------------------------------------------------------------- the judge


def shell_agent(reply: Reply) -> tuple[Done, Endpoint]:
    """Return what comes of a repository whose tests, which come after the agent, are the reward."""
    world = agent(
        ["/usr/bin/python3", "-c", ONE_CALL, "{prompt}"],
        files=TREE,
        judge=["/usr/bin/python3", "-m", "unittest", "-q", "test_calc"],
        judge_files={"test_calc.py": TESTS},
    )
    with serving(reply) as endpoint:
        return played(world, prompt("add is wrong in calc.py: mend it."), endpoint.access), endpoint


def test_a_mended_repository_passes_the_tests_that_come_after_the_agent() -> None:
    done, endpoint = shell_agent(lambda _: f"ls; printf '{MENDED}' > calc.py".replace("\n", "\\n"))
    assert done.rewards["judge"] == 1.0 and "judge: exit code 0" in done.detail and len(endpoint.asked) == 1
    assert done.detail.endswith("it printed 8 bytes: calc.py"), "the tests came after it"


@pytest.mark.parametrize(
    "reply", ["nonsense (", "exit 1", "rm calc.py", "echo 'import os' > test_calc.py", "mkdir test_calc.py; ln -s / x"]
)
def test_a_repository_that_is_not_mended_is_worth_nothing(reply: str) -> None:
    done, _ = shell_agent(lambda _: reply)
    assert done.rewards["judge"] == 0.0 and "judge: exit code 1" in done.detail


def test_a_judge_has_the_row_and_says_parts_of_its_own() -> None:
    script = "import json, os; row = json.load(open(os.environ['R1RAY_ROW_FILE']))\n"
    script += "print(json.dumps({'right': float(open('answer.txt').read().strip() == row['answer']), 'short': 0.5}))"
    world = agent(["sh", "-c", "echo 3049 > answer.txt"], judge=["python", "-c", script], judge_json=True)
    assert played(world, prompt(answer="3049")).rewards == {
        "agent_failed": 0.0,
        "agent_deadline": 0.0,
        "agent_limit": 0.0,
        "right": 1.0,
        "short": 0.5,
    }
    world = agent(["true"], judge=["sh", "-c", "echo oh"], judge_json=True)
    with pytest.raises(EnvironmentFailed, match="its last line is no JSON object"):
        played(world, prompt())


def test_an_agent_over_a_limit_is_ended_counted_and_judged() -> None:
    limits = AgentsConfig(processes=3)
    script = "echo done > answer; for each in 1 2 3 4; do sleep 300 & done; wait"
    context = WorldContext(agents=limits)
    world = Agent(command=["sh", "-c", script], judge=["cat", "answer"], sandbox=False, context=context)
    done = played(world, prompt())
    assert done.rewards == {"agent_failed": 1.0, "agent_deadline": 0.0, "agent_limit": 1.0, "judge": 1.0}
    assert done.label == "limit" and "it had 5 processes, more than environment.agents.processes=3" in done.detail


def test_a_judge_over_a_limit_is_worth_nothing() -> None:
    judge = ["sh", "-c", "for each in 1 2 3 4; do sleep 300 & done; wait"]
    world = Agent(command=["true"], judge=judge, sandbox=False, context=WorldContext(agents=AgentsConfig(processes=3)))
    done = played(world, prompt())
    assert (done.rewards["judge"], done.rewards["agent_limit"]) == (0.0, 0.0)
    assert "judge: it had 5 processes, more than environment.agents.processes=3" in done.detail


def test_a_judge_that_hangs_is_worth_nothing_within_its_time() -> None:
    world = agent(["true"], judge=["sleep", 300], judge_timeout_s=0.3)
    done = played(world, prompt())
    assert done.rewards["judge"] == 0.0 and "judge: its time was up" in done.detail


# ---------------------------------------------------------------------- before a run


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"command": []}, "options.command=[]: needs a list"),
        ({"command": None}, "environment.command=[]: needs a list"),
        ({"command": ["no-such-agent"]}, "there is no program no-such-agent in PATH"),
        ({"judge": ["no-such-judge"]}, "options.judge=['no-such-judge']"),
        ({"judge_files": {"a": "b"}}, "options.judge_files and judge_json are of a judge"),
        ({"judge": ["true"], "judge_timeout_s": 60}, "options.judge_timeout_s=60"),
        ({"files": "/no/such/folder"}, "options.files: there is no /no/such/folder"),
        ({"files": {"../x": "y"}}, "options.files: an object: the name '../x' leads out"),
        ({"reads": ["/no/such"]}, "options.reads: there is no /no/such"),
        ({"env": {"NOT_THERE_AT_ALL": None}}, "options.env.NOT_THERE_AT_ALL=null"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(options: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UserError) as raised:
        agent(**{"command": ["true"], **options})
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (prompt("x" * 200_000), "cannot be a word of a command: needs {prompt_file}"),
        (prompt("a\0b"), "cannot be a word of a command"),
        (prompt("\ud800"), "no text in UTF-8"),
        (prompt(files={"/x": "y"}), "its column files: an object: the name '/x' leads out"),
        (prompt(files=3), "its column files: 3 is neither a folder nor an archive"),
        (prompt(judge_files={"x": "y"}), "a column judge_files, and the environment no judge"),
    ],
)
def test_a_row_that_no_agent_can_have_is_named(asked: Prompt, said: str) -> None:
    assert said in str(agent(["true", "{prompt}"]).row_problem(asked))
    if "word" in said:
        assert agent(["true", "{prompt_file}"]).row_problem(asked) is None


def test_files_are_looked_through_once_for_all_worlds_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    monkeypatch.setattr("r1ray.environments.agent.files_problem", looked.append)
    context = WorldContext()
    for _ in range(3):
        Agent(command=["true"], files=TREE, judge=["true"], judge_files={"test_calc.py": TESTS}, context=context)
    assert looked == [TREE, {"test_calc.py": TESTS}]


@pytest.mark.parametrize("sandbox", [True, False])
def test_the_walls_are_put_up_once_before_a_run(sandbox: bool) -> None:
    asyncio.run(agent(["true"], sandbox=sandbox).check())


def test_the_key_of_the_section_is_the_command_where_the_world_names_none() -> None:
    config = EnvironmentConfig(command=["true"], worlds={"own": {"path": "agent", "options": {"command": ["false"]}}})
    context = WorldContext.of(config, SandboxConfig(mode="none", unsafe=True))
    said = {name: played(source_of(name, config).made(context), prompt()).detail for name in ("agent", "own")}
    assert said["agent"].startswith("exit code 0") and said["own"].startswith("exit code 1")
    with pytest.raises(UserError, match=r"environment\.worlds\.agent\.options\.judge='x': should be a list"):
        source_of("agent", EnvironmentConfig(worlds={"agent": {"options": {"judge": "x"}}}))
