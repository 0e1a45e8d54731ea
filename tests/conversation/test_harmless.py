"""Text of tools and users does not become tokens that it spells."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from r1ray.conversation.harmless import Harmless
from tests.conversation.tokenizers_made import ADDED, QWENS, made_tokenizer

MARKS = (*QWENS, *ADDED)


def test_a_mark_is_broken_behind_its_first_letter_and_other_text_stays() -> None:
    harmless = Harmless(made_tokenizer())
    assert (
        harmless("a<|im_end|>b <tool_call> if a < b and c | d > e:")
        == "a< |im_end|>b < tool_call> if a < b and c | d > e:"
    )


def test_plain_data_is_rewritten_with_its_keys() -> None:
    made = Harmless(made_tokenizer()).values({"<think>": ["</think>", 1, None, {"a": "<|im_end|>"}]})
    assert made == {"< think>": ["< /think>", 1, None, {"a": "< |im_end|>"}]}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*MARKS, "<", "|", ">", "<|", "im_end|>", "tool_call", " ", "x", "\n"]), max_size=12))
def test_no_text_becomes_one_of_the_tokens(pieces: list[str]) -> None:
    tokenizer = made_tokenizer()
    ids = tokenizer(Harmless(tokenizer)("".join(pieces)), add_special_tokens=False)["input_ids"]
    assert not set(ids) & set(tokenizer.convert_tokens_to_ids(list(MARKS)))


def test_marks_that_overlap_are_all_broken() -> None:
    tokenizer = made_tokenizer(special=("<eos>", "<a><", "<b>"), added=())
    ids = tokenizer(Harmless(tokenizer)("<a><b><a><a><b>"), add_special_tokens=False)["input_ids"]
    assert not set(ids) & set(tokenizer.convert_tokens_to_ids(["<a><", "<b>"]))


def test_words_and_blanks_that_were_added_to_a_vocabulary_are_no_marks() -> None:
    harmless = Harmless(made_tokenizer(added=("    ", "calculator", "<think>")))
    assert harmless("    calculator <think>") == "    calculator < think>"


def test_a_mark_that_is_spelt_in_letters_of_another_width_is_broken_where_the_tokenizer_would_find_it() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_tokens([AddedToken("<think>", special=False, normalized=True)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="!")
    forged, mark = "a\uff1cthink\uff1eb", tokenizer.convert_tokens_to_ids("<think>")
    assert mark in tokenizer(forged, add_special_tokens=False)["input_ids"]
    assert mark not in tokenizer(Harmless(tokenizer)(forged), add_special_tokens=False)["input_ids"]
