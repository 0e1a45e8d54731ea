from __future__ import annotations

from dataclasses import replace

import torch

from r1ray.learner.rows import make_rows
from r1ray.types import Pick, VersionSpan
from tests.fakes import make_completion

CPU = torch.device("cpu")


def test_prompts_and_completions_lie_end_to_end() -> None:
    chunks = [(make_completion(num_tokens=2),), (make_completion(num_tokens=4), make_completion(num_tokens=1))]
    picks = [Pick(1, 1, -0.5, 3), Pick(0, 0, 1.5, 4)]
    rows = make_rows(picks, chunks, learner_version=0, device=CPU)
    assert rows.packed.input_ids_N.tolist() == [1, 2, 5, 1, 2, 5, 6]
    assert rows.packed.position_ids_N.tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert rows.packed.chosen_N.tolist() == [False, False, True, False, False, True, True]
    assert rows.lengths_B.tolist() == [1, 2]
    assert rows.advantage_N.tolist() == [-0.5, 1.5, 1.5]
    assert rows.num_tokens == 7


def test_only_tokens_of_the_learners_own_version_are_fresh() -> None:
    completion = replace(make_completion(num_tokens=4), versions=(VersionSpan(2, 0, 3), VersionSpan(3, 3, 4)))
    rows = make_rows([Pick(0, 0, 1.0, 6)], [(completion,)], learner_version=3, device=CPU)
    assert rows.fresh_N.tolist() == [False, False, False, True]
    assert completion.oldest_version == 2


def test_no_picks_make_one_row_that_can_be_computed_and_weighs_nothing() -> None:
    rows = make_rows([], [], learner_version=0, device=CPU)
    assert rows.is_empty
    assert rows.packed.chosen_N.sum() == len(rows.rollout_logp_N) == 1
