"""The files and models that READMEs name, in small: ``MODEL``, ``train.jsonl``, ``RUN`` and the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.evaluation.test_recorded import rollouts

MODELS = ("MODEL", "BASE", "BASE/model", "STUDENT", "SMALL", "LARGE", "HELPFUL", "HARMLESS")
CONTEXT = 32768
"""Tokens that every model takes, as those of the readers do; commands without limits of their own need it."""
CHAT = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
QUESTIONS = [f"{a}+{b}" for a in range(8) for b in range(4)]
Row = Mapping[str, object]


def write_places(folder: Path, model: Path) -> Path:
    """Write them into a folder, in which commands of READMEs then run; return it.

    Args:
        model: what every name of a model stands for.
    """
    (folder / "RUN" / "hf").mkdir(parents=True)
    for name in MODELS:
        _copy(model, folder / name)
    for name, rows in _rows().items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(_rows()["heldout.jsonl"]), folder / "BASE" / "heldout.parquet")
    (folder / "runs" / "mine" / "rollouts").mkdir(parents=True)
    rollouts(folder / "runs" / "mine" / "rollouts" / "step=000120.parquet")
    (folder / "my_rewards.py").write_text("def short(prompt, response):\n    return float(len(response.text) < 400)\n")
    return folder


def _copy(model: Path, to: Path) -> None:
    to.mkdir(exist_ok=True)
    for file in model.iterdir():
        (to / file.name).symlink_to(file.resolve())
    config = json.loads((model / "config.json").read_text()) | {"max_position_embeddings": CONTEXT}
    (to / "config.json").unlink()
    (to / "config.json").write_text(json.dumps(config))
    (to / "chat_template.jinja").write_text(CHAT)


def _rows() -> dict[str, Sequence[Row]]:
    """Return rows of each file by its name."""
    prompts = [
        {
            "id": str(number),
            "prompt": f"{asked}=",
            "check": {"type": "math", "answer": str(eval(asked))},
            "level": number % 8,
        }
        for number, asked in enumerate(QUESTIONS)
    ]
    general = [{"id": f"g{n}", "prompt": "hi", "check": {"type": "format"}, "domain": "general"} for n in range(8)]
    answered = [(row["prompt"], str(eval(str(row["prompt"])[:-1]))) for row in prompts]
    return {
        "train.jsonl": [*prompts, *general],
        "heldout.jsonl": prompts,
        "dialogues.jsonl": [{"prompt": asked, "response": answer} for asked, answer in answered],
        "pairs.jsonl": [{"prompt": asked, "chosen": answer, "rejected": "no"} for asked, answer in answered],
        "responses.jsonl": [
            {"id": row["id"], "check": row["check"], "prompt": row["prompt"], "response": "\\boxed{3}"}
            for row in prompts
        ],
    }
