"""The DeepSpeed learner against plain PyTorch: two ranks, four micro-batches, every ZeRO stage."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from r1ray.algo.batching import plan_shards
from r1ray.config import LoraConfig, TeacherConfig
from r1ray.rollout.engine import one_segment
from r1ray.telemetry.learned import Learned
from r1ray.types import Minibatch, SampleRef, Shard, Trajectory, VersionSpan
from tests.real.ranks import run_ranks

pytestmark = pytest.mark.real
STAGES = {f"zero{stage}": {"zero_stage": stage} for stage in range(4)}
OTHER_WAYS = {
    "offloaded_optimizer": {"zero_stage": 2, "offload_optimizer": True},
    "offloaded_parameters": {"zero_stage": 3, "offload_optimizer": True, "offload_parameters": True},
    "checkpointed_activations": {"zero_stage": 2, "gradient_checkpointing": True},
    "sequence_parallel": {"zero_stage": 2, "sequence_parallel_size": 2},
    "sequence_parallel_zero3": {"zero_stage": 3, "sequence_parallel_size": 2},
}
BFLOAT16 = {f"bfloat16_zero{stage}": {"zero_stage": stage, "dtype": "bfloat16"} for stage in range(4)}
ADAPTERS = {f"adapters_zero{stage}": {"zero_stage": stage, "lora": LoraConfig(rank=4)} for stage in (0, 2, 3)}
TAUGHT = STAGES | {"offloaded_parameters": OTHER_WAYS["offloaded_parameters"]}
TAUGHT_IN_BFLOAT16 = ("bfloat16_zero1", "bfloat16_zero3")
TEACHERS = {"math": 1, "code": 2}
"""Domains, and the number of heads of each one's teacher; the student has three."""
PROBE = np.array([4, 8, 15, 16, 23, 42], dtype=np.int32)
SCALE = 1000.0
"""With epsilon 1e6, lr 1e9 and beta_1 0, AdamW moves parameters by -1000 times the gradient (to 1e-7)."""
ALGO = {
    "clip_low": 0.2,
    "clip_high": 0.2,
    "kl_coefficient": 0.1,
    "aggregation": "seq_mean",
    "group_size": 8,
    "prompts_per_step": 2,
    "minibatches_per_step": 1,
    "temperature": 0.8,
}
LEARNER = {
    "dtype": "float32",
    "lr": 1e9,
    "epsilon": 1e6,
    "betas": [0.0, 0.9],
    "grad_clip": 1e9,
    "num_ranks": 2,
    "max_tokens_per_microbatch": 32,
}


def completions(seed: int, number: int = 16) -> list[Trajectory]:
    """Random completions of unlike lengths, with log pi_old near, but not at, the policy's."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(number):
        prompt, length = int(rng.integers(2, 6)), int(rng.integers(1, 14))
        made.append(
            one_segment(
                group_id=f"0/{index // 8}",
                index=index % 8,
                prompt_token_ids=rng.integers(3, 262, prompt).astype(np.int32),
                token_ids=rng.integers(3, 262, length).astype(np.int32),
                logprobs=(-np.log(288) / 0.8 + rng.normal(0, 0.3, length) + 1.4).astype(np.float32),
                text="",
                versions=(VersionSpan(0, 0, length),),
            )
        )
    return made


Step = tuple[Any, list[Trajectory], list[float]]
"""Shards of the ranks, completions, and the completions' advantages."""
Job = tuple[Path, dict[str, Any]]
"""Where its files are, and what was to be done."""


def job_step(seed: int, *, advantage: float, num_shards: int = 2, num_minibatches: int = 1) -> Step:
    rows = completions(seed)
    advantages = [advantage * float(a) for a in np.random.default_rng(seed + 1).normal(size=len(rows))]
    samples = [SampleRef(row.id, advantages[i], row.num_row_tokens) for i, row in enumerate(rows)]
    shards = plan_shards(
        [samples[i : i + 8] for i in range(0, len(rows), 8)],
        [[row.num_policy_tokens for row in rows[i : i + 8]] for i in range(0, len(rows), 8)],
        num_minibatches=num_minibatches,
        num_ranks=num_shards,
        max_tokens_per_microbatch=LEARNER["max_tokens_per_microbatch"],  # type: ignore[arg-type]
        learner_version=0,
        seed=0,
    )
    assert sum(len(minibatch.microbatches) for minibatch in shards[0].minibatches) >= 3
    return shards, rows, advantages


def split_step(num_microbatches: int) -> Step:
    """256 completions on two ranks, in so many micro-batches on each."""
    rows = completions(3, 256)
    advantages = [1.0 + float(a) for a in np.random.default_rng(4).normal(size=len(rows))]
    samples = [SampleRef(row.id, advantages[i], row.num_row_tokens) for i, row in enumerate(rows)]
    shards = []
    for rank in range(2):
        microbatches = tuple(tuple(samples[rank::2][start::num_microbatches]) for start in range(num_microbatches))
        minibatch = Minibatch(
            microbatches=microbatches, num_sequences=len(rows), num_tokens=sum(row.num_policy_tokens for row in rows)
        )
        shards.append(Shard((minibatch,), learner_version=0))
    return shards, rows, advantages


def taught_step(seed: int, *, advantage: float, num_shards: int = 2) -> Step:
    """One whose completions are of domains with teachers of their own, and of one without."""
    shards, rows, advantages = job_step(seed, advantage=advantage, num_shards=num_shards)
    domains = [*TEACHERS, "prose"]
    return shards, [replace(row, domain=domains[index % 3]) for index, row in enumerate(rows)], advantages


Terms = list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def plain_logprobs(model: Any, reference: Any, rows: list[Trajectory]) -> Terms:
    """log pi_theta, pi_old and pi_ref of each sequence: one by one, full logits, no batching, float64."""
    terms = []
    for row in rows:
        ids = torch.tensor(np.concatenate([row.prompt_token_ids, row.segments[0].token_ids]).astype(np.int64))[None]
        start = len(row.prompt_token_ids)

        def logp(network: Any, ids: torch.Tensor = ids, start: int = start) -> torch.Tensor:
            table = torch.log_softmax(network(input_ids=ids).logits[0] / ALGO["temperature"], dim=-1)
            return table[start - 1 : -1].gather(1, ids[0, start:, None])[:, 0]

        with torch.no_grad():
            ref = logp(reference)
        terms.append((logp(model), torch.tensor(row.segments[0].logprobs, dtype=torch.float64), ref))
    return terms


def plain_loss(terms: Terms, advantages: list[float]) -> torch.Tensor:
    """-J as DESIGN writes it."""
    total = torch.zeros((), dtype=torch.float64)
    for (ours, old, ref), advantage in zip(terms, advantages, strict=True):
        ratio = torch.exp(ours - old)
        surrogate = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        k3 = torch.exp(ref - ours) - (ref - ours) - 1
        total = total - (surrogate - ALGO["kl_coefficient"] * k3).mean() / len(terms)
    return total


def plain_distillation(
    terms: Terms, advantages: list[float], rows: list[Trajectory], taught: dict[str, Terms]
) -> tuple[torch.Tensor, dict[str, float]]:
    """Reverse KL beside rewards, token by token, and the mean of each domain's log pi_theta - log pi_teacher."""
    total, kl = torch.zeros((), dtype=torch.float64), {name: torch.zeros(0) for name in taught}
    for index, ((ours, old, _), advantage, row) in enumerate(zip(terms, advantages, rows, strict=True)):
        worth = torch.full_like(old, advantage)
        if row.domain in taught:
            teacher = taught[row.domain][index][2]
            worth = worth + 0.5 * (teacher - ours.detach())
            kl[row.domain] = torch.cat([kl[row.domain], (ours.detach() - teacher)])
        ratio = torch.exp(ours - old)
        total = total - torch.minimum(ratio * worth, ratio.clamp(0.8, 1.2) * worth).mean() / len(terms)
    means = {f"teacher/kl/{name}": float(values.mean()) for name, values in kl.items()}
    return total, means | {"teacher/kl": float(torch.cat([*kl.values()]).mean())}


def plain_gspo(terms: Terms, advantages: list[float]) -> torch.Tensor:
    """GSPO's ratio of whole sequences, without a KL."""
    total = torch.zeros((), dtype=torch.float64)
    for (ours, old, _), advantage in zip(terms, advantages, strict=True):
        ratio = torch.exp((ours - old).mean())
        total = total - torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage) / len(terms)
    return total


def plain_rloo(terms: Terms, advantages: list[float]) -> torch.Tensor:
    """RLOO with KL in the reward: of each group's eight, against the mean of the other seven."""
    kl = [(old - ref).sum() for _, old, ref in terms]
    total = torch.zeros((), dtype=torch.float64)
    for i, ((ours, _, _), advantage) in enumerate(zip(terms, advantages, strict=True)):
        group = kl[i // 8 * 8 : i // 8 * 8 + 8]
        charge = kl[i] - (sum(group) - kl[i]) / 7
        total = total - (advantage - ALGO["kl_coefficient"] * charge) * ours.sum() / len(terms)
    return total


PRESETS: dict[str, tuple[Callable[[Terms, list[float]], torch.Tensor], dict[str, Any]]] = {
    "gspo": (plain_gspo, {"ratio": "sequence", "kl_coefficient": 0.0}),
    "rloo": (
        plain_rloo,
        {
            "surrogate": "reinforce",
            "kl_estimator": "k1",
            "kl_placement": "reward",
            "aggregation": "seq_sum",
            "advantage_baseline": "leave_one_out",
            "advantage_std": "none",
        },
    ),
}


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)


def make_job(model: Path, variants: dict[str, Any], *steps: Step, **changes: Any) -> dict[str, Any]:
    """Without ``steps``: the first moves the policy a little away from the reference, the second one is compared."""
    num_shards = 1 if any("sequence_parallel_size" in settings for settings in variants.values()) else 2
    both = [job_step(seed, advantage=size, num_shards=num_shards) for seed, size in ((0, 1e-5), (7, 1.0))]
    return {
        "model": str(model),
        "variants": variants,
        "resume": (),
        "spoilt": False,
        "moved": False,
        "learner": LEARNER,
        "algo": ALGO,
        "probe": PROBE,
        "steps": steps or both,
    } | changes


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of other sizes than the student, with its words."""
    from r1ray.examples.pretrain import make_model
    from r1ray.examples.running_total.tokenizer import make_tokenizer

    made = {}
    for name, heads in TEACHERS.items():
        made[name] = tmp_path_factory.mktemp(name)
        model = make_model(make_tokenizer(), seed=heads, num_heads=heads)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(5.0 if parameter.ndim > 1 else 1.0)  # untrained, all tokens would be as likely
        model.save_pretrained(made[name])
    return made


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path) -> Path:
    """A Llama of twice the width of ``llama_folder``, with as many heads as two ranks can share out."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config, folder = LlamaConfig.from_pretrained(llama_folder), tmp_path_factory.mktemp("wide")
    config.update({"hidden_size": 128, "num_key_value_heads": 4})
    torch.manual_seed(3)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def jobs(
    tmp_path_factory: pytest.TempPathFactory,
    qwen_folder: Path,
    llama_folder: Path,
    teachers: dict[str, Path],
    wide: Path,
) -> dict[str, Job]:
    """All that two ranks did, one after the other in the same two processes: their start is longer than most of it."""
    out = tmp_path_factory.mktemp("learner")
    usual = LEARNER | {"epsilon": 1e-8, "betas": [0.9, 0.95], "grad_clip": 1.0}
    step = job_step(7, advantage=1.0)
    teacher = TeacherConfig(domains={name: str(path) for name, path in teachers.items()}, coefficient=0.5)
    teacher_of_all = TeacherConfig(str(teachers["code"]))
    taught = ALGO | {"kl_coefficient": 0.0, "teacher": replace(teacher, beside_rewards=True)}
    alone = {name: settings for name, settings in OTHER_WAYS.items() if "sequence_parallel_size" not in settings}
    together = {name: settings for name, settings in OTHER_WAYS.items() if name not in alone}
    made = {
        "stages": make_job(qwen_folder, STAGES, resume=("zero1", "zero3")),
        "other ways": make_job(llama_folder, alone),
        "sequence parallel": make_job(llama_folder, together),
        "bfloat16": make_job(llama_folder, BFLOAT16, *[step] * 20, learner=usual | {"lr": 1e-5}),
        "adapters": make_job(llama_folder, ADAPTERS, *[step] * 4, learner=usual | {"lr": 1e-2}),
        "recomputed": make_job(
            qwen_folder,
            {"zero1": STAGES["zero1"]},
            job_step(7, advantage=1e-5, num_minibatches=2),
            algo=ALGO | {"minibatches_per_step": 2, "old_logprobs": "learner"},
        ),
        "two updates": make_job(
            qwen_folder,
            {"zero1": STAGES["zero1"]},
            job_step(7, advantage=1.0, num_minibatches=2),
            algo=ALGO | {"minibatches_per_step": 2},
        ),
        **{
            f"{number} micro-batches": make_job(llama_folder, BFLOAT16, split_step(number), moved=True)
            for number in (1, 128)
        },
        "taught": make_job(
            qwen_folder,
            TAUGHT,
            taught_step(7, advantage=1.0),
            algo=taught,
        ),
        "taught, sequence parallel": make_job(
            llama_folder,
            together,
            taught_step(7, advantage=1.0, num_shards=1),
            algo=taught | {"teacher": replace(teacher, model=str(wide), domains={}, beside_rewards=True)},
        ),
        "taught in bfloat16": make_job(
            qwen_folder,
            {name: BFLOAT16[name] for name in TAUGHT_IN_BFLOAT16},
            *[taught_step(7, advantage=0.0)] * 10,
            algo=ALGO | {"kl_coefficient": 0.0, "clip_low": 10.0, "clip_high": 10.0, "teacher": teacher_of_all},
            learner=usual | {"lr": 3e-3},
        ),
        "infinite gradient": make_job(qwen_folder, STAGES | BFLOAT16, step, step, learner=usual, spoilt=True),
        "not finite": make_job(qwen_folder, {"zero2": STAGES["zero2"]}, not_finite(step)),
        **{
            name: make_job(qwen_folder, {"zero1": STAGES["zero1"]}, step, algo=ALGO | changes)
            for name, (_, changes) in PRESETS.items()
        },
    }
    found = {name: (out / name.replace(" ", "-"), job) for name, job in made.items()}
    path = out / "jobs.pickle"
    path.write_bytes(pickle.dumps(list(found.values())))
    logs = [out / f"rank{rank}.log" for rank in range(2)]
    ended = run_ranks(
        "tests.real.learner_rank", logs, lambda rank, port: [str(rank), "2", str(port), str(path)], timeout_s=400
    )
    assert ended == [0, 0], "\n".join(log.read_text()[-3000:] for log in logs)
    return found


def not_finite(step: Step) -> Step:
    """One with a bad completion on one rank."""
    shards, rows, advantages = step
    first = shards[0].minibatches[0]
    bad = replace(first.microbatches[0][0], advantage=float("nan"))
    microbatches = ((bad, *first.microbatches[0][1:]), *first.microbatches[1:])
    broken = replace(shards[0], minibatches=(replace(first, microbatches=microbatches),))
    return (broken, shards[1]), rows, advantages


def compare_gradients(loss: torch.Tensor, model: Any, after: Any) -> torch.Tensor:
    """The gradient of the plain loss, once it is found to be how far the learner moved the parameters."""
    loss.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    moved = zip(model.parameters(), after.parameters(), strict=True)
    found = torch.cat([(before - later).detach().flatten() / SCALE for before, later in moved])
    assert expected.norm() > 1e-3
    assert ((found - expected).norm() / expected.norm()).item() < 1e-5
    return expected


def metrics(out: Path, name: str) -> list[Any]:
    """Of each step its StepStats, or what is known of why it failed; see learner_rank.py."""
    stats, _ = pickle.loads((out / f"{name}.pickle").read_bytes())
    return list(stats)


def check_second_step(done: Job, name: str) -> None:
    """Its gradient and metrics, against plain torch."""
    out, job = done
    model, after, reference = load(out / f"{name}-step1"), load(out / f"{name}-step2"), load(Path(job["model"]))
    _, rows, advantages = job["steps"][1]
    loss = plain_loss(plain_logprobs(model, reference, rows), advantages)
    expected = compare_gradients(loss, model, after)

    stats = metrics(out, name)[1]
    assert stats.metrics["loss/total"] == pytest.approx(loss.item(), rel=1e-5)
    assert stats.metrics["grad_norm"] == pytest.approx(expected.norm().item(), rel=1e-4)
    assert stats.metrics["kl/ref"] > 0, "the second step is not at the reference"
    assert 0 < stats.metrics["clip_fraction"] < 1
    assert stats.trained_tokens == sum(row.num_row_tokens for row in rows)


@pytest.mark.parametrize("name", STAGES)
def test_the_gradient_of_two_ranks_is_that_of_plain_torch(jobs: dict[str, Job], name: str) -> None:
    check_second_step(jobs["stages"], name)
    assert metrics(jobs["stages"][0], name)[1].padding_tokens == 0


@pytest.mark.parametrize("name", ["zero1", "zero3"])
def test_a_step_done_again_from_a_checkpoint_is_the_same_step(jobs: dict[str, Job], name: str) -> None:
    _, after, again = metrics(jobs["stages"][0], name)
    assert after.metrics == again.metrics


@pytest.mark.parametrize("name", OTHER_WAYS)
def test_offloading_checkpointing_and_sequence_parallelism_leave_the_gradient_as_it_is(
    jobs: dict[str, Job], name: str
) -> None:
    """Sequence parallelism splits each row over both ranks; the others divide the rows."""
    check_second_step(jobs["sequence parallel" if name.startswith("sequence") else "other ways"], name)


def test_bfloat16_keeps_master_weights_that_updates_too_small_for_it_add_up_in(
    jobs: dict[str, Job], llama_folder: Path
) -> None:
    """Updates of 1e-5 on weights of about 0.02, whose neighbours in bfloat16 are 1e-4 apart: none moves a weight that
    is rounded after each, but twenty of them do."""
    out, job = jobs["bfloat16"]
    _, rows, advantages = job["steps"][0]
    start = load(llama_folder).to(torch.bfloat16)
    terms = plain_logprobs(load(llama_folder), load(llama_folder), rows)
    expected = plain_loss(terms, advantages)
    for name in BFLOAT16:
        losses = [stats.metrics["loss/total"] for stats in metrics(out, name)]
        assert losses[0] == pytest.approx(expected.item(), abs=5e-3)
        assert losses[-1] < losses[0] - 5e-3
        weights = zip(start.parameters(), load(out / f"{name}-step20").parameters(), strict=True)
        moved = [(after.to(torch.bfloat16) != before).float().mean() for before, after in weights if before.ndim > 1]
        assert min(moved) > 0.2


@pytest.mark.parametrize("name", BFLOAT16)
def test_in_bfloat16_many_micro_batches_have_the_gradient_of_one(jobs: dict[str, Job], name: str) -> None:
    """Sums in bfloat16 would be off by 2 %. What is left is the rounding of single gradients."""
    (one, moved), (many, moved_by_many) = (metrics(jobs[f"{n} micro-batches"][0], name) for n in (1, 128))
    assert many.metrics["grad_norm"] == pytest.approx(one.metrics["grad_norm"], rel=1e-3)
    assert (moved_by_many - moved).norm() < 6e-3 * moved.norm()


@pytest.fixture(scope="module")
def adapted(jobs: dict[str, Job]) -> Path:
    return jobs["adapters"][0]


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_learn_and_the_model_under_them_stays_the_reference(
    adapted: Path, llama_folder: Path, name: str
) -> None:
    stats = metrics(adapted, name)
    assert stats[0].metrics["kl/ref"] == 0.0
    assert stats[3].metrics["kl/ref"] > 1e-4
    assert stats[3].metrics["loss/total"] < stats[0].metrics["loss/total"] - 0.01
    before, after = load(llama_folder), load(adapted / f"{name}-step4")
    for (parameter, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        is_linear = "_proj" in parameter
        assert torch.equal(old, new) != is_linear, parameter


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_is_exported_computes_what_the_learner_with_its_adapters_does(adapted: Path, name: str) -> None:
    _, probe = pickle.loads((adapted / f"{name}.pickle").read_bytes())
    ids = torch.from_numpy(PROBE.astype(np.int64))[None]
    with torch.no_grad():
        table = torch.log_softmax(load(adapted / f"{name}-step4")(input_ids=ids).logits[0], dim=-1)
    assert torch.allclose(table[:-1].gather(1, ids[0, 1:, None])[:, 0].float(), torch.tensor(probe), atol=1e-4)


def test_adapters_learn_alike_whatever_the_stage(adapted: Path) -> None:
    first, *others = ([stats.metrics["loss/total"] for stats in metrics(adapted, name)] for name in ADAPTERS)
    assert all(other == pytest.approx(first, rel=1e-4) for other in others)


@pytest.mark.faults
def test_a_loss_that_is_not_finite_stops_every_rank_before_the_update_and_names_its_groups(
    jobs: dict[str, Job], qwen_folder: Path
) -> None:
    """The bad completion is on one rank only."""
    out, job = jobs["not finite"]
    shards, _, _ = job["steps"][0]
    names = {sample.id.split("#")[0] for sample in shards[0].minibatches[0].microbatches[0]}
    assert metrics(out, "zero2") == [tuple(sorted(names))]
    before, after = load(qwen_folder), load(out / "zero2-step1")
    assert all(torch.equal(old, new) for old, new in zip(before.parameters(), after.parameters(), strict=True))


@pytest.mark.faults
@pytest.mark.parametrize("name", [*STAGES, *BFLOAT16])
def test_an_infinite_gradient_of_one_rank_stops_all_before_the_update(jobs: dict[str, Job], name: str) -> None:
    """Parameters, master weights and moments are those of before, bit for bit."""
    message, is_unchanged = metrics(jobs["infinite gradient"][0], name)[1]
    assert "norm is inf" in message or "norm is nan" in message
    assert is_unchanged


@pytest.mark.parametrize("name", PRESETS)
def test_other_objectives_have_the_gradient_of_plain_torch_too(
    jobs: dict[str, Job], qwen_folder: Path, name: str
) -> None:
    """Those whose groups or sequences matter beyond a token: the KL of a group lies on both ranks."""
    (plain, _), (out, job) = PRESETS[name], jobs[name]
    _, rows, advantages = job["steps"][0]
    model = load(qwen_folder)
    loss = plain(plain_logprobs(model, load(qwen_folder), rows), advantages)
    compare_gradients(loss, model, load(out / "zero1-step1"))
    stats = metrics(out, "zero1")[0]
    assert stats.metrics["loss/total"] == pytest.approx(loss.item(), rel=1e-5)
    assert ("kl/ref" in stats.metrics) == (name == "rloo")


@pytest.mark.parametrize("name", TAUGHT)
def test_with_teachers_of_other_sizes_the_gradient_is_that_of_plain_torch(
    jobs: dict[str, Job], qwen_folder: Path, teachers: dict[str, Path], name: str
) -> None:
    """Two domains have a teacher each, the third has none; the micro-batches of a rank mix them."""
    out, job = jobs["taught"]
    model, after = load(qwen_folder), load(out / f"{name}-step1")
    ((_, rows, advantages),) = job["steps"]
    with_teacher = {domain: plain_logprobs(model, load(path), rows) for domain, path in teachers.items()}
    loss, kl = plain_distillation(plain_logprobs(model, model, rows), advantages, rows, with_teacher)
    compare_gradients(loss, model, after)
    (stats,) = metrics(out, name)
    assert stats.metrics["loss/total"] == pytest.approx(loss.item(), rel=1e-5)
    assert {key: stats.metrics[key] for key in kl} == pytest.approx(kl, rel=1e-4)
    assert "kl/ref" not in stats.metrics


@pytest.mark.parametrize("name", ["sequence_parallel", "sequence_parallel_zero3"])
def test_a_teacher_shares_out_its_rows_as_the_student_does(
    jobs: dict[str, Job], llama_folder: Path, wide: Path, name: str
) -> None:
    out, job = jobs["taught, sequence parallel"]
    model, after = load(llama_folder), load(out / f"{name}-step1")
    ((_, rows, advantages),) = job["steps"]
    of_teacher = plain_logprobs(model, load(wide), rows)
    with_teacher = {row.domain: of_teacher for row in rows}
    loss, kl = plain_distillation(plain_logprobs(model, model, rows), advantages, rows, with_teacher)
    compare_gradients(loss, model, after)
    (stats,) = metrics(out, name)
    assert stats.metrics["teacher/kl"] == pytest.approx(kl["teacher/kl"], rel=1e-4)


@pytest.mark.parametrize("name", TAUGHT_IN_BFLOAT16)
def test_in_bfloat16_a_student_comes_nearer_to_its_teacher(jobs: dict[str, Job], name: str) -> None:
    """The rows are the same ten times, so that the student comes to find them as likely as the teacher does."""
    kl = [stats.metrics["teacher/kl"] for stats in metrics(jobs["taught in bfloat16"][0], name)]
    assert abs(kl[-1]) < 0.5 * abs(kl[0])


def test_where_the_learner_recomputes_pi_old_the_engines_rounding_clips_nothing(jobs: dict[str, Job]) -> None:
    """The engine's log-probabilities are off by 0.3, the clip is 0.2; the first update hardly moves the policy."""
    (stats,) = metrics(jobs["recomputed"][0], "zero1")
    assert stats.metrics["clip_fraction"] == 0.0
    assert stats.metrics["mismatch/fresh_kl"] == pytest.approx(stats.metrics["mismatch/kl"]) and (
        0.01 < stats.metrics["mismatch/fresh_mean_logprob_diff"] < stats.metrics["mismatch/fresh_max_logprob_diff"]
    )


def learned(out: Path, name: str) -> dict[str, Learned]:
    """What both ranks tell the rollout log of the last step."""
    files = [out / f"{name}-learned{rank}.pickle" for rank in range(2)]
    found: list[dict[str, Learned]] = [pickle.loads(file.read_bytes()) for file in files]
    assert not found[0].keys() & found[1].keys(), "ranks that share rows tell of them once"
    return found[0] | found[1]


@pytest.mark.parametrize(
    ("job", "variant"),
    [("stages", "zero1"), ("stages", "zero3"), ("sequence parallel", "sequence_parallel"), ("recomputed", "zero1")],
)
def test_the_rollout_log_is_told_the_policys_own_log_probabilities_before_the_step(
    jobs: dict[str, Job], job: str, variant: str
) -> None:
    out, made = jobs[job]
    before = out / f"{variant}-step1" if len(made["steps"]) == 2 else Path(made["model"])
    _, rows, _ = made["steps"][-1]
    found = learned(out, variant)
    assert found.keys() == {row.id for row in rows}
    model = load(before)
    for row, (expected, _, _) in zip(rows, plain_logprobs(model, model, rows), strict=True):
        assert found[row.id].num_updates == 0 and found[row.id].logprobs.dtype == np.float32
        np.testing.assert_allclose(found[row.id].logprobs, expected.detach().numpy(), atol=1e-4)


def test_without_a_pass_before_the_step_the_second_minibatch_is_told_of_after_an_update(jobs: dict[str, Job]) -> None:
    out, made = jobs["two updates"]
    shards, rows, _ = made["steps"][0]
    found, model = learned(out, "zero1"), load(Path(made["model"]))
    first = {each.id for shard in shards for micro in shard.minibatches[0].microbatches for each in micro}
    assert {name for name, each in found.items() if each.num_updates == 0} == first
    assert {each.num_updates for each in found.values()} == {0, 1}
    apart = 0.0
    for row, (expected, _, _) in zip(rows, plain_logprobs(model, model, rows), strict=True):
        difference = np.abs(found[row.id].logprobs - expected.detach().numpy()).max()
        assert row.id not in first or difference < 1e-4
        apart = max(apart, float(difference))
    assert apart > 1e-3, "the update moved the policy"
