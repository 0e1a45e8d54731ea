r"""Writes ``data/built.jsonl``: ``python -m tests.reward.math.labels.build``. The same seed gives the same file."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.reward.math.labels import expressions, values

BUILT = Path(__file__).parent.parent / "data" / "built.jsonl"
SEED = 22
PHRASES = (
    r"So the answer is $\boxed{%s}$.", r"<think>Let me see.</think> The final answer is \boxed{%s}.",
    r"<think>done</think> <answer>%s</answer>", r"Therefore \[\boxed{%s}\]",
)  # fmt: skip


def rows() -> list[dict[str, object]]:
    """Every pair once, in a fixed order."""
    draw = random.Random(SEED)
    seen: dict[tuple[str, str], dict[str, object]] = {}
    found = [*expressions.pairs(draw, rounds=7), *values.pairs(draw, rounds=26)]
    for category, reference, answer, label in found:
        if (reference, answer) in seen or reference == answer:
            continue
        seen[reference, answer] = {
            "id": f"built_{category}_{len(seen):04d}",
            "cat": f"built_{category}",
            "gold": reference,
            "pred": draw.choice(PHRASES) % answer,
            "equal": label,
            "by": "construction",
        }
    return list(seen.values())


def text() -> str:
    """The file as it should be."""
    return "".join(json.dumps(row) + "\n" for row in rows())


if __name__ == "__main__":
    BUILT.write_text(text())
