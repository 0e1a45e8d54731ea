"""The environments that the rows of a run name, looked up before any actor starts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from r1ray.config import EnvironmentConfig, SandboxConfig
from r1ray.data.layouts import RawPrompt
from r1ray.data.template import Form
from r1ray.environments.registry import WorldSource, source_of
from r1ray.environments.worker import EnvironmentWorker
from r1ray.environments.world_context import WorldContext
from r1ray.errors import UserError
from r1ray.types import Prompt

RowProblem = Callable[[Prompt], str | None]


class RunWorlds:
    """Each environment of a run, by its name."""

    def __init__(self, config: EnvironmentConfig, sandbox: SandboxConfig, form: Form) -> None:
        self._config, self._sandbox, self._form = config, sandbox, form
        self.sources: dict[str, WorldSource] = {}
        self._row_problems: dict[str, RowProblem | None] = {}

    def problem(self, raw: RawPrompt) -> str | None:
        """Return why the environment of a row can do nothing with it; None where it can. Raises UserError for an
        environment that there is not, or that cannot be made."""
        name = raw.environment
        if name not in self.sources:
            self.sources[name] = source = source_of(name, self._config)
            self._row_problems[name] = _row_problem_of(source, WorldContext(sandbox=self._sandbox))
        look = self._row_problems[name]
        return None if look is None else look(_prompt_of(raw, self._form))

    def check(self) -> None:
        """Make a world of each environment here, and have it look at what it needs. Raises UserError."""

        async def check() -> None:
            worker = EnvironmentWorker(self._config, self.sources, self._sandbox)
            await worker.check()
            await worker.close()

        if self.sources:
            asyncio.run(check())


def _row_problem_of(source: WorldSource, context: WorldContext) -> RowProblem | None:
    """Return the method of an environment that looks at rows, None where it has none; raises UserError in the place of
    whatever it raises."""
    if not source.has("row_problem"):
        return None
    try:
        look = source.made(context).row_problem
    except UserError:
        raise
    except Exception as error:  # the user's class
        raise UserError(f"environment {source.name}: {type(error).__name__}: {error}") from error

    def problem(prompt: Prompt) -> str | None:
        try:
            found = look(prompt)
        except Exception as error:  # the user's method
            raise UserError(f"environment {source.name}: row_problem: {type(error).__name__}: {error}") from error
        return None if found is None else str(found)

    return problem


def _prompt_of(raw: RawPrompt, form: Form) -> Prompt:
    return Prompt(
        id=raw.id,
        text="",
        check=raw.check,
        domain=raw.domain,
        language=raw.language,
        columns=json.loads(raw.columns),
        environment=raw.environment,
        messages=form.messages(raw.question),
    )
