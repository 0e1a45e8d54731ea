from __future__ import annotations

from r1ray.config import RewardConfig
from r1ray.reward.references import problem_finder
from r1ray.types import FormatOnly, Judged, MathAnswer, Pairwise


def test_rows_that_only_a_judge_can_mark_are_left_out_of_a_run() -> None:
    find = problem_finder(RewardConfig(parts={"accuracy": {}}))
    assert (
        find(Judged("42"), "en")
        == find(Pairwise("q", "b"), "en")
        == "needs a judge, which rewards of a run do not have"
    )
    assert find(MathAnswer("42"), "en") is None


def test_the_language_matters_only_to_the_language_reward() -> None:
    with_language = problem_finder(RewardConfig(parts={"language": {}}))
    assert problem_finder(RewardConfig(parts={"accuracy": {}}))(FormatOnly(), "tlh") is None
    assert "'tlh'" in (with_language(FormatOnly(), "tlh") or "")
