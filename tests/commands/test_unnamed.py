from __future__ import annotations

import pytest

from r1ray.commands.unnamed import with_unnamed
from r1ray.errors import UserError


def missing(*keys: str):  # type: ignore[no-untyped-def]
    """Return a builder that asks for one key after the other."""

    def build(overrides: list[str]) -> list[str]:
        for message, override in zip(keys[::2], keys[1::2], strict=True):
            if override not in overrides:
                raise UserError(message)
        return overrides

    return build


def test_what_is_not_set_is_named_in_its_place() -> None:
    build = missing(
        *("model is not set: give model=PATH", "model=unnamed"),
        *("graph.sft: supervised.train is not set", "graph.sft.supervised.train=unnamed"),
    )
    assert with_unnamed(["steps=3"], build) == ["steps=3", "model=unnamed", "graph.sft.supervised.train=unnamed"]


@pytest.mark.parametrize(
    ("message", "but"),
    [("model is not set: give model=PATH", ("model",)), ("steps=0: needs 1", ()), ("data.train is not set", ())],
)
def test_other_mistakes_and_a_key_that_has_to_be_set_end_it(message: str, but: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=message):
        with_unnamed([], missing(message, "never given"), but=but)
