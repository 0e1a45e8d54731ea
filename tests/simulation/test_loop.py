"""The simulated loop: never faster than its slowest part, never staler than allowed, and nothing is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.config import AlgoConfig
from r1ray.simulation.costs import Costs
from r1ray.simulation.loop import SimulatedStep, Simulation
from r1ray.simulation.result import bound
from r1ray.simulation.work import Work

STEPS = 6


def algo(**changes: object) -> AlgoConfig:
    sizes = {"group_size": 4, "prompts_per_step": 8, "minibatches_per_step": 2, "max_completion_tokens": 200}
    return AlgoConfig(**(sizes | {"allow_unbounded_staleness": True} | changes))  # type: ignore[arg-type]


def decode(sequences: float, held: float) -> float:
    return 0.01 + 1e-3 * sequences + 1e-6 * held


def learn(lengths: Sequence[float], updates: int) -> float:
    return 1e-4 * sum(lengths) + 0.1 * updates


def costs(**changes: object) -> Costs:
    usual: dict[str, object] = {
        "num_engines": 2,
        "places": 8,
        "slots": 9,
        "decode_s": decode,
        "prefill_s": lambda tokens: 1e-4 * tokens,
        "learn_s": learn,
        "publish_s": 0.5,
        "score_s": 0.01,
    }
    return Costs(**(usual | changes))  # type: ignore[arg-type]


def work(**changes: object) -> Work:
    usual: dict[str, object] = {
        "group_size": 4,
        "prompt_tokens": 20.0,
        "mean_tokens": 60.0,
        "longest": 200,
        "spread": 0.7,
    }
    return Work(**(usual | changes))  # type: ignore[arg-type]


def policy_tokens(simulation: Simulation) -> int:
    """Of all groups that were issued: each is drawn by its number."""
    return sum(sum(simulation.work.group(number).tokens) for number in range(simulation.account().issued))


LOOPS = st.fixed_dictionaries(
    {
        "max_staleness": st.integers(0, 4),
        "minibatches_per_step": st.sampled_from([1, 2, 4, 8]),
        "stream_minibatches": st.booleans(),
        "oversample": st.sampled_from([1.0, 1.5]),
        "min_group_size": st.sampled_from([None, 3]),
    }
)
MACHINES = st.fixed_dictionaries(
    {
        "num_engines": st.integers(1, 5),
        "places": st.integers(1, 12),
        "publish_s": st.floats(0, 5),
        "score_s": st.floats(0, 0.2),
        "num_scorers": st.integers(1, 4),
        "answer_s": st.floats(0, 2),
        "hand_over_s": st.none() | st.floats(0, 3),
        "engine_faults_s": st.sampled_from([math.inf, 200.0, 40.0]),
        "learner_faults_s": st.sampled_from([math.inf, 300.0]),
        "restart_s": st.floats(0.1, 10),
        "checkpoint_every": st.integers(0, 3),
    }
)
WORKS = st.fixed_dictionaries(
    {
        "spread": st.floats(0, 2),
        "mean_turns": st.sampled_from([1.0, 1.5, 4.0]),
        "max_turns": st.sampled_from([1, 6]),
        "answer_tokens": st.floats(0, 50),
        "seed": st.integers(0, 3),
    }
)


def simulation(loop: dict[str, object], machine: dict[str, object], drawn: dict[str, object], seed: int) -> Simulation:
    if loop["stream_minibatches"]:  # a configuration that takes turns refuses it
        loop, machine = loop | {"old_logprobs": "engine"}, machine | {"hand_over_s": None}
    taken = costs(**machine)
    return Simulation(algo(**loop), replace(taken, slots=taken.places + 1), work(**drawn), seed=seed)


@settings(max_examples=60, deadline=None)
@given(LOOPS, MACHINES, WORKS, st.integers(0, 3))
def test_no_loop_breaks_what_must_hold(
    loop: dict[str, object], machine: dict[str, object], drawn: dict[str, object], seed: int
) -> None:
    one = simulation(loop, machine, drawn, seed)
    steps = one.run(STEPS)
    assert one.now >= bound(steps, one.costs, one.work) * (1 - 1e-9)
    assert all(step.staleness_max <= one.algo.max_staleness for step in steps)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    account = one.account()
    assert account.issued == account.trained + account.dropped + account.in_flight
    assert account.in_flight <= (one.algo.max_staleness + 1) * 8 + one.algo.num_surplus_groups
    assert account.trained == 8 * (STEPS - one.repeated_steps)
    again = simulation(loop, machine, drawn, seed)
    assert again.run(STEPS) == steps


@settings(max_examples=30, deadline=None)
@given(LOOPS.map(lambda loop: loop | {"min_group_size": None, "oversample": 1.0}), MACHINES, WORKS)
def test_engines_generate_what_is_trained_and_what_is_under_way(
    loop: dict[str, object], machine: dict[str, object], drawn: dict[str, object]
) -> None:
    one = simulation(loop, machine | {"learner_faults_s": math.inf}, drawn, 0)
    steps = one.run(STEPS)
    trained = sum(step.policy_tokens for step in steps)
    whole = policy_tokens(one)
    made = sum(engine.tokens - engine.lost_tokens for engine in one.engines)
    assert trained * (1 - 1e-6) <= made <= whole * (1 + 1e-6)


def seconds_of(steps: Sequence[SimulatedStep]) -> list[float]:
    return [step.seconds for step in steps]


def test_equal_lengths_on_policy_take_what_arithmetic_says() -> None:
    same = work(spread=0.0, prompt_tokens=0.0)
    one = Simulation(algo(), costs(places=16, slots=16, score_s=0.0, prefill_s=lambda tokens: 0.0), same)
    generate = 60 * (0.01 + 16e-3 + 1e-6 * 16 * 30)
    expected = generate + learn([60.0] * 32, 2) + 0.5
    assert seconds_of(one.run(3)) == pytest.approx([expected] * 3)


def test_a_step_that_runs_ahead_takes_what_the_slowest_part_takes() -> None:
    slow_learner = costs(learn_s=lambda lengths, updates: 100.0)
    steps = Simulation(algo(max_staleness=1), slow_learner, work()).run(5)
    assert seconds_of(steps)[1:] == pytest.approx([100.5] * 4)
    assert [step.idle_learner_s for step in steps[1:]] == [0.0] * 4


def test_the_longest_completion_ends_a_step_that_is_on_policy() -> None:
    one = Simulation(algo(), costs(num_engines=32, prefill_s=lambda tokens: 0.0), work())
    steps = one.run(1)
    longest = max(max(one.work.group(number).tokens) for number in range(8))
    assert steps[0].idle_learner_s > longest * decode(1, 0)


def test_minibatches_that_stream_begin_before_all_groups_are_there() -> None:
    slow = costs(learn_s=lambda lengths, updates: 0.05 * len(lengths))
    whole = Simulation(algo(), slow, work()).run(5)
    streamed = Simulation(
        algo(stream_minibatches=True, old_logprobs="engine", minibatches_per_step=4), slow, work()
    ).run(5)
    assert streamed[-1].at < 0.97 * whole[-1].at


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({"num_engines": 1}, 1.5),
        ({"publish_s": 5.0}, 1.2),
        ({"score_s": 0.3}, 1.2),
        ({"engine_faults_s": 10.0, "restart_s": 20.0}, 1.2),
        ({"learner_faults_s": 20.0, "restart_s": 20.0, "checkpoint_every": 2}, 1.2),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_what_is_slower_or_breaks_costs_time(changes: dict[str, object], least: float) -> None:
    def useful(one: Simulation) -> float:
        one.run(40)
        return one.now / max(1, one.step)

    usual = useful(Simulation(algo(max_staleness=1), costs(num_engines=2), work()))
    changed = useful(Simulation(algo(max_staleness=1), costs(**({"num_engines": 2} | changes)), work()))
    assert changed >= least * usual


def test_turns_wait_for_their_answers() -> None:
    tools = work(mean_turns=4.0, max_turns=6, answer_tokens=10.0)
    quick = Simulation(algo(), costs(answer_s=0.0), tools).run(3)
    slow = Simulation(algo(), costs(answer_s=5.0), tools).run(3)
    assert slow[-1].at > quick[-1].at + 3 * 5


def test_a_learner_that_is_lost_goes_back_to_its_checkpoint() -> None:
    one = Simulation(algo(), costs(learner_faults_s=60.0, checkpoint_every=3), work(), seed=2)
    one.run(20)
    assert one.num_learner_faults and one.repeated_steps
    assert one.step == 20 - one.repeated_steps
    assert one.version == 20 + one.num_learner_faults, "a version is never used twice"
    assert one.account().reissued >= 8 * one.repeated_steps


def test_the_mean_of_what_is_drawn_is_what_was_asked_for() -> None:
    drawn = work(longest=100, spread=1.5)
    tokens = [each for number in range(4096) for each in drawn.group(number).tokens]
    assert max(tokens) == 100
    assert sum(tokens) / len(tokens) == pytest.approx(60.0, rel=0.03)


def test_a_group_is_alike_and_the_same_on_other_machines() -> None:
    one, other = work(), work()
    assert other.group(700) == one.group(700)
    assert work(seed=1).group(700) != one.group(700)


def test_nothing_to_generate_on_stands_still() -> None:
    with pytest.raises(RuntimeError, match="stands still"):
        Simulation(algo(), costs(places=0, slots=0), work()).run(1)
