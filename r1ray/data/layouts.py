"""The file layouts that users already have, each turned into the one form that r1ray works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from r1ray.checks import Check, CodeTests, MathAnswer
from r1ray.data.checks import MalformedRow, is_absent, parse_check, read_row
from r1ray.data.json_text import parse
from r1ray.data.template import Question

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """A row before its template is applied."""

    id: str
    question: Question
    check: Check
    domain: str
    language: str


@dataclass(frozen=True, slots=True)
class Layout:
    name: str
    matches: Callable[[frozenset[str]], bool]
    """Whether a file with these columns is of this layout."""
    reader: Callable[[Row, int], RawPrompt]

    def read(self, row: Row, index: int) -> RawPrompt:
        """Return the prompt of a row. Raises MalformedRow."""
        return read_row(self.reader, row, index)


def _question(value: Any) -> Question:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value:
        if all(
            isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in value
        ):
            return [{"role": m["role"], "content": m["content"]} for m in value]
        raise MalformedRow("prompt is a list, but not of {role, content} messages")
    raise MalformedRow(f"prompt needs a string or chat messages, found {value!r:.60}")


def _text(value: Any) -> str:
    return "" if is_absent(value) else str(value).strip()


def _read_own(row: Row, index: int) -> RawPrompt:
    check = parse_check(row.get("check"))
    return RawPrompt(
        id=_text(row.get("id")) or str(index),
        question=_question(row.get("prompt")),
        check=check,
        domain=_text(row.get("domain")) or ("code" if isinstance(check, CodeTests) else "math"),
        language=_text(row.get("language")) or "en",
    )


def _read_verl(row: Row, index: int) -> RawPrompt:
    reward_model = row.get("reward_model")
    if not isinstance(reward_model, Mapping):
        raise MalformedRow(f"reward_model needs an object with ground_truth, found {reward_model!r:.60}")
    extra = row.get("extra_info") if isinstance(row.get("extra_info"), Mapping) else {}
    assert isinstance(extra, Mapping)
    return RawPrompt(
        id=_text(extra.get("index")) or str(index),
        question=_question(row.get("prompt")),
        check=_ground_truth(reward_model.get("ground_truth")),
        domain=_text(row.get("ability")) or _text(row.get("data_source")) or "math",
        language="en",
    )


def final_answer(solution: str) -> str:
    r"""The answer inside a worked solution: what follows ``####`` (GSM8K), else the last ``\boxed{}``.

    >>> final_answer("so 5 + 3 = 8\n#### 8"), final_answer(r"thus \boxed{\frac{1}{2}}"), final_answer("42")
    ('8', '\\frac{1}{2}', '42')
    """
    if "####" in solution:
        return solution.rsplit("####", 1)[1].strip()
    start = solution.rfind("\\boxed{")
    if start < 0:
        return solution.strip()
    depth, begin = 1, start + len("\\boxed{")
    for end in range(begin, len(solution)):
        depth += {"{": 1, "}": -1}.get(solution[end], 0)
        if depth == 0:
            return solution[begin:end].strip()
    return ""


def _read_hugging_face(row: Row, index: int) -> RawPrompt:
    answer = row.get("answer") if row.get("answer") is not None else row.get("solution")
    return RawPrompt(
        id=_text(row.get("id")) or _text(row.get("uuid")) or str(index),
        question=_question(row.get("problem") if row.get("problem") is not None else row.get("question")),
        check=MathAnswer(final_answer(_text(answer))),
        domain=_text(row.get("domain")) or "math",
        language=_text(row.get("language")) or "en",
    )


def _tests(value: Any, key: str) -> Any:
    """Tests that a column holds as JSON text, or as they are."""
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except ValueError as error:
        raise MalformedRow(f"{key} is no JSON: {error}") from error


def _inputs_and_outputs(found: Any) -> Check:
    """APPS: lists of inputs and outputs, and the name of a function where it is called instead of run."""
    if not isinstance(found, Mapping) or not {"inputs", "outputs"} <= found.keys():
        raise MalformedRow(f"tests need inputs and outputs, found {found!r:.60}")
    entry = found.get("fn_name")
    tests = [[given, wanted] for given, wanted in zip(found["inputs"], found["outputs"], strict=False)]
    return parse_check({"type": "code", "kind": "func" if entry else "stdio", "entry": entry, "tests": tests})


def _ground_truth(value: Any) -> Check:
    """verl: an answer, or tests as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("{") and '"inputs"' in value:
        return _inputs_and_outputs(_tests(value, "reward_model.ground_truth"))
    return MathAnswer(_text(value))


def _coding(row: Row, index: int, question: Any, check: Check) -> RawPrompt:
    name = _text(row.get("id")) or _text(row.get("task_id")) or _text(row.get("question_id"))
    language = _text(row.get("language")) or "en"
    return RawPrompt(name or str(index), _question(question), check, "code", language)


def _read_apps(row: Row, index: int) -> RawPrompt:
    tests = _tests(row.get("input_output") or "{}", "input_output")
    check = _inputs_and_outputs(tests) if tests else parse_check({"type": "code", "tests": []})
    return _coding(row, index, row.get("question"), check)


def _read_livecodebench(row: Row, index: int) -> RawPrompt:
    tests = list(_tests(row["public_test_cases"], "public_test_cases"))
    private = row.get("private_test_cases")
    if isinstance(private, str) and private.lstrip().startswith("["):  # else compressed and pickled: never opened
        tests += _tests(private, "private_test_cases")
    metadata = _tests(row.get("metadata") or "{}", "metadata")
    entry = metadata.get("func_name") if isinstance(metadata, Mapping) else None
    kind = "func" if tests and tests[0].get("testtype") == "functional" else "stdio"
    check = parse_check({"type": "code", "kind": kind, "entry": entry, "tests": tests})
    return _coding(row, index, row.get("question_content"), check)


def _read_humaneval(row: Row, index: int) -> RawPrompt:
    check = parse_check({"type": "code", "kind": "assert", "entry": row.get("entry_point"), "tests": [row.get("test")]})
    return _coding(row, index, row.get("prompt"), check)


def _read_mbpp(row: Row, index: int) -> RawPrompt:
    setup = _text(row.get("test_setup_code"))
    tests = [f"{setup}\n{test}" for test in row.get("test_list") or ()]
    question = row.get("text") if row.get("text") is not None else row.get("prompt")
    return _coding(row, index, question, parse_check({"type": "code", "kind": "assert", "tests": tests}))


LAYOUTS = (
    Layout("r1ray (prompt, check)", lambda c: {"prompt", "check"} <= c, _read_own),
    Layout("verl (prompt, reward_model)", lambda c: {"prompt", "reward_model"} <= c, _read_verl),
    Layout("HumanEval (prompt, entry_point, test)", lambda c: {"prompt", "entry_point", "test"} <= c, _read_humaneval),
    Layout("MBPP (text or prompt, test_list)", lambda c: "test_list" in c and bool({"text", "prompt"} & c), _read_mbpp),
    Layout("APPS (question, input_output)", lambda c: {"question", "input_output"} <= c, _read_apps),
    Layout(
        "LiveCodeBench (question_content, public_test_cases)",
        lambda c: {"question_content", "public_test_cases"} <= c,
        _read_livecodebench,
    ),
    Layout(
        "Hugging Face (problem or question, answer or solution)",
        lambda c: bool({"problem", "question"} & c) and bool({"answer", "solution"} & c),
        _read_hugging_face,
    ),
)


def recognise(columns: frozenset[str]) -> Layout | None:
    """The layout of a file with these columns, None where it is none of ours."""
    return next((layout for layout in LAYOUTS if layout.matches(columns)), None)
