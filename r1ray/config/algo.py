"""GRPO's numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from r1ray.config.values import above, at_least, divisors, one_of, one_of_or_own

AGGREGATIONS = ("seq_mean", "token_mean", "seq_sum", "fixed_length")
BASELINES = ("group", "leave_one_out", "batch")
ADVANTAGE_STDS = ("sample", "population", "others", "batch", "token_sample", "token_population", "none")
EPSILON_PLACES = ("std", "variance", "floor")
SURROGATES = ("clip", "weight", "reinforce")
RATIOS = ("token", "sequence")
KL_ESTIMATORS = ("k1", "abs", "k2", "k3")
KL_PLACEMENTS = ("loss", "reward")
OLD_LOGPROBS = ("auto", "engine", "learner")
CORRECTIONS = ("auto", "none", "token_tis", "token_mask", "sequence_tis", "sequence_mask", "geometric_mask")


@dataclass
class AlgoConfig:
    """GRPO's numbers. The defaults are the paper's."""

    group_size: int = 16
    """G, the completions of one prompt."""
    prompts_per_step: int = 512
    """Groups that one step trains on; the paper's 8,192 outputs are 512 groups of 16."""
    minibatches_per_step: int = 16
    """Optimizer updates of one step, one pass over its groups: each on as many whole groups."""
    stream_minibatches: bool = False
    """Train on each minibatch as soon as its groups are there, while the others are still generated. Needs the engine's
    log pi_old: the learner's own would be computed under parameters that have moved."""
    max_staleness: int = 0
    """Policy versions that generation may run ahead of learning; 0 is exactly on-policy."""
    min_group_size: int | None = None
    """A group is closed once so many of its trajectories are scored, and the others are aborted; None: it waits for
    all. That removes the slowest, and with them the longest: see ``removed/enough_rate``."""
    oversample: float = 1.0
    """Groups that are issued for each that a step takes. Above 1 the slowest groups are left behind, and with them the
    longest outputs: see ``removed/surplus_rate``."""
    surrogate: str = "clip"
    """What is maximised of each token: ``clip``: min(rho A, clip(rho) A) (the paper). ``weight``: sg(clip(rho)) A
    log pi (CISPO). ``reinforce``: A log pi. Or ``package.module:function``: see :class:`r1ray.algo.doors.Surrogate`."""
    ratio: str = "token"
    """rho: of each ``token`` (the paper), or of the whole ``sequence``, the geometric mean of its tokens (GSPO)."""
    log_ratio_clamp: float | None = None
    """Largest |log rho|, beyond which there is no gradient; None: none."""
    clip_low: float = 10.0
    """rho is clipped to 1 - clip_low .. 1 + clip_high."""
    clip_high: float = 10.0
    dual_clip: float | None = None
    """c: where A < 0, a token counts no less than c A; None: no such bound."""
    kl_coefficient: float = 0.001
    """beta; 0 loads no reference model."""
    kl_estimator: str = "k3"
    """``k1``, ``abs``, ``k2`` or ``k3`` (the paper): see :mod:`r1ray.algo.kl`."""
    kl_clamp: float | None = None
    """Largest |value| of the estimator, beyond which there is no gradient; None: none."""
    kl_placement: str = "loss"
    """``loss``: beside the policy term, of the policy that is trained (the paper). ``reward``: beta times the sum over
    the tokens of the output, of the policy that sampled, is taken off r_i before the baseline."""
    reference_refresh_updates: int = 400
    """The reference becomes the current policy after every so many optimizer updates; 0 keeps the first one."""
    aggregation: str = "seq_mean"
    """``seq_mean``: mean over the tokens of each output, then over outputs (the paper). ``token_mean``: mean over all
    tokens of the minibatch. ``seq_sum``: sum over the tokens of each output, then mean over outputs.
    ``fixed_length``: the same, divided by max_completion_tokens (Dr. GRPO)."""
    advantage_baseline: str = "group"
    """What is subtracted from r_i: the mean of its ``group`` (the paper), of the others (``leave_one_out``), or of the
    whole step (``batch``). Or ``package.module:function``: see :class:`r1ray.algo.doors.Baseline`."""
    advantage_std: str = "sample"
    """What (r - baseline) is divided by, the std of: the group's rewards (``sample``: ddof 1, ``population``: ddof 0),
    the group's ``others`` (ddof 1; not where it is 0), all rewards of the step (``batch``: ddof 1), all tokens of the
    step, whose mean is subtracted once more (whitening; ``token_sample``: ddof 1, ``token_population``: ddof 0); or
    ``none``."""
    advantage_epsilon: float = 1e-6
    """Keeps small standard deviations from making large advantages."""
    advantage_epsilon_in: str = "std"
    """Where it goes: added to the ``std`` or to the ``variance``, or the least value (``floor``) of the variance."""
    mask_truncated: bool = False
    """Leave outputs that the length limit cut out of the loss. Their rewards count in the baseline."""
    count_masked: bool = False
    """Whether outputs that are left out of the loss, or are empty, count among the outputs that a mean is taken of."""
    drop_uniform: bool = False
    """Dynamic sampling: a group whose rewards are all equal is dropped, and another one generated."""
    old_logprobs: str = "auto"
    """log pi_old, which rho is measured against: as the ``engine`` sampled, or recomputed by the ``learner`` before the
    first update of the step, which for the first minibatch are the training pass's own values and cost nothing. A
    narrow clip needs ``learner``: engine and learner in bfloat16 differ by more than GSPO's 3e-4. ``auto``: ``learner``
    where there is a correction, else ``engine``."""
    correction: str = "auto"
    """Weights for the rollout/learner mismatch: ``none``, ``token_tis`` (truncated importance weights), or ``auto``:
    ``token_tis`` where max_staleness is above 0 and old_logprobs is not ``engine``, whose rho has the mismatch in it
    already. They are pi_learner before the first update over pi_engine, and rho is then measured against pi_learner.
    Others: see :mod:`r1ray.algo.mismatch`."""
    correction_floor: float = 0.0
    correction_cap: float = 2.0
    allow_unweighted_staleness: bool = False
    """Above staleness 0, measure rho against the learner's pi_old without a correction: against a policy that sampled
    nothing, so that the clip does not bound how far the data are from it. verl and OpenRLHF do so by default."""
    temperature: float = 1.0
    max_completion_tokens: int = 8192

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
    def is_old_recomputed(self) -> bool:
        """``old_logprobs`` with ``auto`` decided by the correction: whether log pi_old is the learner's own."""
        if self.old_logprobs != "auto":
            return self.old_logprobs == "learner"
        return self.resolved_correction != "none"

    def __post_init__(self) -> None:
        if self.group_size < 2:
            raise ValueError(
                f"algo.group_size={self.group_size}: needs at least 2, an advantage compares completions of one prompt."
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
        above("algo.temperature", self.temperature, 0)
        at_least("algo.kl_coefficient", self.kl_coefficient, 0)
        at_least("algo.advantage_epsilon", self.advantage_epsilon, 0)
        at_least("algo.reference_refresh_updates", self.reference_refresh_updates, 0)
        at_least("algo.max_completion_tokens", self.max_completion_tokens, 1)
        at_least("algo.oversample", self.oversample, 1)
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
        if (
            self.max_staleness > 0
            and self.old_logprobs == "learner"
            and self.resolved_correction == "none"
            and not self.allow_unweighted_staleness
        ):
            raise ValueError(
                f"algo.max_staleness={self.max_staleness}: algo.old_logprobs=learner without a correction clips around "
                "a policy that sampled nothing; needs algo.correction=auto, algo.old_logprobs=engine, or, if that is "
                "meant, algo.allow_unweighted_staleness=true."
            )
        if self.kl_placement == "reward" and self.kl_coefficient and self.advantage_std != "none":
            raise ValueError(
                f"algo.advantage_std={self.advantage_std}: algo.kl_placement=reward takes the KL off rewards that are "
                "only centred; needs algo.advantage_std=none, or algo.kl_placement=loss."
            )
        if self.advantage_std == "others" and self.group_size < 3:
            raise ValueError(
                f"algo.group_size={self.group_size}: algo.advantage_std=others is the std of the other completions; "
                "needs at least 3, or algo.advantage_std=sample."
            )
