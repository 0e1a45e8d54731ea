"""Search methods of the paper (section 4.2) on the questions of a benchmark, beside plain sampling. Every method gets
the same budget of generated tokens for each question.

    Prompt --sample_answers--> samples --+--> their mean, and their majority vote
                                         +--> best_of_n: the sample with the best step rewards
           --tree_search(value model)----------> the best ended answer of the tree
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from r1ray.algo.consensus import is_right, majority
from r1ray.config import SearchConfig
from r1ray.errors import InfrastructureError
from r1ray.evaluation.policy import EnginePolicy, Sampler, trajectory_of
from r1ray.evaluation.questions import ask_each
from r1ray.evaluation.records import accuracy_of
from r1ray.evaluation.statistics import Comparison, Estimate, bootstrap, compare
from r1ray.evaluation.tree_search import Aggregate, Candidate, SearchResult, best_of_n, tree_search
from r1ray.types import Prompt, Scored

SAMPLING, MAJORITY, BEST_OF_N, TREE_SEARCH = "sampling", "majority", "best_of_n", "tree_search"


class ProcessReward(Protocol):
    """A reward model that scores steps: :class:`r1ray.reward.model.RewardModel`."""

    async def step_scores(self, prompt: str, steps: Sequence[str]) -> Sequence[float]: ...

    async def value(self, prompt: str, text: str) -> float: ...


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one method on one question."""

    right: float
    """1 or 0; for plain sampling, the share of right samples."""
    num_answers: int
    generated_tokens: int
    read_tokens: int
    """Tokens read by the reward model."""


Found = dict[str, Result]
"""Results by method."""


@dataclass(frozen=True, slots=True)
class Row:
    """Results of one method on all questions."""

    method: str
    right: Estimate
    against_majority: Comparison | None
    """Comparison with the majority vote of plain sampling, paired; None for that vote itself."""
    num_answers: float
    generated_tokens: float
    read_tokens: float
    """Means over questions."""


@dataclass(frozen=True, slots=True)
class Searcher:
    """Runs the methods on one question after the other."""

    sampler: Sampler
    reward: ProcessReward
    config: SearchConfig
    temperature: float
    top_p: float
    max_answer_tokens: int
    seed: int
    deadline_s: float
    """Deadline of one question, for all methods together."""

    async def questions(
        self, prompts: Mapping[int, Prompt], *, at_a_time: int, keep: Callable[[int, Found], None]
    ) -> dict[int, Found]:
        """Search every question, and return the results by number; ``keep`` is called with each as soon as it is
        done."""
        return await ask_each(
            prompts,
            self.question,
            at_a_time=at_a_time,
            deadline_s=self.deadline_s,
            sought=lambda prompt: f"the search for {prompt.id}",
            keep=keep,
            stands_still=self.sampler.is_recovering,
        )

    async def question(self, index: int, prompt: Prompt) -> Found:
        """Run every configured method. Raises InfrastructureError if an answer could not be scored."""
        policy = EnginePolicy(
            self.sampler,
            name=prompt.id,
            temperature=self.temperature,
            top_p=self.top_p,
            segment_end=self.config.segment_end,
        )
        config = self.config
        seed = self.seed + index * config.budget  # each sample has its own seed and at least one token
        drawn = await best_of_n(
            policy,
            self.reward.step_scores,
            prompt.text,
            max_answers=config.budget,
            max_answer_tokens=min(self.max_answer_tokens, config.budget),
            budget=config.budget,
            seed=seed,
            aggregate=cast(Aggregate, config.aggregate),
        )
        found = await self._sampled(prompt, drawn)
        if TREE_SEARCH in config.methods:
            tree = await tree_search(
                policy,
                self.reward.value,
                prompt.text,
                num_children=config.num_children,
                segment_tokens=config.segment_tokens,
                max_answer_tokens=min(self.max_answer_tokens, config.budget),
                budget=config.budget,
                seed=seed,
                exploration=config.exploration,
            )
            (right,), _ = await self._judged(prompt, [tree.best] if tree.best else [])
            found[TREE_SEARCH] = _result(tree, float(right))
        return found

    async def _sampled(self, prompt: Prompt, drawn: SearchResult) -> Found:
        right, answers = await self._judged(prompt, drawn.candidates)
        plain = SearchResult(
            candidates=drawn.candidates, best=None, generated_tokens=drawn.generated_tokens, read_tokens=0
        )
        found = {SAMPLING: _result(plain, float(np.mean(right)))}
        classes = await self.sampler.classes(prompt, answers)
        if classes is not None:
            found[MAJORITY] = _result(plain, float(is_right(majority(classes), right)))
        if BEST_OF_N in self.config.methods and drawn.best is not None:
            found[BEST_OF_N] = _result(drawn, float(right[drawn.candidates.index(drawn.best)]))
        return found

    async def _judged(self, prompt: Prompt, candidates: Sequence[Candidate]) -> tuple[list[bool], list[str | None]]:
        """Return whether each candidate is right, and its answer; a single wrong one if there are no candidates."""
        if not candidates:
            return [False], [None]
        texts = [
            trajectory_of(each.text, index=index, num_tokens=each.num_tokens, is_finished=each.is_finished)
            for index, each in enumerate(candidates)
        ]
        scored = await asyncio.gather(*(self.sampler.score(prompt, text) for text in texts))
        right = []
        for trajectory in scored:
            if not isinstance(trajectory.outcome, Scored):
                raise InfrastructureError(f"an answer to {prompt.id} could not be scored: {trajectory.outcome.reason}")
            right.append(accuracy_of(trajectory.outcome) >= 1.0)
        return right, [trajectory.extracted for trajectory in scored]


def table_of(found: Sequence[Found], *, seed: int) -> list[Row]:
    """Return one row for each method, over the questions."""
    rows = []
    for method in found[0]:
        results = [of_question[method] for of_question in found]
        right_Q = [[result.right] for result in results]
        comparison = None
        if method != MAJORITY and MAJORITY in found[0]:
            comparison = compare(right_Q, [[each[MAJORITY].right] for each in found], seed=seed)
        rows.append(
            Row(
                method,
                bootstrap(right_Q, seed=seed),
                comparison,
                float(np.mean([result.num_answers for result in results])),
                float(np.mean([result.generated_tokens for result in results])),
                float(np.mean([result.read_tokens for result in results])),
            )
        )
    return rows


def _result(of: SearchResult, right: float) -> Result:
    return Result(right, len(of.candidates), of.generated_tokens, of.read_tokens)
