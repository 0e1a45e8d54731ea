from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from r1ray.telemetry.token_ends import TokenEnds

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())


def byte_tokenizer() -> Tokenizer:
    """A token for each byte, and one for the end."""
    made = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(LETTERS)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<eos>"])
    return made


TOKENIZER = byte_tokenizer()


def decode(ids: Sequence[int]) -> str:
    return str(TOKENIZER.decode(list(ids), skip_special_tokens=False))


def encode(text: str) -> list[int]:
    return list(TOKENIZER.encode(text).ids)


def ends() -> TokenEnds:
    return TokenEnds(decode, before=encode("a")[0])


def test_each_token_of_plain_text_ends_after_its_letters() -> None:
    assert ends()(encode("ab c"), "ab c") == [1, 2, 3, 4]


def test_a_character_of_several_tokens_is_the_last_ones() -> None:
    text = "a é等🙂b"
    assert ends()(encode(text), text) == [1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 6]


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=60, deadline=None)
def test_every_character_of_any_text_belongs_to_the_token_that_ends_it(text: str) -> None:
    lengths = [len(character.encode()) for character in text]
    expected = [index + (byte == length - 1) for index, length in enumerate(lengths) for byte in range(length)]
    if "\N{REPLACEMENT CHARACTER}" not in text:
        assert ends()(encode(text), text) == expected


@given(st.lists(st.integers(0, len(LETTERS) - 1)))
@settings(max_examples=60, deadline=None)
def test_bytes_that_are_no_text_end_in_order_within_what_they_decode_to(ids: list[int]) -> None:
    text = decode(ids)
    found = ends()(ids, text)
    assert found is None or (found == sorted(found) and found[-1:] == [len(text)][: len(found)])


def test_broken_bytes_between_letters_leave_the_letters_their_places() -> None:
    ids = [*encode("a"), *encode("€")[:2], *encode("b")]
    text = decode(ids)
    assert text == "a\N{REPLACEMENT CHARACTER}b"
    assert ends()(ids, text) == [1, 1, 2, 3]


def test_the_end_of_sequence_token_and_what_a_stop_string_cut_are_empty() -> None:
    eos = len(LETTERS)
    assert decode([eos]) == "<eos>"
    assert ends()([*encode("ab"), eos], "ab") == [1, 2, 2]
    assert ends()(encode("ab</x>"), "ab<") == [1, 2, 3, 3, 3, 3]


def test_tokens_that_do_not_spell_the_text_have_no_ends() -> None:
    assert ends()(encode("ab"), "ba") is None
    assert ends()(encode("ab"), "abc") is None
    assert ends()([], "") == []


@pytest.mark.parametrize("text", ["two words", " two words"])
def test_a_blank_that_the_tokenizer_leaves_out_at_the_beginning_is_no_token_of_the_text(text: str) -> None:
    made = Tokenizer(models.WordLevel({"\u2581two": 0, "\u2581words": 1, "a": 2}, unk_token="a"))
    made.decoder = decoders.Metaspace()
    found = TokenEnds(lambda ids: str(made.decode(list(ids))), before=2)([0, 1], text)
    first = len(text) - len("words") - 1
    assert found == [first, len(text)]
