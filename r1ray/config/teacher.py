"""Teachers of on-policy distillation."""

from __future__ import annotations

from dataclasses import dataclass, field

from r1ray.config.values import above


@dataclass
class TeacherConfig:
    """Models whose log-probabilities of the sampled tokens give each token an advantage of its own: what on-policy
    distillation learns from. They are frozen, lie beside the learner in ``learner.dtype``, and need the tokenizer of
    ``model``."""

    model: str | None = None
    """Model folder of the teacher, or its name on a hub if there is a local copy. null: no teacher, but for those of
    ``domains``."""
    domains: dict[str, str] = field(default_factory=dict)
    """Teachers of single domains of ``data.train`` in the place of ``model``: ``{math: PATH, code: PATH}``."""
    coefficient: float = 1.0
    """Weight of log pi_teacher - log pi_theta of a token among the advantages."""
    beside_rewards: bool = False
    """Add the teacher's advantages to those of the rewards. Without it they take their place: rewards are computed and
    logged, and nothing is learned from them."""

    @property
    def models(self) -> dict[str, str]:
        """Models by the domain they teach; the one of all other domains under an empty name."""
        return ({} if self.model is None else {"": self.model}) | self.domains

    @property
    def by_key(self) -> dict[str, str]:
        """Models by the keys that name them."""
        return {f"algo.teacher.{f'domains.{name}' if name else 'model'}": path for name, path in self.models.items()}

    @property
    def is_alone(self) -> bool:
        """Say whether nothing is learned from rewards."""
        return bool(self.models) and not self.beside_rewards

    def __post_init__(self) -> None:
        above("algo.teacher.coefficient", self.coefficient, 0)
        for domain, model in self.domains.items():
            if not domain or not model:
                raise ValueError(f"algo.teacher.domains={self.domains}: needs a model for each domain, {{math: PATH}}.")
