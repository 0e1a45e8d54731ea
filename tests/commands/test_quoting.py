from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from r1ray.commands.quoting import quoted, unquoted

TEXTS = st.text(st.sampled_from("ab'\"\\ =,{}[]()#~$:"), max_size=12)


@given(TEXTS)
def test_a_quoted_text_is_that_text_to_hydra_and_back(text: str) -> None:
    assert unquoted(quoted(text)) == text
    if "${" not in text:
        assert OverridesParser.create().parse_override(f"a={quoted(text)}").value() == text


@pytest.mark.parametrize("text", ["a'b", "'a", "a'", "'a' 'b'", "\"a'", r"'a\'", "", "'", " 'a'"])
def test_a_text_that_is_not_quoted_as_a_whole_is_itself(text: str) -> None:
    assert unquoted(text) == text
