"""The form that a model was tuned in: it lies beside the weights, and a stage that asks in another one says so.

export --write_form--> MODEL/r1ray_form.json --carried_form--> the next stage --form_remark--> one line of its log
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.runtime.files import write_json
from r1ray.runtime.model_files import is_hub_name

FORM = "r1ray_form.json"


def write_form(folder: Path, form: Form) -> None:
    """Write the form that a model was tuned in into its folder."""
    write_json(folder / FORM, asdict(form))


def form_of_settings(settings: dict[str, Any]) -> Form | None:
    """Return the form of a run, by its config.yaml; None where that does not say."""
    data = settings.get("data") or {}
    return _form(data) if data.get("template") else None


def carried_form(model: str, *, key: str = "model") -> Form | None:
    """Return the form that a model was tuned in; None where nothing says it. Raises UserError for a torn file.

    Args:
        model: a folder, or a hub name, of which only the local copy is looked at.
        key: what messages call it.
    """
    path = Path(model).expanduser() / FORM
    if not path.parent.is_dir() and is_hub_name(model):
        from huggingface_hub import try_to_load_from_cache

        path = Path(str(try_to_load_from_cache(model, FORM) or path))
    if not path.is_file():
        return None
    try:
        return _form(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{key}={model}: its {FORM} cannot be read ({error!s:.100}); remove it, or restore it."
        ) from error


def form_remark(tokenizer: Any, form: Form, *, model: str, key: str = "model") -> tuple[bool, str] | None:
    """Return what a stage says of the form that it asks a model in, and whether that is a warning: another than the
    model was tuned in, or not its chat template. None where there is nothing to say. Raises UserError.

    Args:
        key: what messages call the model.
    """
    carried = carried_form(model, key=key)
    if carried is not None and carried != form:
        return True, (
            f"{key}={model} was tuned with {carried}, and is asked with {form} here, another form; the same keys ask "
            "it as it was tuned"
        )
    if carried is None and form.template != "chat" and tokenizer.chat_template:
        return False, f"{form}: the chat template of {key}={model} is not used; data.template=chat asks in it"
    return None


def _form(values: dict[str, Any]) -> Form:
    arguments = dict(values.get("template_arguments") or {})
    return Form(values["template"], values.get("system_prompt"), values.get("suffix"), arguments)
