"""``r1ray eval``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from r1ray.config.actors import RolloutConfig
from r1ray.config.data import TEMPLATES, DataConfig
from r1ray.config.environment import EnvironmentConfig
from r1ray.config.reward import JudgeConfig, RewardConfig, RewardModelConfig
from r1ray.config.run import ClusterConfig, DeadlineConfig
from r1ray.config.sandbox import SandboxConfig
from r1ray.config.values import at_least, check_local, check_sampling, check_values, one_of

SEARCH_METHODS = ("best_of_n", "tree_search")
ZERO_SHOT, FEW_SHOT, PARAPHRASES = PROMPTS = ("zero_shot", "few_shot", "paraphrases")
QUESTION = "{question}"
"""Place of the question in a prompt of the user's own."""


@dataclass
class SearchConfig:
    """The paper's search methods (section 4.2), compared with plain sampling at the same budget of generated tokens."""

    methods: list[str] = field(default_factory=list)
    """Search methods that are compared with plain sampling: ``best_of_n`` (samples ranked by the rewards of their
    steps) and ``tree_search`` (Monte Carlo tree search). Both need ``reward_model.model``."""
    budget: int = 32768
    """Tokens that each method generates for one question. Unit: tokens."""
    aggregate: str = "min"
    """Way in which the rewards of an answer's steps become one: ``min``, ``prod`` or ``last``."""
    num_children: int = 4
    """Segments that the tree search samples after a node."""
    segment_tokens: int = 512
    """Longest segment of the tree search. Unit: tokens."""
    segment_end: str = "\n\n"
    """Text that ends a segment before it has its full length."""
    exploration: float = 0.5
    """Weight of rarely visited nodes when the tree search selects one (the constant c of PUCT)."""

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
    """One evaluation: ``r1ray eval`` with its overrides."""

    model: str | None = None
    """A Hugging Face model folder: the model that is evaluated."""
    trust_remote_code: bool = False
    """Run Python code that is in the folders of models, which may do all that you may. Models that need it are refused
    otherwise."""
    against: str | None = None
    """Another model, which is evaluated too and compared question by question. null: none."""
    benchmarks: Any = None
    """Name of a benchmark, path of a YAML file that describes one, or a list of these."""
    data: Any = None
    """Your copy of the benchmark's set (file, folder, glob, list of these, ``hf://ORG/NAME:CONFIG/SPLIT``), or
    ``miniature``: a few rows that ship. Of several benchmarks: a mapping from their names. Of ``benchmark=prompts`` it
    may be several sets by name, ``{aime: a.jsonl, math: b.parquet}``, whose metrics are told apart."""
    output_dir: str = "runs"
    """Folder of the results, which are kept in its ``evaluations/`` by what went into them. The same command again
    reads them."""
    seed: int = 0
    """Seed of the sampling, of ``limit``, and of what a benchmark shuffles."""
    samples: int | None = None
    """Samples of each question (k). null: as the benchmark says."""
    temperature: float | None = None
    """Sampling temperature. null: as the benchmark says."""
    top_p: float | None = None
    """Probability mass that is sampled from (nucleus sampling). null: as the benchmark says."""
    max_tokens: int | None = None
    """Longest answer; longer ones are cut. null: as the benchmark says. Unit: tokens."""
    template: str | None = None
    """Text around a question, as in ``data.template`` of a run. null: as the benchmark says."""
    system_prompt: str | None = None
    """Same as ``data.system_prompt`` of a run."""
    suffix: str | None = None
    """Same as ``data.suffix`` of a run."""
    template_arguments: Any = None
    """Same as ``data.template_arguments`` of a run."""
    on_bad_row: str = "refuse"
    """Same as ``data.on_bad_row`` of a run."""
    columns: Any = None
    """Same as ``data.columns`` of a run, for ``benchmark=prompts``."""
    check: str | None = None
    """Same as ``data.check`` of a run, for ``benchmark=prompts``."""
    in_environment: str | None = None
    """Environment of questions whose row has no column ``environment``: as ``data.environment`` of a run, and for
    published benchmarks too. null: none, and an answer of one turn."""
    prompts: list[str] | None = None
    """Prompts in which every question is asked, and over which the spread of pass@1 is measured: ``zero_shot`` (as the
    benchmark has it), ``few_shot`` (after the examples of ``shots``), ``paraphrases`` (in four other wordings), or a
    text of your own with ``{question}`` in it. null: as the benchmark has it, and no spread."""
    shots: str | None = None
    """File of the worked examples of ``few_shot``, rows with ``prompt`` and ``response``."""
    num_shots: int = 3
    """Worked examples before a question: the first of ``shots``."""
    limit: int | None = None
    """Number of questions that are taken, drawn by the seed. null: all."""
    window: list[str] | None = None
    """First and last date of the rows that are taken, ``[2024-08-01, 2025-01-31]``. null: as the benchmark says."""
    languages: list[str] | None = None
    """Programming languages that are taken, of a set with several. null: all."""
    command: list[str] | None = None
    """Command that judges a task, for sets with a harness of their own. null: as the benchmark says."""
    baseline: str | None = None
    """File with the baseline's answers, for pairwise sets that keep them apart."""
    standings: str | None = None
    """File of contest standings, for the metrics rating and percentile."""
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    reward_model: RewardModelConfig = field(default_factory=RewardModelConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    deadlines: DeadlineConfig = field(default_factory=DeadlineConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)

    def data_of(self, template: str) -> DataConfig:
        """Return how questions are read and asked as a run has it. Raises ValueError where the template has no place
        for what is to be in it."""
        names = ("on_bad_row", "system_prompt", "suffix", "template_arguments", "columns", "check")
        try:
            own = {name: getattr(self, name) for name in names}
            return DataConfig(template=template, environment=self.in_environment, **own)
        except ValueError as error:
            raise ValueError(str(error).replace("data.", "")) from error

    def __post_init__(self) -> None:
        for key in ("model", "benchmarks", "data"):
            if getattr(self, key) is None:
                name = key.removesuffix("s")
                raise ValueError(f"{name} is not set: r1ray eval needs model=PATH benchmark=NAME data=PATH.")
        check_values(self)
        check_local("output_dir", self.output_dir)
        for key in ("languages", "command"):
            if getattr(self, key) == []:
                raise ValueError(f"{key}=[]: needs at least one, or null.")
        for key in ("samples", "max_tokens", "limit"):
            if getattr(self, key) is not None:
                at_least(key, getattr(self, key), 1)
        at_least("seed", self.seed, 0)
        check_sampling("", self.temperature, self.top_p)
        if self.template is not None:
            one_of("template", self.template, TEMPLATES)
        self.data_of(self.template or "chat")
        self._check_prompts()
        if self.window is not None and len(self.window) != 2:
            raise ValueError(f"window={self.window}: needs two dates, [2024-08-01, 2025-01-31].")
        if self.search.methods and self.reward_model.model is None:
            raise ValueError(
                f"reward_model.model is not set: search.methods={self.search.methods} needs one that scores steps."
            )
        self.environment.require_command(self.in_environment)
        if self.environment.shares is not None:
            raise ValueError("environment.shares: an evaluation asks every question; needs null.")
        self.reward.require_parts()
        if self.reward.models:
            name = next(iter(self.reward.models))
            raise ValueError(
                f"reward.models.{name}: only reinforcement learning serves it; needs ~reward.models.{name} and "
                f"~reward.parts.{name}."
            )

    def _check_prompts(self) -> None:
        """Raise ValueError for prompts that cannot be made."""
        at_least("num_shots", self.num_shots, 1)
        asked = self.prompts or []
        if self.prompts == [] or len({*asked}) < len(asked):
            raise ValueError(f"prompts={self.prompts}: needs some, each once, or null.")
        for each in asked:
            if each not in PROMPTS and QUESTION not in each:
                raise ValueError(f"prompts={each}: needs one of {', '.join(PROMPTS)}, or a text with {QUESTION} in it.")
        if (FEW_SHOT in asked) != (self.shots is not None):
            raise ValueError(
                f"shots={self.shots} with prompts={self.prompts}: few_shot asks after the examples of shots=FILE; "
                "needs both of them, or neither."
            )
