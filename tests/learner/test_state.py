"""What can be gone on from; tests/real/test_state.py does it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.learner.state import Origin, check_fits, needs_conversion

SAVED = Origin(
    model="a", parameters={"embed": [8, 4], "head": [8, 4]}, world_size=2, zero_stage=2, dtype="bfloat16"
)  # fmt: skip
FOLDER = Path("runs/x/checkpoints/4/learner")


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        (replace(SAVED, parameters={"embed": [8, 4]}), "head is 8x4 in model=a .* and missing in model=a"),
        (replace(SAVED, model="b", parameters=SAVED.parameters | {"bias": [8]}), "bias is missing in model=a .* 8 in"),
        (replace(SAVED, parameters=SAVED.parameters | {"head": [9, 4]}), "head is 8x4 in model=a .* 9x4 in model=a"),
        (replace(SAVED, zero_stage=3), r"learner.zero_stage=3: .* saved under stage 2, .* needs 1 or 2\."),
        (replace(SAVED, zero_stage=0), r"learner.zero_stage=0: .* needs 1 or 2\."),
        (replace(SAVED, dtype="float32"), "learner.dtype=float32: .* saved in bfloat16; needs that"),
    ],
)
def test_a_state_of_something_else_is_refused_by_name(ours: Origin, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_fits(SAVED, ours, folder=FOLDER)
    assert str(FOLDER) in str(caught.value)


@pytest.mark.parametrize("change", [{"world_size": 1}, {"zero_stage": 1}, {"model": "moved/elsewhere"}])
def test_ranks_and_the_model_s_place_may_change(change: dict[str, object]) -> None:
    check_fits(SAVED, replace(SAVED, **change), folder=FOLDER)  # type: ignore[arg-type]


def test_two_models_have_two_digests() -> None:
    assert SAVED.digest == replace(SAVED, model="b", world_size=7).digest
    assert SAVED.digest != replace(SAVED, parameters={"embed": [4, 8], "head": [8, 4]}).digest


def test_only_what_is_divided_among_ranks_is_converted() -> None:
    assert needs_conversion(SAVED, replace(SAVED, world_size=1))
    assert not needs_conversion(SAVED, SAVED)
    assert not needs_conversion(replace(SAVED, zero_stage=0), replace(SAVED, zero_stage=0, world_size=1))
