"""Export of a learner's model as a Hugging Face folder, by the learner itself or from a checkpoint that it saved.

    learner    --write_settings--> config.json, tokenizer, ...   --whole_state--> tensors  \\
                                                                                            write_weights --> the folder
    checkpoint --its hf/ folder--> the same files                --saved_state--> tensors  /

Both ways end in the same function, on a CPU, so that they write the same bytes. Adapters are merged in float32: base
and adapter are summed, and the sum is rounded once to the dtype of the model. In bfloat16 that rounding loses
differences below 1/256 of a weight (8 bits); ``learner.lora.export=adapter`` writes the adapter itself.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import cached_file

from r1ray.learner.deepspeed_engine import gathered
from r1ray.learner.lora import ADAPTER, is_adapter, merged_weight
from r1ray.learner.state import SETTINGS, saved_state
from r1ray.runtime.model_files import accepted_generation_config
from r1ray.runtime.remote_code import is_allowed
from r1ray.runtime.router_settings import missing_router_settings

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
"""Files that engines read for a model that reads images, and that transformers' classes here do not write."""
State = dict[str, torch.Tensor]


def export_saved(checkpoint: Path, folder: Path, *, as_adapter: bool) -> None:
    """Write the export of a saved checkpoint: the same folder that the learner itself would have written at that time.

    Args:
        checkpoint: the learner's folder of a checkpoint.
        folder: must not exist.
    """
    shutil.copytree(checkpoint / SETTINGS, folder)
    write_weights(folder, saved_state(checkpoint), as_adapter=as_adapter)


def write_settings(model: Any, folder: Path, *, source: str) -> None:
    """Write all files of a model but its weights: configuration, generation settings, tokenizer, adapter settings.

    Args:
        source: the folder or hub name that the model was loaded from.
    """
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = model.dtype
    config.update(missing_router_settings(config))
    config.save_pretrained(folder)
    if model.can_generate():
        accepted_generation_config(model.generation_config).save_pretrained(folder)
    for name in PROCESSOR_FILES:
        if (file := cached_file(source, name, _raise_exceptions_for_missing_entries=False)) is not None:
            shutil.copyfile(file, folder / name)
    AutoTokenizer.from_pretrained(source, trust_remote_code=is_allowed()).save_pretrained(folder)
    if hasattr(model, "peft_config"):
        adapter = copy.deepcopy(model.peft_config[ADAPTER])
        adapter.target_modules = sorted(adapter.target_modules)
        adapter.base_model_name_or_path = source
        adapter.task_type = "CAUSAL_LM" if model.can_generate() else "SEQ_CLS"
        adapter.inference_mode = True
        trained = (name for name, parameter in model.named_parameters() if parameter.requires_grad)
        adapter.modules_to_save = sorted({name.rpartition(".")[0] for name in trained if not is_adapter(name)}) or None
        adapter.save_pretrained(folder)


def whole_state(model: Any) -> State:
    """Return every parameter and buffer of the model's state, whole, in host memory, on rank 0; an empty dict on other
    ranks. Has to be called on every rank. Tied weights share their memory."""
    is_writer = dist.get_rank() == 0
    copied: dict[int, torch.Tensor] = {}
    state: State = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in copied:
            with gathered([tensor]):
                copied[id(tensor)] = tensor.detach().to("cpu", copy=True) if is_writer else tensor
        if is_writer:
            state[name] = copied[id(tensor)]
    return state


def write_weights(folder: Path, state: State, *, as_adapter: bool = False) -> None:
    """Write safetensors beside the files that :func:`write_settings` wrote into ``folder``.

    Args:
        state: as returned by :func:`whole_state`; it is emptied while writing.
        as_adapter: write only the adapter, in peft's format, instead of the merged model.
    """
    path = folder / ADAPTER_CONFIG
    adapter = json.loads(path.read_text()) if path.exists() else None
    if adapter is not None and as_adapter:
        save_file(dict(_adapter_tensors(state, adapter)), folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        (folder / "config.json").unlink()  # otherwise the folder would look like a whole model
        (folder / "generation_config.json").unlink(missing_ok=True)
        return
    if adapter is not None:
        scale = adapter["lora_alpha"] / adapter["r"]
        state = merge_adapters(state, scale=scale, is_transposed=adapter["fan_in_fan_out"])
        path.unlink()
    config = AutoConfig.from_pretrained(folder, trust_remote_code=is_allowed())
    with torch.device("meta"):  # knows tied weights and the names of experts in files; holds no values
        known = getattr(transformers, config.architectures[0], None)
        if known is None:
            model = AutoModelForCausalLM.from_config(config, dtype=config.dtype, trust_remote_code=is_allowed())
        else:
            model = known._from_config(config, dtype=config.dtype)
    if model.can_generate():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    model.save_pretrained(folder, state_dict=state)


def merge_adapters(state: State, *, scale: float, is_transposed: bool = False) -> State:
    """Return the state of the model without adapters: base + scale * B A, summed in float32, rounded once to the base's
    dtype. Empties ``state``.

    Args:
        is_transposed: weights are [in, out] instead of [out, in].
    """
    merged: State = {}
    for name in [name for name in state if not is_adapter(name)]:
        layer, _, rest = name.partition(".base_layer.")
        tensor = state.pop(name)
        if rest == "weight":
            down, up = (state.pop(f"{layer}.lora_{side}.{ADAPTER}.weight") for side in "AB")
            tensor = merged_weight(tensor, down, up, scale=scale, is_transposed=is_transposed)
        merged[f"{layer}.{rest}" if rest else name] = tensor
    return merged


def _adapter_tensors(state: Mapping[str, torch.Tensor], adapter: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the trained tensors, under peft's names."""
    whole = tuple(f"{module}." for module in adapter["modules_to_save"] or ())
    for name, tensor in state.items():
        if is_adapter(name) or name.startswith(whole):
            yield f"base_model.model.{name.replace(f'.{ADAPTER}.', '.')}", tensor.contiguous()
