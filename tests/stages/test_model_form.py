"""A model carries the form that it was tuned in, and who asks it in another one says so."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from r1ray.config import DataConfig, Deadlines
from r1ray.data.template import Form
from r1ray.doctor.model import judge_form
from r1ray.errors import UserError
from r1ray.stages.model_form import FORM, carried_form, form_of_settings, form_remark, write_form
from r1ray.stages.training import export, say_form

TUNED = Form("chat", system_prompt="Be brief.", template_arguments={"enable_thinking": False})
BARE, CHATTY = SimpleNamespace(chat_template=None), SimpleNamespace(chat_template="{{ messages }}")


class Writing:
    """A learner whose models are empty folders."""

    async def export(self, folder: Path, *, checkpoint: Path | None) -> None:
        folder.mkdir()


def test_an_export_carries_the_form(tmp_path: Path) -> None:
    asyncio.run(export(Writing(), tmp_path / "hf" / "1", form=TUNED, deadlines=Deadlines()))
    assert carried_form(str(tmp_path / "hf" / "1")) == TUNED


def test_a_model_without_one_says_nothing(tmp_path: Path) -> None:
    assert carried_form(str(tmp_path)) is None
    assert carried_form("org/no-such-model") is None
    assert form_remark(BARE, Form("r1_zero"), model=str(tmp_path)) is None
    assert form_remark(CHATTY, Form("chat"), model=str(tmp_path)) is None


def test_a_chat_template_that_is_not_used_is_said(tmp_path: Path) -> None:
    remark = form_remark(CHATTY, Form("r1_zero"), model=str(tmp_path))
    assert remark is not None and not remark[0]
    assert remark[1].startswith("data.template=r1_zero: the chat template of model=")


def test_who_asks_in_another_form_warns_with_both(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_form(tmp_path, TUNED)
    assert form_remark(CHATTY, TUNED, model=str(tmp_path)) is None
    with caplog.at_level(logging.INFO):
        say_form(CHATTY, Form("r1_zero"), model=str(tmp_path))
        say_form(CHATTY, Form("chat"), model=str(tmp_path))
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert f"was tuned with {TUNED}, and is asked with data.template=r1_zero here" in caplog.messages[0]
    assert judge_form(CHATTY, Form("r1_zero"), str(tmp_path), key="model").status == "yellow"
    assert judge_form(CHATTY, TUNED, str(tmp_path), key="model").status == "green"


@pytest.mark.parametrize("text", ["", "[]", "{}", "{"])
def test_a_torn_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FORM).write_text(text)
    with pytest.raises(UserError, match=f"model={tmp_path}: its {FORM} cannot be read"):
        carried_form(str(tmp_path))
    assert judge_form(CHATTY, TUNED, str(tmp_path), key="model").status == "red"


def test_a_checkpoint_has_the_form_of_its_run() -> None:
    data = asdict(DataConfig(template="chat", system_prompt="Be brief.", template_arguments={"enable_thinking": False}))
    assert form_of_settings({"data": data}) == TUNED
    assert form_of_settings({"data": {"template": "none"}}) == Form("none")
    assert form_of_settings({}) is None
