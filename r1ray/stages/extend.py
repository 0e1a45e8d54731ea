"""A model with more tokens: the cold start's pattern has one that base models do not know (paper section 2.3.1)."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from r1ray.config import RunConfig
from r1ray.reward.extract import SPECIAL_TOKEN
from r1ray.runtime.files import written_aside
from r1ray.runtime.model_class import auto_class
from r1ray.runtime.model_files import load_generation_config, load_tokenizer, local_folder
from r1ray.runtime.remote_code import is_allowed
from r1ray.stages.base import Artifact, Context, Input, files_read, inputs_of
from r1ray.stages.model_form import carried_form, write_form

logger = logging.getLogger(__name__)


class Extend:
    """Adds the cold-start pattern's token to a model's tokenizer and embeddings; a model that has it is copied."""

    name = "extend"
    makes = "model"
    needs: tuple[str, ...] = ()

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def reads(self) -> list[Input]:
        return inputs_of(("model", self._config.model, "model"))

    def settings(self) -> dict[str, Any]:
        return {"model": self._config.model, "files": files_read(self), "token": SPECIAL_TOKEN}

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        folder = context.run_dir / "model"
        with written_aside(folder) as aside:
            num_added = add_tokens(str(self._config.model), [SPECIAL_TOKEN], aside)
        logger.info(f"{num_added} tokens added to the tokenizer and the embeddings")
        return Artifact(str(folder), digest, {"num_added": float(num_added)})


def add_tokens(model: str, tokens: list[str], folder: Path) -> int:
    """Write the model to ``folder`` with these tokens in its vocabulary; returns how many it did not have.

    They are no *special* tokens to the tokenizer, so that decoding keeps them. Their embeddings are drawn around the
    mean of the others, as transformers does it.
    """
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # DeepSpeed, which transformers looks at, else says what it lacks
    from transformers import AddedToken
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    source = local_folder(model, key="model")
    tokenizer = load_tokenizer(source, template="none", may_lack_rows=True)
    num_added = int(tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in tokens]))
    loaded = auto_class(source).from_pretrained(source, dtype="auto", trust_remote_code=is_allowed())
    if len(tokenizer) > loaded.get_input_embeddings().weight.shape[0]:
        loaded.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=32)
    loaded.generation_config = load_generation_config(source)
    loaded.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if (form := carried_form(source)) is not None:
        write_form(folder, form)
    return num_added
