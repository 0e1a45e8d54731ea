"""The start of a learner under ZeRO 3: how much private memory a rank takes, beside what it has to hold in the end.

usage: python -m tests.benchmarks.bench_loading [LAYERS [DTYPE [RANKS]]]

What DeepSpeed keeps of any model (gathered parameters, buckets, groups that are updated at a time: up to a billion
elements each) is set to a thirtieth of this one, as it is of a model of tens of billions of parameters.

Ranks with a reference start from a model on disk and train one step. Private memory is what the kernel calls
anonymous: pages of a mapped file count once the process has written to them. A rank has to hold its share of
parameters, master weights, moments, gradients and reference; what Python and the libraries take is subtracted.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
HIDDEN, INTERMEDIATE, VOCABULARY = 1024, 2816, 32768
WINDOW = 10_000_000
WINDOWS = dict.fromkeys(
    (
        *("stage3_max_live_parameters", "stage3_max_reuse_distance", "stage3_prefetch_bucket_size"),
        *("reduce_bucket_size", "sub_group_size"),
    ),
    WINDOW,
)
BYTES = {"bfloat16": 2 + 4 + 8 + 2 + 2, "float32": 4 + 4 + 8 + 4 + 4}
"""Of one parameter: itself, master weight, moments, gradient, reference."""


def write_model(folder: Path, *, layers: int) -> int:
    """A random Llama in bfloat16, layer by layer; returns its number of parameters."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=64,
        tie_word_embeddings=False,
        architectures=["LlamaForCausalLM"],
        dtype="bfloat16",
    )
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in AutoModelForCausalLM.from_config(config).state_dict().items()}
    shards: dict[str, list[str]] = defaultdict(list)
    for name in shapes:
        shards[name.split(".")[2] if ".layers." in name else name].append(name)
    places, generator = {}, torch.Generator().manual_seed(0)
    for shard, names in shards.items():
        file = f"model-{shard}.safetensors"
        values = {n: torch.empty(shapes[n]).normal_(0.0, 0.02, generator=generator).bfloat16() for n in names}
        save_file(values, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(names, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return sum(shape.numel() for shape in shapes.values())


class Watch:
    """The most private memory of this process, by phase."""

    def __init__(self) -> None:
        self.phase, self.peaks, self._base = "imports", defaultdict[str, int](int), 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def enter(self, phase: str) -> None:
        if self.phase == "imports":
            self._base = private_bytes()
        self.phase = phase

    def _watch(self) -> None:
        while True:
            phase = self.phase
            self.peaks[phase] = max(self.peaks[phase], private_bytes() - self._base)
            time.sleep(0.02)


def private_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def rank_main(rank: int, ranks: int, port: int, folder: Path, dtype: str, out: Path) -> None:
    import deepspeed
    import numpy as np
    import torch
    from transformers import PreTrainedModel

    from r1ray.config import AlgoConfig, LearnerConfig
    from r1ray.config.specs import LearnerSpec, RankSpec
    from r1ray.learner.grpo import GRPOLearner
    from r1ray.rollout.engine import one_segment
    from r1ray.types import Minibatch, SampleRef, Shard, VersionSpan
    from tests.learner.lending import by_id, train

    torch.set_num_threads(1)
    watch = Watch()
    load, initialize = PreTrainedModel.from_pretrained.__func__, deepspeed.initialize  # type: ignore[attr-defined]

    def in_phase(phase, function):  # type: ignore[no-untyped-def]
        def call(*arguments, **options):  # type: ignore[no-untyped-def]
            watch.enter(phase)
            try:
                return function(*arguments, **options)
            finally:
                watch.enter(f"after {phase}")

        return call

    PreTrainedModel.from_pretrained = classmethod(in_phase("load", load))  # type: ignore[method-assign]
    deepspeed.initialize = in_phase("initialize", initialize)
    start = time.perf_counter()
    learner = GRPOLearner(
        LearnerConfig(
            dtype=dtype,
            zero_stage=3,
            num_ranks=ranks,
            max_tokens_per_microbatch=64,
            deepspeed={"zero_optimization": WINDOWS},
        ),
        AlgoConfig(kl_coefficient=0.1, group_size=2, prompts_per_step=1, minibatches_per_step=1),
        LearnerSpec(str(folder), seed=0, num_updates=10),
        RankSpec(rank, ranks, "127.0.0.1", port, 0, 300.0),
    )
    started = time.perf_counter() - start
    watch.enter("step")
    ids = np.arange(3, 11, dtype=np.int32)
    row = one_segment(
        group_id="0/0",
        index=0,
        prompt_token_ids=ids[:2],
        token_ids=ids[2:],
        logprobs=np.full(6, -8.0, np.float32),
        text="",
        versions=(VersionSpan(0, 0, 6),),
    )
    minibatch = Minibatch(microbatches=((SampleRef(row.id, 1.0, 8),),), num_sequences=2, num_tokens=12)
    train(learner, Shard((minibatch,), learner_version=0), by_id([row]))
    watch.enter("after the step")
    time.sleep(0.2)
    out.write_text(json.dumps({"peaks": watch.peaks, "start_s": started}))


def main(layers: int, dtype: str, ranks: int) -> None:
    from tests.real.ranks import run_ranks

    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        parameters = write_model(folder, layers=layers)
        held = parameters * BYTES[dtype] / ranks
        print(
            f"{parameters / 1e6:.0f} M parameters in bfloat16 files, learner.dtype={dtype}, {ranks} ranks: each has to"
        )
        print(f"hold {held / 1e9:.2f} GB; peaks of private memory as multiples of that")
        run_ranks(
            "tests.benchmarks.bench_loading",
            [folder / f"{rank}.log" for rank in range(ranks)],
            lambda rank, port: ["--rank", str(rank), str(ranks), str(port), name, dtype, str(folder / f"{rank}.json")],
            timeout_s=280,
        )
        for rank in range(ranks):
            found = json.loads((folder / f"{rank}.json").read_text())
            peaks = {phase: peak for phase, peak in found["peaks"].items() if phase != "imports"}
            print(
                f"rank {rank}: " + ", ".join(f"{phase} {peak / held:.2f}" for phase, peak in peaks.items()),
                f"-> {max(peaks.values()) / held:.2f}; started in {found['start_s']:.1f} s",
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        rank, ranks, port, folder, dtype, out = sys.argv[2:]
        rank_main(int(rank), int(ranks), int(port), Path(folder), dtype, Path(out))
    else:
        given = sys.argv[1:]
        layers, dtype, ranks = given + ["20", "bfloat16", "2"][len(given) :]
        main(int(layers), dtype, int(ranks))
