"""Questions put to the policy that the engines hold, k samples each (paper section 3).

Prompt --run_group--> k trajectories, judged --classes--> Answered --figures_of--> pass@1, cons@k, ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from r1ray.errors import InfrastructureError
from r1ray.evaluation.figures import figures_of
from r1ray.evaluation.questions import Open, ask_each
from r1ray.evaluation.records import Answered, Sample, accuracy_of
from r1ray.evaluation.resampling import Figure
from r1ray.interfaces import RolloutEngine, Scorer
from r1ray.rollout.group import FinishedGroup, run_group
from r1ray.types import EvalResult, GroupRequest, Prompt, Sampling, Scored, ScoredTrajectory, Trajectory, Unscorable

C = TypeVar("C")
Rank = Callable[[str, Sequence[str]], Awaitable[Sequence[float]]]
"""A reward model: of a prompt and whole outputs one score each, higher is better."""


async def answer_questions(
    rollout: RolloutEngine[C],
    scorer: Scorer[C],
    prompts: Mapping[int, Prompt],
    *,
    name: str,
    samples: int,
    sampling: Sampling,
    seed: int,
    slots: int,
    deadline_s: float,
    on_start: Callable[[int], None] = lambda attempt: None,
    groups: Callable[[int], dict[str, str]] = lambda index: {},
    open_chunk: Open[C] | None = None,
    rank: Rank | None = None,
    keep: Callable[[int, Answered], None] = lambda index, question: None,
) -> dict[int, Answered]:
    """Sample every prompt ``samples`` times and judge what comes.

    Args:
        prompts: by their number in the benchmark. The number and ``seed`` decide the seeds of the samples, whatever
            else is asked.
        slots: trajectories that are under way at a time, at least those of one question.
        deadline_s: of one question, once it is asked.
        on_start: as of :func:`~r1ray.rollout.group.run_group`.
        groups: of a question, for means by subject.
        open_chunk: where texts are wanted.
        rank: scores the texts; needs ``open_chunk``.
        keep: is called with each question as soon as it is answered.
    """

    async def one(index: int, prompt: Prompt) -> Answered:
        request = GroupRequest(
            occurrence=f"eval/{name}/{index}",
            prompt=prompt,
            num_completions=samples,
            sampling=sampling,
            seed=seed + index * samples,
        )
        group = await run_group(rollout, scorer, request, on_start=on_start)
        judged = await _samples(group, open_chunk)
        if rank is not None:
            scores = await rank(prompt.text, [sample.text for _, sample in judged])
            judged = [(t, replace(sample, score=score)) for (t, sample), score in zip(judged, scores, strict=True)]
        answers = [sample.extracted for _, sample in judged]
        return Answered(
            id=prompt.id,
            groups=groups(index),
            num_prompt_tokens=judged[0][0].num_prompt_tokens,
            samples=tuple(sample for _, sample in judged),
            classes=await scorer.classes(prompt, answers),
        )

    return await ask_each(
        prompts,
        one,
        at_a_time=slots // samples,
        deadline_s=deadline_s,
        sought=lambda prompt: f"the answers to question {prompt.id} of {name}",
        keep=keep,
    )


async def _samples(group: FinishedGroup[C], open_chunk: Open[C] | None) -> list[tuple[ScoredTrajectory, Sample]]:
    """In the order of their indices."""
    judged = []
    for chunk, scored in zip(group.chunks, group.trajectories, strict=True):
        opened: Sequence[Trajectory | None] = [None] * len(scored)
        if open_chunk is not None:
            opened = await open_chunk(chunk)
        judged += [(each, _sample(each, trajectory)) for each, trajectory in zip(scored, opened, strict=True)]
    return sorted(judged, key=lambda pair: pair[0].index)


def _sample(judged: ScoredTrajectory, trajectory: Trajectory | None) -> Sample:
    outcome = judged.outcome
    scored = outcome if isinstance(outcome, Scored) else None
    return Sample(
        text=trajectory.text if trajectory is not None else "",
        num_tokens=judged.num_policy_tokens,
        is_truncated=judged.status == "truncated",
        extracted=judged.extracted,
        value=accuracy_of(scored) if scored else None,
        figures=dict(scored.parts) if scored else {},
        detail=outcome.reason if not isinstance(outcome, Scored) else ": ".join(filter(None, _words(outcome))),
        fault="reference" if isinstance(outcome, Unscorable) else None if scored else "machine",
    )


def _words(outcome: Scored) -> tuple[str, str]:
    return outcome.label, outcome.detail


async def evaluate(
    rollout: RolloutEngine[C],
    scorer: Scorer[C],
    prompts: Sequence[Prompt],
    *,
    benchmark: str,
    samples: int,
    sampling: Sampling,
    seed: int,
    slots: int,
    deadline_s: float,
    on_start: Callable[[int], None] = lambda attempt: None,
) -> EvalResult:
    """The figures of one version during training: pass@1 with its 95 % interval over questions (``pass@1_low``,
    ``pass@1_high``), cons@<samples> where answers can vote, lengths, rates, and the mean of every part of the reward.

    A sample that cannot be scored is left out and counted (``unscored``), never wrong.
    """
    answered = await answer_questions(
        rollout,
        scorer,
        dict(enumerate(prompts)),
        name=benchmark,
        samples=samples,
        sampling=sampling,
        seed=seed,
        slots=slots,
        deadline_s=deadline_s,
        on_start=on_start,
    )
    questions = list(answered.values())
    if all(sample.value is None for question in questions for sample in question.samples):
        raise InfrastructureError(f"no sample of the evaluation could be scored: {questions[0].samples[0].detail}")
    can_vote = all(question.classes is not None for question in questions)
    metrics = ["pass@1", f"cons@{samples}"] if can_vote else ["pass@1"]
    return EvalResult(benchmark, _flat(figures_of(questions, metrics, seed=seed)) | _means(questions))


def _flat(figures: Mapping[str, Figure]) -> dict[str, float]:
    flat = {}
    for name, figure in figures.items():
        flat[name] = figure.value
        if name == "pass@1" and figure.over_questions is not None:
            flat[f"{name}_low"], flat[f"{name}_high"] = figure.over_questions
    return flat


def _means(questions: Sequence[Answered]) -> dict[str, float]:
    """Of every part of the reward, over all samples that have it."""
    values: dict[str, list[float]] = {}
    for question in questions:
        for sample in question.samples:
            for name, value in sample.figures.items():
                values.setdefault(name, []).append(value)
    return {name: sum(of_part) / len(of_part) for name, of_part in values.items()}
