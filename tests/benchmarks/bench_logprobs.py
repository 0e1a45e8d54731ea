"""Peak memory of log-probabilities and their gradient: in chunks, and with all logits at once.

    python -m tests.benchmarks.bench_logprobs [--vocabulary 152064] [--tokens 4096]

Each way runs in a process of its own; what it took above its inputs is compared, and so are the values. The ratio is
printed last.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

import torch

from r1ray.algo.logprobs import token_logprobs

HIDDEN = 64


def inputs(vocabulary: int, tokens: int) -> tuple[torch.Tensor, torch.nn.Linear, torch.Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(tokens, HIDDEN, requires_grad=True)
    head = torch.nn.Linear(HIDDEN, vocabulary, bias=False)
    assert head.weight.grad is None
    head.weight.grad = torch.zeros_like(head.weight)  # there anyway: not what is measured
    return hidden, head, torch.randint(vocabulary, (tokens,))


def chunked(hidden: torch.Tensor, head: torch.nn.Linear, targets: torch.Tensor) -> torch.Tensor:
    return token_logprobs(hidden, head.weight, None, targets, temperature=1.0)[0]


def materialised(hidden: torch.Tensor, head: torch.nn.Linear, targets: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(head(hidden).float(), dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


WAYS = {"chunked": chunked, "materialised": materialised}


def measure(way: str, vocabulary: int, tokens: int) -> dict[str, float]:
    """Peak bytes above the inputs, and a fingerprint of values and gradient."""
    hidden, head, targets = inputs(vocabulary, tokens)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    logp = WAYS[way](hidden, head, targets)
    logp.sum().backward()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert hidden.grad is not None
    return {"mib": peak / 1024, "logp": logp.mean().item(), "grad": hidden.grad.norm().item()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocabulary", type=int, default=152_064)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.vocabulary, options.tokens)))
        return
    found = {}
    for way in WAYS:
        command = [sys.executable, "-m", "tests.benchmarks.bench_logprobs", "--way", way]
        command += ["--vocabulary", str(options.vocabulary), "--tokens", str(options.tokens)]
        found[way] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(f"{way:13} {found[way]['mib']:8.0f} MiB  mean {found[way]['logp']:.6f}  grad {found[way]['grad']:.6f}")
    ours, theirs = found["chunked"], found["materialised"]
    for name in ("logp", "grad"):
        assert abs(ours[name] - theirs[name]) <= 1e-5 * abs(theirs[name]), name
    print(f"peak memory, chunked over materialised: 1/{theirs['mib'] / ours['mib']:.1f} (goal at most 1/8)")


if __name__ == "__main__":
    main()
