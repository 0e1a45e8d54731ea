from __future__ import annotations

from r1ray.checks import FormatOnly, Judged, MathAnswer, Pairwise
from r1ray.config import RewardConfig
from r1ray.reward.check_problems import problem_finder


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


def test_a_reference_is_a_number_where_last_number_compares_with_it() -> None:
    find = problem_finder(RewardConfig(parts={"last_number": {}}))
    assert find(MathAnswer("1,234.5"), "en") is None
    assert "'x+1' is no number" in (find(MathAnswer("x+1"), "en") or "")
    assert problem_finder(RewardConfig(parts={"accuracy": {}}))(MathAnswer("x+1"), "en") is None
    elsewhere = RewardConfig(parts={"accuracy": {}, "last_number": {"domains": ["sums"]}})
    assert problem_finder(elsewhere)(MathAnswer("x+1"), "en") is None
