"""Write the toy repositories as files: ``train.jsonl``, ``heldout.jsonl``, and a folder of snapshots beside them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from r1ray.examples.toy_repositories.task import split_of, tasks


def write(folder: Path, *, seed: int) -> None:
    """Write every task of a seed."""
    (folder / "snapshots").mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[str]] = {"train": [], "heldout": []}
    for task in tasks(seed=seed):
        path = f"snapshots/{task.id}.tar.gz"
        (folder / path).write_bytes(task.archive)
        rows[split_of(task, seed=seed)].append(json.dumps(task.row(snapshot=path)))
    for split, lines in rows.items():
        (folder / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        print(f"{len(lines)} tasks: {folder / f'{split}.jsonl'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m r1ray.examples.toy_repositories", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files are written")
    parser.add_argument("--seed", type=int, default=0, help="changes names and order")
    arguments = parser.parse_args()
    write(arguments.folder, seed=arguments.seed)
