"""A renderer is chosen by trying, and what cannot be used is refused with the key that would help."""

from __future__ import annotations

import logging

import pytest

from r1ray.conversation import ConversationSettings, check_template, make_renderer
from r1ray.conversation import handmade as handmade_module
from r1ray.errors import UserError
from r1ray.turns import Message
from tests.conversation.tokenizers_made import CALCULATOR, FORGETFUL, QWEN, made_tokenizer, published_tokenizer

TOOLS = [CALCULATOR]


def chosen(**changes: object) -> ConversationSettings:
    return ConversationSettings(model="made", **changes)  # type: ignore[arg-type]


def test_an_append_only_template_with_calls_is_its_own_renderer(caplog: pytest.LogCaptureFixture) -> None:
    renderer = make_renderer(made_tokenizer(), settings=chosen())
    check_template(made_tokenizer(), TOOLS, settings=chosen())
    assert renderer.name == "template" and renderer.stop_token_ids == (made_tokenizer().eos_token_id,)
    assert caplog.text == ""


def test_a_template_that_rewrites_history_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handmade_module, "is_installed", lambda: False)
    with caplog.at_level(logging.WARNING):
        renderer = make_renderer(made_tokenizer(FORGETFUL), settings=chosen(renderer="template"))
        assert caplog.text == ""
        renderer = make_renderer(made_tokenizer(FORGETFUL), settings=chosen())
    assert renderer.name == "template" and caplog.text.count("begins a branch") == 1
    assert "environment.keep_reasoning=true" in caplog.text and "pip install 'r1ray[renderers]'" in caplog.text


def test_reasoning_that_the_template_drops_makes_a_branch_unless_it_is_to_be_kept() -> None:
    tokenizer, asked = made_tokenizer(FORGETFUL), [Message("user", "2 + 2?")]
    thought = tokenizer("<think>\nHm.\n</think>\n\nFour.<|im_end|>")["input_ids"]
    plain = tokenizer("Four.<|im_end|>")["input_ids"]
    new = [Message("user", "Sure?")]
    drops, keeps = (make_renderer(tokenizer, settings=chosen(renderer="template", keep_reasoning=k)) for k in (0, 1))
    prompt = drops.prompt(asked, [])
    assert drops.bridge(asked, [], prompt, thought, new) is None
    bridge = keeps.bridge(asked, [], prompt, thought, new)
    assert bridge is not None and bridge == drops.bridge(asked, [], prompt, plain, new)


def test_an_argument_of_the_template_keeps_reasoning_where_there_is_one() -> None:
    switched = QWEN.replace(
        "if message.reasoning_content", "if message.reasoning_content and (loop.last or preserve_thinking)"
    )
    tokenizer, asked = made_tokenizer(switched), [Message("user", "2 + 2?")]
    turn = Message("assistant", "Four.", "Hm.")
    for keep in (False, True):
        renderer = make_renderer(tokenizer, settings=chosen(renderer="template", keep_reasoning=keep))
        text = renderer.decode(renderer.prompt([*asked, turn, *asked], []))
        assert ("Hm." in text) == keep


@pytest.mark.parametrize(("end", "is_bridged"), [("", True), ("<|im_end|>", False)])
def test_a_turn_that_stops_inside_its_reasoning_makes_a_branch_and_one_that_was_cut_there_is_closed(
    end: str, is_bridged: bool
) -> None:
    renderer, asked = make_renderer(made_tokenizer(), settings=chosen()), [Message("user", "2 + 2?")]
    sampled = made_tokenizer()(f"<think>\nTwo and{end}")["input_ids"]
    bridge = renderer.bridge(asked, [], renderer.prompt(asked, []), sampled, [Message("user", "Well?")])
    assert (bridge is not None) == is_bridged
    if bridge:
        assert renderer.decode(bridge).startswith("</think><|im_end|>\n<|im_start|>user\n")


def test_a_history_that_was_edited_makes_a_branch() -> None:
    renderer, asked = make_renderer(made_tokenizer(), settings=chosen()), [Message("user", "2 + 2?")]
    sampled = made_tokenizer()("Four.<|im_end|>")["input_ids"]
    edited = [Message("assistant", "Five."), Message("user", "Sure?")]
    assert renderer.bridge(asked, [], renderer.prompt(asked, []), sampled, edited) is None


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (QWEN.replace("{%- if tools %}", "{%- if false %}"), "drops tools silently: calculator"),
        (QWEN.replace("{{- '<|im_start|>user\\n<tool", "{{- raise_exception('no') + '<tool"), "a result of a tool"),
        (QWEN.replace("+ message.content + '\\n</tool", "+ '\\n</tool"), "drops the results"),
        (QWEN.replace("message.tool_calls or []", "[]"), "drops the calls"),
        (QWEN.replace("| tojson + '}", "| string + '}"), "form of its calls is unknown"),
        (QWEN.replace("tool | tojson", "tool.function.parameters.nothing.more"), "fails if tools are given"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_with_tools_is_refused(template: str, problem: str) -> None:
    with pytest.raises(UserError, match=f"^model=made: .*{problem}.*environment.renderer=template") as error:
        check_template(made_tokenizer(template), TOOLS, settings=chosen(renderer="template"))
    check_template(made_tokenizer(template), [], settings=chosen(renderer="template"))
    chat = make_renderer(made_tokenizer(template), settings=chosen(renderer="template"))
    assert "user\n2 + 2?<|im_end|>" in chat.decode(chat.prompt([Message("user", "2 + 2?")], []))
    assert "environment without tools" in str(error.value)


def test_a_template_whose_turns_nothing_ends_is_refused() -> None:
    template = "{% for message in messages %}{{ message.role + ': ' + message.content + '\n' }}{% endfor %}"
    with pytest.raises(UserError, match=r"model=made: no special token .* data.template=none"):
        make_renderer(made_tokenizer(template), settings=chosen())


def test_a_model_without_a_template_is_refused_with_the_ways_out() -> None:
    tokenizer = made_tokenizer(None)
    with pytest.raises(UserError, match=r"model=made: its tokenizer has no chat template; .*data.template=r1_zero"):
        make_renderer(tokenizer, settings=chosen())
    with pytest.raises(
        UserError, match=r"data.template=none has no place for tools, .* calculator; .*data.template=chat"
    ):
        check_template(tokenizer, TOOLS, settings=chosen(template="none"))


def test_a_renderer_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handmade_module, "is_installed", lambda: False)
    with pytest.raises(UserError, match=r"environment.renderer=qwen3: .* pip install 'r1ray\[renderers\]'"):
        make_renderer(made_tokenizer(), settings=chosen(renderer="qwen3"))


@pytest.mark.long
@pytest.mark.needs("renderers")
def test_an_unknown_renderer_and_one_of_another_family_are_refused() -> None:
    with pytest.raises(UserError, match=r"environment.renderer=qwen9: needs auto, template or one of .*qwen3"):
        make_renderer(made_tokenizer(), settings=chosen(renderer="qwen9"))
    with pytest.raises(UserError, match=r"environment.renderer=glm-4.5: it does not fit model=made: .*not found"):
        make_renderer(made_tokenizer(), settings=chosen(renderer="glm-4.5"))


@pytest.mark.long
@pytest.mark.needs("renderers", "templates")
@pytest.mark.parametrize(
    ("template", "renderer"),
    [
        ("qwen3", "qwen3"),
        ("glm4moe", "glm-4.5"),
        ("nemotron_3_nano", "nemotron-3"),
        ("qwen3_6", "qwen3.5"),
        ("gemma4_v5", "gemma4"),
        ("qwen3_instruct_2507", "template"),
        ("qwen2_5", "template"),
        ("lfm2_2_5", "template"),
    ],
)
def test_a_hand_made_renderer_is_chosen_where_it_equals_the_template_and_that_rewrites_history(
    template: str, renderer: str
) -> None:
    tokenizer = published_tokenizer(template)
    assert make_renderer(tokenizer, settings=chosen()).name == renderer
    check_template(tokenizer, TOOLS, settings=chosen())
