"""What counts as going back on oneself, phrase by phrase, and what only looks like it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.checks import MathAnswer
from r1ray.telemetry.reflection import (
    CHINESE,
    ENGLISH,
    PUBLISHED_TERMS,
    _patterns,
    find_in_each,
    find_reflections,
    measure_reflection,
    measure_step,
)
from r1ray.types import GroupRecord, Outcome, Prompt, Scored, ScoredGroup, ScoredTrajectory, ScoringFailed, Trajectory
from tests.fakes import make_trajectory
from tests.growth import assert_linear
from tests.learner.lending import by_id

RIGHT, WRONG = Scored(1.0, {"accuracy": 1.0}), Scored(0.0, {"accuracy": 0.0})


def phrases(text: str) -> list[str]:
    return [found.phrase for found in find_reflections(text)]


def test_the_papers_own_example_is_found() -> None:
    text = "Wait, wait. Wait. That's an aha moment I can flag here. Let's reevaluate this step by step."
    assert phrases(text) == ["wait", "wait", "wait", "aha", "re-evaluate"]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Hmm, wait \u2014 no", "wait"),
        ("so x = 4\nWait\nthe root", "wait"),
        ("But wait that means", "wait"),
        ("Hold on, is it?", "hold on"),
        ("I should re-check it", "re-evaluate"),
        ("Recalculating gives 5", "re-evaluate"),
        ("To double-check: 4", "double-check"),
        ("Let\u2019s verify this", "let me check"),
        ("Let me just double check it", "let me check"),
        ("let me check", "let me check"),
        ("Let me try the sum again", "check again"),
        ("we start over", "start over"),
        ("I made a sign error", "mistake"),
        ("I misread the question", "mistake"),
        ("that's wrong", "not right"),
        ("This is not quite right", "not right"),
        ("That can't be right.", "not right"),
        ("On second thought", "second thought"),
        ("try a different approach", "another approach"),
        ("等等\uff0c这里", "等等"),
        ("答案是3。等等\uff0c再看", "等等"),
        ("所以x=5\uff0c等等\uff0c这好像", "等等"),
        ("等一下", "等一下"),
        ("啊哈", "啊哈"),
        ("这样不对", "不对"),
        ("让我们重新计算", "重新"),
        ("再仔细检查", "再检查"),
        ("验算一下", "检查一下"),
        ("我算错了", "算错"),
        ("换个思路", "换个思路"),
    ],
)
def test_a_phrase_is_found(text: str, phrase: str) -> None:
    assert phrase in phrases(text)


@pytest.mark.parametrize(
    "text",
    [
        "The waiter waits; the wait is 5 minutes.",
        "He has to wait. She will wait, too.",
        "wait 5 minutes, then wait for the bus",
        "a wait-list",
        "hold on to the rope",
        "reading a report on research and results",
        "that is correct, and it is right",
        "this is not wrong",
        "the standard error is an error bound",
        "a checkpoint; awaiting; Ahab",
        "苹果、梨、桃等等。",
        "不对称矩阵\uff0c不对应",
        "对不对\uff1f",
        "重新排列这些数",
        "检查员",
    ],
)
def test_what_only_looks_like_a_phrase_is_not_counted(text: str) -> None:
    assert phrases(text) == []


def test_latin_words_need_no_spaces_in_chinese_text() -> None:
    assert phrases("所以是5。Wait\uff0c不对") == ["wait", "不对"]
    assert phrases("我要double-check一下") == ["double-check"]


def test_positions_are_those_of_the_text() -> None:
    text = "It\u2019s 4. Wait, 让我重新检查。"
    found = find_reflections(text)
    assert [text[hit.start : hit.end] for hit in found] == ["Wait", "重新检查"]


def test_a_phrase_inside_another_counts_once() -> None:
    assert phrases("Let me double-check") == ["let me check"]
    assert phrases("等一等") == ["等一下"]


def test_frequencies_by_hand() -> None:
    metrics = measure_reflection(["Wait, no. Wait!", "It is 4.", "不对\uff0c我算错了"], [100, 300, 100])
    assert metrics.share == pytest.approx(2 / 3)
    assert metrics.per_completion == pytest.approx(4 / 3)
    assert metrics.per_1k_tokens == pytest.approx(8.0)
    assert metrics.by_phrase == {"wait": 2, "不对": 1, "算错": 1}


def test_quotes_say_where_and_in_what_context() -> None:
    text = "a" * 100 + " so\nx = 5. Wait, that gives 6. " + "b" * 100
    metrics = measure_reflection(["nothing", text, "Wait, no"], [1, 1, 1])
    first, second = metrics.quotes
    assert (first.text, first.phrase) == (1, "wait")
    assert text[first.start :].startswith("Wait")
    assert "so x = 5. Wait, that gives 6." in first.excerpt
    assert first.excerpt.startswith("... a") and first.excerpt.endswith("b ...")
    assert second.excerpt == "Wait, no"
    assert measure_reflection(["Wait!"] * 5, [1] * 5, max_quotes=2).quotes[1].text == 1


def test_the_published_words_can_be_counted_instead() -> None:
    found = find_reflections("But however, wait for the waiter", english=PUBLISHED_TERMS, chinese={})
    assert [hit.phrase for hit in found] == ["but", "however", "wait"]
    assert find_reflections("Wait, no", english={}, chinese=CHINESE) == []
    assert find_reflections("不对", english=ENGLISH, chinese={}) == []


def test_texts_need_lengths() -> None:
    with pytest.raises(ValueError, match="1 texts with 2 lengths"):
        measure_reflection(["a"], [1, 2])
    with pytest.raises(ValueError, match="at least one"):
        measure_reflection([], [])


PIECES = [
    *("wait", " wait,", "the ", "aha", "let's ", "just ", "double-", "check", " it ", "again", "re-", "redo", "ing"),
    *(
        "made a ",
        "sign ",
        "error",
        "that's ",
        "is ",
        "not ",
        "quite ",
        "wrong",
        "right",
        "on second thought",
        "hold on",
    ),
    *(
        " to ",
        "等等",
        "\uff0c",
        "。",
        "不",
        "对",
        "称",
        "再",
        "重新",
        "检查",
        "一下",
        "算错",
        "é",
        "\u2019",
        "'s",
        ".",
        "\n",
        "\0",
        "W",
    ),
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_the_places_that_re2_marks_are_all_places(text: str) -> None:
    pattern, _ = _patterns(tuple(ENGLISH.values()), tuple(CHINESE.values()))
    expected = [match.span() for match in pattern.finditer(text.replace("\u2019", "'"))]
    assert [(hit.start, hit.end) for hit in find_reflections(text)] == expected


def test_texts_are_found_in_each_by_itself() -> None:
    assert [len(hits) for hits in find_in_each(["wait,", "", "so wait. Wait!", "x"])] == [1, 0, 2, 0]
    assert find_in_each([]) == []


def test_a_zero_character_is_one_like_others() -> None:
    text = "\0a\0 Wait, no"
    (found,) = find_reflections(text)
    assert text[found.start : found.end] == "Wait"
    assert phrases("let\0me check") == []


@given(st.text(alphabet="wait, .'-r\u2019不对等重新检查\n", max_size=60))
def test_phrases_come_in_order_and_do_not_overlap(text: str) -> None:
    found = find_reflections(text)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert all(0 <= hit.start < hit.end <= len(text) for hit in found)


@pytest.mark.parametrize("piece", ["wait ", "let me ", "check a ", "that is not ", "再", "等等", "re", "a-" * 3, " "])
def test_long_texts_take_linear_time(piece: str) -> None:
    assert_linear(find_reflections, lambda size: piece * size, 100_000)


Given = tuple[GroupRecord, dict[str, Trajectory]]


def group(group_id: str, *answers: tuple[str, Outcome], language: str = "en", num_tokens: int = 100) -> Given:
    trajectories = [
        make_trajectory(group_id=group_id, index=index, num_tokens=num_tokens, text=text)
        for index, (text, _) in enumerate(answers)
    ]
    scored = tuple(
        ScoredTrajectory.of(trajectory, outcome, extracted=None)
        for trajectory, (_, outcome) in zip(trajectories, answers, strict=True)
    )
    record = GroupRecord(
        group_id=group_id,
        prompt=Prompt(id=f"p{group_id}", text="q", check=MathAnswer("4"), domain="math", language=language),
        group=ScoredGroup(
            group_id=group_id,
            trajectories=scored,
            removed=(),
            worker=0,
            incarnation="",
            generate_s=0.0,
            reward_s=0.0,
        ),
        advantages=(0.0,) * len(answers),
        status="trained",
    )
    return record, by_id(trajectories)


def measured(step: int, *groups: Given, max_quotes: int = 5) -> dict[str, object]:
    trajectories = {name: each for _, of_group in groups for name, each in of_group.items()}
    return measure_step(step, [record for record, _ in groups], trajectories, max_quotes=max_quotes)


def test_the_metrics_of_a_step_by_hand() -> None:
    english = group("0/0", ("Wait, no. Wait!", RIGHT), ("4", RIGHT), ("5", WRONG), ("5", WRONG))
    chinese = group("0/1", ("不对", WRONG), ("Hold on", ScoringFailed("late")), language="zh", num_tokens=200)
    assert measured(7, english, chinese) == {
        "step": 7,
        "share": pytest.approx(3 / 6),
        "per_completion": pytest.approx(4 / 6),
        "per_1k_tokens": pytest.approx(5.0),
        "num_completions": 6,
        "share_right": pytest.approx(1 / 2),
        "share_wrong": pytest.approx(1 / 3),
        "by_language": {
            "en": {"share": 0.25, "per_completion": 0.5, "per_1k_tokens": 5.0, "num_completions": 4},
            "zh": {"share": 1.0, "per_completion": 1.0, "per_1k_tokens": 5.0, "num_completions": 2},
        },
        "by_phrase": {"wait": 2, "不对": 1, "hold on": 1},
        "quotes": [
            {
                "group_id": group_id,
                "prompt_id": f"p{group_id}",
                "index": index,
                "phrase": phrase,
                "excerpt": excerpt,
                "is_right": is_right,
            }
            for group_id, index, phrase, excerpt, is_right in [
                ("0/0", 0, "wait", "Wait, no. Wait!", True),
                ("0/1", 0, "不对", "不对", False),
                ("0/1", 1, "hold on", "Hold on", None),
            ]
        ],
    }


def test_shares_of_answers_that_there_are_none_of_are_null() -> None:
    formal = group("0/0", ("Wait!", Scored(1.0, {"format": 1.0})))
    row = measured(1, formal)
    assert (row["share"], row["share_right"], row["share_wrong"]) == (1.0, None, None)


def quoted(row: dict[str, object]) -> list[tuple[str, int, str]]:
    quotes = row["quotes"]
    assert isinstance(quotes, list)
    return [(quote["group_id"], quote["index"], quote["phrase"]) for quote in quotes]


def test_right_answers_of_many_prompts_are_quoted_first() -> None:
    first = group("0/0", ("Wait!", WRONG), ("Wait!", RIGHT), ("Wait!", RIGHT))
    second = group("0/1", ("4", RIGHT), ("Wait!", WRONG), ("Wait!", RIGHT))
    row = measured(1, first, second)
    assert [(group_id, index) for group_id, index, _ in quoted(row)] == [
        ("0/0", 1),
        ("0/1", 2),
        ("0/0", 2),
        ("0/0", 0),
        ("0/1", 1),
    ]
    assert len(quoted(measured(1, first, second, max_quotes=2))) == 2


def test_of_a_completion_the_phrase_that_is_rarest_in_the_step_is_quoted() -> None:
    row = measured(1, group("0/0", ("Wait, wait. That's an aha moment", RIGHT), ("Wait!", RIGHT)))
    assert quoted(row) == [("0/0", 0, "aha"), ("0/0", 1, "wait")]


def test_the_order_of_trajectories_decides_nothing() -> None:
    record, trajectories = group("0/0", ("Wait!", RIGHT), ("Hold on", RIGHT), ("Aha", WRONG))
    turned = dict(reversed(trajectories.items()))
    assert measured(1, (record, turned)) == measured(1, (record, trajectories))


def test_trajectories_that_are_gone_with_their_worker_are_not_counted() -> None:
    record, trajectories = group("0/0", ("Wait!", RIGHT), ("4", WRONG))
    del trajectories["0/0#1"]
    row = measured(1, (record, trajectories))
    assert (row["num_completions"], row["share"]) == (1, 1.0)
