"""``r1ray eval``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from r1ray.config.actors import RolloutConfig
from r1ray.config.data import TEMPLATES
from r1ray.config.reward import JudgeConfig, RewardConfig, RewardModelConfig
from r1ray.config.run import ClusterConfig, DeadlineConfig
from r1ray.config.sandbox import SandboxConfig
from r1ray.config.values import at_least, check_sampling, one_of

SEARCH_METHODS = ("best_of_n", "tree_search")


@dataclass
class SearchConfig:
    """The paper's search attempts (section 4.2) beside plain sampling, all with the same budget of generated tokens."""

    methods: list[str] = field(default_factory=list)
    """``best_of_n``: samples ranked by the rewards of their steps. ``tree_search``: Monte Carlo tree search. Both ask
    ``reward_model``."""
    budget: int = 32768
    """Generated tokens of one question."""
    aggregate: str = "min"
    """How the rewards of steps make one of an answer: ``min``, ``prod`` or ``last``."""
    num_children: int = 4
    """Segments that the tree search samples after a node."""
    segment_tokens: int = 512
    segment_end: str = "\n\n"
    """What ends a segment, beside its length."""
    exploration: float = 0.5

    def __post_init__(self) -> None:
        for method in self.methods:
            one_of("search.methods", method, SEARCH_METHODS)
        one_of("search.aggregate", self.aggregate, ("min", "prod", "last"))
        for key in ("budget", "num_children", "segment_tokens"):
            at_least(f"search.{key}", getattr(self, key), 1)
        if not self.segment_end:
            raise ValueError("search.segment_end is empty: needs what ends a segment.")
        at_least("search.exploration", self.exploration, 0)


@dataclass
class EvaluationConfig:
    """``r1ray eval`` with its overrides. None of a benchmark's own settings takes what its file says."""

    model: str | None = None
    """A Hugging Face model folder."""
    against: str | None = None
    """Another one: both are evaluated, and compared question by question."""
    benchmarks: Any = None
    """Written ``benchmark=`` on the command line: a name, the path of a YAML file, or a list of these."""
    data: Any = None
    """The user's copy of the set (file or folder), or ``miniature``; several benchmarks: a mapping from their names."""
    output_dir: str = "runs"
    """Results are kept in its ``evaluations/``, by what went into them: the same command again reads them."""
    seed: int = 0
    samples: int | None = None
    """k, of each question."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    template: str | None = None
    """As ``data.template``."""
    limit: int | None = None
    """Take so many questions, drawn by the seed."""
    window: list[str] | None = None
    """First and last date of the rows, as 2024-08-01."""
    languages: list[str] | None = None
    """Of programs, where a set has several."""
    command: list[str] | None = None
    """What judges a task, for sets with a harness of their own."""
    baseline: str | None = None
    """File of the baseline's answers, for pairwise sets that have them apart."""
    standings: str | None = None
    """File of contest standings, for rating and percentile."""
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    reward_model: RewardModelConfig = field(default_factory=RewardModelConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    deadlines: DeadlineConfig = field(default_factory=DeadlineConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)

    def __post_init__(self) -> None:
        for key in ("model", "benchmarks", "data"):
            if getattr(self, key) is None:
                name = key.removesuffix("s")
                raise ValueError(f"{name} is not set: r1ray eval needs model=PATH benchmark=NAME data=PATH.")
        for key in ("samples", "max_tokens", "limit"):
            if getattr(self, key) is not None:
                at_least(key, getattr(self, key), 1)
        at_least("seed", self.seed, 0)
        check_sampling("", self.temperature, self.top_p)
        if self.template is not None:
            one_of("template", self.template, TEMPLATES)
        if self.window is not None and len(self.window) != 2:
            raise ValueError(f"window={self.window}: needs two dates, [2024-08-01, 2025-01-31].")
        if self.search.methods and self.reward_model.model is None:
            raise ValueError(
                f"reward_model.model is not set: search.methods={self.search.methods} needs one that scores steps."
            )
        self.reward.require_parts()
