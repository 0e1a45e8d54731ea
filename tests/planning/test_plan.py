"""Plans of what ships; what cannot work, and the change that would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1ray import main as cli
from r1ray.commands.compose import compose
from r1ray.config import RolloutConfig, RunConfig
from r1ray.config.folder import config_folder
from r1ray.planning.advice import changed_config, nearest_change
from r1ray.planning.duration import learner_flops
from r1ray.planning.gpus import GIB, GPUS
from r1ray.planning.memory import Item, checkpoint_parts, engine_weights, export_bytes, published_bytes, stages
from r1ray.planning.plan import Plan, plan_run
from r1ray.planning.report import as_json, report
from r1ray.planning.shapes import load_shape

SMALL = ["qwen2.5_0.5b", "qwen2.5_1.5b", "qwen3_0.6b", "qwen3_1.7b", "qwen3.5_0.8b", "llama_3.2_1b"]
MIDDLE = [
    *("qwen2.5_7b", "qwen2.5_14b", "qwen3_4b", "qwen3_8b", "qwen3_14b", "qwen3.5_4b", "qwen3.5_9b"),
    *("llama_3.1_8b", "deepseek_v2_lite"),
]
LARGE = ["qwen2.5_32b", "qwen2.5_72b", "qwen3_30b_a3b", "qwen3.5_27b", "llama_3.3_70b"]


def planned(*overrides: str) -> Plan:
    return plan_run(compose([*overrides, "data.train=t"]))


# ---------------------------------------------------------------------- what ships


@pytest.mark.parametrize(
    ("cluster", "model"),
    [
        *(("one_gpu", model) for model in SMALL),
        *(("two_gpus", model) for model in SMALL),
        *(("one_node_8", model) for model in SMALL + MIDDLE),
        *(("eight_nodes_8", model) for model in SMALL + MIDDLE + LARGE),
    ],
)
def test_models_fit_the_clusters_that_they_are_for(cluster: str, model: str) -> None:
    plan = planned(f"model={model}", f"cluster={cluster}")
    assert plan.problems == ()
    sizes = {"one_gpu": 1, "two_gpus": 2, "one_node_8": 8, "eight_nodes_8": 64}
    assert plan.num_gpus == sizes[cluster]


def test_every_shipped_model_is_in_one_of_these_lists() -> None:
    names = {path.stem for path in (config_folder() / "model").glob("*.yaml")}
    assert names == {*SMALL, *MIDDLE, *LARGE, "deepseek_v3"}


def test_small_models_are_fine_tuned_on_one_gpu() -> None:
    for model in SMALL:
        assert planned("recipe=sft", f"model={model}", "cluster=one_gpu", "supervised.train=t").problems == ()


def test_the_largest_model_is_sampled_from_and_not_trained() -> None:
    assert planned("recipe=collect", "model=deepseek_v3", "cluster=one_node_8_engines").problems == ()
    problems = [problem.text for problem in planned("model=deepseek_v3", "cluster=eight_nodes_8").problems]
    assert "model=deepseek-ai/DeepSeek-V3-Base: its files are 8-bit, which the learner does not train" in problems


def test_a_plan_without_gpus_is_of_the_machines_memory() -> None:
    plan = planned("model=qwen2.5_0.5b", "cluster=cpu", "plan.memory_gib=64", "algo.max_completion_tokens=512")
    assert (plan.num_gpus, plan.gpu.name, plan.problems) == (0, "cpu", ())


@pytest.mark.parametrize(
    ("experiment", "bytes_of_a_rank"),
    [
        # 18 bytes a parameter over the ranks, and 2 for the reference.
        ("r1_zero_qwen2.5_7b", 20 * 7.616e9 / 8),
        ("r1_zero_qwen2.5_32b", 20 * 32.76e9 / 32),
    ],
)
def test_experiments_fit_and_weigh_what_their_comments_say(experiment: str, bytes_of_a_rank: float) -> None:
    plan = planned(f"experiment={experiment}")
    assert plan.problems == ()
    learner = plan.actors[0].moments["forward and backward"]
    states = {"weights", "gradients", "master weights", "moments", "reference"}
    assert sum(item.bytes for item in learner if item.name in states) == pytest.approx(bytes_of_a_rank, rel=0.001)


MICRO = "learner.max_tokens_per_microbatch=33792"
ASIDE = "checkpoint.asynchronous=false"
DISTILLED = ["distill_qwen2.5_1.5b", "distill_qwen2.5_7b", "distill_qwen2.5_14b", "distill_qwen2.5_32b"]
DISTILLED += ["distill_llama_8b", "distill_llama_70b"]


@pytest.mark.parametrize("experiment", DISTILLED)
def test_distillation_fits(capsys: pytest.CaptureFixture[str], experiment: str) -> None:
    files = [] if experiment == "distill_llama_8b" else ["data.eval=e", "supervised.train=t"]
    assert cli.main(["plan", f"experiment={experiment}", *files]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "student " in out and "eval_student" in out


def test_a_graph_shows_a_row_a_stage_and_the_tightest(capsys: pytest.CaptureFixture[str]) -> None:
    files = ["data.train=t", "data.eval=e", "graph.cold_start_data.collect.examples=x"]
    pairs = [f"graph.{name}.supervised.train=p" for name in ("helpful", "harmless")]
    assert cli.main(["plan", "experiment=r1_qwen2.5_7b", *files, *pairs]) == 0
    out = capsys.readouterr().out
    rows, remarks = (part.splitlines() for part in out.split("\n\nThe tightest of them:\n\n")[0].split("\n\n"))
    assert {remark.split()[0] for remark in remarks} == {"reasoning_rl:", "all_scenario_rl:"}
    assert [row.split()[0] for row in rows[1:4]] == ["cold_start_data", "cold_start", "eval_cold_start"]
    assert len(rows) == 13  # all of the recipe's stages but `extended`, which starts nothing


def test_the_quickstart_is_planned_from_the_shape_of_what_it_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "experiment=quickstart", "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert (plan["parameters"], plan["gpus"], plan["gpu"]) == (360288, 0, "cpu")
    assert plan["disk"]["checkpoint"] == {"model": 4.0 * 360288, "optimizer": 12.0 * 360288, "reference": 4.0 * 360288}


# ---------------------------------------------------------------------- what does not fit

LITTLE = "plan.host_memory_gib=20"
V3 = ["recipe=collect", "model=deepseek_v3", "cluster=one_node_8_engines"]


@pytest.mark.parametrize(
    ("overrides", "problem", "advice"),
    [
        (["cluster=two_gpus", "model=qwen3_4b"], "learner: update needs", "learner.offload_optimizer=true"),
        (
            ["cluster=one_gpu", "model=qwen2.5_0.5b", "plan.gpu=rtx4090", "colocated.offload=none"],
            "learner and rollout: generation needs",
            "colocated.offload=all",
        ),
        (
            ["cluster=one_gpu", "model=qwen2.5_1.5b", "plan.gpu=rtx4090"],
            "update needs 38",
            "learner.offload_optimizer=true",
        ),
        (
            ["cluster=one_gpu", "model=qwen2.5_32b", "plan.gpu=h100"],
            "learner and rollout: update needs",
            "placement=separate learner.num_ranks=2 learner.zero_stage=3 rollout.num_actors=2 learner.lora.rank=32 "
            "algo.reference_refresh_updates=0 plan.gpus_per_node=4 plan.host_memory_gib=480",
        ),
        pytest.param(
            ["cluster=one_gpu", "model=qwen2.5_32b", "plan.gpu=rtx4090"],
            "learner and rollout: update needs",
            "placement=separate learner.num_ranks=8 learner.zero_stage=3 rollout.num_actors=2 rollout.gpus_per_actor=4 "
            "learner.lora.rank=32 algo.reference_refresh_updates=0 plan.gpus_per_node=8 plan.num_nodes=2 "
            "plan.host_memory_gib=960 plan.gpu=a100-40",
            marks=pytest.mark.long,
        ),
        (  # more GPUs of the same kind are nearer than other ones
            ["recipe=collect", "cluster=one_gpu", "model=qwen2.5_7b", "plan.gpu=l4"],
            "rollout: generation needs",
            "rollout.gpus_per_actor=2 plan.gpus_per_node=2 plan.host_memory_gib=240",
        ),
        (
            ["recipe=sft", "supervised.train=t", "cluster=one_gpu", "model=qwen2.5_1.5b", "plan.gpu=rtx4090", LITTLE],
            "learner: forward and backward needs",
            "learner.num_ranks=4 learner.zero_stage=3 plan.gpus_per_node=4 plan.host_memory_gib=80",
        ),
        (
            ["cluster=two_gpus", "model=qwen3_14b", "plan.gpu=a100-40"],
            "learner: forward and backward needs",
            "learner.num_ranks=4 learner.zero_stage=3 rollout.num_actors=4 plan.gpus_per_node=8 "
            "plan.host_memory_gib=960",
        ),
        (
            ["cluster=one_node_8", "model=qwen3.5_9b", "learner.sequence_parallel_size=4"],
            "learner.sequence_parallel_size=4: linear attention (Qwen/Qwen3.5-9B) is not divided",
            "learner.sequence_parallel_size=1",
        ),
        (
            ["cluster=one_node_8", "model=qwen2.5_32b", "rollout.gpus_per_actor=3", "rollout.num_actors=1"],
            "3 tensor-parallel ranks do not divide the 40 heads",
            None,
        ),
        (["cluster=one_node_8", "model=qwen2.5_7b", "rollout.num_actors=8"], "the run takes 12 GPUs", None),
        (
            ["recipe=collect", "cluster=one_node_8_engines", "model=qwen2.5_7b", "plan.gpu=a10g"],
            "rollout: generation needs",
            "rollout.gpus_per_actor=2 rollout.num_actors=4",
        ),
        (
            [*V3, "plan.num_nodes=2", "plan.gpu=h100"],
            "rollout: generation needs 84.7 GiB a GPU",
            "rollout.gpus_per_actor=16 rollout.nodes_per_actor=2",
        ),
        (
            [*V3, "plan.num_nodes=2", "rollout.num_actors=1", "rollout.gpus_per_actor=16"],
            "rollout.gpus_per_actor=16: rollout.nodes_per_actor=1 x plan.gpus_per_node=8 are fewer",
            "rollout.gpus_per_actor=8",
        ),
        (
            [*V3, "rollout.nodes_per_actor=3", "plan.num_nodes=3"],
            "rollout.gpus_per_actor=8 are not rollout.nodes_per_actor=3 equal parts",
            None,
        ),
        (
            ["cluster=one_node_8", "model=qwen3_8b", "algo.max_completion_tokens=32768", MICRO],
            "the longest sequence has 33792 tokens",
            "algo.max_completion_tokens=31744",
        ),
        (
            ["cluster=one_node_8", "model=qwen2.5_0.5b", "learner.sequence_parallel_size=4"],
            "learner.sequence_parallel_size=4 does not divide the 2 key-value heads",
            "learner.sequence_parallel_size=1",
        ),
        (["cluster=eight_nodes_8", "model=qwen2.5_32b", "plan.host_memory_gib=50"], "ranks on a node need", ASIDE),
    ],
)
def test_what_does_not_fit_is_refused_with_a_change_that_does(
    capsys: pytest.CaptureFixture[str], overrides: list[str], problem: str, advice: str | None
) -> None:
    assert cli.main(["plan", *overrides]) == 2
    said = capsys.readouterr().err
    assert problem in said and "It would fit with " in said
    proposed = said.strip().split("It would fit with ")[1].rstrip(".").split()
    if advice is not None:
        assert proposed == advice.split()
    capsys.readouterr()
    assert cli.main(["plan", *overrides, *proposed]) == 0, capsys.readouterr().err


def test_the_advice_is_the_fewest_keys() -> None:
    plan = planned("cluster=two_gpus", "model=qwen3_8b")
    advice = nearest_change(plan)
    assert advice is not None and len(advice) > 1
    for left_out in advice:
        rest = [change for change in advice if change != left_out]
        changed = changed_config(plan.config, rest)
        assert changed is not None and plan_run(changed).problems


def test_bad_plans(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for overrides, message in (
        (["model=qwen2.5_7b", "cluster=one_node_8", "plan.gpu=h1000"], "plan.gpu=h1000: needs one of a10g, l4,"),
        ([f"model={tmp_path}"], "the folder has no config.json"),
        (["plan.price=0"], "plan.price=0.0: needs to be above 0"),
        ([], "model is not set"),
        (["model=qwen2.5_8b", "cluster=nine"], "cluster=nine: needs one of cpu, eight_nodes_8"),
    ):
        assert cli.main(["plan", *overrides]) == 2
        said = capsys.readouterr().err
        assert message in said and "Traceback" not in said


# ---------------------------------------------------------------------- arithmetic


def seven(*overrides: str) -> RunConfig:
    return compose(["model=qwen2.5_7b", "cluster=one_node_8", "data.train=t", *overrides])


def test_pi_old_of_the_learner_costs_a_pass_of_all_minibatches_but_the_first() -> None:
    shape = load_shape("Qwen/Qwen2.5-7B")

    def flops(*overrides: str) -> float:
        config = seven("algo.kl_coefficient=0", *overrides)
        return learner_flops(config, shape, tokens=1e6, mean_length=4096)

    forward = shape.forward_flops(1e6, context=2048)
    engine, learner = (f"algo.old_logprobs={who}" for who in ("engine", "learner"))
    assert flops(learner) - flops(engine) == pytest.approx(15 / 16 * forward)
    assert flops(learner, "algo.minibatches_per_step=1") == flops(engine, "algo.minibatches_per_step=1")


def test_teachers_of_other_sizes_cost_memory_and_a_pass_over_their_share_of_the_tokens() -> None:
    def plan_of(*overrides: str) -> Plan:
        return plan_run(seven("algo.kl_coefficient=0", *overrides))

    large, small = "Qwen/Qwen2.5-14B", "Qwen/Qwen2.5-1.5B"
    without, one = plan_of(), plan_of("recipe=on_policy_distill", f"algo.teacher.model={large}", "algo=paper")
    of_large, of_small = load_shape(large), load_shape(small)
    (found,) = (item for item in one.actors[0].moments["update"] if item.name == "teachers")
    parts = one.config.learner.num_ranks if one.config.learner.zero_stage == 3 else 1
    assert found.bytes == pytest.approx(2 * of_large.parameters / parts)
    assert one.step.learn > without.step.learn
    two = f"{{math: {large}, code: {small}, prose: {small}}}"
    (both,) = (
        item for item in plan_of(f"algo.teacher.domains={two}").actors[0].moments["update"] if item.name == "teachers"
    )
    assert both.bytes == pytest.approx(2 * (of_large.parameters + of_small.parameters) / parts)
    over_three = plan_of(f"algo.teacher.model={large}", "learner.zero_stage=3").actors[0]
    gathered = {
        name: next(item.bytes for item in over_three.moments[name] if item.name.startswith("gathered"))
        for name in ("forward and backward", "teacher's pass")
    }
    assert gathered["teacher's pass"] >= gathered["forward and backward"] > 0
    whole = plan_of(f"algo.teacher.model={large}", "learner.zero_stage=2").actors[0].moments
    extra = {name: sum(item.bytes for item in whole[name]) for name in ("teacher's pass", "forward and backward")}
    assert extra["teacher's pass"] < extra["forward and backward"], "it keeps nothing for a backward pass"
    shape, options = load_shape("Qwen/Qwen2.5-7B"), {"tokens": 1e6, "mean_length": 4096.0}
    taught = learner_flops(seven(), shape, teachers=[of_large, of_small], **options)
    passes = sum(each.forward_flops(5e5, context=2048) for each in (of_large, of_small))
    assert taught - learner_flops(seven(), shape, **options) == pytest.approx(passes)


def test_batches_are_written_out() -> None:
    batch = plan_run(seven("plan.completion_tokens=3840", "plan.prompt_tokens=256")).batch
    assert (batch.prompts, batch.completions, batch.updates) == (512, 8192, 16)
    # 512 completions an update of 4,096 tokens, four of which fill 16,384: 128 micro-batches on the one shard.
    assert batch.microbatches == 16 * 128
    assert batch.lines[0] == "512 prompts x 16 = 8,192 completions a step"
    assert "512 completions an update x (256 + 3,840) tokens = 2,097,152 tokens" in batch.lines[1]


def test_files_follow_stage_dtype_and_adapters() -> None:
    shape = plan_run(seven()).shape
    size = shape.parameters
    assert checkpoint_parts(seven(), shape) == {"model": 0.0, "optimizer": 12.0 * size, "reference": 2.0 * size}
    whole = seven("learner.zero_stage=1", "algo.kl_coefficient=0")
    assert checkpoint_parts(whole, shape) == {"model": 2.0 * size, "optimizer": 12.0 * size}
    adapters = seven("learner.lora.rank=16", "algo.reference_refresh_updates=0")
    trained = shape.adapter_parameters(16)
    assert checkpoint_parts(adapters, shape) == {"model": 2.0 * size, "optimizer": 12.0 * trained}
    assert export_bytes(seven(), shape) == published_bytes(seven(), shape) == 2 * size
    alone = seven("learner.lora.rank=16", "learner.lora.export=adapter", "algo.reference_refresh_updates=0")
    assert export_bytes(alone, shape) == 2 * trained


def test_every_export_takes_its_place_on_the_disk() -> None:
    def disk(*overrides: str) -> tuple[int, float]:
        found = plan_run(seven("steps=100", "checkpoint.every=0", *overrides)).disk
        assert found is not None
        return found.num_exports, found.whole

    num, whole = disk()
    size = 2.0 * plan_run(seven()).shape.parameters
    assert num == 1
    for overrides, more in (
        (["checkpoint.export_every=30"], 3),
        (["checkpoint.export_every=50"], 1),
        (["checkpoint.best=pass@1", "data.eval=e"], 1),
    ):
        assert disk(*overrides) == (1 + more, pytest.approx(whole + more * size))


def test_memory_shrinks_by_what_shards_it() -> None:
    def states(*overrides: str) -> float:
        items = plan_run(seven(*overrides)).actors[0].moments["update"]
        return sum(item.bytes for item in items if item.name in ("weights", "gradients", "master weights", "moments"))

    size = plan_run(seven()).shape.parameters
    for stage in range(3):  # bfloat16 is run as stage 2 at least
        assert states(f"learner.zero_stage={stage}") == (2 + 16 / 4) * size
    assert states("learner.zero_stage=0", "learner.dtype=float32") == 16 * size
    assert states("learner.zero_stage=1", "learner.dtype=float32") == (8 + 12 / 4) * size
    assert states("learner.zero_stage=3") == 18 / 4 * size
    assert states("learner.zero_stage=3", "learner.offload_optimizer=true") == 2 / 4 * size


def test_a_gpu_of_the_users_own() -> None:
    plan = plan_run(seven("plan.gpu=l40s", "plan.memory_gib=96", "plan.price=2"))
    assert plan.gpu.memory == 96 * GIB and plan.gpu.flops == GPUS["l40s"].flops
    assert plan.cost_a_step == pytest.approx(2 * 8 * plan.step.total / 3600)


@pytest.mark.parametrize(
    ("experiment", "prompt", "completion", "seconds"),
    [
        # Medians of ten or more undisturbed steps on two cores of an AMD EPYC; the first is the one that no
        # constant of `cpu` was chosen by.
        ("quickstart", 9, 12, {"generate": 0.790, "learn": 0.351, "publish": 0.071, "total": 1.274}),
        ("quickstart", 9, 22, {"generate": 0.875, "learn": 0.501, "publish": 0.082, "total": 1.627}),
        ("tiny_programs", 5, 10, {"generate": 0.199, "learn": 0.102, "publish": 0.067, "total": 0.459}),
    ],
)
def test_times_without_gpus_are_those_that_were_measured(
    experiment: str, prompt: int, completion: int, seconds: dict[str, float]
) -> None:
    lengths = [f"plan.prompt_tokens={prompt}", f"plan.completion_tokens={completion}"]
    step = plan_run(compose([f"experiment={experiment}", *lengths])).step
    for name, measured in seconds.items():
        assert getattr(step, name) == pytest.approx(measured, rel=0.15), name


def test_overlapped_steps_take_as_long_as_their_longer_half() -> None:
    step = plan_run(seven("algo.max_staleness=1", "algo.clip_high=0.2", "reward.num_actors=64")).step
    assert step.total == pytest.approx(max(step.generate, step.learn, step.score) + step.publish)
    assert step.bottleneck in ("generate", "learn")
    alone = plan_run(seven("reward.num_actors=64")).step
    assert alone.total == pytest.approx(alone.generate + alone.learn + alone.publish)


@pytest.mark.parametrize("name", ["qwen2.5_7b", "qwen2.5_0.5b", "deepseek_v3", "deepseek_v2_lite", "qwen3_30b_a3b"])
@pytest.mark.parametrize("pipeline", [1, 2, 3, 4, 5])
def test_layers_are_divided_among_stages_as_vllm_does_it(name: str, pipeline: int) -> None:
    from vllm.distributed.utils import get_pp_indices

    shape = planned(V3[0], V3[2], f"model={name}").shape
    whole = stages(shape, pipeline)
    assert [stage.layers for stage in whole] == [
        end - start for start, end in (get_pp_indices(shape.layers, rank, pipeline) for rank in range(pipeline))
    ]
    assert sum(stage.body_parameters - shape.hidden for stage in whole) == shape.body_parameters - shape.hidden


def test_the_fullest_stage_of_deepseek_v3_is_one_without_its_dense_layers() -> None:
    engine, shape = RolloutConfig(dtype="bfloat16"), planned(*V3).shape
    halves = [engine_weights(shape, engine, tensor=8, pipeline=pipeline) * 8 / 2**30 for pipeline in (1, 2)]
    assert halves == pytest.approx([627.4, 323.4], rel=2e-3)


@pytest.mark.parametrize(
    ("overrides", "copied"),
    [
        (["learner.zero_stage=3"], 0),
        (["learner.zero_stage=2"], 0),
        (["learner.zero_stage=3", "learner.dtype=float32"], 4 * 152064 * 3584),
        (["learner.zero_stage=2", "learner.dtype=float32"], 2 * 4 * 7615616512),
        (["learner.zero_stage=3", "model=qwen3_30b_a3b"], 2 * 128 * 2 * 768 * 2048),
    ],
)
def test_no_rank_has_a_whole_copy_in_the_hosts_memory_under_zero_3(overrides: list[str], copied: int) -> None:
    """Weights of the learner's dtype are mapped; under ZeRO 3 others are copied one parameter at a time."""
    few = ["cluster=one_node_8", "model=qwen2.5_7b", "checkpoint.every=0", "weights.snapshot=false"]
    (learner,) = [actor for actor in planned(*few, *overrides).actors if actor.section == "learner"]
    assert sum(item.bytes for item in learner.host) == copied


def test_an_optimizer_in_host_memory_leaves_the_gradients_of_stage_1_where_they_are() -> None:
    """In float32: in bfloat16 stage 1 is run as 2, whose gradients leave."""
    own = ("learner.num_ranks=4", "learner.offload_optimizer=true", "learner.dtype=float32", "rollout.dtype=float32")
    (first, *_), (second, *_) = (plan_run(seven(*own, f"learner.zero_stage={stage}")).actors for stage in (1, 2))

    def gradients(items: tuple[Item, ...]) -> float:
        return sum(item.bytes for item in items if item.name == "gradients")

    whole = 4 * load_shape("Qwen/Qwen2.5-7B").parameters
    assert (gradients(first.moments["update"]), gradients(first.host)) == (whole, whole / 4)
    assert (gradients(second.moments["update"]), gradients(second.host)) == (0, whole / 4)
    said = report(plan_run(seven("learner.zero_stage=1")))
    assert "ZeRO 2 (as which zero_stage=1 is run in bfloat16)" in said


def test_two_snapshots_of_the_weights_are_counted_once_for_all_ranks() -> None:
    few = ["cluster=one_node_8", "model=qwen2.5_7b", "checkpoint.every=0"]
    (learner,) = [actor for actor in planned(*few).actors if actor.section == "learner"]
    assert learner.count * sum(item.bytes for item in learner.host) == 2 * 2 * 7615616512


def test_deepspeeds_own_settings_are_in_the_plan() -> None:
    large = ["cluster=eight_nodes_8", "model=qwen2.5_32b"]
    small = [
        f"learner.deepspeed.zero_optimization.{name}=100000000" for name in ("sub_group_size", "reduce_bucket_size")
    ]

    def parts(*overrides: str) -> dict[str, float]:
        learner = next(actor for actor in planned(*large, *overrides).actors if actor.section == "learner")
        return {item.name: item.bytes for item in learner.moments["update"]}

    ranks = planned(*large).config.learner.num_ranks
    usual, changed = parts(), parts(*small)
    assert usual["gradient bucket"] == 5 * changed["gradient bucket"] == 5 * 1e8 * (2 + 4 / ranks)
    update = "AdamW's temporaries"
    assert changed[update] == 8 * 1e8 < usual[update]


@pytest.mark.parametrize(
    ("refresh", "references"),
    [(0, 1), (160, 2), (40, 3), (16, 3)],  # 16 updates a step: never, every ten steps, faster than checkpoints come
)
def test_checkpoints_between_two_refreshes_have_one_file_of_the_reference(refresh: int, references: int) -> None:
    config = ["checkpoint.every=5", "checkpoint.keep=2", f"algo.reference_refresh_updates={refresh}"]
    disk = planned("model=qwen2.5_7b", "cluster=one_node_8", *config).disk
    assert disk is not None
    reference = disk.checkpoint["reference"]
    others = sum(disk.checkpoint.values()) - reference
    assert disk.kept == pytest.approx(3 * others + references * reference)


def test_native_adapters_are_all_that_a_publish_sends() -> None:
    adapters = ("learner.lora.rank=16", "algo.reference_refresh_updates=0")

    def sent(*overrides: str) -> float:
        plan = planned("cluster=one_node_8", "model=qwen2.5_7b", *adapters, *overrides)
        return published_bytes(plan.config, plan.shape)

    plan = planned("cluster=one_node_8", "model=qwen2.5_7b")
    assert sent() == 2.0 * plan.shape.adapter_parameters(16)
    assert sent("learner.lora.publish=merged") == published_bytes(plan.config, plan.shape) > 50 * sent()


def test_trajectories_in_environments_have_turns_answers_and_time_for_them() -> None:
    alone = plan_run(seven())
    own = ("data.environment=maze", "environment.max_turns=8", "environment.max_context_tokens=400")
    in_world = plan_run(seven(*own, "plan.answer_s=3"))
    assert (alone.batch.turns, alone.batch.context_tokens) == (1.0, 0.0)
    assert (in_world.batch.turns, in_world.batch.context_tokens) == (2.0, 100.0)
    assert in_world.batch.trained_tokens == alone.batch.trained_tokens + 100 * alone.batch.completions
    assert in_world.batch.lines[-1] == "2 turns of a trajectory, answered in 3 s each (plan.answer_s)"
    assert in_world.step.generate == pytest.approx(alone.step.generate + 6, rel=0.3)
    assert in_world.step.learn > alone.step.learn
    many = plan_run(seven(*own, "plan.turns=8", "plan.context_tokens=400"))
    assert (many.batch.turns, many.batch.context_tokens) == (8.0, 2800.0)


def test_an_agents_command_is_told_with_what_its_processes_may_take() -> None:
    named = ("data.environment=agent", "environment.command=[python, my_agent.py, '{prompt}']")
    size = ("algo.prompts_per_step=32", "algo.group_size=16", "eval.slots=8")
    plan = plan_run(seven(*named, "environment.num_actors=4", *size))
    (line,) = [each for each in report(plan).splitlines() if "an agent in each trajectory" in each]
    assert "python my_agent.py '{prompt}'; up to 130 at a time on each of 4 environment workers" in line
    assert line.endswith("with 4.0 GiB and 256 processes at most each: 520.0 GiB")
    few = plan_run(seven(*named, "environment.agents.at_once=8", "environment.agents.memory_mib=512"))
    assert "up to 8 at a time on each of 1 environment workers" in report(few) and "each: 4.0 GiB" in report(few)
    assert as_json(few)["agents"] == {"agent": ["python", "my_agent.py", "{prompt}"]}
    mini = "+environment.worlds.mini={path: agent, options: {command: [mini, -y]}}"
    assert "an agent in each trajectory: mini -y; " in report(plan_run(seven(mini)))
    assert "an agent in each trajectory" not in report(plan_run(seven("data.environment=calculator")))
    taught = ("recipe=sft", "supervised.train=t", "data.train=null")
    assert "an agent in each trajectory" not in report(plan_run(seven(*named, *taught)))
