"""Teachers beside a learner: what they say of sampled tokens is what transformers computes, whatever their size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from r1ray.algo.logprobs import MAX_LOGITS_PER_CHUNK
from r1ray.config import LearnerConfig
from r1ray.learner.teachers import Teachers
from r1ray.rollout.engine import one_segment
from r1ray.types import SampleRef, Segment, Trajectory, VersionSpan
from tests.learner.lending import by_id

TEMPERATURE = 0.8
DOMAINS = ("math", "code", "prose")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Models of unlike sizes with the quickstart's words."""
    from r1ray.examples.pretrain import make_model
    from r1ray.examples.running_total.tokenizer import make_tokenizer

    tokenizer, found = make_tokenizer(), {}
    for name, heads in (("small", 1), ("large", 2)):
        folder = tmp_path_factory.mktemp(name)
        make_model(tokenizer, seed=heads, num_heads=heads).save_pretrained(folder)
        found[name] = str(folder)
    return found


def load(folder: str, dtype: torch.dtype = torch.float32) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


def teachers_of(models: dict[str, str], *, packs_trees: bool = False, max_tokens: int = 64) -> Teachers:
    config = LearnerConfig(zero_stage=0, dtype="float32", max_tokens_per_microbatch=max_tokens)
    options = {"world_size": 1, "temperature": TEMPERATURE, "device": CPU, "packs_trees": packs_trees}
    return Teachers(models, load, config, **options)


def completions(number: int = 9) -> list[Trajectory]:
    """Completions of unlike lengths, of three to a group, whose domains alternate."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(3, 262, 5).astype(np.int32) for _ in range(3)]
    found = []
    for index in range(number):
        length = int(rng.integers(1, 9))
        made = one_segment(
            group_id=f"0/{index // 3}",
            index=index % 3,
            prompt_token_ids=prompts[index // 3],
            token_ids=rng.integers(3, 262, length).astype(np.int32),
            logprobs=np.zeros(length, dtype=np.float32),
            versions=(VersionSpan(0, 0, length),),
        )
        found.append(replace(made, domain=DOMAINS[index % 3]))
    return found


def samples_of(trajectories: Sequence[Trajectory]) -> list[SampleRef]:
    return [SampleRef(each.id, 0.0, each.num_row_tokens) for each in trajectories]


def plain(folder: str, trajectory: Trajectory) -> torch.Tensor:
    """log p of the sampled tokens, by transformers' own forward pass over that trajectory alone, in float64."""
    ids = np.concatenate([trajectory.prompt_token_ids, *(each.token_ids for each in trajectory.segments)])
    chosen = [False] * len(trajectory.prompt_token_ids)
    for segment in trajectory.segments:
        chosen += [segment.kind == "policy"] * len(segment.token_ids)
    row = torch.from_numpy(ids.astype(np.int64))
    with torch.no_grad():
        table = torch.log_softmax(load(folder, torch.float64)(input_ids=row[None]).logits[0] / TEMPERATURE, dim=-1)
    return table[:-1].gather(1, row[1:, None])[:, 0][torch.tensor(chosen[1:])]


def expected(trajectories: Sequence[Trajectory], folder_of: Callable[[str], str | None]) -> torch.Tensor:
    parts = []
    for each in trajectories:
        folder = folder_of(each.domain)
        parts.append(torch.zeros(each.num_policy_tokens).double() if folder is None else plain(folder, each))
    return torch.cat(parts)


@pytest.mark.parametrize("packs_trees", [False, True])
@pytest.mark.parametrize("max_tokens", [20, 500])
def test_a_teacher_of_another_size_says_what_transformers_computes(
    folders: dict[str, str], packs_trees: bool, max_tokens: int
) -> None:
    """Also in parts, where a micro-batch is longer than a teacher may read at a time."""
    trajectories = completions()
    teachers = teachers_of({"": folders["small"]}, packs_trees=packs_trees, max_tokens=max_tokens)
    taught = teachers.logprobs(samples_of(trajectories), by_id(trajectories))
    assert torch.allclose(taught.logp_N.double(), expected(trajectories, lambda _: folders["small"]), atol=1e-5)
    assert set(taught.number_N.tolist()) == {0}


@pytest.mark.parametrize("others", [False, True])
def test_each_domain_is_read_by_its_own_teacher(folders: dict[str, str], others: bool) -> None:
    trajectories = completions()
    models = {"math": folders["large"], "code": folders["small"]} | ({"": folders["large"]} if others else {})
    teachers = teachers_of(models)
    assert len(teachers.modules) == 2, "one model that teaches several domains is loaded once"
    taught = teachers.logprobs(samples_of(trajectories), by_id(trajectories))
    found = expected(trajectories, lambda domain: models.get(domain, models.get("")))
    assert torch.allclose(taught.logp_N.double(), found, atol=1e-5)
    logp_N = torch.full_like(taught.logp_N, -1.0)
    beside = taught.beside(logp_N)
    is_prose = torch.cat([torch.full((each.num_policy_tokens,), each.domain == "prose") for each in trajectories])
    assert torch.equal(beside[is_prose] == -1.0, torch.full((int(is_prose.sum()),), not others))
    sums = teachers.kl_sums(taught, logp_N)
    by_domain = {name: sum(each.num_policy_tokens for each in trajectories if each.domain == name) for name in DOMAINS}
    tokens = {name: sums[f"tokens of teacher/kl/{name}"] for name in ("math", "code")}
    assert tokens == {name: by_domain[name] for name in tokens}
    assert sums["tokens of teacher/kl"] == sum(by_domain.values()) - (0 if others else by_domain["prose"])
    metrics = teachers.metrics(sums)
    assert set(metrics) == {"teacher/kl", "teacher/kl/math", "teacher/kl/code"}
    is_math = torch.cat([torch.full((each.num_policy_tokens,), each.domain == "math") for each in trajectories])
    assert metrics["teacher/kl/math"] == pytest.approx(float((-1.0 - found[is_math]).mean()), rel=1e-4)


def test_tools_and_user_turns_are_read_and_not_taught(folders: dict[str, str]) -> None:
    def segment(kind: str, *tokens: int) -> Segment:
        ids, size = np.array(tokens, dtype=np.int32), len(tokens) if kind == "policy" else 0
        versions = (VersionSpan(0, 0, len(tokens)),) if size else ()
        return Segment(kind=kind, token_ids=ids, logprobs=np.zeros(size, np.float32), versions=versions)  # type: ignore[arg-type]

    turns = (segment("policy", 5, 6), segment("context", 7, 8, 9), segment("policy", 10))
    prompt = np.array([3, 4], dtype=np.int32)
    one = Trajectory(group_id="0/0", index=0, prompt_token_ids=prompt, segments=turns, status="finished")
    taught = teachers_of({"": folders["small"]}).logprobs(samples_of([one]), by_id([one]))
    assert torch.allclose(taught.logp_N.double(), plain(folders["small"], one), atol=1e-5)
    assert len(taught.logp_N) == 3


def test_without_samples_there_is_one_token_that_nobody_teaches(folders: dict[str, str]) -> None:
    """As in the rows of a rank without work, which takes part in a backward pass."""
    taught = teachers_of({"": folders["small"]}).logprobs([], {})
    assert taught.number_N.tolist() == [-1] and taught.beside(torch.tensor([-3.0])).tolist() == [-3.0]


def test_without_teachers_nothing_is_loaded_and_nothing_measured() -> None:
    teachers = teachers_of({})
    assert not teachers.modules and not teachers.sums and teachers.metrics({}) == {}


def test_a_teacher_of_a_large_vocabulary_is_read_in_bfloat16_a_part_of_its_logits_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 150,000 tokens, as Qwen's: what is chosen may lie in any part, and no more logits exist than are allowed."""
    import torch.nn.functional as functional
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 16}
    Qwen3ForCausalLM(
        Qwen3Config(vocab_size=151_936, num_attention_heads=1, num_key_value_heads=1, **sizes)
    ).bfloat16().save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 151_936, 260).astype(np.int32)
    one = one_segment(
        group_id="0/0",
        index=0,
        prompt_token_ids=ids[:10],
        token_ids=ids[10:],
        logprobs=np.zeros(250, dtype=np.float32),
        versions=(VersionSpan(0, 0, 250),),
    )
    config = LearnerConfig(zero_stage=0, dtype="bfloat16", max_tokens_per_microbatch=512)
    teachers = Teachers(
        {"": str(tmp_path)},
        lambda folder: load(folder, torch.bfloat16),
        config,
        world_size=1,
        temperature=TEMPERATURE,
        device=CPU,
    )
    sizes_of_logits: list[int] = []
    linear = functional.linear

    def noted(*arguments: Any) -> torch.Tensor:
        made = linear(*arguments)
        sizes_of_logits.append(made.numel())
        return made

    monkeypatch.setattr(functional, "linear", noted)
    taught = teachers.logprobs(samples_of([one]), by_id([one]))
    monkeypatch.undo()
    assert 2**23 < max(sizes_of_logits) <= MAX_LOGITS_PER_CHUNK < 250 * 151_936
    assert taught.logp_N.dtype == torch.float32
    assert torch.allclose(taught.logp_N.double(), plain(str(tmp_path), one), atol=0.03)
