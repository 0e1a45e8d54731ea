from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from r1ray.commands.compose import compose
from r1ray.data.dialogues import Dialogue
from r1ray.data.template import Form, Question, Renderer, question_in, render
from r1ray.data.turns import DialogueEncoder
from r1ray.errors import UserError

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]


def test_the_papers_template_holds_the_question_and_both_tags() -> None:
    text = render("What is 1+1?", template="r1_zero")
    assert text.endswith("User: What is 1+1?. Assistant:")
    assert "<think> reasoning process here </think> <answer> answer here </answer>" in text


def test_chat_messages_go_into_the_papers_template_too() -> None:
    assert "User: Be brief.\n1+1?. Assistant:" in render(CHAT, template="r1_zero")


def test_braces_in_a_question_are_kept() -> None:
    assert r"\boxed{4}" in render(r"Use \boxed{4}", template="r1_zero")


def test_none_takes_the_prompt_as_it_stands() -> None:
    assert render("1+1=", template="none") == "1+1="
    with pytest.raises(UserError, match="needs prompts that are strings"):
        render(CHAT, template="none")


def test_chat_uses_the_tokenizers_template() -> None:
    def apply(messages: object) -> str:
        return f"<{messages}>"

    assert render("q", template="chat", apply_chat=apply) == "<[{'role': 'user', 'content': 'q'}]>"
    with pytest.raises(UserError, match="has no chat template"):
        render("q", template="chat")


# ---------------------------------------------------------------------- the form

PROGRAM = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]"
    "{% if not enable_thinking %}<think></think>{% endif %}"
)


def word_tokenizer(*, adds_bos: bool, chat_template: str | None = PROGRAM) -> Any:
    raw = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2, "1+1": 3}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if adds_bos:
        raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=chat_template
    )
    return tokenizer


def rendered(question: Question, form: Form, *, adds_bos: bool = True) -> str:
    return Renderer(word_tokenizer(adds_bos=adds_bos), form)(question)


def test_the_suffix_is_below_the_last_user_message() -> None:
    form = Form("chat", suffix="Think first.")
    asked = [*CHAT, {"role": "assistant", "content": "2"}, {"role": "user", "content": "Sure?"}]
    contents = [message["content"] for message in form.posed(asked)]  # type: ignore[index]
    assert contents == ["Be brief.", "1+1?", "2", "Sure?\nThink first."]
    assert asked[-1]["content"] == "Sure?", "the row itself is left alone"
    assert Form("none", suffix="Think first.").posed("1+1?") == "1+1?\nThink first."
    assert "User: 1+1?\nThink first. Assistant:" in rendered("1+1?", Form("r1_zero", suffix="Think first."))
    with pytest.raises(UserError, match=r"data\.suffix: a prompt has no user message"):
        form.posed([{"role": "system", "content": "Be brief."}])


def test_a_system_prompt_comes_first_unless_the_row_has_one() -> None:
    form = Form("chat", system_prompt="Be kind.", template_arguments={"enable_thinking": True})
    assert rendered("1+1?", form) == "<s>[system] Be kind.\n[user] 1+1?\n[assistant]"
    assert rendered(CHAT, form) == "<s>[system] Be brief.\n[user] 1+1?\n[assistant]"


def test_arguments_reach_the_chat_template_and_one_that_it_does_not_know_is_refused() -> None:
    assert rendered("q", Form("chat", template_arguments={"enable_thinking": False})).endswith("<think></think>")
    assert rendered("q", Form("chat", template_arguments={"enable_thinking": True})).endswith("[assistant]")
    with pytest.raises(UserError, match=r"data\.template_arguments\.enable_thinkin: .* no such variable"):
        rendered("q", Form("chat", template_arguments={"enable_thinkin": True}))


def test_a_form_can_be_typed_as_it_is_shown() -> None:
    form = Form("chat", system_prompt="Be brief.", template_arguments={"enable_thinking": False})
    words = ["data.template=chat", "data.system_prompt='Be brief.'", "data.template_arguments={enable_thinking: false}"]
    assert str(form) == ", ".join(words)
    assert Form.of(compose(["model=m", "data.train=t", *words]).data) == form


@pytest.mark.parametrize(("template", "adds_bos"), [("none", True), ("none", False), ("chat", True)])
def test_the_model_reads_one_bos_whatever_the_prompt_begins_with(
    template: str, adds_bos: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = word_tokenizer(adds_bos=adds_bos)
    render = Renderer(tokenizer, Form(template))
    given = ["1+1", "1+1"] if template == "chat" else ["<s> 1+1", "<s> 1+1"]
    for text in map(render, given):
        ids = tokenizer(text, add_special_tokens=template != "chat")["input_ids"]
        assert ids[0] == 0 and ids.count(0) == 1
    warned = [record for record in caplog.records if "BOS twice" in record.message]
    assert len(warned) == (template == "none" and adds_bos)


def test_dialogues_are_learned_in_the_form_in_which_prompts_are_asked(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = word_tokenizer(adds_bos=True)
    form = Form("chat", system_prompt="Be kind.", suffix="Think.", template_arguments={"enable_thinking": True})
    dialogue = Dialogue("1+1", ({"role": "assistant", "content": "2"},))
    asked, _ = DialogueEncoder(tokenizer, template="chat", form=form).pieces(dialogue)
    assert asked.text == Renderer(tokenizer, form)("1+1")
    encoder = DialogueEncoder(tokenizer, template="none")
    ((ids, _),) = encoder.encode([encoder.pieces(replace(dialogue, question="<s> 1+1"))])
    assert ids.tolist()[:2] == [0, 3] and "BOS twice" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        render("What is 1+1?", template="r1_zero"),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 1+1?<|im_end|>\n<think>\n",
        "<|start_header_id|>user<|end_header_id|>\n\nWhat is 1+1?<|eot_id|><|start_header_id|>assistant",
        "<s>[INST] Hello [/INST] Hi</s>[INST] What is 1+1? [/INST]",
        "<start_of_turn>user\nWhat is 1+1?<end_of_turn>\n<start_of_turn>model\n",
        "<\uff5cUser\uff5c>What is 1+1?<\uff5cAssistant\uff5c><think>\n",
        "What is 1+1?",
    ],
)
def test_the_question_is_found_in_a_prompt_whose_template_was_applied(text: str) -> None:
    assert question_in(text) == "What is 1+1?"
