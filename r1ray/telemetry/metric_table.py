"""The table of all metrics of metrics.jsonl: unit, meaning, what is healthy, and what to do where it is not.

The one place for it: ``r1ray/telemetry/README.md`` is made from it, and trackers, pages and tests read it. ``<x>`` in
a name stands for a word: a part of the reward, a domain, an engine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Metric:
    """Metrics that mean the same thing."""

    names: tuple[str, ...]
    unit: str
    """Unit of all names, or one for each, in their order."""
    meaning: str
    healthy: str = ""
    """Values of a run that learns; empty where none is better than another."""
    remedy: str = ""
    """Advice for where it is not so: what to look at, or which key to turn."""


FREE = re.compile(r"<(\w+)>")
"""A free word in a name."""
METRICS: tuple[Metric, ...] = (
    Metric(
        ("step", "policy_version", "epoch"),
        "",
        "of the line; `epoch`: passes over given rows",
        "both rise by one a line",
        "`policy_version` runs ahead of `step` after restarts of the learner: see `learner/restarts`",
    ),
    # ------------------------------------------------------------------ rewards
    Metric(
        ("reward/mean", "reward/<part>"),
        "",
        "mean reward of the trajectories, and of each part, also of one without weight",
        "rises over tens of steps; a step's own value jumps, as it has few prompts",
        "flat: look at `group/uniform_rate` and at texts; one part alone rises: its weight is too high, or it is "
        "hacked "
        "(`r1ray audit`)",
    ),
    Metric(
        ("reward_errors/<part>",),
        "count",
        "responses on which the part's function raised, or gave no number; in dropped groups too",
        "absent",
        "mend the function: traceback and response are in the log; `reward.parts.X.on_error` says what they cost",
    ),
    Metric(
        ("scoring/unscored",),
        "count",
        "trajectories without a score",
        "0",
        "the machine or a service failed: `detail` in the rollout rows says which",
    ),
    Metric(
        ("domain/<domain>/share", "domain/<domain>/reward_mean", "domain/<domain>/length_mean"),
        "share, , tokens",
        "share of the groups, mean reward and length, if there are several domains",
        "shares as in `data.mixture`; no domain falls while another rises",
        "`data.mixture` gives a domain that falls more prompts",
    ),
    Metric(
        ("group/reward_std", "group/uniform_rate"),
        ", rate",
        "mean over groups of their rewards' std; groups whose rewards are all equal, those dropped for it too",
        "std above 0; uniform below 0.5",
        "near 1 from the start: prompts are too hard, too easy, or the reward says one thing to all; "
        "`data.difficulty`, a larger `algo.group_size`, or an easier part of the reward",
    ),
    Metric(
        ("group/retried",),
        "count",
        "trajectories that were generated again",
        "0",
        "engines are lost (`faults/rollout_worker`), or `deadlines.generate_s` is too short",
    ),
    Metric(
        ("scoring/<label>",),
        "share",
        "trajectories by what their check says: `correct`, `wrong`, `timeout`, `infrastructure_error`, ...",
        "`correct` rises; `no_answer` falls in the first steps",
        "`no_answer` stays high: the prompt does not ask for the form that is looked for (`data.template`, "
        "`reward.answer_forms`); `timeout`: `sandbox.cpu_s`",
    ),
    Metric(
        ("scoring/seconds_p50", "scoring/seconds_p95", "scoring/seconds_p99"),
        "s",
        "to score a trajectory",
        "far below the time of a trajectory",
        "raise `reward.num_actors`; a slow part: its `deadline_s`",
    ),
    # ------------------------------------------------------------------ outputs
    Metric(
        ("completion/length_mean",),
        "tokens",
        "policy tokens of a trajectory",
        "moves slowly; it rises where longer reasoning pays",
        "runs to the limit: see `completion/truncated_rate`; collapses: look for a reward that pays short answers, and "
        "at `removed/<reason>_rate`",
    ),
    Metric(
        ("completion/truncated_rate",),
        "rate",
        "trajectories that the length limit cut",
        "below 0.1",
        "above a third: raise `algo.max_completion_tokens`, or set `algo.mask_truncated`, or add the part "
        "`soft_overlong`",
    ),
    Metric(
        ("trajectory/turns_mean", "trajectory/branches_mean", "trajectory/context_tokens_mean"),
        "count",
        "of a trajectory",
        "1, 1 and 0 where nothing answers the policy",
    ),
    Metric(
        ("trajectory/tool_calls_mean",),
        "count",
        "calls of tools that a trajectory makes, malformed ones among them",
        "0 without environments; it rises where a tool helps",
        "stays at 0: the policy has never seen a call: fine-tune on some (`recipe=collect`), or show one in the prompt",
    ),
    Metric(
        ("trajectory/tool_errors_rate",),
        "rate",
        "calls that no tool could serve: malformed, unknown, wrong arguments, a timeout",
        "falls to below 0.1",
        "does not: look at the answers of tools in the rollouts (`r1ray report`); a young policy needs examples",
    ),
    Metric(
        ("environment/<name>/share",),
        "share",
        "the step's groups whose prompts name the environment",
        "near `environment.shares`",
    ),
    Metric(
        ("environment/<name>/reward_mean", "environment/<name>/length_mean", "environment/<name>/turns_mean"),
        "reward, tokens, count",
        "total reward, policy tokens and turns of its trajectories",
        "as of `reward/mean` and `completion/length_mean`",
    ),
    Metric(
        ("environment/<name>/pass_at_1",),
        "share",
        "its trajectories that are right: accuracy of 1, or a whole reward of at least 1 where no part is called so; "
        "groups that were dropped are not among them",
        "rises",
        "stays: compare `eval/<set>/environment/<name>/pass@1`, and read the trajectories (`r1ray report`)",
    ),
    Metric(
        ("environment/<name>/wait_s",),
        "s",
        "waited for the environment, of a trajectory: its begin and its answers to all turns",
        "below the time that generating takes",
        "above: raise `environment.num_actors`, or make its tools faster",
    ),
    Metric(
        ("environment/<name>/extending_share",),
        "share",
        "of an agent's calls behind the first of its trajectory: those that go on from recorded tokens",
        "above 0.95 for an agent that appends to its messages",
        "below: it rewrites its history, or the chat template does: `environment.keep_reasoning=true`",
    ),
    Metric(
        ("environment/<name>/branches_mean", "environment/<name>/refused_calls_mean"),
        "count",
        "of an agent's trajectory: rows that its calls became; calls that got no turn, for a limit of its key or for "
        "what they asked, or whose client went away",
        "1 and 0",
        "refused: what its log says of the errors 400 and 429; `environment.max_turns` limits its calls",
    ),
    Metric(
        ("removed/<reason>_rate", "removed/<reason>_length_mean"),
        "rate, tokens",
        "trajectories that were not trained on, of these and the trained ones; their length when they ended",
        "below 0.02, and not longer than the others",
        "what is removed is long as a rule, and the policy learns to be short: longer deadlines, `algo.max_staleness`, "
        "no `algo.min_group_size`",
    ),
    Metric(
        ("staleness/mean", "staleness/max"),
        "versions",
        "age of a trajectory's oldest token when it is trained on",
        "at most `algo.max_staleness`; 0 on-policy",
        "at its bound all the time: the engines are slower than the learner, add some",
    ),
    Metric(
        ("difficulty/measured", "difficulty/retired", "difficulty/in_band"),
        "share, count, share",
        "with `data.difficulty`: prompts whose pass rate is known, those that do not come again, and those of the "
        "known "
        "ones within the band",
        "`in_band` above 0.2",
        "widen the band, or take other prompts: too few are left that teach anything",
    ),
    # ------------------------------------------------------------------ the run itself
    Metric(
        ("ledger/issued", "ledger/trained", "ledger/dropped", "ledger/in_flight"),
        "groups",
        "since the run began; the first is the sum of the others",
        "`dropped` grows slower than `trained`",
        "the reasons are in `ledger/dropped/<reason>`",
    ),
    Metric(
        ("ledger/dropped/<reason>", "ledger/reissued"),
        "groups",
        "dropped, by reason; issued again because their worker died or the learner went back, since this process began",
        "few but for `uniform`",
        "see the list of reasons below this table",
    ),
    Metric(
        ("learner/restarts", "faults/<role>"),
        "count",
        "restarts of the learner group, and lost actors of a role (`learner_rank`, `rollout_worker`, `rollout_log`, "
        "`environment_worker`, `tracker`, `mirror`), since this process began",
        "0, and absent",
        "the warning in the log names the cause and the log of the actor; memory that ran out is the usual one: "
        "`r1ray plan`",
    ),
    Metric(
        ("tracker/<name>/unsent",),
        "count",
        "lines of metrics.jsonl that a tracker has not got yet; they wait in the file",
        "absent, or a few",
        "grows: its server is away or refuses; the log `logs/tracker-*.log` says what it answers",
    ),
    Metric(
        ("mirror/behind_s",),
        "s",
        "age of the newest state of the run folder that is in the object store, if `output_dir` is one: lost if this "
        "node is",
        "`mirror.every_s`, and the time in which a checkpoint is copied",
        "grows: the store is away or refuses, which a warning says; `r1ray doctor` writes a probe object",
    ),
    # ------------------------------------------------------------------ the update
    Metric(
        ("loss/policy", "loss/total", "grad_norm"),
        "",
        "mean over the step's updates",
        "the loss is near 0 and says little; the norm is steady",
        "the norm grows for tens of steps, or jumps: lower `learner.lr`, `learner.grad_clip`",
    ),
    Metric(
        ("kl/ref",),
        "nats",
        "mean over tokens of the KL estimate to the reference; absent without one",
        "grows slowly, below 1",
        "explodes: lower `learner.lr`, raise `algo.kl_coefficient`, refresh the reference more seldom",
    ),
    Metric(
        ("teacher/kl", "teacher/kl/<domain>"),
        "nats",
        "with `algo.teacher`: reverse KL to the teacher, the mean of log pi_theta - log pi_teacher over sampled "
        "tokens; and of each domain with a teacher of its own",
        "falls towards 0; a little below 0 is noise",
        "stays where it is: raise `learner.lr`; rises: lower it, or the teacher does not know what the student is "
        "asked (`data.template`)",
    ),
    Metric(
        ("clip_fraction", "entropy"),
        "share, nats",
        "tokens whose ratio was clipped; mean entropy of the policy",
        "clip below 0.2; entropy falls slowly and stays above 0.05",
        "entropy collapses: raise `algo.clip_high`, `algo.temperature`; much is clipped: fewer updates a step, a lower "
        "`learner.lr`",
    ),
    Metric(("lr",), "", "learning rate of the last update", "as `learner.lr` and its schedule say"),
    Metric(
        ("router/loss", "router/load_max"),
        ", times",
        "with `learner.router`: loss that balances the experts, before its coefficient; load of the busiest expert "
        "over the mean, mean over layers and updates",
        "the load is steady, below 3",
        "the load grows: `learner.router` balances by a loss or by the biases",
    ),
    Metric(
        ("mismatch/kl", "mismatch/max_logprob_diff"),
        "nats",
        "learner against engines, over all tokens",
        "of order 1e-3 in bfloat16, 1e-6 in float32, and steady; larger with staleness",
        "grows: `algo.correction`, or a smaller `algo.max_staleness`",
    ),
    Metric(
        ("mismatch/fresh_kl", "mismatch/fresh_mean_logprob_diff", "mismatch/fresh_max_logprob_diff"),
        "nats",
        "the same, over tokens of the version that is trained",
        "steady from the first step on",
        "jumps: engines do not hold the learner's weights, or a dtype differs; a probe is made by itself, see "
        "`publish/probe_kl`",
    ),
    Metric(
        ("train/<name>",),
        "",
        "of given answers: `perplexity`; of pairs: `accuracy`, `margin`, `chosen_score`, `rejected_score`",
        "`perplexity` falls, `accuracy` rises above 0.6",
        "does not move: `learner.lr`; falls on training rows alone: fewer `supervised.epochs`",
    ),
    Metric(
        ("publish/resent",),
        "count",
        "rounds that were sent again",
        "0",
        "a slow or lost engine, or a network that loses connections: the log names it",
    ),
    Metric(
        ("publish/probe_kl", "publish/probe_mean_logprob_diff", "publish/probe_max_logprob_diff"),
        "nats",
        "engines against learner, if a probe was due",
        "as on the first line that has it; `weights` has the bounds that end a run",
        "engine and learner compute differently: `rollout.dtype` and `learner.dtype`, `rollout.quantization`, "
        "`rollout.engine_args`",
    ),
    # ------------------------------------------------------------------ time
    Metric(
        ("time/step_s",),
        "s",
        "from the end of the step before to the end of this one",
        "steady, but for lengths that grow; `r1ray plan` shows what to expect",
        "the parts below say where it goes; `r1ray status` says who waits for whom",
    ),
    Metric(
        ("time/idle_learner_s", "time/eval_wait_s"),
        "s",
        "the learner waits for groups; for an evaluation of the weights that it is to change",
        "small beside `time/learn_s` where `algo.max_staleness` is above 0",
        "more engines, or `algo.max_staleness`; engines that only evaluate: `eval.num_actors`",
    ),
    Metric(
        ("time/learn_s", "time/publish_s"),
        "s",
        "making the batch and training on it; refresh of the reference and publish, with a wait for busy evaluation "
        "engines",
        "publish below a tenth of the step",
        "`learner.max_tokens_per_microbatch`, more ranks; `weights.backend=nccl` on GPUs",
    ),
    Metric(
        ("time/hand_over_s", "time/sleep_s", "time/wake_s"),
        "s",
        "with `placement=colocated`: turns of engines and learner, in `time/learn_s` and `time/publish_s`; of it "
        "engines that fall asleep, and that wake; the rest is the learner's state on its way",
        "below a tenth of the step",
        "more prompts a step; `colocated.sleep_level`, `colocated.offload`; `r1ray plan` compares both",
    ),
    Metric(
        ("time/save_s", "time/other_s"),
        "s",
        "exports and checkpoints of the step before, with its evaluation if they wait for it; everything else",
        "near 0 on most lines",
        "`checkpoint.every`, `checkpoint.asynchronous`, faster storage",
    ),
    Metric(
        ("time/generate_s", "time/reward_s"),
        "s",
        "the longest of any trained group",
        "the reward takes far less",
        "long tails: `algo.max_staleness`, `algo.max_completion_tokens`; rewards: `reward.num_actors`",
    ),
    Metric(
        ("time/busy_rollout_s", "time/idle_rollout_s", "time/paused_rollout_s"),
        "s",
        "mean over engines",
        "idle is small where `algo.max_staleness` is above 0",
        "idle engines wait for the learner: more ranks, or fewer engines",
    ),
    Metric(
        ("time/eval_s",),
        "s",
        "mean over engines of evaluation's part of `busy`; of given rows: the evaluation",
        "a small part of the run",
        "`eval.every`, `eval.num_prompts`, `eval.samples`",
    ),
    Metric(
        ("engine/<name>/busy_s", "engine/<name>/idle_s", "engine/<name>/paused_s"),
        "s",
        "of each engine, up to 32 of them",
        "alike for all engines",
        "one is idle: it was lost, or its node is slow",
    ),
    Metric(
        (
            "throughput/samples_per_s",
            "throughput/generated_tokens_per_s",
            "throughput/trained_tokens_per_s",
        ),
        "1/s",
        "trajectories, or rows, and tokens of a step",
        "steady",
        "falls while lengths are the same: `r1ray status`",
    ),
    Metric(
        ("learner/padding_share",),
        "share",
        "computed tokens that are padding",
        "below 0.05",
        "`learner.max_tokens_per_microbatch` is too small for the lengths, or ranks have too few rows",
    ),
    Metric(
        ("learner/computed_over_distinct",),
        "ratio",
        "tokens that are computed for each that they are without the repeated prompts of a group",
        "with `learner.packing=tree` at most 1.05, if a minibatch has two groups a rank or more",
        "well above 1: `learner.packing=tree`; with it, more groups a minibatch or fewer ranks",
    ),
    Metric(("stop/plateau",), "", "1 on the last line if `stop` ended training"),
    # ------------------------------------------------------------------ evaluation
    Metric(
        ("eval/<set>/<name>", "eval/<set>/cons@<k>/tie_rate"),
        "",
        "held-out metrics of the version: `pass@1` with both ends of its 95 % interval, `cons@16`, lengths, rates, "
        "parts "
        "of the reward; `loss` of given rows. Of several sets `eval/pass@1` is over all; of prompts of several domains "
        "`domain/math/pass@1` is that of one, after `eval/`, or `eval/<set>/` of a single set; so are those of an "
        "environment, `environment/python/pass@1`, with `pass@16`, `reward_mean`, `turns_mean`, `tool_calls_mean`, "
        "`tool_errors_rate`, `wait_s`. Votes and "
        "`no_answer_rate` are left out where nobody looks for answers: a reward of the user's may hand back what it "
        "extracted",
        "`pass@1` follows `reward/<part>` of training",
        "apart from it: the policy learns the training prompts, or the reward is not what the evaluation asks for; "
        "read "
        "`rollouts/eval_step=*.parquet`",
    ),
    Metric(
        ("eval/abandoned",),
        "",
        "1 if an evaluation was lost with its engines",
        "absent",
        "see `faults/<role>`; the next one is made as usual",
    ),
)


@lru_cache(maxsize=1)
def patterns() -> list[tuple[str, re.Pattern[str], Metric]]:
    """Return each name with its pattern, which has a group for each ``<x>``. Those without one come first:
    ``reward/mean`` is no part of the reward."""
    named = [(name, metric) for metric in METRICS for name in metric.names]
    return [(name, _pattern_of(name), metric) for name, metric in sorted(named, key=lambda each: "<" in each[0])]


def _pattern_of(name: str) -> re.Pattern[str]:
    literals = FREE.split(name)  # with the free words between them
    return re.compile("".join(f"(?P<{each}>[^/]+)" if i % 2 else re.escape(each) for i, each in enumerate(literals)))


def is_held_out(name: str) -> bool:
    """Return whether a metric is an evaluation's; its sets and domains have any number of words."""
    return name.startswith("eval/") and name != "eval/abandoned"


def metric_of(name: str) -> Metric | None:
    """Return the row of a metric by its name in metrics.jsonl; None for one that has none.

    >>> metric_of("reward/accuracy").names
    ('reward/mean', 'reward/<part>')
    """
    if is_held_out(name):
        name = "eval/set/name"
    return next((metric for _, pattern, metric in patterns() if pattern.fullmatch(name)), None)
