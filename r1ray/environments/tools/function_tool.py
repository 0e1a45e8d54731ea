"""A typed function as a tool.

arguments --the schema's check--> --pydantic--> Python values --a thread, or a task--> its result
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from r1ray.environments.tools.json_schema import JsonSchema
from r1ray.environments.tools.schema import adapters_of, schema_of
from r1ray.errors import InfrastructureError, ToolFailed
from r1ray.runtime.own_code import in_thread, is_async

MAX_THREADS = 512
"""Limit on threads at work: threads of functions that never return stay, and a process with this many is unusable."""
_threads = threading.BoundedSemaphore(MAX_THREADS)


class FunctionTool:
    """A function that may be called; a function that is not async runs in a thread."""

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        """Raises UserError if no schema can be derived from the function."""
        self.schema = schema_of(function, name=name)
        self._name: str = self.schema["function"]["name"]
        self._function = function
        self._adapters = adapters_of(function, name=self._name)
        self._check = JsonSchema(self.schema["function"]["parameters"])

    async def call(self, arguments: Mapping[str, Any]) -> Any:
        """Return the function's result. Raises ToolFailed for arguments that do not fit its schema, and any exception
        of the function."""
        values = self._values(arguments)
        if is_async(self._function):
            return await self._function(**values)
        if not _threads.acquire(blocking=False):
            raise InfrastructureError(f"{MAX_THREADS} calls of tools are at work in this process and do not return")
        try:
            outcome = in_thread(self._in_slot, values, name=f"tool {self._name}")
        except RuntimeError as error:
            _threads.release()
            raise InfrastructureError(f"no thread can be started for the tool {self._name}: {error}") from error
        return await outcome

    def _in_slot(self, values: Mapping[str, Any]) -> Any:
        try:
            return self._function(**values)
        finally:
            _threads.release()

    def _values(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        unknown = [name for name in arguments if name not in self._adapters]
        if unknown:
            known = ", ".join(self._adapters) or "none"
            raise ToolFailed(f"{self._name} has no argument {unknown[0][:100]!r}. Its arguments are: {known}.")
        if problem := self._check.problem(dict(arguments)):
            raise ToolFailed(f"wrong arguments for {self._name}: {problem}")
        return {name: self._value(name, value) for name, value in arguments.items()}

    def _value(self, name: str, value: Any) -> Any:
        try:
            return self._adapters[name].validate_python(value)
        except (ValidationError, RecursionError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is nested too deeply"
            raise ToolFailed(f"wrong arguments for {self._name}: {name}: {reason[:300]}") from error
