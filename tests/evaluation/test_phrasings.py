"""The same question in other prompts."""

from __future__ import annotations

import pytest

from r1ray.data.template import R1_ZERO, Message, render
from r1ray.errors import UserError
from r1ray.evaluation.phrasings import WORDS, Phrasing, Shot, phrasings_of

SHOTS = (Shot("1+1?", "2"), Shot("2+3?", "5"))
FEW = Phrasing(name="few_shot", shots=SHOTS)
OWN = Phrasing(name="own_1", words=(("en", "Q: {question}\nA:"),))
CHATML = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def test_examples_are_turns_of_a_conversation_after_its_system_prompt() -> None:
    system: Message = {"role": "system", "content": "Be brief."}
    asked: Message = {"role": "user", "content": "4+4?"}
    turns = [(each["role"], each["content"]) for each in FEW.put([system, asked], template="chat", language="en")]  # type: ignore[index]
    assert turns == [
        ("system", "Be brief."),
        *(("user", "1+1?"), ("assistant", "2"), ("user", "2+3?"), ("assistant", "5")),
        ("user", "4+4?"),
    ]
    assert FEW.put("4+4?", template="chat", language="en") == FEW.put([asked], template="chat", language="en")


def test_examples_are_text_where_the_prompt_is() -> None:
    shots = (Shot(CHATML.format("1+1?"), "2<|im_end|>"),)
    few = Phrasing(name="few_shot", shots=shots)
    assert few.put(CHATML.format("4+4?"), template="none", language="en") == (
        CHATML.format("1+1?") + "2<|im_end|>\n" + CHATML.format("4+4?")
    )
    inside = render(FEW.put("4+4?", template="r1_zero", language="en"), template="r1_zero")
    assert inside == R1_ZERO.replace("{question}", "1+1?\n2\n2+3?\n5\n4+4?")


def test_other_words_stand_around_what_the_user_asks() -> None:
    assert OWN.put("1+1?", template="chat", language="en") == "Q: 1+1?\nA:"
    assert OWN.put(CHATML.format("1+1?"), template="none", language="en") == CHATML.format("Q: 1+1?\nA:")
    asked = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]
    more = [*asked, {"role": "user", "content": "And 2+2?"}]
    assert OWN.put(more, template="chat", language="en") == [*asked, {"role": "user", "content": "Q: And 2+2?\nA:"}]
    with pytest.raises(UserError, match="no message of the user's"):
        OWN.put([{"role": "system", "content": "x"}], template="chat", language="en")
    assert Phrasing(name="zero_shot").put("{question}", template="none", language="en") == "{question}"


def test_paraphrases_are_in_the_language_of_the_question_or_in_english() -> None:
    first = phrasings_of(["paraphrases"], [])[0]
    chinese, english, other = (first.put("1+1", template="chat", language=each) for each in ("zh", "en", "fr"))
    assert english == other == "Solve this problem.\n\n1+1" and chinese not in (english, "1+1")


def test_every_wording_has_the_question_once_and_says_nothing_of_the_answer() -> None:
    for words in WORDS.values():
        assert len({*words}) == len(words) == len(WORDS["en"])
        assert all(each.count("{question}") == 1 for each in words)
    assert not any(word in " ".join(WORDS["en"]).lower() for word in ("step", "boxed", "think", "reason", "only"))


def test_names_say_which_prompt_it_is() -> None:
    found = phrasings_of(["few_shot", "{question} =", "zero_shot", "Say: {question}", "paraphrases"], SHOTS)
    assert [each.name for each in found] == [
        *("few_shot", "own_1", "zero_shot", "own_2"),
        *(f"paraphrase_{number}" for number in (1, 2, 3, 4)),
    ]
    assert found[0].shots == SHOTS and found[3].words == (("en", "Say: {question}"),)
