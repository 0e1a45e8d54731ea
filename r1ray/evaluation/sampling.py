"""Sampling of answers to questions from the policy on the engines, k samples each (paper section 3).

Prompt --run_group--> k trajectories, judged --classes--> Answered --metrics_of--> pass@1, cons@k, ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace

from r1ray.config.sources import DOMAIN, ENVIRONMENT
from r1ray.errors import GroupLost, InfrastructureError, PartFailure
from r1ray.evaluation.dialogues import dialogues_of
from r1ray.evaluation.questions import ask_each
from r1ray.evaluation.records import Answered, InWorld, Sample, accuracy_of
from r1ray.evaluation.resampling import Metric
from r1ray.evaluation.summary import metrics_of
from r1ray.interfaces import GroupRunner
from r1ray.reward.failure_book import FailureBook, failures_of
from r1ray.runtime.advance import advancing
from r1ray.telemetry.eval_result import EvalResult
from r1ray.types import (
    GroupRecord,
    GroupRequest,
    Prompt,
    Removed,
    Sampling,
    Scored,
    ScoredGroup,
    ScoredTrajectory,
    Trajectory,
    Unscorable,
    trajectory_id,
)

Rank = Callable[[str, Sequence[str]], Awaitable[Sequence[float]]]
"""A reward model: it returns one score for each whole output to a prompt, higher is better."""
OF_ENVIRONMENTS = ("environment_lost", "environment_failed")
"""Reasons for which trajectories are removed because of their environment."""
Record = Callable[[Sequence[GroupRecord]], Awaitable[None]]
"""The rollout log, as seen by an evaluation."""


async def answer_questions(
    runner: GroupRunner,
    prompts: Mapping[int, Prompt],
    *,
    name: str,
    samples: int,
    sampling: Sampling,
    seed: int,
    slots: int,
    deadline_s: float,
    world_s: float = 0.0,
    groups: Callable[[int], dict[str, str]] = lambda index: {},
    with_texts: bool = False,
    rank: Rank | None = None,
    keep: Callable[[int, Answered], None] = lambda index, question: None,
    book: FailureBook | None = None,
    hold: Callable[[int, ScoredGroup], None] | None = None,
) -> dict[int, Answered]:
    """Sample every prompt ``samples`` times and judge the samples.

    Args:
        prompts: prompts by their number in the benchmark. Only the number and ``seed`` decide the seeds of the samples.
        slots: number of trajectories under way at a time, at least those of one question.
        deadline_s: deadline of one question, from when it is asked.
        world_s: as in :func:`~r1ray.evaluation.questions.ask_each`.
        groups: returns the groups of a question, for means by subject.
        with_texts: also read the texts, from the worker that holds them.
        rank: scores the texts; needs ``with_texts``.
        keep: is called with each question as soon as it is answered.
        book: reports failures of reward functions.
        hold: takes over each group, which its worker then holds until it is told to drop it; None: it is dropped.
    """
    book = book or FailureBook()

    async def one(index: int, prompt: Prompt) -> Answered:
        request = GroupRequest(
            group_id=f"eval/{name}/{index}",
            prompt=prompt,
            group_size=samples,
            sampling=sampling,
            seed=seed + index * samples,
            is_eval=True,
        )
        group, texts = await _asked(runner, request, with_texts=with_texts)
        if hold is None:
            await runner.drop([group])
        else:
            hold(index, group)
        for failure in _failures(group):
            book.note(failure, prompt.id)
        judged = _samples(group, texts)
        if rank is not None:
            scores = await rank(prompt.text, [sample.text for sample in judged])
            judged = [replace(sample, score=score) for sample, score in zip(judged, scores, strict=True)]
        return Answered(
            id=prompt.id,
            groups=groups(index),
            num_prompt_tokens=max((each.num_prompt_tokens for each in group.trajectories), default=0),
            samples=tuple(judged),
            classes=await runner.classes(prompt, [sample.extracted for sample in judged]),
        )

    with advancing(f"evaluation of {name or 'the held-out sets'}", total=len(prompts)) as advance:

        def count(index: int, question: Answered) -> None:
            advance.done += 1
            keep(index, question)

        return await ask_each(
            prompts,
            one,
            at_a_time=slots // samples,
            deadline_s=deadline_s,
            world_s=world_s,
            sought=lambda prompt: f"the answers to question {prompt.id} of {name}",
            keep=count,
            stands_still=runner.is_recovering,
        )


async def _asked(
    runner: GroupRunner, request: GroupRequest, *, with_texts: bool
) -> tuple[ScoredGroup, Mapping[str, Trajectory]]:
    """Return a group and its texts. The group is requested once more, with the same seeds, if its worker is lost."""
    while True:
        try:
            group = await runner.run(request)
        except GroupLost:
            continue
        texts = await runner.read([group]) if with_texts else {}
        if not with_texts or texts.keys() >= {_id(group, each) for each in group.trajectories}:
            return group, texts


def _id(group: ScoredGroup, one: ScoredTrajectory) -> str:
    return trajectory_id(group.group_id, one.index)


def _failures(group: ScoredGroup) -> list[PartFailure]:
    """Return the failures of reward functions and environments in a group."""
    of_environments = [each.failure for each in group.removed if each.failure is not None]
    return [failure for each in group.trajectories for failure in failures_of(each.outcome)] + of_environments


def _samples(group: ScoredGroup, texts: Mapping[str, Trajectory]) -> list[Sample]:
    """Return the samples in the order of their indices; a sample whose environment failed could not be scored. Raises
    InfrastructureError if a sample could not be generated."""
    samples = {each.index: _sample(each, texts.get(_id(group, each))) for each in group.trajectories}
    for removed in group.removed:
        if removed.reason not in OF_ENVIRONMENTS:
            raise InfrastructureError(
                f"sample {removed.index} of {group.group_id} could not be generated: {removed.reason}"
            )
        samples[removed.index] = _without_world(removed)
    return [samples[index] for index in sorted(samples)]


def _without_world(removed: Removed) -> Sample:
    return Sample(
        text="",
        num_tokens=removed.num_policy_tokens,
        is_truncated=False,
        extracted=None,
        value=None,
        metrics={},
        detail=": ".join([removed.reason, *([] if removed.failure is None else [str(removed.failure)])]),
        fault="machine",
    )


def _sample(judged: ScoredTrajectory, trajectory: Trajectory | None) -> Sample:
    outcome = judged.outcome
    scored = outcome if isinstance(outcome, Scored) else None
    return Sample(
        text=trajectory.text if trajectory is not None else "",
        num_tokens=judged.num_policy_tokens,
        is_truncated=judged.status == "truncated",
        extracted=judged.extracted,
        value=accuracy_of(scored) if scored else None,
        metrics=dict(scored.parts) if scored else {},
        detail=outcome.reason if not isinstance(outcome, Scored) else ": ".join(filter(None, _words(outcome))),
        fault="reference" if isinstance(outcome, Unscorable) else None if scored else "machine",
        world=_in_world(judged, scored),
        dialogues=dialogues_of(trajectory) if trajectory is not None else (),
    )


def _in_world(judged: ScoredTrajectory, scored: Scored | None) -> InWorld | None:
    if judged.world is None:
        return None
    return InWorld(
        reward=scored.total if scored else None,
        num_turns=judged.num_turns,
        num_calls=judged.world.num_calls,
        num_errors=judged.world.num_errors,
        wait_s=judged.world.seconds,
    )


def _words(outcome: Scored) -> tuple[str, ...]:
    return outcome.label, outcome.detail, *map(str, outcome.failures)


async def evaluate(
    runner: GroupRunner,
    prompts: Sequence[Prompt],
    *,
    benchmark: str,
    samples: int,
    sampling: Sampling,
    seed: int,
    slots: int,
    deadline_s: float,
    world_s: float = 0.0,
    groups: Sequence[Collection[str]] = (),
    book: FailureBook | None = None,
    record: Record | None = None,
) -> EvalResult:
    """Return the metrics of one version during training: pass@1 with its 95 % interval over questions (``pass@1_low``,
    ``pass@1_high``), cons@<samples> if answers can vote, lengths, rates, and the mean of every part of the reward.

    A sample that cannot be scored, or whose environment failed, is left out and counted (``unscored``), and never
    counts as wrong. Prompts with an environment add pass@<samples> and statistics of trajectories in environments.

    Args:
        groups: groups in which each prompt counts; each has the same metrics under its name: ``aime/pass@1``.
        book: as in :func:`answer_questions`.
        record: takes over the groups, whose workers hold their texts until it drops them.
    """
    held: dict[int, ScoredGroup] = {}
    try:
        answered = await answer_questions(
            runner,
            dict(enumerate(prompts)),
            name=benchmark,
            samples=samples,
            sampling=sampling,
            seed=seed,
            slots=slots,
            deadline_s=deadline_s,
            world_s=world_s,
            book=book,
            hold=held.__setitem__ if record is not None else None,
        )
    except BaseException:
        await runner.drop(held.values())
        raise
    if record is not None:
        await record([_record(prompts[index], held[index]) for index in sorted(held)])
    questions = list(answered.values())
    if all(sample.value is None for question in questions for sample in question.samples):
        raise InfrastructureError(f"no sample of the evaluation could be scored: {questions[0].samples[0].detail}")
    can_vote = all(question.classes is not None for question in questions)
    metrics = ["pass@1", f"cons@{samples}"] if can_vote else ["pass@1"]
    if samples > 1 and any(prompt.environment for prompt in prompts):
        metrics.append(f"pass@{samples}")
    found = _flat(metrics_of(questions, metrics, seed=seed)) | _means(questions)
    for name, members in _by_group(questions, groups).items():
        of_group = _flat(metrics_of(members, metrics, seed=seed)) | _means(members)
        found |= {f"{name}/{metric}": value for metric, value in of_group.items()}
    return EvalResult(benchmark, found)


def _record(prompt: Prompt, group: ScoredGroup) -> GroupRecord:
    nothing = (None,) * len(group.trajectories)
    return GroupRecord(group_id=group.group_id, prompt=prompt, group=group, advantages=nothing, status="evaluated")


def _by_group(questions: Sequence[Answered], groups: Sequence[Collection[str]]) -> dict[str, list[Answered]]:
    """Return the questions of each group: sets, then domains, then environments."""
    places = {DOMAIN: 1, ENVIRONMENT: 2}
    names = sorted(
        dict.fromkeys(name for each in groups for name in each), key=lambda name: places.get(name.partition("/")[0], 0)
    )
    pairs = list(zip(questions, groups, strict=True)) if groups else []
    return {name: [question for question, each in pairs if name in each] for name in names}


def _flat(metrics: Mapping[str, Metric]) -> dict[str, float]:
    flat = {}
    for name, metric in metrics.items():
        flat[name] = metric.value
        if name == "pass@1" and metric.over_questions is not None:
            flat[f"{name}_low"], flat[f"{name}_high"] = metric.over_questions
    return flat


def _means(questions: Sequence[Answered]) -> dict[str, float]:
    """Return the mean of every part of the reward, over all samples that have it."""
    values: dict[str, list[float]] = {}
    for question in questions:
        for sample in question.samples:
            for name, value in sample.metrics.items():
                values.setdefault(name, []).append(value)
    return {name: sum(of_part) / len(of_part) for name, of_part in values.items()}
