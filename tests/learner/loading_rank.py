"""One rank that loads models in every way, for test_loading.py, and compares them with transformers' own.

usage: python -m tests.learner.loading_rank RANK WORLD_SIZE PORT FOLDER
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import transformers

from r1ray.config import LearnerConfig
from r1ray.config.specs import RankSpec
from r1ray.errors import UserError
from r1ray.learner.deepspeed_engine import gathered, join_group
from r1ray.learner.loading import DTYPES, load_model

REWARD = {"untrained": frozenset({"score.weight"}), "superfluous": frozenset({"lm_head.weight"})}
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "causal": ("AutoModelForCausalLM", {}, {}),
    "reward": ("AutoModelForSequenceClassification", {"num_labels": 1, "pad_token_id": 0}, REWARD),
}
"""An Auto class, its options, and what :func:`load_model` is told beside them."""
IDS = torch.tensor([[5, 1, 4, 2, 3]])


@contextmanager
def gathered_in_use(module: torch.nn.Module) -> Iterator[None]:
    """Have each part of a module whole while it computes, where its parameters are divided and DeepSpeed has no engine
    of it that would see to that. Every rank has to compute the same."""
    hooks = []
    for part in module.modules():
        if own := [p for p in part.parameters(recurse=False) if hasattr(p, "ds_id")]:
            hooks.append(part.register_forward_pre_hook(lambda *_, own=own: own[0].all_gather(own)))
            hooks.append(part.register_forward_hook(lambda *_, own=own: own[0].partition(own)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def load(kind: str, folder: Path, config: LearnerConfig) -> Any:
    torch.manual_seed(0)
    name, options, allowed = KINDS[kind]
    found = load_model(
        getattr(transformers, name),
        str(folder),
        config,
        world_size=dist.get_world_size(),
        device=torch.device("cpu"),
        **options,
        **allowed,
    )
    return found


@cache
def loaded_by_transformers(kind: str, folder: Path, dtype: str) -> Any:
    torch.manual_seed(0)
    name, options, _ = KINDS[kind]
    return getattr(transformers, name).from_pretrained(folder, dtype=DTYPES[dtype], **options)


def differences(kind: str, folder: Path, config: LearnerConfig) -> list[str]:
    """Parameters, buffers and logits that are not those of ``from_pretrained``, to the last bit, or not divided."""
    ours = load(kind, folder, config)
    theirs = loaded_by_transformers(kind, folder, config.dtype)
    found = []
    expected = dict(theirs.named_parameters())
    if list(dict(ours.named_parameters())) != list(expected):
        found.append("names")
    for name, parameter in ours.named_parameters():
        is_new = kind == "reward" and name == "score.weight"
        if config.zero_stage == 3 and parameter.numel() and not is_new:
            found.append(f"{name} is whole")
        with gathered([parameter]):
            if parameter.dtype != expected[name].dtype or not torch.equal(parameter, expected[name]):
                found.append(name)
    buffers = dict(theirs.named_buffers())
    for name, buffer in ours.named_buffers():
        if buffer.dtype != buffers[name].dtype or not torch.equal(buffer, buffers[name]):
            found.append(name)
    with torch.no_grad(), gathered_in_use(ours):
        if not torch.equal(ours(IDS).logits, theirs(IDS).logits):
            found.append("logits")
    return found


def refusal(action: Callable[[], Any]) -> str:
    try:
        action()
    except UserError as error:
        return str(error)
    return "nothing was refused"


def main(rank: int, world_size: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    join_group(RankSpec(rank, world_size, socket.gethostbyname("localhost"), port, 0, 60.0))
    found: dict[str, Any] = {}
    for path in sorted((folder / "whole").iterdir()):
        kind = "reward" if "reward" in path.name else "causal"
        for dtype in DTYPES:
            for stage in range(4):
                config = LearnerConfig(dtype=dtype, zero_stage=stage)
                found[f"{path.name} {dtype} {stage}"] = differences(kind, path, config)
    for path in sorted((folder / "faulty").iterdir()):
        for stage in (0, 3):
            config = LearnerConfig(dtype="bfloat16", zero_stage=stage)
            found[f"{path.name} {stage}"] = refusal(lambda path=path, config=config: load("causal", path, config))
    (folder / f"{rank}-of-{world_size}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()  # else Gloo's threads may abort the process at its end


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
