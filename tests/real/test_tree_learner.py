"""The learner that packs trees against plain PyTorch: two ranks, every ZeRO stage, Ulysses, checkpointing."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from r1ray.algo.batching import plan_shards
from r1ray.rollout.engine import one_segment
from r1ray.types import SampleRef, Trajectory, VersionSpan
from tests.real.ranks import run_ranks
from tests.real.test_learner import LEARNER, Job, Step, check_second_step, make_job, metrics

pytestmark = [pytest.mark.real, pytest.mark.long]
TREE = {"packing": "tree", "max_tokens_per_microbatch": 80}
DIVIDED = {
    **{f"zero{stage}": {"zero_stage": stage, **TREE} for stage in range(4)},
    "checkpointed_activations": {"zero_stage": 2, "gradient_checkpointing": True, **TREE},
}
TOGETHER = {
    "sequence_parallel": {"zero_stage": 2, "sequence_parallel_size": 2, **TREE},
    "sequence_parallel_zero3": {"zero_stage": 3, "sequence_parallel_size": 2, **TREE},
}
PROMPT, SIZE, NUM_GROUPS = 14, 5, 4


def group_rows(seed: int) -> list[Trajectory]:
    """Groups of one prompt each, two outputs of which are the same; the prompts of the last group part in the
    middle, as those of an environment may."""
    rng = np.random.default_rng(seed)
    made = []
    for group in range(NUM_GROUPS):
        prompt, tokens = rng.integers(3, 262, PROMPT), rng.integers(3, 262, 6)
        for index in range(SIZE):
            if group == NUM_GROUPS - 1:
                prompt = np.concatenate([prompt[: PROMPT // 2], rng.integers(3, 262, PROMPT - PROMPT // 2)])
            output = tokens if index < 2 else rng.integers(3, 262, int(rng.integers(1, 14)))
            made.append(
                one_segment(
                    group_id=f"0/{group}",
                    index=index,
                    prompt_token_ids=prompt.astype(np.int32),
                    token_ids=output.astype(np.int32),
                    logprobs=(-np.log(288) / 0.8 + rng.normal(0, 0.3, len(output)) + 1.4).astype(np.float32),
                    text="",
                    versions=(VersionSpan(0, 0, len(output)),),
                )
            )
    return made


def group_step(seed: int, *, advantage: float, num_shards: int) -> Step:
    rows = group_rows(seed)
    advantages = [advantage * float(a) for a in np.random.default_rng(seed + 1).normal(size=len(rows))]
    samples = [
        SampleRef(row.id, a, row.num_row_tokens, num_prompt_tokens=PROMPT)
        for row, a in zip(rows, advantages, strict=True)
    ]
    starts = range(0, len(rows), SIZE)
    shards = plan_shards(
        [samples[i : i + SIZE] for i in starts],
        [[row.num_policy_tokens for row in rows[i : i + SIZE]] for i in starts],
        num_minibatches=1,
        num_ranks=num_shards,
        max_tokens_per_microbatch=TREE["max_tokens_per_microbatch"],  # type: ignore[arg-type]
        learner_version=0,
        seed=0,
        shares_prompts=True,
    )
    return shards, rows, advantages


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path) -> dict[str, Job]:
    """All that two ranks did, one after the other in the same two processes."""
    out = tmp_path_factory.mktemp("trees")
    found: dict[str, Job] = {}
    for name, variants, num_shards in (("divided", DIVIDED, 2), ("together", TOGETHER, 1)):
        steps = [group_step(seed, advantage=size, num_shards=num_shards) for seed, size in ((0, 1e-5), (7, 1.0))]
        found[name] = (out / name, make_job(llama_folder, variants, *steps, learner=LEARNER))
    path = out / "jobs.pickle"
    path.write_bytes(pickle.dumps(list(found.values())))
    logs = [out / f"rank{rank}.log" for rank in range(2)]
    ended = run_ranks(
        "tests.real.learner_rank", logs, lambda rank, port: [str(rank), "2", str(port), str(path)], timeout_s=400
    )
    assert ended == [0, 0], "\n".join(log.read_text()[-3000:] for log in logs)
    said = [line for log in logs for line in log.read_text().splitlines() if "learner.packing=tree is not used" in line]
    assert not said
    return found


def computed_over_distinct(done: Job, name: str) -> Any:
    return metrics(done[0], name)[1].metrics["learner/computed_over_distinct"]


@pytest.mark.parametrize("name", DIVIDED)
def test_the_gradient_of_trees_on_two_ranks_is_that_of_plain_torch(jobs: dict[str, Job], name: str) -> None:
    """One rank has to halve the micro-batch of the group whose prompts part, and the other one to wait for it."""
    check_second_step(jobs["divided"], name)
    assert computed_over_distinct(jobs["divided"], name) < 1.4


@pytest.mark.parametrize("name", TOGETHER)
def test_ranks_that_share_a_tree_have_its_log_probabilities_in_the_order_of_trajectories(
    jobs: dict[str, Job], name: str
) -> None:
    """By places in the row, most of them would be another token's."""
    check_second_step(jobs["together"], name)
    out, job = jobs["together"]
    files = [out / f"{name}-learned{rank}.pickle" for rank in range(2)]
    learned = pickle.loads(files[0].read_bytes()) | pickle.loads(files[1].read_bytes())
    assert learned.keys() == {row.id for row in job["steps"][1][1]}
