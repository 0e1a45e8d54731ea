"""What is rewarded, and by whom."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from r1ray.config.actors import DTYPES, JudgeEngineConfig, RolloutConfig
from r1ray.config.sandbox import SandboxConfig
from r1ray.config.values import (
    MAX_ACTORS,
    MAX_THREADS,
    above,
    at_least,
    between,
    check_local,
    check_placement,
    check_values,
    one_of,
    seconds,
)

NEEDS_ADDRESS = "needs the address of a service, as http://host:8000/v1"
ANSWER_FORMS = ("boxed", "tag", "hashes", "line", "bare")
COMBINATIONS = ("sum", "gated", "normalised")
ON_ERROR = ("auto", "stop", "zero", "mask")
CHECK_TYPES = (
    "math",
    "code",
    "format",
    "choice",
    "reading",
    "countdown",
    "instructions",
    "judged",
    "pairwise",
    "reasoning_gym",
    "command",
    "own",
)


@dataclass
class RewardModelConfig:
    """The reward model that ranks samples and guides a search."""

    model: str | None = None
    """Folder of a sequence classifier with one label, as recipe=reward_model makes them. null: none."""
    num_actors: int = 1
    """Number of actors that hold the model."""
    cpus_per_actor: float = 1.0
    """CPUs that Ray reserves for one actor. Unit: CPUs."""
    gpus_per_actor: int | None = None
    """GPUs of one actor. null: one if the cluster has GPUs, else none. Unit: GPUs."""
    resources: dict[str, float] = field(default_factory=dict)
    """Custom Ray resources that one actor takes, in the form of ``rollout.resources``."""
    labels: dict[str, str] = field(default_factory=dict)
    """Ray labels that an actor's node must have, in the form of ``rollout.labels``."""
    threads: int = 1
    """Torch threads of one actor on the CPU."""
    dtype: str = "bfloat16"
    """Number format of the weights and computation: ``float32`` or ``bfloat16``."""
    max_tokens: int = 32768
    """Longest text (prompt and response) that is read. A longer one loses its beginning. Unit: tokens."""
    batch_tokens: int = 65536
    """Largest number of tokens, padding included, that are read in one forward pass. Unit: tokens."""

    def __post_init__(self) -> None:
        between("reward_model.num_actors", self.num_actors, 1, MAX_ACTORS)
        at_least("reward_model.cpus_per_actor", self.cpus_per_actor, 0)
        if self.gpus_per_actor is not None:
            between("reward_model.gpus_per_actor", self.gpus_per_actor, 0, 1)
        between("reward_model.threads", self.threads, 1, MAX_THREADS)
        check_placement("reward_model", self.resources, self.labels)
        one_of("reward_model.dtype", self.dtype, DTYPES)
        at_least("reward_model.max_tokens", self.max_tokens, 2)
        at_least("reward_model.batch_tokens", self.batch_tokens, self.max_tokens)


@dataclass
class PreferenceModelConfig(RewardModelConfig):
    """One preference model, whose score is a part of the reward (paper section 2.3.4)."""

    sees: str = "response"
    """Part of the output that the model sees after the prompt: ``summary``, what follows the reasoning (helpfulness),
    or ``response``, the whole (harmlessness)."""

    def __post_init__(self) -> None:
        RewardModelConfig.__post_init__(self)
        one_of("reward_model.sees", self.sees, ("summary", "response"))


def _preference_model(name: str, model: Any) -> PreferenceModelConfig:
    if isinstance(model, PreferenceModelConfig):
        return model
    key = f"reward.models.{name}"
    if not isinstance(model, dict):
        raise ValueError(f"{key}={model}: needs an object such as {{model: PATH, sees: summary}}.")
    defaults = PreferenceModelConfig()
    known = [each.name for each in fields(defaults)]
    for each, value in model.items():
        if each not in known:
            raise ValueError(f"{key}.{each}: no such key; needs one of {', '.join(known)}.")
        default = getattr(defaults, each)
        if each == "gpus_per_actor" and value is None:
            continue
        if each in ("resources", "labels"):
            wanted = (int, float) if each == "resources" else (str,)
            if not isinstance(value, dict) or not all(isinstance(one, wanted) for one in value.values()):
                example = "{NAME: 1.0}" if each == "resources" else "{NAME: VALUE}"
                raise ValueError(f"{key}.{each}={value}: needs an object such as {example}.")
            continue
        kind = {int: (int,), float: (int, float), str: (str,)}[int if each == "gpus_per_actor" else type(default or "")]
        if value != default and (isinstance(value, bool) or not isinstance(value, kind)):
            raise ValueError(f"{key}.{each}={value}: needs {'a text' if kind == (str,) else 'a number'}.")
    try:
        return PreferenceModelConfig(**model)
    except ValueError as error:
        raise ValueError(str(error).replace("reward_model.", f"{key}.")) from error


@dataclass
class RewardPart:
    """One named part of the reward."""

    weight: float = 1.0
    """Weight of the part in the total, which is the weighted sum. A part of weight 0 is only logged."""
    function: str | None = None
    """Function that scores, ``package.module:function``, called as ``function(prompt, response)``. null: the part's
    name says it, of a model in ``reward.models``, of r1ray's own functions, or of those that installed packages offer
    (entry point group ``r1ray.rewards``)."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of the function."""
    from_environment: bool = False
    """Take the number that an environment gives by the part's name: for the final state, and for turns and calls, whose
    numbers are added up. A trajectory whose environment gives none does not have the part."""
    checks: list[str] | None = None
    """Types of check whose prompts have the part, ``[math, code]``. null: all types."""
    domains: list[str] | None = None
    """Domains whose prompts have the part, ``[math]``. null: all."""
    from_step: int = 0
    """First step in which the part counts (steps begin at 1). Before it, the part is only logged. Unit: steps."""
    deadline_s: float = 60.0
    """Longest wait for a function that is not r1ray's own, or for a call of a model. After it, the trajectory has an
    infrastructure error, and never a zero. Unit: seconds."""
    on_error: str = "auto"
    """Consequence of a response on which the function raises, or returns what is no finite number: ``auto``, ``stop``,
    ``zero`` or ``mask``. auto: in the first step it ends the run; later the part is 0 there, and the run ends at a
    checkpoint if that happens to more than a tenth of a step's trajectories. stop: it ends the run, at a checkpoint.
    zero: the part is 0, however often. mask: the trajectory is left out of its group's mean, std and loss. Each kind of
    error is shown once, and all are counted (``reward_errors/<part>``). A response on which the function ends its
    process is masked, also by zero. Errors of a service or a machine are retried, then masked, whatever stands here."""


def _reward_part(name: str, part: Any) -> RewardPart:
    if isinstance(part, RewardPart):
        return part
    if not isinstance(part, dict):
        raise ValueError(f"reward.parts.{name}={part}: needs an object such as {{weight: 1.0, function: null}}.")
    known = [key.name for key in fields(RewardPart)]
    unknown = sorted(set(part) - set(known))
    if unknown:
        raise ValueError(f"reward.parts.{name}.{unknown[0]}: no such key; needs one of {', '.join(known)}.")
    for key in ("weight", "deadline_s"):
        value = part.get(key, 1.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"reward.parts.{name}.{key}={value}: needs a number.")
    if not isinstance(part.get("from_environment", False), bool):
        raise ValueError(f"reward.parts.{name}.from_environment={part['from_environment']}: needs true or false.")
    for key in ("checks", "domains"):
        if part.get(key) is not None and not isinstance(part[key], list):
            raise ValueError(f"reward.parts.{name}.{key}={part[key]}: needs a list.")
    for check in part.get("checks") or ():
        one_of(f"reward.parts.{name}.checks", check, CHECK_TYPES)
    one_of(f"reward.parts.{name}.on_error", part.get("on_error", "auto"), ON_ERROR)
    from_step = part.get("from_step", 0)
    if isinstance(from_step, bool) or not isinstance(from_step, int) or from_step < 0:
        raise ValueError(f"reward.parts.{name}.from_step={from_step}: needs a number of a step.")
    seconds(f"reward.parts.{name}.deadline_s", part.get("deadline_s", 60.0))
    options = part.get("options") or {}
    if not isinstance(options, dict):
        raise ValueError(f"reward.parts.{name}.options={options}: needs an object of keyword arguments.")
    return RewardPart(
        weight=float(part.get("weight", 1.0)),
        function=part.get("function"),
        options=dict(options),
        from_environment=part.get("from_environment", False),
        checks=None if part.get("checks") is None else list(part["checks"]),
        domains=None if part.get("domains") is None else [str(domain) for domain in part["domains"]],
        from_step=from_step,
        deadline_s=float(part.get("deadline_s", 60.0)),
        on_error=part.get("on_error", "auto"),
    )


@dataclass
class VerifierConfig:
    """The math verifier of one reward actor."""

    num_processes: int = 1
    """Processes that run math-verify, which decides what the exact rules leave open."""
    deadline_s: float = 2.0
    """CPU time of one check by math-verify. After it the answer is marked as a timeout, with a score of 0. Unit:
    seconds."""
    memory_mib: int = 3072
    """Address space of one of these processes. Unit: MiB."""
    require_simplified: bool = False
    """Whether an answer to a reference of numbers has to be written as numbers, fractions in lowest terms. Without it,
    a calculation that comes to the reference is right, also one that the question spells out."""

    def __post_init__(self) -> None:
        between("reward.verifier.num_processes", self.num_processes, 1, MAX_THREADS)
        seconds("reward.verifier.deadline_s", self.deadline_s)
        at_least("reward.verifier.memory_mib", self.memory_mib, 512)


@dataclass
class RewardConfig:
    """The reward actors, and the parts of the reward that they compute."""

    num_actors: int = 1
    """Number of reward actors."""
    cpus_per_actor: float = 0.0
    """CPUs that Ray reserves for one reward actor. Unit: CPUs."""
    resources: dict[str, float] = field(default_factory=dict)
    """Custom Ray resources that one reward actor takes, in the form of ``rollout.resources``."""
    labels: dict[str, str] = field(default_factory=dict)
    """Ray labels that the node of a reward actor must have, in the form of ``rollout.labels``. These nodes run the
    programs that a model wrote."""
    parts: dict[str, Any] = field(default_factory=dict)
    """Parts of the reward, by their names. A file of conf/reward/ sets them (``reward=NAME``), and
    ``+reward.parts.NAME={weight: 0.2}`` adds one."""
    models: dict[str, Any] = field(default_factory=dict)
    """Preference models, by their names: the score of each is the part of the same name."""
    # Any in both: OmegaConf cannot add an entry of a dataclass's type from the command line. What is there is checked,
    # and converted, below.
    combine: str = "sum"
    """Way in which parts become the total: ``sum`` (the paper), ``gated`` or ``normalised``. ``sum``: weighted sum.
    ``gated``: the same, but 0 if the part ``gate`` is below 1. ``normalised``: each part is normalised over its group
    before it is weighted and added."""
    gate: str = "format"
    """Name of the part that lets the others count, for ``combine=gated``."""
    answer_forms: list[str] | None = None
    """Forms in which an answer is accepted: ``boxed`` (a box), ``tag`` (``<answer>``), ``hashes`` (``####``), ``line``
    (``Answer:``), ``bare`` (a last line that is a letter or a number). null: boxed, tag, and what the prompt's own text
    asks for."""
    max_in_flight: int = 256
    """Trajectories that one reward actor holds at a time; others wait."""
    verifier: VerifierConfig = field(default_factory=VerifierConfig)

    def __post_init__(self) -> None:
        between("reward.num_actors", self.num_actors, 1, MAX_ACTORS)
        at_least("reward.cpus_per_actor", self.cpus_per_actor, 0)
        check_placement("reward", self.resources, self.labels)
        at_least("reward.max_in_flight", self.max_in_flight, 1)
        one_of("reward.combine", self.combine, COMBINATIONS)
        if self.answer_forms is not None and not self.answer_forms:
            raise ValueError(f"reward.answer_forms=[]: needs some of {', '.join(ANSWER_FORMS)}.")
        for form in self.answer_forms or ():
            one_of("reward.answer_forms", form, ANSWER_FORMS)
        if "mean" in self.parts:
            raise ValueError("reward.parts.mean: reward/mean is the metric of the total; needs another name.")
        self.parts = {name: _reward_part(name, part) for name, part in self.parts.items()}
        self.models = {name: _preference_model(name, model) for name, model in self.models.items()}
        if self.combine == "gated" and self.gate not in self.parts:
            raise ValueError(f"reward.gate={self.gate}: needs one of reward.parts: {', '.join(self.parts)}.")

    def weights_at(self, step: int) -> dict[str, float]:
        """The weight of each part that counts in a step."""
        return {name: part.weight for name, part in self.parts.items() if part.from_step <= step}

    def suspects(self) -> dict[str, str]:
        """The parts that a reward actor may have died of, with their ``on_error``: functions of the user's; if there
        are none, all parts, and then nothing but the trajectory is given up."""
        own = {name: part.on_error for name, part in self.parts.items() if part.function is not None}
        return own or dict.fromkeys(self.parts, "zero")

    def require_parts(self) -> None:
        """Raise ValueError where nothing is rewarded. (The section alone may be empty: conf/reward/ fills it.)"""
        if not self.parts:
            raise ValueError("reward.parts is empty: needs at least one part, as in reward=r1_zero.")


@dataclass
class ScoreConfig:
    """One scoring of given responses: ``r1ray score FILE`` with its overrides."""

    reward: RewardConfig = field(default_factory=RewardConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    trust_remote_code: bool = False
    """Run Python code that is in the folders of models, which may do all that you may. Models that need it are refused
    otherwise."""
    output: str | None = None
    """File that the outcomes are written to. null: standard output."""

    def __post_init__(self) -> None:
        check_values(self)
        check_local("output", self.output)
        self.reward.require_parts()


@dataclass
class JudgeConfig:
    """The judge, a model that grades answers that no rule can compare: of checks that are judged or pairwise."""

    model: str | None = None
    """A Hugging Face model folder, which engines of this run serve; or the name of a model of the service at ``url``.
    null: no judge."""
    url: str | None = None
    """Address of an OpenAI-compatible service, ``http://host:8000/v1``. It never holds a password or key: configuration
    and results are written to files, the environment is not. null: engines of this run serve the model."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the service's key."""
    deadline_s: float = 300.0
    """Longest wait for one answer, with all repetitions. Unit: seconds."""
    max_in_flight: int = 64
    """Questions that one reward actor has open at a time."""
    max_model_len: int = 16384
    """Longest question and reply together, of a judge that engines of this run serve. Unit: tokens."""
    max_tokens: int = 1024
    """Longest reply: a reason and a grade. Unit: tokens."""
    engine: RolloutConfig = field(default_factory=JudgeEngineConfig)
    """Engines that serve the judge, if ``judge.url`` is null. The keys are those of ``rollout``."""

    @property
    def is_served(self) -> bool:
        """Whether engines of this run serve it."""
        return self.model is not None and self.url is None

    def __post_init__(self) -> None:
        self._check_url()
        if self.url is not None and self.model is None:
            raise ValueError(f"judge.model is not set: judge.url={self.url} needs the name of one of its models.")
        seconds("judge.deadline_s", self.deadline_s)
        at_least("judge.max_in_flight", self.max_in_flight, 1)
        at_least("judge.max_tokens", self.max_tokens, 16)
        above("judge.max_model_len", self.max_model_len, self.max_tokens)

    def _check_url(self) -> None:
        """Raise ValueError for what is no address, and for one with credentials, without repeating them."""
        try:
            parts = urlsplit(self.url or "")
            is_address = self.url is None or (parts.scheme in ("http", "https") and bool(parts.hostname))
            _ = parts.port
        except ValueError:
            raise ValueError(f"judge.url: is no address; {NEEDS_ADDRESS}.") from None
        held = {"a user or password": "@" in parts.netloc, "a query": parts.query, "a fragment": parts.fragment}
        found = [name for name, is_there in held.items() if is_there]
        if found:
            raise ValueError(
                f"judge.url has {found[0]} in it, and would be written to files; needs a plain address such as "
                f"http://host:8000/v1, and its key in the environment variable {self.api_key_env} (judge.api_key_env)."
            )
        if not is_address:
            raise ValueError(f"judge.url={self.url}: {NEEDS_ADDRESS}.")
