"""Search at evaluation time (paper section 4.2): sampling, best-of-n by a process reward model, and tree search guided
by a value model, all held to the same budget of generated tokens.

    prefix --Generate--> segments --+--> sample_answers (whole answers) --> Candidates --best_of_n(StepRewards)--> best
                                    +--> tree_search (parts of answers, Value) ---------------------------------> best

A budget counts every generated token, used or not, and is never exceeded: the rest of it bounds ``max_tokens`` of each
call. Tokens that a reward or value model reads are reported separately. Only the generator is random, and its seeds
derive from one seed: with a deterministic generator and models, every search is deterministic.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Aggregate: TypeAlias = Literal["min", "prod", "last"]
StepRewards: TypeAlias = Callable[[str, Sequence[str]], Awaitable[Sequence[float]]]
"""A process reward model: from (prompt, steps of an answer) to one reward for each step, in [0, 1]."""
Value: TypeAlias = Callable[[str, str], Awaitable[float]]
"""A value model: from (prompt, answer so far) to the chance of a right answer, in [0, 1]."""
_FENCE = re.compile(r"[ \t]*(?:```|~~~)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A continuation returned by the generator."""

    text: str
    num_tokens: int
    """At least 1, because an end of sequence counts, too."""
    is_final: bool
    """True if the model ended its answer here; False at a segment's end, or if the length limit cut it."""


class Generate(Protocol):
    """The policy."""

    async def __call__(
        self, prefix: str, *, num_samples: int, max_tokens: int, whole: bool, seed: int
    ) -> Sequence[Piece]:
        """Return ``num_samples`` continuations of a text, sample i with ``seed + i``, each of at most ``max_tokens``
        tokens: to the end of the answer if ``whole``, otherwise to the end of a segment (a tag, a blank line)."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer found by a search."""

    text: str
    num_tokens: int
    is_finished: bool
    score: float
    """Score by the model that guides the search; 0 if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Result and cost of a search."""

    candidates: tuple[Candidate, ...]
    """Answers in the order in which they were found. For votes: :func:`r1ray.algo.consensus.majority`."""
    best: Candidate | None
    """The finished one with the highest score, the first of several; an unfinished one only if none is finished."""
    generated_tokens: int
    read_tokens: int
    """Tokens read by the reward or value model: an answer's tokens each time it is shown, without the prompt's."""


async def sample_answers(
    generate: Generate, prompt: str, *, max_answers: int, max_answer_tokens: int, budget: int, seed: int
) -> SearchResult:
    """Sample whole answers until there are enough or the budget is spent. The budget may cut the last answer, which is
    then not finished. As nothing is scored, ``best`` is the first finished one."""
    meter = _Meter(generate, budget=budget, seed=seed)
    candidates: list[Candidate] = []
    while len(candidates) < max_answers and meter.left:
        missing = max_answers - len(candidates)
        drawn = await meter.draw(prompt, num_samples=missing, max_tokens=max_answer_tokens, whole=True)
        candidates += [Candidate(segment.text, segment.num_tokens, segment.is_final, 0.0) for segment in drawn]
    return _result(candidates, meter, read_tokens=0)


async def best_of_n(
    generate: Generate,
    rewards: StepRewards,
    prompt: str,
    *,
    max_answers: int,
    max_answer_tokens: int,
    budget: int,
    seed: int,
    aggregate: Aggregate = "min",
) -> SearchResult:
    """Run :func:`sample_answers`, and choose the answer whose steps get the best process rewards (Lightman et al.
    2023). The samples are those that plain sampling would draw with the same seed and budget."""
    drawn = await sample_answers(
        generate,
        prompt,
        max_answers=max_answers,
        max_answer_tokens=max_answer_tokens,
        budget=budget,
        seed=seed,
    )

    async def scored(candidate: Candidate) -> Candidate:
        steps = split_steps(candidate.text)
        of_steps = await rewards(prompt, steps) if steps else []
        if len(of_steps) != len(steps):
            raise ValueError(f"the process reward model gave {len(of_steps)} rewards for {len(steps)} steps.")
        score = _checked(aggregate_rewards(of_steps, how=aggregate)) if steps else 0.0
        return Candidate(candidate.text, candidate.num_tokens, candidate.is_finished, score)

    candidates = await asyncio.gather(*map(scored, drawn.candidates))
    read_tokens = sum(candidate.num_tokens for candidate in candidates)
    return SearchResult(
        candidates=tuple(candidates),
        best=_best(candidates),
        generated_tokens=drawn.generated_tokens,
        read_tokens=read_tokens,
    )


async def tree_search(
    generate: Generate,
    value: Value,
    prompt: str,
    *,
    num_children: int,
    segment_tokens: int,
    max_answer_tokens: int,
    budget: int,
    seed: int,
    exploration: float = 0.5,
) -> SearchResult:
    """Run Monte Carlo tree search over answers in segments, guided by a value model (Silver et al. 2017).

        selection     from the root, the child with the largest  Q + c P sqrt(N of the parent) / (1 + N)   (PUCT)
        expansion     num_children segments sampled once after the leaf (the paper's limit on a node's extension);
                      equal ones are one child, and P is the share of samples that gave it
        evaluation    the value model's value of the answer up to each child, its first Q; no rollout
        backup        the mean of these values, weighted by P, is one visit of the leaf and of all nodes above it; Q is
                      the mean of a node's own value and of all visits

    c is ``exploration``. AlphaZero's 1.25 is for hundreds of visits of the root; budgets here allow dozens.

    Ended answers, answers of ``max_answer_tokens``, and nodes with only such nodes below are not selected again. Every
    round therefore generates something, and the search ends with the budget or with the tree. Candidates are all ended
    answers, or the leaves if there are none.
    """
    meter = _Meter(generate, budget=budget, seed=seed)
    root = _Node(text="", num_tokens=0, prior=1.0, is_final=False)
    nodes: list[_Node] = []
    read_tokens = 0
    while meter.left and not root.is_closed:
        path = _select(root, exploration)
        leaf = path[-1]
        drawn = await meter.draw(
            prompt + leaf.text,
            num_samples=num_children,
            max_tokens=min(segment_tokens, max_answer_tokens - leaf.num_tokens),
            whole=False,
        )
        leaf.children = _children(leaf, drawn, max_answer_tokens)
        nodes += leaf.children
        opinions = await asyncio.gather(*(value(prompt, child.text) for child in leaf.children))
        for child, opinion in zip(leaf.children, opinions, strict=True):
            read_tokens += child.num_tokens
            child.value = child.total = _checked(opinion)
        for node in reversed(path):
            node.visits += 1
            node.total += sum(child.prior * child.value for child in leaf.children)
            node.is_closed = all(child.is_closed for child in node.children)
    ended = [node for node in nodes if node.is_final] or [node for node in nodes if not node.children]
    candidates = [Candidate(node.text, node.num_tokens, node.is_final, node.value) for node in ended]
    return _result(candidates, meter, read_tokens=read_tokens)


def split_steps(text: str) -> list[str]:
    """Split an answer into steps: its paragraphs, divided by blank lines; blank lines in fenced code do not divide.

    >>> split_steps("First add.\\n\\nThen divide:\\nby 2\\n\\n\\nSo 4.")
    ['First add.', 'Then divide:\\nby 2', 'So 4.']
    """
    steps: list[list[str]] = [[]]
    is_code = False
    for line in text.split("\n"):
        is_code ^= _FENCE.match(line) is not None
        if line.strip() or is_code:
            steps[-1].append(line)
        elif steps[-1]:
            steps.append([])
    return ["\n".join(lines) for lines in steps if lines]


def aggregate_rewards(rewards: Sequence[float], *, how: Aggregate) -> float:
    """Return the reward of an answer from those of its steps: the weakest step (``min``), the chance that all are right
    (``prod``), or the last step (``last``)."""
    if not rewards:
        raise ValueError("an answer without steps has no reward.")
    if how == "min":
        return min(rewards)
    return math.prod(rewards) if how == "prod" else rewards[-1]


@dataclass(slots=True)
class _Node:
    """The answer up to the end of one segment, and statistics of what follows."""

    text: str
    num_tokens: int
    prior: float
    is_final: bool
    is_closed: bool = False
    """True if nothing below can be expanded."""
    value: float = 0.0
    visits: int = 1
    total: float = 0.0
    """Sum of ``value`` and all visits."""
    children: list[_Node] = field(default_factory=list)


@dataclass(slots=True)
class _Meter:
    """A generator with a budget."""

    generate: Generate
    budget: int
    seed: int
    spent: int = 0
    num_drawn: int = 0

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise ValueError(f"a search needs a budget of at least 1 token, not {self.budget}.")

    @property
    def left(self) -> int:
        return self.budget - self.spent

    async def draw(self, prefix: str, *, num_samples: int, max_tokens: int, whole: bool) -> Sequence[Piece]:
        """Return as many of the samples as fit into the budget at full length; if none does, one sample with the rest
        of it."""
        if num_samples < 1 or max_tokens < 1:
            raise ValueError(f"needs at least 1 sample of at least 1 token, not {num_samples} of {max_tokens}.")
        count = max(1, min(num_samples, self.left // max_tokens))
        limit = min(max_tokens, self.left)
        seed, self.num_drawn = self.seed + self.num_drawn, self.num_drawn + count
        drawn = await self.generate(prefix, num_samples=count, max_tokens=limit, whole=whole, seed=seed)
        if len(drawn) != count or not all(1 <= segment.num_tokens <= limit for segment in drawn):
            lengths = [segment.num_tokens for segment in drawn]
            raise ValueError(f"the generator was asked for {count} samples of 1 to {limit} tokens and gave {lengths}.")
        self.spent += sum(segment.num_tokens for segment in drawn)
        return drawn


def _select(root: _Node, exploration: float) -> list[_Node]:
    """Return the path from the root to the leaf to expand; of equal children, the first."""
    path = [root]
    while path[-1].children:
        parent = path[-1]
        bonus = exploration * math.sqrt(parent.visits)
        open_children = [child for child in parent.children if not child.is_closed]
        path.append(max(open_children, key=lambda c: c.total / c.visits + bonus * c.prior / (1 + c.visits)))
    return path


def _children(leaf: _Node, drawn: Sequence[Piece], max_answer_tokens: int) -> list[_Node]:
    shares = Counter((segment.text, segment.is_final) for segment in drawn)
    tokens = {(segment.text, segment.is_final): segment.num_tokens for segment in reversed(drawn)}
    return [
        _Node(
            text=leaf.text + text,
            num_tokens=leaf.num_tokens + tokens[text, is_final],
            prior=share / len(drawn),
            is_final=is_final,
            is_closed=is_final or leaf.num_tokens + tokens[text, is_final] >= max_answer_tokens,
        )
        for (text, is_final), share in shares.items()
    ]


def _result(candidates: Sequence[Candidate], meter: _Meter, *, read_tokens: int) -> SearchResult:
    return SearchResult(
        candidates=tuple(candidates), best=_best(candidates), generated_tokens=meter.spent, read_tokens=read_tokens
    )


def _checked(score: float) -> float:
    if not math.isfinite(score):
        raise ValueError(f"the model that guides the search gave {score}.")
    return score


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    return max(candidates, key=lambda candidate: (candidate.is_finished, candidate.score), default=None)
