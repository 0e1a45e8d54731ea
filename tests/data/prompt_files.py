"""Prompt files for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import PromptTable

OWN = {"id": "a", "prompt": "1+1=", "check": {"type": "math", "answer": "2"}, "domain": "sums", "language": "zh"}
VERL = {
    "data_source": "gsm8k",
    "prompt": [{"role": "user", "content": "1+1?"}],
    "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "2"},
    "extra_info": {"split": "train", "index": 7},
}
OPEN_R1 = {"problem": "1+1?", "solution": r"It is \boxed{2}", "uuid": "u1"}


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(path)


def parquet(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return str(path)


def table(path: str, tmp_path: Path) -> PromptTable:
    spool_prompts(path, tmp_path / "spool.arrow", key="data.train")
    return PromptTable(tmp_path / "spool.arrow", render=lambda question: str(question))
