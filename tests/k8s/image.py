"""The commands of k8s/image/Dockerfile, where no image can be built: those of a stage, run in a folder.

python -m tests.k8s.image STAGE FOLDER      FOLDER/context is what the image's build would see, FOLDER/venv /opt/venv
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "k8s" / "image" / "Dockerfile"
VENV = "/opt/venv"


@dataclass
class Stage:
    """One FROM with what follows it."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)
    """RUN, COPY, USER, ... with their arguments on one line."""

    def of(self, instruction: str) -> list[str]:
        return [arguments for name, arguments in self.instructions if name == instruction]


def stages() -> dict[str, Stage]:
    """The stages of the Dockerfile, by name."""
    text = "\n".join(line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#"))
    found: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        instruction, _, arguments = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = arguments.partition(" AS ")
            stage = found[name] = Stage(base, name)
        elif instruction:
            stage.instructions.append((instruction, arguments.strip()))
    return found


def context() -> list[str]:
    """Paths of the checkout that the build sees: the .dockerignore leaves out everything but these."""
    lines = (DOCKERFILE.parent / f"{DOCKERFILE.name}.dockerignore").read_text().splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def run(stage: str, folder: Path) -> None:
    """Run a stage's RUN commands with ``folder`` in the place of the image's file system. Raises CalledProcessError."""
    source = folder / "context"
    for path in context():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, source / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / path, source / path)
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    for command in stages()[stage].of("RUN"):
        here = command.replace(VENV, str(folder / "venv"))
        print(f"+ {here}", flush=True)
        subprocess.run(["/bin/sh", "-c", here], cwd=source, env=environment, check=True)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]).resolve())
