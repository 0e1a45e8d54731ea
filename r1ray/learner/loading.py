"""Loading of a model from its files, strictly checked; under ZeRO 3 a rank keeps only its own part.

    file --mapped--> one whole parameter --own part copied--> the next one

transformers decides where each tensor of the files belongs: other names, experts that are stored separately, heads that
are tied or new. It registers every value in its module, and each value is divided at that moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import deepspeed
import torch
from torch.nn.modules.module import register_module_parameter_registration_hook

from r1ray.config import LearnerConfig
from r1ray.errors import UserError
from r1ray.learner.deepspeed_engine import deepspeed_config
from r1ray.runtime.remote_code import is_allowed

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SYNCHRONOUS = "HF_DEACTIVATE_ASYNC_LOAD"
"""Environment variable that makes transformers read each tensor when its turn comes, instead of as many as it can
ahead."""
NAMED = 3
"""Number of tensors that a message names."""

Place = tuple[torch.nn.Module, str, torch.nn.Parameter]


def load_model(
    kind: Any,
    model: str,
    config: LearnerConfig,
    *,
    world_size: int,
    device: torch.device,
    untrained: frozenset[str] = frozenset(),
    superfluous: frozenset[str] = frozenset(),
    **options: Any,
) -> Any:
    """Return the model that an Auto class of transformers makes from a model's files, in ``learner.dtype``.

    Under ZeRO 3 values from files are divided, and the rest (buffers, new parameters) is on ``device``. Nothing is
    sent, and at most one parameter at a time is whole: as a mapped file, or as a copy if its dtype differs from the
    file's or it is assembled from several tensors.

    Args:
        kind: the Auto class, for example ``AutoModelForCausalLM``.
        untrained: parameters that the files may lack; they are initialised from torch's seed.
        superfluous: tensors that the files may have although the model does not.

    Raises UserError, with names, if the files lack other tensors, have other tensors, or have tensors of other shapes.
    """
    is_divided = config.zero_stage == 3
    at_once: AbstractContextManager[list[Place]] = nullcontext([])
    if is_divided:
        at_once = _divided_at_once(deepspeed_config(config, world_size=world_size))
    with at_once as places:
        loaded, found = kind.from_pretrained(
            model,
            dtype=DTYPES[config.dtype],
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=is_allowed(),
            **options,
        )
    who = type(loaded).__name__
    _refuse(model, f"lack, and {who} has", found["missing_keys"] - untrained)
    _refuse(model, f"have, and {who} lacks", found["unexpected_keys"] - superfluous)
    others = {f"{name} {_shape(here)} instead of {_shape(there)}" for name, here, there in found["mismatched_keys"]}
    _refuse(model, f"have in another shape than {who}", others)
    _check_tied(model, loaded, places)
    if is_divided:
        new = [parameter for parameter in loaded.parameters() if not hasattr(parameter, "ds_id")]
        for tensor in (*loaded.buffers(), *new):
            tensor.data = tensor.data.to(device)
    return loaded


@contextmanager
def _divided_at_once(settings: dict[str, Any]) -> Iterator[list[Place]]:
    """Divide every value that transformers takes from a file when it registers it, into the parts that DeepSpeed's
    ``zero.Init`` would make. Yields the places where values were registered."""
    zero = deepspeed.zero.Init(config_dict_or_path=settings)
    places: list[Place] = []

    def divide(module: torch.nn.Module, name: str, value: torch.nn.Parameter) -> None:
        # This mark shows that a value comes from a file; values without it are initialised at random after this.
        is_from_file = getattr(value, "_is_hf_initialized", False)
        if not is_from_file or value.is_meta or hasattr(value, "ds_id"):
            return
        # The same as zero.Init does with a parameter, without the broadcast from rank 0: every rank has the file, and
        # writing to a mapped parameter would copy it.
        zero._convert_to_deepspeed_param(value)
        value.partition()  # type: ignore[attr-defined]
        value.data = value.data.to(zero.local_device)
        places.append((module, name, value))

    before = os.environ.get(SYNCHRONOUS)
    os.environ[SYNCHRONOUS] = "1"
    hook = register_module_parameter_registration_hook(divide)
    try:
        yield places
    finally:
        hook.remove()
        del os.environ[SYNCHRONOUS]
        if before is not None:
            os.environ[SYNCHRONOUS] = before


def _check_tied(model: str, loaded: Any, places: list[Place]) -> None:
    """Raise UserError if the files have two values for weights that the configuration ties: the trained model would
    differ from the one that engines load and that is exported."""
    head, embedding = loaded.get_output_embeddings(), loaded.get_input_embeddings()
    is_split = loaded.config.get_text_config().tie_word_embeddings and head is not None
    is_split = is_split and head.weight is not embedding.weight
    for module, name, value in places:  # transformers could not compare divided values
        tied = getattr(module, name)
        is_split = is_split or (tied is not value and not torch.equal(tied.ds_tensor, value.ds_tensor))  # type: ignore[attr-defined]
    if is_split:
        raise UserError(
            f"model={model}: its config.json ties the output layer to the embedding, and its files have two that "
            "differ; needs tie_word_embeddings=false there."
        )


def _refuse(model: str, what: str, names: set[str]) -> None:
    if names:
        shown = ", ".join(sorted(names)[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        raise UserError(f"model={model}: its files {what}: {shown}; needs the files of that very model.")


def _shape(shape: Any) -> str:
    return "x".join(map(str, shape))
