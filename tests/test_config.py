"""What cannot work is refused with the value found, the value needed and the key."""

from __future__ import annotations

import pytest

from r1ray.config import (
    AlgoConfig,
    CompareConfig,
    DataConfig,
    EvalConfig,
    JudgeConfig,
    LearnerConfig,
    LoraConfig,
    RewardConfig,
    RolloutConfig,
    RunConfig,
    StopConfig,
    SupervisedConfig,
    WeightsConfig,
    decisive,
)
from r1ray.config.renamed import new_metric_name, new_name

SLOW = RewardConfig(parts={"slow": {"function": "m:f", "deadline_s": 900}})
PAPER = RewardConfig(parts={"accuracy": {}, "format": {}})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AlgoConfig(group_size=1), "algo.group_size=1: needs at least 2"),
        (lambda: AlgoConfig(minibatches_per_step=7), "algo.minibatches_per_step=7 does not divide the 512 .* is 4"),
        (lambda: AlgoConfig(aggregation="mean"), "algo.aggregation=mean: needs one of seq_mean, token_mean"),
        (lambda: AlgoConfig(advantage_std="x"), "algo.advantage_std=x"),
        (lambda: AlgoConfig(correction="x"), "algo.correction=x"),
        (lambda: AlgoConfig(old_logprobs="x"), "algo.old_logprobs=x: needs one of auto, engine, learner"),
        (
            lambda: AlgoConfig(old_logprobs="engine", correction="token_tis"),
            "algo.correction=token_tis: .* needs algo.old_logprobs=learner, or algo.correction=none",
        ),
        (
            lambda: AlgoConfig(max_staleness=1, old_logprobs="learner", correction="none"),
            "algo.max_staleness=1: .* needs algo.correction=auto, .* algo.allow_unweighted_staleness=true",
        ),
        (lambda: AlgoConfig(temperature=0), "algo.temperature=0: needs to be above 0"),
        (lambda: AlgoConfig(max_staleness=-1), "algo.max_staleness=-1: needs at least 0"),
        (lambda: AlgoConfig(kl_coefficient=-1), "algo.kl_coefficient=-1"),
        (lambda: AlgoConfig(surrogate="x"), "algo.surrogate=x: needs one of clip, weight, reinforce"),
        (lambda: AlgoConfig(ratio="x"), "algo.ratio=x: needs one of token, sequence"),
        (lambda: AlgoConfig(kl_estimator="k4"), "algo.kl_estimator=k4: needs one of k1, abs, k2, k3"),
        (lambda: AlgoConfig(kl_placement="x"), "algo.kl_placement=x: needs one of loss, reward"),
        (lambda: AlgoConfig(kl_clamp=0), "algo.kl_clamp=0: needs to be above 0"),
        (lambda: AlgoConfig(log_ratio_clamp=-1), "algo.log_ratio_clamp=-1: needs to be above 0"),
        (lambda: AlgoConfig(advantage_baseline="x"), "algo.advantage_baseline=x: needs one of group,"),
        (lambda: AlgoConfig(advantage_epsilon_in="x"), "algo.advantage_epsilon_in=x: needs one of std,"),
        (lambda: AlgoConfig(correction_floor=3.0), "algo.correction_cap=2.0: needs to be above 3"),
        (lambda: AlgoConfig(dual_clip=1.0), "algo.dual_clip=1.0: needs to be above 1"),
        (lambda: AlgoConfig(surrogate="reinforce", ratio="sequence"), "algo.ratio=sequence: .* needs algo.ratio=token"),
        (lambda: AlgoConfig(kl_placement="reward"), "algo.advantage_std=sample: .* needs algo.advantage_std=none"),
        (
            lambda: AlgoConfig(group_size=2, advantage_std="others"),
            "algo.group_size=2: algo.advantage_std=others .* needs at least 3",
        ),
        (lambda: DataConfig(template="alpaca"), "data.template=alpaca: needs one of r1_zero, chat, none"),
        (lambda: RolloutConfig(num_actors=0), "rollout.num_actors=0: needs at least 1"),
        (lambda: RolloutConfig(dtype="fp8"), "rollout.dtype=fp8"),
        (lambda: RewardConfig(parts={"a": 1}), "reward.parts.a=1: needs an object"),
        (
            lambda: RewardConfig(parts={"a": {"wait": 1}}),
            "reward.parts.a.wait: no such key; needs one of weight,",
        ),
        (lambda: RewardConfig(parts={"a": {"weight": "x"}}), "reward.parts.a.weight=x: needs a number"),
        (lambda: RewardConfig(parts={"a": {"domains": "math"}}), "reward.parts.a.domains=math: needs a list"),
        (lambda: RewardConfig(parts={"a": {"from_step": 1.5}}), "reward.parts.a.from_step=1.5: needs a number of a"),
        (lambda: RewardConfig(models={"a": "m"}), "reward.models.a=m: needs an object such as"),
        (lambda: RewardConfig(models={"a": {"see": "x"}}), "reward.models.a.see: no such key; needs one of model,"),
        (lambda: RewardConfig(models={"a": {"sees": "x"}}), "reward.models.a.sees=x: needs one of summary, response"),
        (lambda: RewardConfig(models={"a": {"num_actors": 0}}), "reward.models.a.num_actors=0: needs at least 1"),
        (lambda: RewardConfig(models={"a": {"threads": "x"}}), "reward.models.a.threads=x: needs a number"),
        (lambda: RewardConfig(models={"a": {"model": 7}}), "reward.models.a.model=7: needs a text"),
        (lambda: DataConfig(mixture="math"), "data.mixture=math: needs an object such as"),
        (lambda: DataConfig(mixture={"math": 0}), "data.mixture.math=0: needs a number above 0"),
        (
            lambda: RunConfig(
                model="m", steps=9, data=DataConfig(train="t"), reward=RewardConfig(parts={"a": {"from_step": 10}})
            ),
            "reward.parts.a.from_step=10: needs at most steps=9, or the part never counts",
        ),
        (
            lambda: RunConfig(
                model="m", data=DataConfig(train="t"), reward=PAPER, stop=StopConfig("reward/form", window=1)
            ),
            "stop.metric=reward/form: needs reward/mean, or reward/ and one of accuracy, format",
        ),
        (
            lambda: RunConfig(
                model="m",
                data=DataConfig(train="t"),
                reward=PAPER,
                eval=EvalConfig(num_actors=1),
                stop=StopConfig("eval/x/pass@1", window=1),
            ),
            "stop.metric=eval/x/pass@1: .* needs eval.num_actors=0",
        ),
        (
            lambda: RunConfig(
                model="m",
                data=DataConfig(train="t"),
                reward=PAPER,
                eval=EvalConfig(every=0),
                stop=StopConfig("eval/x/pass@1", window=1),
            ),
            "stop.metric=eval/x/pass@1: with eval.every=0 nothing is evaluated in between",
        ),
        (lambda: RunConfig(model="m", data=DataConfig(train="t")), "reward.parts is empty"),
        (lambda: LearnerConfig(zero_stage=4), "learner.zero_stage=4: needs 0, 1, 2 or 3"),
        (lambda: LearnerConfig(betas=[0.9]), "learner.betas"),
        (
            lambda: LearnerConfig(deepspeed={"gradient_clipping": 1.0}),
            r"learner.deepspeed.gradient_clipping: is r1ray's to say; needs learner.grad_clip\.",
        ),
        (
            lambda: LearnerConfig(deepspeed={"zero_optimization": {"overlap_comm": True, "stage": 3}}),
            "learner.deepspeed.zero_optimization.stage: .* needs learner.zero_stage",
        ),
        (
            lambda: LearnerConfig(deepspeed={"optimizer": {"params": {"lr": 1}}}),
            "learner.deepspeed.optimizer.params.lr: .* needs learner.lr",
        ),
        (lambda: LearnerConfig(deepspeed={"tensor_parallel": {}}), "tensor_parallel: .* needs to be left out"),
        (
            lambda: LearnerConfig(deepspeed={"zero_optimization": 3}),
            "learner.deepspeed.zero_optimization=3: needs settings by name, {stage: VALUE}",
        ),
        (
            lambda: LearnerConfig(deepspeed={"optimizer": {"params": 3}}),
            "learner.deepspeed.optimizer.params=3: needs settings by name, {lr: VALUE}",
        ),
        (lambda: WeightsConfig(backend="mpi"), "weights.backend=mpi"),
        (lambda: EvalConfig(top_p=0), "eval.top_p=0"),
        (lambda: RunConfig(), "model is not set: give model=PATH"),
        (lambda: RunConfig(model="m"), "data.train is not set"),
        (
            lambda: RunConfig(model="m", data=DataConfig(train="t"), reward=SLOW),
            "reward.parts.slow.deadline_s=900: needs to be below deadlines.score_s=600",
        ),
        (
            lambda: RunConfig(model="m", data=DataConfig(train="t", max_prompt_tokens=20000), reward=PAPER),
            "learner.max_tokens_per_microbatch=16384 cannot hold the longest sequence: needs at least 28192",
        ),
        (lambda: SupervisedConfig(epochs=0), "supervised.epochs=0: needs at least 1"),
        (lambda: SupervisedConfig(max_tokens=1), "supervised.max_tokens=1: needs at least 2"),
        (lambda: SupervisedConfig(eval_every=-1), "supervised.eval_every=-1: needs at least 0"),
        (lambda: RunConfig(recipe="sft"), "model is not set: recipe=sft needs model=PATH"),
        (
            lambda: RunConfig(recipe="sft", model="m", data=DataConfig(train="t")),
            "supervised.train is not set: recipe=sft needs supervised.train=PATH",
        ),
        (
            lambda: RunConfig(recipe="sft", model="m", supervised=SupervisedConfig(train="t", max_tokens=20000)),
            r"learner.max_tokens_per_microbatch=16384 .* at least 20000 \(supervised.max_tokens=20000\)",
        ),
        (
            lambda: RunConfig(
                recipe="reward_model", model="m", supervised=SupervisedConfig(train="t", max_tokens=10000)
            ),
            r"learner.max_tokens_per_microbatch=16384 .* at least 20000 \(2 x supervised.max_tokens=10000\)",
        ),
    ],
)
def test_contradictions_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://me:s3cret@host:8000/v1", "a user or password"),
        ("https://s3cret@host/v1", "a user or password"),
        ("https://host/v1?api-key=s3cret", "a query"),
        ("https://host/v1#s3cret", "a fragment"),
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(url: str, found: str) -> None:
    with pytest.raises(
        ValueError, match=rf"judge\.url has {found} in it.* variable MY_KEY \(judge\.api_key_env\)"
    ) as no:
        JudgeConfig(model="m", url=url, api_key_env="MY_KEY")
    assert "s3cret" not in str(no.value)
    assert JudgeConfig(model="m", url="http://host:8000/v1").url == "http://host:8000/v1"


def test_correction_is_on_only_where_generation_may_run_ahead() -> None:
    assert AlgoConfig().resolved_correction == "none"
    assert AlgoConfig(max_staleness=1).resolved_correction == "token_tis"
    assert AlgoConfig(max_staleness=1, correction="none").resolved_correction == "none"
    assert AlgoConfig(max_staleness=1, old_logprobs="engine").resolved_correction == "none"
    unweighted = AlgoConfig(max_staleness=1, old_logprobs="learner", allow_unweighted_staleness=True)
    assert unweighted.resolved_correction == "none" and unweighted.is_old_recomputed


def test_pi_old_is_the_learners_where_that_is_asked_for_or_weights_need_it() -> None:
    assert not AlgoConfig().is_old_recomputed and AlgoConfig(old_logprobs="learner").is_old_recomputed
    assert AlgoConfig(correction="token_mask").is_old_recomputed and AlgoConfig(max_staleness=1).is_old_recomputed
    assert not AlgoConfig(max_staleness=1, old_logprobs="engine").is_old_recomputed


def test_the_defaults_are_the_papers() -> None:
    algo = AlgoConfig()
    assert (algo.completions_per_step, algo.minibatches_per_step, algo.group_size) == (8192, 16, 16)
    assert (algo.clip_low, algo.clip_high, algo.kl_coefficient) == (10, 10, 0.001)
    assert (algo.aggregation, algo.reference_refresh_updates) == ("seq_mean", 400)


def test_a_run_may_go_on_with_its_preference_models_placed_elsewhere() -> None:
    def decided(**model: object) -> dict[str, object]:
        reward = RewardConfig(parts={"helpful": {}}, models={"helpful": {"model": "h", **model}})
        return decisive(RunConfig(model="m", data=DataConfig(train="t"), reward=reward))

    assert decided(num_actors=4, gpus_per_actor=1, batch_tokens=10**6) == decided()
    assert decided(sees="summary") != decided()


def test_what_ends_training_and_mixes_prompts_makes_another_run() -> None:
    def decided(data: DataConfig, stop: StopConfig) -> dict[str, object]:
        return decisive(RunConfig(model="m", data=data, reward=PAPER, stop=stop))

    one = decided(DataConfig(train="t"), StopConfig())
    assert decided(DataConfig(train="t"), StopConfig(window=50)) != one
    assert decided(DataConfig(train="t", mixture={"math": 1}), StopConfig()) != one


def test_a_part_counts_from_its_step_on() -> None:
    reward = RewardConfig(parts={"accuracy": {}, "helpful": {"weight": 0.5, "from_step": 1301}})
    assert reward.weights_at(1300) == {"accuracy": 1.0}
    assert reward.weights_at(1301) == {"accuracy": 1.0, "helpful": 0.5}


def test_supervised_recipes_have_a_learner_and_nothing_else() -> None:
    assert RunConfig(recipe="sft", model="m", supervised=SupervisedConfig(train="t", max_tokens=64)).only_learner
    assert not RunConfig(model="m", data=DataConfig(train="t"), reward=PAPER).only_learner


def test_only_a_cosine_schedule_has_a_floor() -> None:
    assert LearnerConfig(schedule="cosine", lr_floor=0.1).lr_floor == 0.1
    with pytest.raises(ValueError, match=r"learner.lr_floor=0.1: learner.schedule=linear has no floor; needs cosine"):
        LearnerConfig(schedule="linear", lr_floor=0.1)


def test_what_is_offloaded_has_to_be_divided() -> None:
    with pytest.raises(ValueError, match=r"learner.offload_optimizer=true: learner.zero_stage=0 .* needs 1, 2 or 3"):
        LearnerConfig(zero_stage=0, offload_optimizer=True)
    with pytest.raises(ValueError, match=r"learner.offload_parameters=true: learner.zero_stage=2 .* needs 3"):
        LearnerConfig(zero_stage=2, offload_parameters=True)


def test_sequence_parallel_ranks_divide_all_ranks() -> None:
    assert LearnerConfig(num_ranks=8, sequence_parallel_size=4).num_shards == 2
    with pytest.raises(ValueError, match=r"sequence_parallel_size=4 does not divide learner.num_ranks=6: needs one of"):
        LearnerConfig(num_ranks=6, sequence_parallel_size=4)


def test_adapters_have_a_reference_that_does_not_change() -> None:
    own = {"model": "m", "data": DataConfig(train="t"), "reward": RewardConfig(parts={"accuracy": {}})}
    learner = LearnerConfig(lora=LoraConfig(rank=8))
    with pytest.raises(ValueError, match=r"reference_refresh_updates=400: .* does not change; needs 0"):
        RunConfig(**own, learner=learner)
    assert RunConfig(**own, learner=learner, algo=AlgoConfig(reference_refresh_updates=0)).learner.lora.rank == 8


def test_a_comparison_is_called_as_the_stage_or_the_folder_that_it_reads() -> None:
    names = [
        CompareConfig(against=path, expect={"pass@1": "up"}).name for path in ("@eval_base", "runs/one/result.json")
    ]
    assert names == ["eval_base", "one"]
    assert CompareConfig(against="runs/one/result.json", expect={"pass@1": "up"}, name="eval_base").name == "eval_base"


def test_seeds_on_cpus_keep_every_prompt_whole() -> None:
    """A prompt that is split among steps of an engine on CPUs ends the engine where its request has a seed."""
    config = RolloutConfig(seeded=True, max_num_seqs=64, max_num_batched_tokens=512)
    assert config.batched_tokens(0, 48) == 64 * 48
    assert config.batched_tokens(1, 48) == 512, "generators of GPUs can go back"
    assert RolloutConfig(max_num_seqs=64, max_num_batched_tokens=512).batched_tokens(0, 1024) == 1024
    assert config.why_not_seeded("rollout", 0, 1024) is None
    problem = config.why_not_seeded("rollout", 0, 2048)
    assert problem is not None and "64 sequences of 2048 tokens may need 131072 tokens in one step" in problem
    assert "rollout.max_num_seqs=32, or rollout.seeded=false" in problem
    assert config.why_not_seeded("rollout", 1, 2048) is None


def test_the_bounds_of_the_probe_follow_the_dtype() -> None:
    assert WeightsConfig().bounds("float32", "float32") == (1e-4, 1e-6)
    assert (
        WeightsConfig().bounds("float32", "bfloat16") == (0.15, 0.03) == WeightsConfig().bounds("bfloat16", "float32")
    )
    assert WeightsConfig(probe_tolerance=0.5).bounds("bfloat16", "bfloat16") == (0.5, 0.03)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("reward.sandbox", "sandbox"),
        ("reward.sandbox.mode", "sandbox.mode"),
        ("reward.sandboxes", None),
        ("my.reward.sandbox", None),
        ("sandbox.mode", None),
    ],
)
def test_a_renamed_section_gives_its_keys_their_new_names(key: str, name: str | None) -> None:
    assert new_name(key) == name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("reward/unscored", "scoring/unscored"),
        ("mixture/math", "domain/math/share"),
        ("reward/domain/math/mean", "domain/math/reward_mean"),
        ("reward/mean", None),
        ("domain/math/share", None),
    ],
)
def test_a_renamed_metric_is_refused_with_its_new_name(old: str, new: str | None) -> None:
    assert new_metric_name(old) == new
    if new is not None:
        with pytest.raises(ValueError, match=f"stop.metric={old}: is called {new} now"):
            StopConfig(metric=old)
