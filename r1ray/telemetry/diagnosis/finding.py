"""A finding: what is wrong with a run, and the keys to turn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule's word on a run."""

    rule: str
    """Name of the rule, which is that of its function."""
    sentence: str
    """The fault, with its numbers."""
    advice: str
    """The remedy. It names ``keys``."""
    keys: tuple[str, ...]
    metric: str
    """The metric that shows it."""
    step: int
    """The last step that was looked at."""
    example: str = ""
    """A response that shows it; empty where there is none to show. Without line ends and control characters."""

    @property
    def line(self) -> str:
        """The whole finding in a line."""
        return f"{self.sentence} {self.advice}" + (f" Example: {self.example}" if self.example else "")
