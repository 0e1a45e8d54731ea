from __future__ import annotations

from pathlib import Path

from r1ray.evaluation.kept import keep_answers
from r1ray.evaluation.records import Answered, Sample
from r1ray.evaluation.shown_answers import ANSWERED, before_and_after, first_answer
from tests.fakes import make_prompt


def sample(text: str, value: float | None) -> Sample:
    return Sample(
        text=text,
        num_tokens=len(text),
        is_truncated=text == "cut",
        extracted=None,
        value=value,
        metrics={} if value is None else {"accuracy": value},
        detail="late" if value is None else "",
        fault="machine" if value is None else None,
    )


def keep(folder: Path, step: int, texts: list[tuple[str, float | None]], *, first: int = 0) -> None:
    prompts = [make_prompt(f"p{number}") for number in range(first + len(texts))]
    answered = {
        number: Answered(
            id=f"p{number}",
            groups={},
            num_prompt_tokens=1,
            samples=(sample(*each), sample("another", 0.0)),
            classes=None,
        )
        for number, each in enumerate(texts, first)
    }
    keep_answers(folder, step, stage="rl", name="sums", prompts=prompts, answered=answered)


def test_a_sample_is_the_first_answer_with_its_reward(tmp_path: Path) -> None:
    keep(tmp_path, 3, [("it is\n 4", 1.0), ("5", 0.0)])
    text = first_answer(tmp_path, 3)
    assert text is not None
    heading, asked, answered = text.splitlines()
    assert "step 3" in heading and "question p0" in heading and "reward 1.000: accuracy 1" in heading
    assert make_prompt("p0").text in asked and answered == "  answered: it is 4"
    assert first_answer(tmp_path, 4) is None


def test_answers_that_were_cut_or_not_scored_are_said_to_be(tmp_path: Path) -> None:
    keep(tmp_path, 1, [("cut", 0.0)])
    keep(tmp_path, 2, [("", None)])
    assert "cut after 3 tokens" in str(first_answer(tmp_path, 1))
    assert "not scored" in str(first_answer(tmp_path, 2)) and "(nothing)" in str(first_answer(tmp_path, 2))


def test_a_long_answer_keeps_its_beginning_and_its_end_and_moves_nothing(tmp_path: Path) -> None:
    keep(tmp_path, 1, [("begin \x1b[2J" + "x" * 5000 + " the end", 0.0)])
    text = str(first_answer(tmp_path, 1))
    assert "begin \\x1b[2J" in text and text.endswith("the end") and "[...]" in text and "\x1b" not in text
    assert len(text) < 3 * ANSWERED + 300


def test_the_first_questions_of_both_evaluations_are_put_side_by_side(tmp_path: Path) -> None:
    keep(tmp_path, 0, [("1", 0.0), ("2", 0.0), ("3", 0.0), ("4", 0.0), ("5", 0.0)])
    assert before_and_after(tmp_path) is None, "there is one evaluation"
    keep(tmp_path, 9, [("two", 1.0), ("three", 0.0), ("four", 1.0), ("five", 1.0)], first=1)
    text = str(before_and_after(tmp_path))
    assert text.splitlines()[0] == "answers after step 0 and after step 9:"
    assert [line.split()[1] for line in text.splitlines() if "before:" in line] == ["2", "3", "4"]
    assert [line.split()[1] for line in text.splitlines() if "after:" in line] == ["two", "three", "four"]


def test_evaluations_of_other_questions_are_not_compared(tmp_path: Path) -> None:
    keep(tmp_path, 0, [("1", 0.0)])
    keep(tmp_path, 9, [("two", 1.0)], first=1)
    assert before_and_after(tmp_path) is None
