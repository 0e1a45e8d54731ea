"""The arithmetic of a step: prompts, completions, minibatches, micro-batches, tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from r1ray.config import RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One average step, or, of recipes that only sample, all of it."""

    prompts: int
    completions: int
    """Sequences that are trained on, or sampled."""
    prompt_tokens: float
    """Of an average sequence."""
    completion_tokens: float
    """Tokens of the policy's, in all turns."""
    longest_completion: int
    updates: int
    microbatches: int
    """Of all updates, on each shard."""
    shards: int
    lines: tuple[str, ...]
    """The arithmetic, written out."""
    turns: float = 1.0
    context_tokens: float = 0.0
    """Tokens that environments answer, in all turns."""

    @property
    def tokens_per_sequence(self) -> float:
        return self.prompt_tokens + self.completion_tokens + self.context_tokens

    @property
    def trained_tokens(self) -> float:
        return self.completions * self.tokens_per_sequence


def prompt_tokens(config: RunConfig) -> float:
    return config.plan.prompt_tokens or max(1.0, config.data.max_prompt_tokens / 4)


def completion_tokens(config: RunConfig, longest: int) -> float:
    return min(config.plan.completion_tokens or max(1.0, longest / 4), longest)


def turns_of_trajectory(config: RunConfig) -> float:
    """Return the turns of an average trajectory."""
    settings = config.environment
    usual = max(1.0, settings.max_turns / 4) if config.names_environments else 1.0
    return min(config.plan.turns or usual, float(settings.max_turns))


def context_tokens(config: RunConfig, turns: float) -> float:
    """Return what environments answer in an average trajectory, as far as it has room: every turn but the last is
    answered."""
    settings, longest = config.environment, config.algo.max_completion_tokens
    each = min(config.plan.context_tokens or max(1.0, settings.max_context_tokens / 4), settings.max_context_tokens)
    room = settings.trajectory_tokens(longest) - completion_tokens(config, longest)
    return max(0.0, min((turns - 1) * each, room))


def reinforcement_batch(config: RunConfig) -> Batch:
    """A step of reinforcement learning."""
    algo, learner = config.algo, config.learner
    prompt, completion = prompt_tokens(config), completion_tokens(config, algo.max_completion_tokens)
    each = algo.completions_per_step // algo.minibatches_per_step
    shards, limit = learner.num_shards, learner.max_tokens_per_microbatch
    turns = turns_of_trajectory(config)
    context = context_tokens(config, turns)
    length = prompt + completion + context
    micro = _microbatches(each, length, shards, limit)
    tokens = each * length
    answers = f" + {context:,.0f}" if context else ""
    lines = [
        f"{algo.prompts_per_step} prompts x {algo.group_size} = {algo.completions_per_step:,} completions a step",
        f"/ {algo.minibatches_per_step} updates = {each:,} completions an update x ({prompt:,.0f} + {completion:,.0f}"
        f"{answers}) tokens = {tokens:,.0f} tokens",
        f"/ {shards} shards ({learner.num_ranks} ranks / sequence_parallel_size={learner.sequence_parallel_size}) "
        f"/ {limit:,} tokens = {micro} micro-batches of each shard",
    ]
    if turns > 1:
        lines.append(f"{turns:g} turns of a trajectory, answered in {config.plan.answer_s:g} s each (plan.answer_s)")
    return Batch(
        prompts=algo.prompts_per_step,
        completions=algo.completions_per_step,
        prompt_tokens=prompt,
        completion_tokens=completion,
        longest_completion=algo.max_completion_tokens,
        updates=algo.minibatches_per_step,
        microbatches=micro * algo.minibatches_per_step,
        shards=shards,
        lines=tuple(lines),
        turns=turns,
        context_tokens=context,
    )


def supervised_batch(config: RunConfig) -> Batch:
    """An update of a recipe that learns from given answers; a pair is two sequences."""
    settings, learner = config.supervised, config.learner
    together = config.sequences_per_row
    length = min(config.plan.completion_tokens or settings.max_tokens / 4, settings.max_tokens)
    sequences = settings.sequences_per_step * together
    shards, limit = learner.num_shards, learner.max_tokens_per_microbatch
    micro = _microbatches(sequences, length, shards, limit)
    lines = (
        f"{settings.sequences_per_step} {'pairs' if together == 2 else 'dialogues'} x {together * length:,.0f} tokens "
        f"= {sequences * length:,.0f} tokens an update",
        f"/ {shards} shards / {limit:,} tokens = {micro} micro-batches of each shard",
    )
    return Batch(
        prompts=settings.sequences_per_step,
        completions=sequences,
        prompt_tokens=0.0,
        completion_tokens=length,
        longest_completion=settings.max_tokens,
        updates=1,
        microbatches=micro,
        shards=shards,
        lines=lines,
    )


def sampling_batch(config: RunConfig) -> Batch:
    """Each 1,000 prompts of recipe=collect; all questions of recipe=evaluate."""
    if config.recipe == "collect":
        prompts, samples, longest = 1000, config.collect.samples * len(config.collect.ways), config.collect.max_tokens
        what = "each 1,000 prompts"
    else:
        prompts, samples = config.eval.final_num_prompts, config.eval.final_samples
        longest, what = config.algo.max_completion_tokens, f"{prompts} prompts"
    completion = completion_tokens(config, longest)
    prompt = prompt_tokens(config)
    line = f"{what} x {samples} samples x ({prompt:,.0f} + {completion:,.0f}) tokens"
    return Batch(
        prompts=prompts,
        completions=prompts * samples,
        prompt_tokens=prompt,
        completion_tokens=completion,
        longest_completion=longest,
        updates=0,
        microbatches=0,
        shards=0,
        lines=(line,),
    )


def evaluation_batch(config: RunConfig, batch: Batch) -> Batch:
    """Return what is sampled in one evaluation between two steps."""
    settings = config.eval
    return replace(batch, prompts=settings.num_prompts, completions=settings.num_prompts * settings.samples)


def _microbatches(sequences: int, length: float, shards: int, limit: int) -> int:
    """Of one update on each shard: sequences are packed whole."""
    held = max(1, int(limit // length))
    return max(1, math.ceil(math.ceil(sequences / shards) / held))
