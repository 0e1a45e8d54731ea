from __future__ import annotations

import pytest

from r1ray.commands.compose import compose
from r1ray.errors import UserError
from r1ray.recipes import stages_of
from r1ray.stages.graph import GraphStage

OWN = ["recipe=distill", "supervised.train=t", "data.eval=e"]
THREE = "students={small: S, middle: {model: M, learner: {lr: 8e-5}}, large: {model: L, supervised: {epochs: 3}}}"


def made(*overrides: str) -> dict[str, GraphStage]:
    stages = stages_of(compose([*OWN, *overrides]))
    return {stage.name: stage for stage in stages if isinstance(stage, GraphStage)}


def test_every_student_is_extended_trained_and_evaluated_before_and_after() -> None:
    stages = made(THREE)
    assert list(stages) == [
        name.replace("student", student)
        for student in ("small", "middle", "large")
        for name in ("extended_student", "student", "eval_student_before", "eval_student")
    ]
    for name, model in (("small", "S"), ("middle", "M"), ("large", "L")):
        assert stages[f"extended_{name}"].config.model == model == stages[f"eval_{name}_before"].config.model
        assert stages[name].config.model == f"@extended_{name}" and stages[name].needs == (f"extended_{name}",)
        assert stages[f"eval_{name}"].config.model == f"@{name}"


def test_what_is_different_in_the_training_of_one_is_of_that_one() -> None:
    stages = made(THREE, "graph.student.supervised.sequences_per_step=32")
    assert [stages[name].config.learner.lr for name in ("small", "middle", "large")] == [1e-4, 8e-5, 1e-4]
    assert [stages[name].config.supervised.epochs for name in ("small", "middle", "large")] == [2, 2, 3]
    assert {stages[name].config.supervised.sequences_per_step for name in ("small", "middle", "large")} == {32}
    assert stages["eval_middle"].config.learner.lr == 1e-4


def test_a_stage_of_one_student_can_be_told_something_of_its_own() -> None:
    stages = made(THREE, "graph.large.learner.lr=1e-6", "graph.eval_small.eval.final_samples=3")
    assert stages["large"].config.learner.lr == 1e-6 and stages["large"].config.supervised.epochs == 3
    assert stages["eval_small"].config.eval.final_samples == 3 and len(stages) == 12
    with pytest.raises(UserError, match=r"graph\.large.*lrr"):
        made(THREE, "graph.large.learner.lrr=1")


def test_students_whose_stages_would_have_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="two of them would have a stage eval_small"):
        made("students={small: S, eval_small: M}")


def test_a_student_is_added_by_itself_and_one_student_needs_no_name() -> None:
    assert "tiny" in made("students.tiny=T") and "student" not in made("students.tiny=T")
    assert list(made("model=S")) == ["extended_student", "student", "eval_student_before", "eval_student"]


def test_what_does_not_depend_on_the_student_is_made_once() -> None:
    stages = made(THREE, "graph.teacher={recipe: evaluate, model: T}", 'graph.student.model="@extended_student/x"')
    assert [name for name in stages if "teacher" in name] == ["teacher"] and stages["teacher"].config.model == "T"
    assert stages["large"].config.model == "@extended_large/x"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("students=[a]", r"students=\['a'\]: needs a model for each name"),
        ("students={}", "students={}: needs a model for each name"),
        ("students={7b: p}", "students.7b: needs a name that begins with a small letter"),
        ("students={a: {learner: {lr: 1}}}", r"students.a={'learner': {'lr': 1}}: needs a model"),
        (
            "students={a: {model: p, learner: {lrr: 1}}}",
            r"students\.a\.learner\.lrr: no such key; the nearest is .*\.lr\.",
        ),
    ],
)
def test_what_names_no_students_is_refused(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(override)


def test_other_recipes_have_no_students() -> None:
    with pytest.raises(UserError, match=r"students: recipe=sft has no stage graph\.student"):
        stages_of(compose(["recipe=sft", "model=m", "supervised.train=t", "students={a: p}"]))
