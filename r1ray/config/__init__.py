"""The configuration: plain dataclasses, each section checked when it is built.

These classes are the schema and hold the defaults (the paper's, where the paper gives one); YAML in ``conf/`` only
sets values. Everything raises ``ValueError`` with the value found, the value needed and the key.

algo.py, data.py, actors.py, reward.py,
sandbox.py, environment.py                 sections
colocated.py                               engines and learner on the same devices
plan.py, audit.py                          ``r1ray plan``, ``r1ray audit``
tracking.py                                trackers of a run
run.py                                     ``r1ray run``, and the sections that only it has
evaluation.py                              ``r1ray eval``
renamed.py                                 old names of keys
peer_names.py                              names that others have for keys
schema.py                                  where a dotted key is in all of this
folder.py                                  where the files are
"""

from r1ray.config.actors import BACKENDS, DTYPES, SCHEDULES, LearnerConfig, LoraConfig, RolloutConfig, WeightsConfig
from r1ray.config.algo import (
    ADVANTAGE_STDS,
    AGGREGATIONS,
    BASELINES,
    CORRECTIONS,
    EPSILON_PLACES,
    KL_ESTIMATORS,
    KL_PLACEMENTS,
    OLD_LOGPROBS,
    RATIOS,
    SURROGATES,
    AlgoConfig,
)
from r1ray.config.colocated import OFFLOADS, ColocatedConfig
from r1ray.config.data import (
    PATTERNS,
    TEMPLATES,
    WAYS,
    CollectConfig,
    DataConfig,
    PrepareConfig,
    SourceConfig,
    SupervisedConfig,
)
from r1ray.config.defaults import without_defaults
from r1ray.config.environment import EnvironmentConfig, WorldConfig
from r1ray.config.evaluation import SEARCH_METHODS, EvaluationConfig, SearchConfig
from r1ray.config.plan import PlanConfig
from r1ray.config.resume import changes, decisive, differences, lasting, only_decisive
from r1ray.config.reward import (
    CHECK_TYPES,
    COMBINATIONS,
    JudgeConfig,
    PreferenceModelConfig,
    RewardConfig,
    RewardModelConfig,
    RewardPart,
    ScoreConfig,
    VerifierConfig,
)
from r1ray.config.run import (
    GRAPH_ONLY,
    ON_FULL_DISK,
    CheckpointConfig,
    ClusterConfig,
    CompareConfig,
    DeadlineConfig,
    Deadlines,
    EvalConfig,
    RunConfig,
    StopConfig,
)
from r1ray.config.sandbox import SANDBOX_MODES, SandboxConfig
from r1ray.config.teacher import TeacherConfig
from r1ray.config.tracking import TRACKERS, TrackingConfig
from r1ray.config.values import LABEL_SELECTOR

__all__ = [
    "ADVANTAGE_STDS",
    "AGGREGATIONS",
    "BACKENDS",
    "BASELINES",
    "CHECK_TYPES",
    "COMBINATIONS",
    "CORRECTIONS",
    "DTYPES",
    "EPSILON_PLACES",
    "GRAPH_ONLY",
    "KL_ESTIMATORS",
    "KL_PLACEMENTS",
    "LABEL_SELECTOR",
    "OFFLOADS",
    "OLD_LOGPROBS",
    "ON_FULL_DISK",
    "PATTERNS",
    "RATIOS",
    "SANDBOX_MODES",
    "SCHEDULES",
    "SEARCH_METHODS",
    "SURROGATES",
    "TEMPLATES",
    "TRACKERS",
    "WAYS",
    "AlgoConfig",
    "CheckpointConfig",
    "ClusterConfig",
    "CollectConfig",
    "ColocatedConfig",
    "CompareConfig",
    "DataConfig",
    "DeadlineConfig",
    "Deadlines",
    "EnvironmentConfig",
    "EvalConfig",
    "EvaluationConfig",
    "JudgeConfig",
    "LearnerConfig",
    "LoraConfig",
    "PlanConfig",
    "PreferenceModelConfig",
    "PrepareConfig",
    "RewardConfig",
    "RewardModelConfig",
    "RewardPart",
    "RolloutConfig",
    "RunConfig",
    "SandboxConfig",
    "ScoreConfig",
    "SearchConfig",
    "SourceConfig",
    "StopConfig",
    "SupervisedConfig",
    "TeacherConfig",
    "TrackingConfig",
    "VerifierConfig",
    "WeightsConfig",
    "WorldConfig",
    "changes",
    "decisive",
    "differences",
    "lasting",
    "only_decisive",
    "without_defaults",
]
