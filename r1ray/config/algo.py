"""GRPO's numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from r1ray.config.staleness import check_staleness
from r1ray.config.teacher import TeacherConfig
from r1ray.config.values import TEMPERATURES, above, at_least, between, divisors, one_of, one_of_or_own

AGGREGATIONS = ("seq_mean", "token_mean", "seq_sum", "fixed_length")
BASELINES = ("group", "leave_one_out", "batch")
ADVANTAGE_STDS = ("sample", "population", "others", "batch", "token_sample", "token_population", "none")
EPSILON_PLACES = ("std", "variance", "floor")
SURROGATES = ("clip", "weight", "reinforce")
RATIOS = ("token", "sequence")
KL_ESTIMATORS = ("k1", "abs", "k2", "k3")
KL_PLACEMENTS = ("loss", "reward")
OLD_LOGPROBS = ("auto", "engine", "learner")
CREDITS = ("trajectory", "turn")
CORRECTIONS = ("auto", "none", "token_tis", "token_mask", "sequence_tis", "sequence_mask", "geometric_mask")


@dataclass
class AlgoConfig:
    """GRPO's numbers. The defaults are the paper's."""

    group_size: int = 16
    """Completions of one prompt (G). Their rewards are compared with each other. 1 is enough if all is learned from a
    teacher (``algo.teacher``)."""
    prompts_per_step: int = 512
    """Groups that one step trains on. The paper's 8,192 outputs are 512 groups of 16."""
    minibatches_per_step: int = 16
    """Optimizer updates of one step. A step passes once over its groups, and each update takes as many whole groups. It
    has to divide ``prompts_per_step``. Unit: updates."""
    stream_minibatches: bool = False
    """Train on each minibatch as soon as its groups are there, while others are still generated. It needs
    ``old_logprobs=engine``: the learner's own log pi_old would be computed with parameters that have changed."""
    max_staleness: int = 0
    """Policy versions that generation may run ahead of learning. 0 is exactly on-policy. Above it an objective is
    needed that bounds what it does with tokens of an older policy, as that of ``algo=async``. Unit: versions."""
    min_group_size: int | None = None
    """Close a group once so many of its trajectories are scored, and abort the others. null: wait for all. It removes
    the slowest trajectories, and with them the longest: see the metric ``removed/enough_rate``."""
    oversample: float = 1.0
    """Groups that are issued for each group that a step takes. Above 1 the slowest groups are left behind, and with
    them the longest outputs: see the metric ``removed/surplus_rate``."""
    surrogate: str = "clip"
    """Policy term of a token: ``clip`` (the paper), ``weight`` (CISPO), ``reinforce``, or a function of your own,
    ``package.module:function``. ``clip`` is min(rho A, clip(rho) A), ``weight`` is sg(clip(rho)) A log pi,
    ``reinforce`` is A log pi. ``r1ray.algo.inputs`` has what a function is given."""
    ratio: str = "token"
    """Ratio rho: of each ``token`` (the paper), or of the whole ``sequence`` (GSPO: the geometric mean over its
    tokens)."""
    log_ratio_clamp: float | None = None
    """Largest |log rho|; beyond it a token has no gradient. null: no limit. Unit: nats."""
    clip_low: float = 10.0
    """Lower bound of the clip (epsilon): rho is clipped to at least 1 - clip_low. The paper's 10 never acts."""
    clip_high: float = 10.0
    """Upper bound of the clip (epsilon): rho is clipped to at most 1 + clip_high."""
    dual_clip: float | None = None
    """Bound c for tokens with a negative advantage: such a token counts no less than c A. It is above 1; null: no
    bound."""
    kl_coefficient: float = 0.001
    """Weight of the KL divergence from the reference model (beta). 0 loads no reference model."""
    kl_estimator: str = "k3"
    """Estimator of the KL divergence: ``k1``, ``abs``, ``k2`` or ``k3`` (the paper). See ``r1ray.algo.kl``."""
    kl_clamp: float | None = None
    """Largest absolute value of the KL estimator; beyond it a token has no gradient. null: no limit. Unit: nats."""
    kl_weighted: bool = False
    """Multiply the KL estimate of a token by rho, with rho's gradient. The gradient is then that of the reverse KL,
    also where another policy sampled (DeepSeek-V3.2, section 3.1; TRL's ``use_bias_correction_kl``)."""
    kl_placement: str = "loss"
    """Place of the KL term: in the ``loss`` (the paper) or in the ``reward``. In the loss it stands beside the policy
    term, and is computed with the policy that is trained. In the reward, beta times its sum over the tokens of the
    output, computed with the policy that sampled, is subtracted before the baseline."""
    reference_refresh_updates: int = 400
    """Optimizer updates after which the reference becomes the current policy, again and again. 0 keeps the first
    reference. Unit: updates."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    entropy_coefficient: float = 0.0
    """Weight of an entropy bonus, in the mean that ``aggregation`` takes. 0: none. A bonus that is too large makes
    outputs that say nothing."""
    aggregation: str = "seq_mean"
    """Mean that is taken of the loss: ``seq_mean`` (the paper), ``token_mean``, ``seq_sum`` or ``fixed_length`` (Dr.
    GRPO). ``seq_mean``: mean over the tokens of each output, then over outputs. ``token_mean``: mean over all tokens of
    the minibatch. ``seq_sum``: sum over the tokens of each output, then mean over outputs. ``fixed_length``: the same,
    divided by ``max_completion_tokens``."""
    advantage_baseline: str = "group"
    """Baseline that is subtracted from a reward: the mean of its ``group`` (the paper), of the others in the group
    (``leave_one_out``), of the whole step (``batch``), or a function of your own, ``package.module:function``.
    ``r1ray.algo.inputs`` has what a function is given."""
    advantage_std: str = "sample"
    """Standard deviation that an advantage is divided by: ``sample`` (the paper), ``population``, ``others``,
    ``batch``, ``token_sample``, ``token_population`` or ``none``. ``sample`` and ``population``: of the group's
    rewards, with ddof 1 and 0. ``others``: of the other rewards in the group (ddof 1), unless it is 0. ``batch``: of
    all rewards of the step (ddof 1). ``token_sample`` and ``token_population``: of all tokens of the step (ddof 1 and
    0), whose mean is subtracted once more (whitening). ``none``: no division."""
    advantage_epsilon: float = 1e-6
    """Constant that keeps a small standard deviation from making large advantages."""
    advantage_epsilon_in: str = "std"
    """Place of ``advantage_epsilon``: added to the ``std`` or to the ``variance``, or the least value of the variance
    (``floor``)."""
    credit: str = "trajectory"
    """Unit that an advantage is of: the whole ``trajectory`` (the paper), or each ``turn`` of one in an environment.
    ``turn``: of what the environment pays for turns and calls, a turn gets its own and what came after it; its
    advantage is against the same turn of the others in the group. Without such pay both are the same. See
    ``r1ray.algo.variants.turn_credit``."""
    mask_truncated: bool = False
    """Leave outputs that the length limit cut out of the loss. Their rewards still count in the baseline."""
    count_masked: bool = False
    """Count outputs that are left out of the loss, or are empty, among the outputs that a mean is taken over."""
    drop_uniform: bool = False
    """Drop a group whose rewards are all equal, and generate another one in its place (dynamic sampling)."""
    uniform_part: str | None = None
    """Part of the reward that ``drop_uniform`` compares, so that groups do not stay for their lengths alone (DAPO:
    ``accuracy``). null: the total. A group whose prompt has no such part is judged by the total."""
    overlong_share: float = 0.0
    """Last share of ``max_completion_tokens`` over which an output is punished for its length: its reward falls in a
    line by up to 1 (DAPO: 0.2). It is logged as the part ``overlong``. 0: none."""
    old_logprobs: str = "auto"
    """Source of log pi_old, the denominator of rho: ``engine``, ``learner`` or ``auto``. ``engine``: as sampled.
    ``learner``: computed by the learner before the first update of the step, which costs nothing for the first
    minibatch. ``auto``: ``learner`` if there is a correction, else ``engine``. A narrow clip needs ``learner``: engine
    and learner in bfloat16 differ by more than GSPO's 3e-4."""
    correction: str = "auto"
    """Importance weights against the mismatch of engine and learner: ``none``, ``token_tis``, ``token_mask``,
    ``sequence_tis``, ``sequence_mask``, ``geometric_mask`` or ``auto``. They are pi_learner before the first update
    over pi_engine, and rho is then measured against pi_learner. ``token_tis``: of each token, kept between
    ``correction_floor`` and ``correction_cap``. ``token_mask``: 0 outside of these. ``sequence_tis`` and
    ``sequence_mask``: the same of the product over the output. ``geometric_mask``: of each token, and 0 if the
    geometric mean over the output is outside. ``auto``: ``token_tis`` if ``max_staleness`` is above 0 and
    ``old_logprobs`` is not ``engine`` (whose rho holds the mismatch already), or so with ``rollout.quantization``; else
    ``none``."""
    correction_floor: float = 0.0
    """Lower bound of the importance weights of ``correction``."""
    correction_cap: float = 2.0
    """Upper bound of the importance weights of ``correction``."""
    allow_unweighted_staleness: bool = False
    """Allow ``old_logprobs=learner`` without a correction when ``max_staleness`` is above 0. The clip then does not
    bound how far the data are from the policy, because rho is measured against a policy that sampled nothing. verl and
    OpenRLHF do so by default."""
    allow_unbounded_staleness: bool = False
    """Allow an objective that does not bound what it does with tokens of an older policy when ``max_staleness`` is
    above 0. The paper's is one: its clip of 10 is for tokens of the policy itself. ``algo=async`` has the bounds."""
    temperature: float = 1.0
    """Sampling temperature of the completions that are trained on."""
    max_completion_tokens: int = 8192
    """Longest completion; longer ones are cut. Unit: tokens."""

    @property
    def completions_per_step(self) -> int:
        """prompts_per_step * group_size."""
        return self.prompts_per_step * self.group_size

    @property
    def resolved_correction(self) -> str:
        """``correction`` with ``auto`` decided by ``max_staleness`` and ``old_logprobs``."""
        if self.correction != "auto":
            return self.correction
        is_weighted = self.max_staleness > 0 and self.old_logprobs != "engine" and not self.allow_unweighted_staleness
        return "token_tis" if is_weighted else "none"

    @property
    def num_surplus_groups(self) -> int:
        """Groups that are issued beyond what a step takes: ceil((oversample - 1) prompts_per_step)."""
        return math.ceil((self.oversample - 1.0) * self.prompts_per_step - 1e-9)

    @property
    def most_groups(self) -> int:
        """Groups under way or ready at a time: (max_staleness + 1) prompts_per_step, and the surplus."""
        return (self.max_staleness + 1) * self.prompts_per_step + self.num_surplus_groups

    @property
    def is_old_recomputed(self) -> bool:
        """``old_logprobs`` with ``auto`` decided by the correction: whether log pi_old is the learner's own."""
        if self.old_logprobs != "auto":
            return self.old_logprobs == "learner"
        return self.resolved_correction != "none"

    def __post_init__(self) -> None:
        if self.group_size < (1 if self.teacher.is_alone else 2):
            raise ValueError(
                f"algo.group_size={self.group_size}: needs at least 2, an advantage compares completions of one "
                "prompt; 1 is enough for a teacher in the place of rewards (algo.teacher.model=PATH)."
            )
        at_least("algo.prompts_per_step", self.prompts_per_step, 1)
        at_least("algo.max_staleness", self.max_staleness, 0)
        at_least("algo.minibatches_per_step", self.minibatches_per_step, 1)
        if self.prompts_per_step % self.minibatches_per_step:
            near = [n for n in divisors(self.prompts_per_step) if n <= self.minibatches_per_step][-1]
            raise ValueError(
                f"algo.minibatches_per_step={self.minibatches_per_step} does not divide the {self.prompts_per_step} "
                f"groups of a step (algo.prompts_per_step): the nearest smaller value that does is {near}."
            )
        for key, allowed in (
            ("ratio", RATIOS),
            ("kl_estimator", KL_ESTIMATORS),
            ("kl_placement", KL_PLACEMENTS),
            ("aggregation", AGGREGATIONS),
            ("advantage_std", ADVANTAGE_STDS),
            ("advantage_epsilon_in", EPSILON_PLACES),
            ("old_logprobs", OLD_LOGPROBS),
            ("correction", CORRECTIONS),
            ("credit", CREDITS),
        ):
            one_of(f"algo.{key}", getattr(self, key), allowed)
        one_of_or_own("algo.surrogate", self.surrogate, SURROGATES)
        one_of_or_own("algo.advantage_baseline", self.advantage_baseline, BASELINES)
        above("algo.clip_low", self.clip_low, 0)
        above("algo.clip_high", self.clip_high, 0)
        for key in ("log_ratio_clamp", "kl_clamp"):
            if getattr(self, key) is not None:
                above(f"algo.{key}", getattr(self, key), 0)
        at_least("algo.correction_floor", self.correction_floor, 0)
        above("algo.correction_cap", self.correction_cap, self.correction_floor)
        between("algo.temperature", self.temperature, *TEMPERATURES)
        at_least("algo.kl_coefficient", self.kl_coefficient, 0)
        at_least("algo.entropy_coefficient", self.entropy_coefficient, 0)
        between("algo.overlong_share", self.overlong_share, 0, 1)
        at_least("algo.advantage_epsilon", self.advantage_epsilon, 0)
        at_least("algo.reference_refresh_updates", self.reference_refresh_updates, 0)
        at_least("algo.max_completion_tokens", self.max_completion_tokens, 1)
        between("algo.oversample", self.oversample, 1, 100)
        if self.min_group_size is not None and not 2 <= self.min_group_size <= self.group_size:
            raise ValueError(
                f"algo.min_group_size={self.min_group_size}: needs 2 to algo.group_size={self.group_size}, or null."
            )
        if self.stream_minibatches:
            self._check_streaming()
        self._check_objective()

    def _check_streaming(self) -> None:
        """Raise ValueError if a minibatch cannot be trained on before the others are there."""
        if self.is_old_recomputed:
            raise ValueError(
                f"algo.stream_minibatches=true with algo.old_logprobs={self.old_logprobs}: the learner cannot compute "
                "log pi_old of groups that come after its first update; needs algo.old_logprobs=engine, or false."
            )
        for key in ("advantage_baseline", "advantage_std"):
            value = getattr(self, key)
            if value in ("batch", "token_sample", "token_population") or ":" in value:
                raise ValueError(
                    f"algo.stream_minibatches=true with algo.{key}={value}, which is given the rewards of the whole "
                    "step: needs one of each group, or algo.stream_minibatches=false."
                )

    def _check_objective(self) -> None:
        """Raise ValueError where two choices do not go together."""
        if self.dual_clip is not None:
            above("algo.dual_clip", self.dual_clip, 1)
            if self.surrogate != "clip":
                raise ValueError(
                    f"algo.dual_clip={self.dual_clip:g}: algo.surrogate={self.surrogate} has nothing to bound; needs "
                    "algo.dual_clip=null, or algo.surrogate=clip."
                )
        if self.surrogate == "reinforce" and self.ratio != "token":
            raise ValueError(
                f"algo.ratio={self.ratio}: algo.surrogate=reinforce has no ratio; needs algo.ratio=token, or "
                "algo.surrogate=clip."
            )
        if self.old_logprobs == "engine" and self.resolved_correction != "none":
            raise ValueError(
                f"algo.correction={self.correction}: weighs tokens by pi_learner / pi_engine, which rho against the "
                "engine's pi_old (algo.old_logprobs=engine) holds already; needs algo.old_logprobs=learner, or "
                "algo.correction=none."
            )
        if self.teacher.models and self.ratio != "token":
            raise ValueError(
                f"algo.ratio={self.ratio}: algo.teacher gives each token an advantage of its own, which one ratio for "
                "all tokens of an output would spread over them; needs algo.ratio=token, or no teacher."
            )
        if self.teacher.is_alone and self.credit == "turn":
            raise ValueError(
                "algo.credit=turn: shares out rewards, of which nothing is learned with algo.teacher alone; needs "
                "algo.credit=trajectory, or algo.teacher.beside_rewards=true."
            )
        check_staleness(self)
        if self.kl_placement == "reward" and self.kl_coefficient and self.advantage_std != "none":
            raise ValueError(
                f"algo.advantage_std={self.advantage_std}: algo.kl_placement=reward takes the KL off rewards that are "
                "only centred; needs algo.advantage_std=none, or algo.kl_placement=loss."
            )
        if self.kl_placement == "reward" and self.kl_coefficient and ":" in self.advantage_baseline:
            raise ValueError(
                f"algo.advantage_baseline={self.advantage_baseline}: algo.kl_placement=reward subtracts the baselines "
                "of reward and KL one by one, which not every baseline allows; needs algo.kl_placement=loss, or one of "
                f"{', '.join(BASELINES)}."
            )
        if self.kl_placement == "reward" and self.kl_weighted:
            raise ValueError(
                "algo.kl_weighted=true: algo.kl_placement=reward takes the KL of the policy that sampled, whose rho is "
                "1; needs algo.kl_weighted=false, or algo.kl_placement=loss."
            )
        if self.advantage_std == "others" and self.group_size < 3 and not self.teacher.is_alone:
            raise ValueError(
                f"algo.group_size={self.group_size}: algo.advantage_std=others is the std of the other completions; "
                "needs at least 3, or algo.advantage_std=sample."
            )
