"""Forward and backward pass of a group as a tree beside the same sequences end to end, on one core.

usage: python -m tests.benchmarks.bench_tree [trunk|model|memory|unshared|all] [ROUNDS]

    trunk      layers 576 wide, without embeddings' gradient and head: where prompts are 1 or 4 outputs long
    model      a whole model of SmolLM2-135M's shape with its head, and GRPO's loss
    unshared   the same where next to nothing is shared: a tree must not be slower
    memory     the peak above the weights of both, each in a process of its own

Both take turns (A B A B). Times are CPU seconds of this one thread. A ratio counts if the slowest round of the tree is
faster than the fastest of the other. ``memory`` is Linux alone.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from r1ray.learner.packed import Packed, TokenRow, pack_sequences, pack_tree
from r1ray.learner.policy import PolicyModel

CPU = torch.device("cpu")
LAYERS, VOCABULARY, WIDTH = 30, 49152, 576
TRUNK = (
    # layers, tokens of the prompt, mean of an output, G, the ratio that is needed
    (2, 16, 16, 8, None),
    (2, 16, 16, 16, None),
    (2, 64, 64, 8, 1.6),
    (2, 64, 64, 16, 1.8),
    (1, 256, 256, 8, 1.6),
    (1, 256, 256, 16, 1.8),
    (2, 256, 64, 8, 2.8),
    (2, 256, 64, 16, 3.8),
    (1, 1024, 256, 8, 2.8),
    (1, 1024, 256, 16, 3.8),
)
MODEL = ((LAYERS, 32, 32, 8, 1.25), (LAYERS, 96, 24, 8, 2.5))
UNSHARED = (
    (1, 2, 64, 8, 0.97),
    (1, 4, 256, 16, 0.97),
    (1, 16, 512, 16, 0.97),
    (1, 24, 256, 8, 0.97),
    (1, 8, 16, 4, 0.97),
    (1, 16, 16, 2, 0.97),
    (1, 64, 256, 2, 0.97),
    (1, 64, 256, 4, 0.97),
)
MEMORY = ((2, 64, 64, 16), (2, 256, 64, 16), (1, 256, 256, 16))
PACKINGS: dict[str, Callable[[Sequence[TokenRow]], Packed]] = {
    "flat": lambda rows: pack_sequences(rows, device=CPU),
    "tree": lambda rows: pack_tree(rows, device=CPU),
}


def make_model(layers: int, *, vocabulary: int = VOCABULARY) -> Any:
    """SmolLM2-135M's shape, with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def make_rows(prompt: int, output: int, num: int, *, vocabulary: int) -> list[TokenRow]:
    """A group whose outputs have from a quarter to seven quarters of their mean length."""
    rng = np.random.default_rng(0)
    beginning = rng.integers(3, vocabulary, prompt)
    lengths = np.linspace(output / 4, 7 * output / 4, num).round().astype(int)
    return [
        (
            torch.from_numpy(np.concatenate([beginning, rng.integers(3, vocabulary, n)])),
            torch.arange(prompt + n) >= prompt,
        )
        for n in lengths
    ]


def trunk_pass(policy: PolicyModel, packed: Packed) -> None:
    policy.decoder.hidden(packed, slice(None))[packed.predictor_C].square().mean().backward()


def model_pass(policy: PolicyModel, packed: Packed) -> None:
    logp, _ = policy(packed, 1.0)
    ratio = torch.exp(logp - logp.detach())
    advantage = torch.linspace(-1, 1, len(logp))
    (-torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()).backward()


def compare(shapes: Sequence[tuple[int, int, int, int, float | None]], *, is_whole: bool, rounds: int) -> bool:
    """Measure both packings of every shape; returns whether each is as fast as it has to be."""
    vocabulary = VOCABULARY if is_whole else 512
    work = model_pass if is_whole else trunk_pass
    is_right = True
    print("layers prompt/output G | tokens flat tree | flat min median max | tree min median max | ratio")
    for layers, prompt, output, num, needed in shapes:
        policy = PolicyModel(make_model(layers, vocabulary=vocabulary))
        rows = make_rows(prompt, output, num, vocabulary=vocabulary)
        seconds: dict[str, list[float]] = {name: [] for name in PACKINGS}
        for number in range(rounds + 1):
            for name, pack in PACKINGS.items():
                policy.zero_grad()
                start = time.process_time()
                work(policy, pack(rows))
                if number:  # the first round allocates
                    seconds[name].append(time.process_time() - start)
        spread = {name: np.quantile(values, [0, 0.5, 1]) for name, values in seconds.items()}
        ratio = spread["flat"][1] / spread["tree"][1]
        verdict = "" if needed is None else f" (needs {needed})"
        if needed is not None and ratio < needed:
            is_right, verdict = False, verdict + " NOT REACHED"
        tokens = [pack(rows).num_tokens for pack in PACKINGS.values()]
        numbers = " | ".join(" ".join(f"{value:.3f}" for value in values) for values in spread.values())
        print(
            f"{layers} {prompt}/{output} {num} | {tokens[0]} {tokens[1]} | {numbers} | {ratio:.2f}{verdict}", flush=True
        )
    return is_right


def peak(packing: str, index: int) -> None:
    """Print the peak above the weights, in MiB, of two passes."""
    layers, prompt, output, num = MEMORY[index]
    policy = PolicyModel(make_model(layers, vocabulary=512))
    rows = make_rows(prompt, output, num, vocabulary=512)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2):
        policy.zero_grad()
        trunk_pass(policy, PACKINGS[packing](rows))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)


def memory() -> bool:
    is_right = True
    print("layers prompt/output G | peak above the weights, MiB: flat tree")
    # Small blocks go back to the system at once, so that the peak is what is held at a time.
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    for index, shape in enumerate(MEMORY):
        found = {
            packing: int(
                subprocess.run(
                    [sys.executable, "-m", "tests.benchmarks.bench_tree", "peak", packing, str(index)],
                    env=env,
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
            for packing in PACKINGS
        }
        is_right &= found["tree"] <= found["flat"]
        print(f"{shape[0]} {shape[1]}/{shape[2]} {shape[3]} | {found['flat']} {found['tree']}", flush=True)
    return is_right


def main(what: str = "all", rounds: str = "3") -> int:
    parts = {
        "trunk": lambda: compare(TRUNK, is_whole=False, rounds=int(rounds)),
        "model": lambda: compare(MODEL, is_whole=True, rounds=int(rounds)),
        "unshared": lambda: compare(UNSHARED, is_whole=False, rounds=int(rounds)),
        "memory": memory,
    }
    chosen = parts if what == "all" else {what: parts[what]}
    results = [part() for part in chosen.values()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["peak"]:
        peak(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main(*sys.argv[1:]))
