"""Results of an evaluation, by the names of metrics.jsonl."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EvalResult:
    """Metrics of one benchmark at one policy version; keys as in metrics.jsonl after ``eval/<benchmark>/``."""

    benchmark: str
    """"" where several sets are evaluated, each with metrics below a name of its own."""
    metrics: dict[str, float] = field(default_factory=dict)

    def named(self) -> dict[str, float]:
        """Return the metrics by the names of metrics.jsonl."""
        prefix = f"eval/{self.benchmark}/" if self.benchmark else "eval/"
        return {f"{prefix}{name}": value for name, value in self.metrics.items()}
