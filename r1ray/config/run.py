"""One run, and what makes it the run that it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from r1ray.config.actors import LearnerConfig, RolloutConfig, WeightsConfig
from r1ray.config.algo import AlgoConfig
from r1ray.config.audit import AuditConfig
from r1ray.config.colocated import PLACEMENTS, ColocatedConfig, check_colocated
from r1ray.config.data import CollectConfig, DataConfig, PrepareConfig, SupervisedConfig
from r1ray.config.environment import EnvironmentConfig
from r1ray.config.mirror import MirrorConfig
from r1ray.config.plan import PlanConfig
from r1ray.config.renamed import new_metric_name
from r1ray.config.reward import JudgeConfig, RewardConfig
from r1ray.config.sandbox import SandboxConfig
from r1ray.config.tracking import TrackingConfig, check_trackers
from r1ray.config.values import (
    MAX_ACTORS,
    MAX_SECONDS,
    at_least,
    between,
    check_local,
    check_name,
    check_sampling,
    check_store,
    check_values,
    one_of,
    seconds,
)

SUPERVISED_RECIPES = ("sft", "reward_model")
"""Recipes that train on given answers: they sample nothing and reward nothing."""
SAMPLING_RECIPES = ("collect", "evaluate")
"""Recipes that put prompts to a model, and train nothing."""
PROMPTS_OF = {"collect": "train", "evaluate": "eval", "extend": None}
"""The key of ``data`` that recipes without a learner read."""
DISTILLING = "on_policy_distill"
"""Recipe of reinforcement learning that learns from a teacher."""
RECIPES = ("r1_zero", DISTILLING, *SUPERVISED_RECIPES, *PROMPTS_OF)
"""Recipes of one stage. Others, the user's too, have a graph of these."""


EXPECTATIONS = ("up", "down", "any")
"""What is expected of a metric; ``any``: its change is to be stated, whatever it is."""


@dataclass
class CompareConfig:
    """Another evaluation of the same prompts, with which this one is compared question by question."""

    against: str = ""
    """``result.json`` of the other evaluation; in a graph ``@its_name``."""
    expect: dict[str, str] = field(default_factory=dict)
    """Metrics (``pass@1``, ``length_mean``, or a part of the reward), and the change that is expected of each: ``up``,
    ``down`` or ``any``."""
    name: str = ""
    """Name of the comparison in tables and metrics. Empty: its name in the graph, or that of its folder."""

    def __post_init__(self) -> None:
        for metric, direction in self.expect.items():
            one_of(f"eval.compare.expect.{metric}", direction, EXPECTATIONS)
        if not self.expect or not self.against:
            raise ValueError("eval.compare: needs {against: PATH, expect: {pass@1: up}} in each entry.")
        path = Path(self.against)
        self.name = self.name or (self.against[1:] if self.against.startswith("@") else path.parent.name)


@dataclass
class EvalConfig:
    """Evaluation during training: the paper's sampling (section 3)."""

    every: int = 50
    """Steps between two evaluations during training. 0: only before the first and after the last step. Unit: steps."""
    num_prompts: int = 64
    """Held-out prompts of an evaluation during training, of several sets together: as many of each, as far as it has
    them."""
    samples: int = 4
    """Samples of each prompt in an evaluation during training."""
    final_num_prompts: int = 128
    """Held-out prompts of the evaluations before the first and after the last step."""
    final_samples: int = 16
    """Samples of each prompt in the evaluations before the first and after the last step."""
    temperature: float = 0.6
    """Sampling temperature of evaluations."""
    top_p: float = 0.95
    """Probability mass that evaluations sample from (nucleus sampling)."""
    num_actors: int = 0
    """Engines that only evaluate, each as ``rollout`` describes it, so that training goes on meanwhile. A version that
    is due while they are busy is not evaluated, nor one that a crash interrupts; the last version always is. 0: the
    rollout engines evaluate, and the next step waits for it (the metric ``time/eval_wait_s``)."""
    slots: int | None = None
    """Completions of an evaluation that are generated at a time. null: a quarter of what the rollout engines hold
    (``rollout.max_num_seqs`` each), so that rollouts keep the rest; with ``num_actors``, all that these engines
    hold."""
    compare: list[CompareConfig] = field(default_factory=list)
    """Other evaluations of the same prompts that recipe=evaluate compares with: a list of ``{against: PATH, expect:
    {pass@1: up}}``."""

    def __post_init__(self) -> None:
        at_least("eval.every", self.every, 0)
        for key in ("num_prompts", "samples", "final_num_prompts", "final_samples"):
            at_least(f"eval.{key}", getattr(self, key), 1)
        check_sampling("eval.", self.temperature, self.top_p)
        between("eval.num_actors", self.num_actors, 0, MAX_ACTORS)
        if self.slots is not None:
            at_least("eval.slots", self.slots, 1)


ON_FULL_DISK = ("wait", "stop")


@dataclass
class CheckpointConfig:
    """Checkpoints of the run: everything that a resumed run needs."""

    every: int = 50
    """Steps between two checkpoints. 0: none by steps. A run that SIGTERM or SIGHUP ends has one in any case. Unit:
    steps."""
    every_minutes: float | None = None
    """Longest time between two checkpoints, which are written at the end of a step; beside ``every``, whichever is due
    first. null: by steps alone. Unit: minutes."""
    on_full_disk: str = "wait"
    """Reaction to a full disk: ``wait`` for room, with a warning every minute and at most for
    ``deadlines.checkpoint_s``, or ``stop``. The last good checkpoint is kept."""
    keep: int = 2
    """Number of the newest checkpoints that are kept."""
    best: str | None = None
    """Name of a held-out metric (``pass@1``). The checkpoint with its highest value is kept too, and exported at the
    end. null: none."""
    export_every: int = 0
    """Steps between two exports during training, written to ``hf/<version>/`` as at the end; training waits for each.
    It does not matter if that version has a checkpoint. 0: only at the end. (``r1ray export`` makes a model folder of
    any checkpoint.) Unit: steps."""
    asynchronous: bool = True
    """Train on while the files of a checkpoint are written, from a copy of the state in host memory."""

    def __post_init__(self) -> None:
        at_least("checkpoint.every", self.every, 0)
        if self.every_minutes is not None:
            between("checkpoint.every_minutes", self.every_minutes, 0, MAX_SECONDS / 60)
        one_of("checkpoint.on_full_disk", self.on_full_disk, ON_FULL_DISK)
        at_least("checkpoint.keep", self.keep, 1)
        at_least("checkpoint.export_every", self.export_every, 0)


@dataclass
class StopConfig:
    """The early end of training, once a metric of metrics.jsonl no longer rises.

    See :mod:`r1ray.loop.upkeep.stopping`.
    """

    metric: str = "reward/mean"
    """Metric that has to rise: ``reward/mean``, a part (``reward/accuracy``), or a held-out metric
    (``eval/heldout/pass@1``)."""
    window: int = 0
    """Values of the metric in each of the two means that are compared: steps, or evaluations of a held-out metric. 0:
    training never ends early."""
    min_gain: float = 0.002
    """Least difference by which the later mean has to be above the earlier one."""
    after: int = 100
    """Steps that are trained in any case. Unit: steps."""
    patience: int = 1
    """Comparisons in a row, each one value later, that have to find too small a gain."""

    def __post_init__(self) -> None:
        at_least("stop.window", self.window, 0)
        at_least("stop.after", self.after, 0)
        at_least("stop.patience", self.patience, 1)
        if new := new_metric_name(self.metric):
            raise ValueError(f"stop.metric={self.metric}: is called {new} now.")
        if not self.metric.startswith(("reward/", "eval/", "domain/")):
            raise ValueError(f"stop.metric={self.metric}: needs reward/mean, reward/PART or eval/BENCHMARK/METRIC.")


@dataclass(frozen=True)
class Deadlines:
    """The least that a run waits unless :class:`DeadlineConfig` says otherwise."""

    start_s: float = 900.0
    """Least value of ``deadlines.start_s``. Unit: seconds."""
    generate_s: float = 1800.0
    """Least value of ``deadlines.generate_s``. Unit: seconds."""
    score_s: float = 600.0
    """Value of ``deadlines.score_s``. Unit: seconds."""
    learn_s: float = 1800.0
    """Least value of ``deadlines.learn_s``. Unit: seconds."""
    publish_s: float = 300.0
    """Least value of ``deadlines.publish_s``. Unit: seconds."""
    checkpoint_s: float = 1800.0
    """Least value of ``deadlines.checkpoint_s``. Unit: seconds."""


@dataclass
class DeadlineConfig:
    """The longest waits of a run: after one, an error names who waited, and for whom. null: three times what
    ``r1ray plan`` expects of the phase, and not below the values of :class:`Deadlines`."""

    start_s: float | None = None
    """Longest wait for actors to start, and for a lost engine to be replaced. null: at least 900. Unit: seconds."""
    generate_s: float | None = None
    """Longest time of one trajectory on engines: of each turn from its place there to its last token, without the time
    of a publish, or of its environment. null: at least 1800. Unit: seconds."""
    score_s: float | None = None
    """Longest time for which a reward actor, or a reward model, that has something to score may answer nothing at all.
    null: 600. Unit: seconds."""
    learn_s: float | None = None
    """Longest time of a training step on the learner. null: at least 1800. Unit: seconds."""
    publish_s: float | None = None
    """Longest time of one publish of weights to the engines. null: at least 300. Unit: seconds."""
    checkpoint_s: float | None = None
    """Longest time in which the files of a checkpoint, of an export or of the rollout log are written. null: at least
    1800. Unit: seconds."""

    @property
    def given(self) -> dict[str, float]:
        """Those that are not None."""
        return {key: value for key, value in vars(self).items() if value is not None}

    @property
    def decided(self) -> Deadlines:
        """With None decided, of a configuration that :func:`r1ray.stages.deadlines.with_deadlines` has been through; of
        another, the least."""
        return Deadlines(**self.given)

    def __post_init__(self) -> None:
        for key, value in self.given.items():
            seconds(f"deadlines.{key}", value)


@dataclass
class ClusterConfig:
    """The Ray cluster that the run uses."""

    address: str | None = None
    """Address of a Ray cluster, ``HOST:PORT`` or ``ray://HOST:PORT``. null: the cluster of the Ray job or of
    RAY_ADDRESS, else one that is started on this machine for this run."""
    wait_s: float = 50.0
    """Longest wait for nodes that the cluster does not have yet, or that others use; after it the run says what is
    missing. If nodes are started on demand, it has to be as long as their start, and ``gpus_per_actor`` and
    ``gpus_per_rank`` are better written out than left to what the cluster has at the start. Unit: seconds."""

    group_workers: int | None = None
    """Actors that run groups and keep their trajectories, placed on the rollout nodes in turn. 0: the driver's own
    process. null: one for each rollout node, but 0 if the driver's node is the only one."""

    scratch_dir: str | None = None
    """Folder on a disk of the driver's node, in which run folders are kept whose ``output_dir`` is an address of an
    object store. null: ``r1ray-runs-UID`` in TMPDIR."""

    def __post_init__(self) -> None:
        between("cluster.wait_s", self.wait_s, 0, MAX_SECONDS)
        if self.group_workers is not None:
            between("cluster.group_workers", self.group_workers, 0, MAX_ACTORS)
        check_local("cluster.scratch_dir", self.scratch_dir)


@dataclass
class RunConfig:
    """One run: ``r1ray run`` with its overrides."""

    recipe: str = "r1_zero"
    """Recipe that is run, a file of conf/recipe/. It decides the stages and sets what they need."""
    experiment: str | None = None
    """Experiment, a file of conf/experiment/: settings for a certain model and machine, with everything they need."""
    name: str | None = None
    """Name of the run's folder in ``output_dir``. null: made of the experiment, the seed and a digest of the
    configuration, so that the same command resumes the same run."""
    output_dir: str = "runs"
    """Folder in which the folders of runs are made, or an address of an object store, ``s3://BUCKET/PATH`` or
    ``gs://BUCKET/PATH``, to which each is copied from ``cluster.scratch_dir`` (see ``mirror``)."""
    seed: int = 0
    """Seed of everything that is random in a run."""
    steps: int = 1000
    """Steps of reinforcement learning. The recipes sft and reward_model make ``supervised.epochs`` passes over their
    rows instead. Unit: steps."""
    model: str | None = None
    """A Hugging Face model folder, or a hub name. ``model=NAME`` of a file in conf/model/ sets what that model needs as
    well."""
    placement: str | None = None
    """Devices of engines and learner: ``separate``, each its own, or ``colocated``, the same ones in turn: the engines
    sleep while the learner trains. null: ``colocated`` if there is one GPU, and learner and engines take one each, else
    ``separate``."""
    trust_remote_code: bool = False
    """Run Python code that is in the folders of models, which may do all that you may. Models that need it are refused
    otherwise."""
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    data: DataConfig = field(default_factory=DataConfig)
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    supervised: SupervisedConfig = field(default_factory=SupervisedConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    colocated: ColocatedConfig = field(default_factory=ColocatedConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    deadlines: DeadlineConfig = field(default_factory=DeadlineConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    trackers: list[str] = field(default_factory=list)
    """Trackers that the run is shown in while it goes on: ``tensorboard``, ``wandb``, ``trackio``, ``mlflow``, each of
    which is an extra of the package (``pip install 'r1ray[wandb]'``)."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    mirror: MirrorConfig = field(default_factory=MirrorConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    graph: dict[str, Any] = field(default_factory=dict)
    """Stages of a recipe with several, in order: for each, by its name, what is different from the run's configuration.
    See ``r1ray.stages.graph``."""
    students: Any = None
    """Models that recipe=distill trains one after the other: a model for each name, ``{small: PATH, large: PATH}``, or
    an object with the model and what is different in its training, ``{large: {model: PATH, learner: {lr: 5e-5}}}``.
    Each stage with ``student`` in its name is made once for each of them, with its name in that place."""
    stages: list[str] | None = None
    """Stages of the graph that are run. null: all."""
    artifacts: dict[str, str] = field(default_factory=dict)
    """Paths that stand in for what stages of the graph would make, by the stage's name."""

    @property
    def num_updates(self) -> int:
        """Optimizer updates of the whole run: steps * algo.minibatches_per_step."""
        return self.steps * self.algo.minibatches_per_step

    @property
    def max_model_len(self) -> int:
        """Longest sequence an engine has to hold: data.max_prompt_tokens, and algo.max_completion_tokens or
        environment.max_trajectory_tokens, whichever is longer."""
        longest = max(self.algo.max_completion_tokens, self.environment.max_trajectory_tokens or 0)
        return self.data.max_prompt_tokens + longest

    @property
    def names_environments(self) -> bool:
        """A key says that prompts have environments. (Rows may name some all the same.)"""
        return bool(self.data.environment or self.environment.worlds or self.environment.shares)

    @property
    def only_learner(self) -> bool:
        """The recipe trains on given answers: it has a learner, and no rollout or reward actors."""
        return self.recipe in SUPERVISED_RECIPES

    @property
    def is_colocated(self) -> bool:
        """Engines and learner take turns on the same devices."""
        return self.placement == "colocated"

    @property
    def only_samples(self) -> bool:
        """The recipe puts prompts to a model: it has rollout and reward actors, and no learner."""
        return self.recipe in SAMPLING_RECIPES

    @property
    def has_learner(self) -> bool:
        """The recipe trains a model."""
        return self.recipe not in PROMPTS_OF

    @property
    def starts_actors(self) -> bool:
        """The recipe needs a cluster; one that does not is done in this process."""
        return self.has_learner or self.only_samples

    @property
    def sequences_per_row(self) -> int:
        """Sequences that are computed together: 2 where a row of training data is a pair, else 1."""
        return 2 if self.recipe == "reward_model" else 1

    def __post_init__(self) -> None:
        check_values(self)
        check_name("name", self.name)
        check_name("experiment", self.experiment)
        check_store("output_dir", self.output_dir)
        check_trackers(self.trackers)
        at_least("steps", self.steps, 1)
        at_least("seed", self.seed, 0)
        if self.placement is not None:
            one_of("placement", self.placement, PLACEMENTS)
        if self.graph:
            return  # every stage is checked by itself, with what is different in it
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe={self.recipe}: needs one of {', '.join(RECIPES)}, or a graph of several.")
        if self.only_learner:
            self._check_supervised()
        elif not self.has_learner:
            self.environment.require_command(self.data.environment)
            self._check_untrained()
        else:
            self._check_reinforcement()

    def _check_untrained(self) -> None:
        prompts = PROMPTS_OF[self.recipe]
        needed = {"model": self.model} | ({f"data.{prompts}": getattr(self.data, prompts)} if prompts else {})
        for key, value in needed.items():
            if value is None:
                raise ValueError(f"{key} is not set: recipe={self.recipe} needs {key}=PATH.")
        self.reward.require_parts()

    def _check_supervised(self) -> None:
        maker = self.prepare.maker
        for key, value in (("model", self.model or maker), ("supervised.train", self.supervised.train)):
            if value is None:
                raise ValueError(f"{key} is not set: recipe={self.recipe} needs {key}=PATH.")
        if maker and self.model is not None:
            raise ValueError(
                f"model={self.model}: prepare.maker={maker} makes its own; set prepare.maker=null to bring yours."
            )
        if self.supervised.samples and (self.recipe != "sft" or self.data.eval is None):
            raise ValueError(
                f"supervised.samples={self.supervised.samples}: the model answers held-out prompts, and recipe="
                f"{self.recipe} has data.eval={self.data.eval}; needs recipe=sft and data.eval=PATH, or 0."
            )
        if self.supervised.samples:
            self.reward.require_parts()
        together = self.sequences_per_row  # in one micro-batch
        if together * self.supervised.max_tokens > self.learner.max_tokens_per_microbatch:
            raise ValueError(
                f"learner.max_tokens_per_microbatch={self.learner.max_tokens_per_microbatch} cannot hold the longest "
                f"row: needs at least {together * self.supervised.max_tokens} ("
                f"{'2 x ' if together == 2 else ''}supervised.max_tokens={self.supervised.max_tokens})."
            )

    def _check_stop(self) -> None:
        """Raise ValueError where the metric that ends training is never there, or comes late."""
        kind, _, name = self.stop.metric.partition("/")
        if not self.stop.window:
            return
        if kind == "eval" and self.eval.num_actors:
            raise ValueError(
                f"stop.metric={self.stop.metric}: with eval.num_actors={self.eval.num_actors} the metrics of a version "
                "come while later ones are trained; needs eval.num_actors=0."
            )
        if kind == "eval" and not self.eval.every:
            raise ValueError(
                f"stop.metric={self.stop.metric}: with eval.every=0 nothing is evaluated in between; needs at least 1."
            )
        if kind == "reward" and name != "mean" and name not in self.reward.parts:
            raise ValueError(
                f"stop.metric={self.stop.metric}: needs reward/mean, or reward/ and one of "
                f"{', '.join(self.reward.parts)}."
            )

    @property
    def most_trajectories(self) -> int:
        """Trajectories under way at a time: of all groups that have a place in the buffer, and of an evaluation beside
        them; of recipes that only sample, those that they ask for at a time."""
        if self.only_samples:
            return self.rollout.asked_at_a_time
        return self.algo.most_groups * self.algo.group_size + self.eval_slots

    @property
    def eval_slots(self) -> int:
        """``eval.slots`` with None decided."""
        if self.eval.slots is not None:
            return self.eval.slots
        if self.eval.num_actors:
            return self.eval.num_actors * self.rollout.max_num_seqs
        return max(1, self.rollout.num_actors * self.rollout.max_num_seqs // 4)

    def _check_reward(self) -> None:
        """Raise ValueError where the objective and the parts of the reward do not go together."""
        part, parts = self.algo.uniform_part, self.reward.parts
        if self.algo.drop_uniform and part is not None and part not in parts:
            raise ValueError(
                f"algo.uniform_part={part}: needs one of reward.parts ({', '.join(parts)}), or null for the total."
            )
        if self.algo.overlong_share and "overlong" in parts:
            raise ValueError(
                f"algo.overlong_share={self.algo.overlong_share:g} makes a part of the reward with the name overlong; "
                "needs another name for reward.parts.overlong, or algo.overlong_share=0."
            )
        if self.algo.credit == "turn":
            if self.reward.combine == "normalised":
                raise ValueError(
                    "algo.credit=turn with reward.combine=normalised, which makes one number of a trajectory's parts: "
                    "needs reward.combine=sum or gated, or algo.credit=trajectory."
                )
            if not any(each.from_environment for each in parts.values()):
                raise ValueError(
                    f"algo.credit=turn: no part of the reward ({', '.join(parts)}) is paid for turns; needs "
                    "reward.parts.NAME.from_environment=true, or algo.credit=trajectory."
                )

    def _correct_quantised(self) -> None:
        """Decide ``algo.correction=auto`` for engines that sample from other weights than those that learn."""
        algo = self.algo
        is_open = algo.correction == "auto" and algo.old_logprobs != "engine" and not algo.allow_unweighted_staleness
        if self.rollout.quantization is not None and is_open:
            self.algo = replace(algo, correction="token_tis")

    def _check_reinforcement(self) -> None:
        self._correct_quantised()
        self._check_reward()
        self.environment.require_command(self.data.environment)
        if self.recipe == DISTILLING and not self.algo.teacher.models:
            raise ValueError(f"algo.teacher.model is not set: recipe={self.recipe} needs algo.teacher.model=PATH.")
        if self.environment.shares and self.data.mixture:
            raise ValueError(
                f"environment.shares={self.environment.shares}: prompts are mixed by data.mixture={self.data.mixture}; "
                "needs one of the two."
            )
        if self.checkpoint.best is not None and self.eval.num_actors:
            raise ValueError(
                f"checkpoint.best={self.checkpoint.best}: with eval.num_actors={self.eval.num_actors} a checkpoint is "
                "written before its metrics are there; needs eval.num_actors=0."
            )
        if self.prepare.maker is None:
            for key, value in (("model", self.model), ("data.train", self.data.train)):
                if value is None:
                    raise ValueError(
                        f"{key} is not set: give {key}=PATH, or an experiment that makes its own "
                        "(experiment=quickstart)."
                    )
        else:
            for key, value in (("model", self.model), ("data.train", self.data.train), ("data.eval", self.data.eval)):
                if value is not None:
                    raise ValueError(
                        f"{key}={value}: prepare.maker={self.prepare.maker} makes its own; set prepare.maker=null to "
                        "bring yours."
                    )
        self.reward.require_parts()
        measuring = self.data.difficulty
        if measuring.is_measured and measuring.part not in self.reward.parts:
            raise ValueError(
                f"data.difficulty.part={measuring.part}: the reward has no such part; needs one of "
                f"{', '.join(self.reward.parts)}, which is 1 for a right response."
            )
        for name, part in self.reward.parts.items():
            if part.deadline_s >= self.deadlines.decided.score_s:
                raise ValueError(
                    f"reward.parts.{name}.deadline_s={part.deadline_s:g}: needs to be below "
                    f"deadlines.score_s={self.deadlines.decided.score_s:g}, after which its actor is taken for dead."
                )
            if part.from_step > self.steps:
                raise ValueError(
                    f"reward.parts.{name}.from_step={part.from_step}: needs at most steps={self.steps}, or the part "
                    "never counts."
                )
        self._check_stop()
        self._check_transport()
        if self.is_colocated:
            check_colocated(
                self.colocated, self.algo, self.rollout, self.learner, num_eval_engines=self.eval.num_actors
            )
        if self.learner.lora.rank and self.algo.kl_coefficient and self.algo.reference_refresh_updates:
            raise ValueError(
                f"algo.reference_refresh_updates={self.algo.reference_refresh_updates}: with learner.lora.rank="
                f"{self.learner.lora.rank} the reference is the model without its adapters, which does not change; "
                "needs 0."
            )
        if self.max_model_len > self.learner.max_tokens_per_microbatch:
            raise ValueError(
                f"learner.max_tokens_per_microbatch={self.learner.max_tokens_per_microbatch} cannot hold the longest "
                f"sequence: needs at least {self.max_model_len} (data.max_prompt_tokens + algo.max_completion_tokens, "
                "or environment.max_trajectory_tokens where that is more)."
            )

    def _check_transport(self) -> None:
        """Raise ValueError where weights cannot reach the engines, whatever the cluster has."""
        for key, gpus in (
            ("learner.gpus_per_rank", self.learner.gpus_per_rank),
            ("rollout.gpus_per_actor", self.rollout.gpus_per_actor),
        ):
            if self.weights.backend == "nccl" and gpus == 0:
                raise ValueError(f"weights.backend=nccl: {key}=0 leaves it no GPU; needs gloo or auto, or {key}=1.")
        if self.weights.backend == ("nccl" if self.is_colocated else "ipc"):
            needed = "ipc, gloo or auto" if self.is_colocated else "nccl, gloo or auto, or placement=colocated"
            raise ValueError(
                f"weights.backend={self.weights.backend}: engines and learner "
                f"{'share their GPUs, and NCCL' if self.is_colocated else 'have GPUs of their own, and CUDA IPC'} "
                f"{'takes each only once' if self.is_colocated else 'stays on one'}; needs {needed}."
            )
        lora = self.learner.lora
        if lora.is_native(has_gpus=False, engine_dtype=self.rollout.dtype) and "lm_head" in (lora.targets or ()):
            raise ValueError(
                "learner.lora.targets: has lm_head, and vLLM gives no log-probabilities of prompts where the output "
                "layer has an adapter of its own; needs targets without it, or learner.lora.publish=merged."
            )


GRAPH_ONLY = ("name", "graph", "students", "stages", "artifacts", "trackers", "tracking")
"""What belongs to a run of several stages, and to none of them."""
