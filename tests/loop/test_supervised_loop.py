"""The supervised loop with a fake learner: what is trained on and when, evaluation, checkpoints, resume."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.batching import plan_shards
from r1ray.config import CheckpointConfig, DeadlineConfig, LearnerConfig, RunConfig, SupervisedConfig
from r1ray.data.sft_examples import PreferencePair, SFTExample
from r1ray.errors import LearnerLost, NonFiniteLoss, R1RayError
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.supervised_loop import HeldOut, SupervisedLoop, plan_step
from r1ray.types import Float32Array, Int32Array, SampleRef, ScoredGroup, Shard, StepStats


def example(name: str, *, length: int = 4, answer: int = 2) -> SFTExample:
    return SFTExample(name, np.arange(length, dtype=np.int32), np.arange(length) >= length - answer)


def make_pair(name: str, *, lengths: tuple[int, int] = (4, 6)) -> PreferencePair:
    return PreferencePair(example(name, length=lengths[0]), example(name, length=lengths[1]), 0.0)


EXAMPLES = [example(str(i), length=3 + i % 4, answer=1 + i % 2) for i in range(10)]


class FakeSupervisedLearner:
    """Remembers what it was trained and evaluated on. The loss of a row is its number."""

    def __init__(self) -> None:
        self.trained: list[list[str]] = []
        self.evaluated: list[list[str]] = []
        self.shards: list[Sequence[Shard]] = []
        self.loaded: Path | None = None
        self.crash: Exception | None = None
        self.hangs = False
        self.restarts = 0
        self.lost_in: dict[str, list[int]] = {}
        """Numbers of the calls in which it is lost, by name."""
        self.calls: Counter[str] = Counter()

    def _call(self, name: str) -> None:
        self.calls[name] += 1
        if self.calls[name] in self.lost_in.get(name, ()):
            raise LearnerLost("learner rank 0 died: planted", (0,))

    def _rows(self, shards: Sequence[Shard], rows: Mapping[str, Any]) -> list[Any]:
        samples = [s for shard in shards for mb in shard.minibatches for micro in mb.microbatches for s in micro]
        return [rows[name] for name in sorted((sample.id for sample in samples), key=int)]

    async def train(
        self, shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False
    ) -> StepStats:
        raise AssertionError("there are no groups")

    async def train_rows(self, shards: Sequence[Shard], rows: Mapping[str, Any]) -> StepStats:
        self._call("train")
        if self.crash is not None:
            raise self.crash
        if self.hangs:
            await asyncio.sleep(60)
        used = self._rows(shards, rows)
        self.shards.append(shards)
        self.trained.append([row.id for row in used])
        tokens = sum(row.num_tokens for row in used)
        return StepStats({"loss/total": 1.0, "lr": 0.1, "grad_norm": 2.0}, trained_tokens=tokens, padding_tokens=0)

    async def evaluate_rows(self, shards: Sequence[Shard], rows: Mapping[str, Any]) -> StepStats:
        self._call("evaluate")
        used = self._rows(shards, rows)
        self.evaluated.append([row.id for row in used])
        terms = sum(row.num_terms for row in used)
        loss = sum(float(row.id) * row.num_terms for row in used) / terms
        return StepStats({"loss": loss}, trained_tokens=0, padding_tokens=0)

    async def refresh_reference(self) -> None:
        raise AssertionError("there is none")

    async def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
        raise AssertionError("there are no engines")

    async def save(self, folder: Path, *, asynchronous: bool = False) -> None:
        self._call("save")
        (folder / "weights").write_text(json.dumps(self.trained))

    async def written(self) -> bool:
        return True

    async def load(self, folder: Path) -> None:
        self._call("load")
        if self.restarts:
            self.trained = json.loads((folder / "weights").read_text())
        self.loaded = folder

    async def restart(self) -> None:
        self.restarts += 1
        self.trained = []

    async def check(self) -> None:
        return

    def when_lost(self, callback: Callable[[LearnerLost], None]) -> None:
        return

    async def export(self, folder: Path, *, checkpoint: Path | None = None) -> None:
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text("w")


def make_config(
    *,
    epochs: int = 2,
    size: int = 4,
    eval_every: int = 0,
    eval_rows: int = 512,
    checkpoint_every: int = 0,
    learner: LearnerConfig | None = None,
    learn_s: float = 10.0,
) -> RunConfig:
    return RunConfig(
        recipe="sft",
        model="m",
        seed=3,
        learner=learner or LearnerConfig(max_tokens_per_microbatch=16),
        supervised=SupervisedConfig(
            train="t",
            epochs=epochs,
            sequences_per_step=size,
            max_tokens=16,
            eval_every=eval_every,
            eval_rows=eval_rows,
        ),
        checkpoint=CheckpointConfig(every=checkpoint_every),
        deadlines=DeadlineConfig(learn_s=learn_s),
    )


def train(
    tmp_path: Path,
    config: RunConfig,
    *,
    rows: Sequence[Any] = EXAMPLES,
    held_out: Sequence[Any] = (),
    state: Any = None,
    export: Any = None,
) -> tuple[FakeSupervisedLearner, list[dict[str, float]]]:
    learner, lines = FakeSupervisedLearner(), list[dict[str, float]]()
    loop = SupervisedLoop(
        config,
        learner,
        rows,
        checkpoints=Checkpoints(tmp_path / "checkpoints", keep=9),
        log=lines.append,
        held_out=HeldOut("mine", held_out) if held_out else None,
        export=export,
        state=state,
    )
    asyncio.run(loop.run())
    return learner, lines


def test_every_row_is_trained_on_once_an_epoch(tmp_path: Path) -> None:
    learner, lines = train(tmp_path, make_config())
    assert [len(batch) for batch in learner.trained] == [4, 4, 4, 4, 4]
    in_order = [name for batch in learner.trained for name in batch]
    assert sorted(in_order) == sorted([row.id for row in EXAMPLES] * 2)
    assert len(set(in_order[:10])) == 10 and in_order[:10] != in_order[10:]
    assert [line["epoch"] for line in lines] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])


def test_steps_that_are_due_are_exported_but_the_last_which_the_end_exports(tmp_path: Path) -> None:
    exported: list[int] = []

    async def export(step: int) -> None:
        assert not (tmp_path / "checkpoints" / str(step)).exists(), "before the checkpoint of the same step"
        exported.append(step)

    config = make_config(epochs=2)
    config.checkpoint.every = config.checkpoint.export_every = 1
    train(tmp_path, config, export=export)
    assert exported == [1, 2, 3, 4]


def test_the_last_step_has_what_is_left(tmp_path: Path) -> None:
    learner, lines = train(tmp_path, make_config(epochs=1))
    assert [len(batch) for batch in learner.trained] == [4, 4, 2]
    assert lines[-1]["step"] == 3.0


def test_a_line_a_step_has_the_names_of_the_metrics_file(tmp_path: Path) -> None:
    _, lines = train(tmp_path, make_config())
    assert [line["step"] for line in lines] == [1.0, 2.0, 3.0, 4.0, 5.0]
    names = {"step", "epoch", "loss/total", "lr", "grad_norm", "throughput/trained_tokens_per_s", "time/step_s"}
    assert names <= lines[0].keys() and all(math.isfinite(value) for value in lines[0].values())


def test_denominators_are_those_of_the_whole_step(tmp_path: Path) -> None:
    learner, _ = train(tmp_path, make_config(learner=LearnerConfig(num_ranks=2, max_tokens_per_microbatch=16)))
    for shards, names in zip(learner.shards, learner.trained, strict=True):
        assert len(shards) == 2 and [shard.learner_version for shard in shards] == [learner.shards.index(shards)] * 2
        for shard in shards:
            (minibatch,) = shard.minibatches
            assert minibatch.num_sequences == len(names)
            assert minibatch.num_tokens == sum(EXAMPLES[int(name)].num_terms for name in names)


@given(st.lists(st.tuples(st.integers(2, 20), st.integers(2, 20)), min_size=1, max_size=12), st.integers(1, 3))
def test_the_answers_of_a_pair_share_a_microbatch(lengths: list[tuple[int, int]], num_ranks: int) -> None:
    rows = [make_pair(str(i), lengths=both) for i, both in enumerate(lengths)]
    shards = plan_step(rows, num_ranks=num_ranks, max_tokens_per_microbatch=40, step=0, seed=1)
    micros = [micro for shard in shards for mb in shard.minibatches for micro in mb.microbatches]
    assert sorted(int(sample.id) for micro in micros for sample in micro) == list(range(len(rows)))
    for micro in micros:  # a sample is a whole pair, and fits as such
        assert sum(rows[int(sample.id)].num_tokens for sample in micro) <= 40
    assert {mb.num_tokens for shard in shards for mb in shard.minibatches} == {len(rows)}


def test_a_row_without_terms_takes_no_part(tmp_path: Path) -> None:
    learner, _ = train(tmp_path, make_config(epochs=1), rows=[example("0"), example("1", answer=0)])
    assert learner.trained == [["0"]]


def test_the_plan_is_that_of_the_batching_module() -> None:
    samples = [SampleRef(str(i), 1.0, row.num_tokens) for i, row in enumerate(EXAMPLES)]
    arguments: dict[str, Any] = {"num_ranks": 2, "max_tokens_per_microbatch": 16, "seed": 7}
    expected = plan_shards(
        [samples], [[row.num_terms for row in EXAMPLES]], num_minibatches=1, learner_version=5, **arguments
    )
    assert plan_step(EXAMPLES, step=5, **arguments) == expected


# ---------------------------------------------------------------------- evaluation


def test_held_out_metrics_come_before_the_first_step_now_and_then_and_after_the_last(tmp_path: Path) -> None:
    _, lines = train(tmp_path, make_config(eval_every=2), held_out=EXAMPLES)
    assert [line["step"] for line in lines if "eval/mine/loss" in line] == [0.0, 2.0, 4.0, 5.0]
    assert lines[0]["epoch"] == 0.0 and "loss/total" not in lines[0]


def test_with_eval_every_0_only_the_ends_are_evaluated(tmp_path: Path) -> None:
    _, lines = train(tmp_path, make_config(), held_out=EXAMPLES)
    assert [line["step"] for line in lines if "eval/mine/loss" in line] == [0.0, 5.0]


def test_held_out_metrics_are_means_over_all_terms_however_they_are_split(tmp_path: Path) -> None:
    learner, lines = train(tmp_path, make_config(eval_rows=7), held_out=EXAMPLES)
    assert learner.evaluated[:2] == [["0", "1", "2", "3"], ["4", "5", "6"]]
    seen = EXAMPLES[:7]
    mean = sum(float(row.id) * row.num_terms for row in seen) / sum(row.num_terms for row in seen)
    assert lines[0]["eval/mine/loss"] == pytest.approx(mean)


def test_without_held_out_rows_nothing_is_evaluated(tmp_path: Path) -> None:
    learner, lines = train(tmp_path, make_config(eval_every=1))
    assert learner.evaluated == [] and lines[0]["step"] == 1.0


# ---------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_resumed_run_trains_on_the_same_batches(tmp_path: Path, stop: int) -> None:
    config = make_config(checkpoint_every=1, eval_every=2)
    whole, lines = train(tmp_path / "whole", config, held_out=EXAMPLES)
    for later in (tmp_path / "whole" / "checkpoints").iterdir():
        if int(later.name) > stop:
            later.rename(later.with_name(f".gone-{later.name}"))
    found = Checkpoints(tmp_path / "whole" / "checkpoints", keep=9).latest()
    assert found is not None and found[1].version == stop
    rest, more = train(tmp_path / "rest", config, held_out=EXAMPLES, state=found[1])
    assert rest.trained == whole.trained[stop:]
    assert rest.shards == whole.shards[stop:]
    assert [line["step"] for line in more] == [line["step"] for line in lines if line["step"] > stop]


def test_checkpoints_are_written_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    train(tmp_path, make_config(checkpoint_every=2))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["2", "4", "5"]


def test_a_step_is_logged_before_its_checkpoint_is_there(tmp_path: Path) -> None:
    seen: list[tuple[float, int]] = []
    config = make_config(checkpoint_every=1)
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=9)

    def log(line: dict[str, float]) -> None:
        found = checkpoints.latest()
        seen.append((line["step"], found[1].version if found else 0))

    asyncio.run(SupervisedLoop(config, FakeSupervisedLearner(), EXAMPLES, checkpoints=checkpoints, log=log).run())
    assert seen == [(float(step), step - 1) for step in range(1, 6)]


# ---------------------------------------------------------------------- failures


def run_with(tmp_path: Path, learner: FakeSupervisedLearner, config: RunConfig) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    asyncio.run(SupervisedLoop(config, learner, EXAMPLES, checkpoints=checkpoints, log=lambda line: None).run())


def test_a_loss_that_is_not_finite_names_its_rows(tmp_path: Path) -> None:
    learner = FakeSupervisedLearner()
    learner.crash = NonFiniteLoss(("row 7",))
    with pytest.raises(R1RayError, match=r"the loss of step 1 is not finite for the rows row 7; the parameters"):
        run_with(tmp_path, learner, make_config())


@pytest.mark.faults
def test_a_learner_that_hangs_ends_the_run_by_its_deadline(tmp_path: Path) -> None:
    learner = FakeSupervisedLearner()
    learner.hangs = True
    with pytest.raises(LearnerLost, match=r"the supervised loop waited 0.05 s for the learner group .*learn_s"):
        run_with(tmp_path, learner, make_config(learn_s=0.05))


@pytest.mark.faults
@pytest.mark.parametrize("place", ["train", "evaluate", "save"])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("every", [0, 1, 2])
def test_a_learner_that_is_lost_is_restarted_and_learns_what_it_would_have(
    tmp_path: Path, place: str, number: int, every: int
) -> None:
    whole, expected = train(tmp_path / "whole", make_config(eval_every=2, checkpoint_every=every), held_out=EXAMPLES)
    learner, lines, finished = FakeSupervisedLearner(), list[dict[str, float]](), list[str]()
    learner.lost_in[place] = [number]

    def forget(step: int) -> None:
        lines[:] = [line for line in lines if line["step"] <= step]

    async def finish() -> None:
        finished.append("finished")

    loop = SupervisedLoop(
        make_config(eval_every=2, checkpoint_every=every),
        learner,
        EXAMPLES,
        checkpoints=Checkpoints(tmp_path / "checkpoints", keep=9),
        log=lines.append,
        held_out=HeldOut("mine", EXAMPLES),
        finish=finish,
        forget=forget,
    )
    asyncio.run(loop.run())
    assert learner.trained == whole.trained and finished == ["finished"]
    assert learner.restarts == int(learner.calls[place] >= number)
    kept = ("time/", "throughput/", "learner/", "faults/")
    assert [{name: each for name, each in line.items() if not name.startswith(kept)} for line in lines] == [
        {name: each for name, each in line.items() if not name.startswith(kept)} for line in expected
    ]


@pytest.mark.faults
def test_a_learner_that_is_lost_twice_in_the_same_step_ends_the_run(tmp_path: Path) -> None:
    learner = FakeSupervisedLearner()
    learner.lost_in["train"] = [3, 6]
    with pytest.raises(LearnerLost, match=r"second crash in a row after step 2.*goes on from the start"):
        run_with(tmp_path, learner, make_config())
