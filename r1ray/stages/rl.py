"""The reinforcement-learning stage: a policy and prompts in, a better policy out (paper section 2.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from r1ray.cluster.gauges import Gauges
from r1ray.cluster.joining import is_remote
from r1ray.cluster.launch import Running, launch
from r1ray.config import RunConfig, decisive
from r1ray.config.sources import Source
from r1ray.conversation import ConversationSettings
from r1ray.data.difficulty import curriculum_of
from r1ray.data.position import Position
from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import MIXED_BY, PromptCursor, PromptTable
from r1ray.data.template import Form, Renderer
from r1ray.errors import UserError
from r1ray.evaluation.held_out import HeldOutPrompts
from r1ray.evaluation.questions import longest_in_worlds
from r1ray.evaluation.sampling import evaluate
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.controller import Controller
from r1ray.loop.upkeep.reward_errors import refuse_before_training
from r1ray.mirror.supervision import counts as mirror_counts
from r1ray.reward.check_problems import problem_finder
from r1ray.reward.equivalence import CAN_VOTE
from r1ray.reward.failure_book import FailureBook
from r1ray.reward.scorer import check_parts, resolve_parts
from r1ray.rollout.architectures import check_served
from r1ray.runtime.events import doing
from r1ray.runtime.model_files import load_generation_config, load_tokenizer, local_folder
from r1ray.runtime.termination import first_sigterm
from r1ray.sandbox.home import choose_mode
from r1ray.stages import reasoning_gym
from r1ray.stages.base import (
    MADE_EVAL,
    MADE_MODEL,
    MADE_TRAIN,
    Artifact,
    Context,
    Input,
    check_sandbox,
    files_read,
    inputs_of,
    lasting_digest,
)
from r1ray.stages.first_rows import NUM_SHOWN, say_first_rows
from r1ray.stages.lookups import benchmark_of, check_metrics
from r1ray.stages.own_functions import own_columns_of
from r1ray.stages.teachers import check_domains, check_teachers, with_local_teachers
from r1ray.stages.token_checks import check_rewarded_pattern, check_same_prompts
from r1ray.stages.told_sample import tell_sample
from r1ray.stages.training import (
    before_and_after,
    check_router_keys,
    claim_checkpoints,
    export,
    export_dir,
    forget_after,
    go_back,
    load,
    model_path,
    recent_mean,
    say_change,
    say_form,
)
from r1ray.stages.worlds import RunWorlds
from r1ray.telemetry.console import Progress
from r1ray.telemetry.curves import Curves
from r1ray.telemetry.diagnosis.watch import DiagnosisWatch
from r1ray.telemetry.driver_status import end_step, end_steps, expect_steps
from r1ray.telemetry.eval_result import EvalResult
from r1ray.telemetry.metrics import MetricsFile, is_evaluated
from r1ray.telemetry.rollouts import RolloutLog
from r1ray.telemetry.trackers.supervision import counts
from r1ray.turns import Observation
from r1ray.types import Int32Array, Prompt, Sampling

logger = logging.getLogger(__name__)

LOOKED_AT = 256
"""Training prompts whose length is looked at before the run; longer ones are dropped when their turn comes."""


class ReinforcementLearning:
    """GRPO on the user's model and prompts, or on those that the prepare stage made."""

    name = "rl"
    makes = "policy"

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self.needs: tuple[str, ...] = ("base",) if config.prepare.maker else ()

    def reads(self) -> list[Input]:
        config, has_maker = self._config, bool(self._config.prepare.maker)
        models = config.reward.models.items()
        return inputs_of(
            ("model", MADE_MODEL if has_maker else config.model, "model"),
            ("data.train", MADE_TRAIN if has_maker else reasoning_gym.files_of(config.data.train), "prompts"),
            ("data.eval", MADE_EVAL if has_maker else reasoning_gym.files_of(config.data.eval), "prompts"),
            ("data.difficulty.file", config.data.difficulty.file, "file"),
            *((f"reward.models.{name}.model", model.model, "model") for name, model in models),
            *((key, model, "model") for key, model in config.algo.teacher.by_key.items()),
        )

    def settings(self) -> dict[str, Any]:
        settings = {key: value for key, value in decisive(self._config).items() if key != "prepare"}
        version = reasoning_gym.version_of(self._config.data.train, self._config.data.eval)
        return {"files": files_read(self)} | settings | ({"reasoning_gym": version} if version else {})

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        base = Path(inputs["base"].path) if "base" in inputs else None
        claim_checkpoints(context.run_dir, self.name, lasting_digest(self, inputs))
        job = _Job(self._config, context, base)
        metrics = asyncio.run(job.run())
        return Artifact(str(job.export_dir), digest, metrics)


class _Job:
    """One execution of the stage."""

    def __init__(self, config: RunConfig, context: Context, base: Path | None) -> None:
        """Everything that can be wrong with what the user gave is found here, before any actor starts."""
        parts = resolve_parts(config.reward)
        config = _with_local_models(config)
        self._config, self._context = config, context
        self._model = model_path(base, config.model)
        self._programs: frozenset[str] = frozenset()
        self._has_tasks = False
        self._tokenizer = load_tokenizer(self._model, template=config.data.template, max_model_len=config.max_model_len)
        check_served(self._model)
        self._form = Form.of(config.data)
        say_form(self._tokenizer, self._form, model=self._model)
        self._make_render = partial(Renderer, self._tokenizer, self._form)
        self._worlds = RunWorlds(config.environment, config.sandbox, self._form)
        load_generation_config(self._model)
        check_router_keys(config.learner.router, model=self._model)
        check_rewarded_pattern(self._tokenizer, config.reward, model=self._model)
        check_teachers(config, self._tokenizer, model=self._model)
        for name, model in config.reward.models.items():
            check_same_prompts(
                self._tokenizer,
                str(model.model),
                template=config.data.template,
                model=self._model,
                key=f"reward.models.{name}.model",
            )
        tasks, folder = config.data.reasoning_gym, context.run_dir / "data"
        train = str(base / "train.parquet") if base else config.data.train
        train = reasoning_gym.write_tasks(train, folder, tasks, key="data.train")
        self._train, kinds = self._table(train, "data.train")
        self._prompts, self._domains = self._mixed(kinds)
        check_parts(parts, [kind for kind in kinds if kind[0] in self._domains], key="data.train")
        check_domains(config.algo.teacher, self._domains)
        self._benchmark = benchmark_of(config)
        held_out = str(base / "heldout.parquet") if base else config.data.eval
        held_out = reasoning_gym.write_tasks(held_out, folder, tasks, key="data.eval", apart_from=train)
        self._eval, kinds = self._held_out(held_out)
        if self._eval is not None:
            check_parts(parts, kinds, key="data.eval", are_all_used=False)
        self._check_lengths()
        self._check_sandbox()
        tables = {"data.train": self._train}
        for name, table in ({} if self._eval is None else self._eval.tables).items():
            tables[f"data.eval.{name}".rstrip(".")] = table
        self._worlds.check_rewards(config.reward)
        self._worlds.check_command()
        self._in_worlds = self._worlds.samples(self._train, self._eval.tables.values() if self._eval else ())
        self._tries_on_actors = is_remote(config.cluster.address)  # once it runs, a local cluster counts as joined
        if self._in_worlds and not self._tries_on_actors:
            self._check_conversations(self._worlds.try_out(self._in_worlds))
        firsts = {key: table.first(NUM_SHOWN) for key, table in tables.items()}
        say_first_rows(config, firsts, max_tokens=config.algo.max_completion_tokens)
        self._controller: Controller | None = None
        self._book = FailureBook()  # of evaluations
        self._metrics = MetricsFile(context.run_dir / "metrics.jsonl", stage="rl")
        self._curves = Curves(context.run_dir)
        can_vote = {check for _, check in kinds} <= CAN_VOTE
        names = self._eval.names if self._eval is not None else ()
        check_metrics(config, can_vote=can_vote, domains=self._domains, groups=names)
        self._checkpoints = Checkpoints(
            context.run_dir / "checkpoints", keep=config.checkpoint.keep, best=config.checkpoint.best
        )

    @property
    def export_dir(self) -> Path:
        """Named after the last step."""
        assert self._controller is not None
        return self._export_dir(self._controller.last)

    def _export_dir(self, step: int) -> Path:
        return export_dir(self._context.run_dir, step)

    def _held_out(self, source: Any) -> tuple[HeldOutPrompts | None, frozenset[tuple[str, str]]]:
        """The sets of held-out prompts, None where there are none, with their domains and types of check."""
        if source is None:
            return None, frozenset()
        sets = source if isinstance(source, Mapping) else {"": source}
        tables = {name: self._table(each, f"data.eval.{name}".rstrip(".")) for name, each in sets.items()}
        kinds = frozenset[tuple[str, str]]().union(*(kinds for _, kinds in tables.values()))
        return HeldOutPrompts({name: table for name, (table, _) in tables.items()}), kinds

    def _table(self, path: Source, key: str) -> tuple[PromptTable, frozenset[tuple[str, str]]]:
        """The prompts of one table, with their domains and types of check."""
        spool, make_render = self._context.run_dir / "data" / f"{key}.arrow", self._make_render
        difficulty = self._config.data.difficulty
        report = spool_prompts(
            path,
            spool,
            key=key,
            problem=problem_finder(self._config.reward),
            columns=own_columns_of(self._config.data),
            make_render=make_render,
            on_bad_row=self._config.data.on_bad_row,
            difficulty=difficulty.column if key == "data.train" and difficulty.file is None else None,
            world_problem=self._worlds.problem,
        )
        self._programs |= report.programs
        self._has_tasks |= any(check == "reasoning_gym" for _, check in report.kinds)
        logger.info(f"{key}: {report.num_rows} prompts in the layout of {report.layout}, from {path}")
        if report.quarantined:
            shown = ", ".join(report.quarantined[:5])
            logger.warning(f"{key}: {len(report.quarantined)} rows have no usable reference and are left out: {shown}")
        for remark in report.remarks:
            logger.info(f"{key}: {remark}")
        return PromptTable(spool, make_render(), self._form), report.kinds

    def _mixed(self, kinds: Collection[tuple[str, str]]) -> tuple[PromptCursor, list[str]]:
        """The training prompts in their order, and the domains that they are of."""
        mixture, shares = self._config.data.mixture, self._config.environment.shares
        mixed_by = "environment" if shares else "domain"
        curriculum = curriculum_of(self._config.data.difficulty, self._train)
        prompts = PromptCursor(
            self._train,
            seed=self._config.seed,
            position=Position(),
            mixture=mixture or shares,
            mixed_by=mixed_by,
            curriculum=curriculum,
        )
        domains = sorted({domain for domain, _ in kinds})
        kept, there = mixture or shares or {}, self._train.rows_by(mixed_by)
        left_out = sorted(f"{name} ({len(rows)})" for name, rows in there.items() if kept and name not in kept)
        if left_out:
            logger.warning(f"{MIXED_BY[mixed_by]}: rows of these {mixed_by}s are left out: {', '.join(left_out)}")
        return prompts, sorted(mixture) if mixture else domains

    def _check_sandbox(self) -> None:
        is_local = not is_remote(self._config.cluster.address)
        if self._has_tasks and is_local:
            choose_mode(self._config.sandbox.mode)
        warning = check_sandbox(self._config.sandbox, self._programs, key="the data", is_local=is_local)
        if warning:
            logger.warning(warning)

    def _check_conversations(self, begun: Mapping[str, Observation]) -> None:
        settings = ConversationSettings.of(self._config.environment, self._form, model=self._model)
        limit = self._config.data.max_prompt_tokens
        self._worlds.check_conversations(self._tokenizer, begun, settings, max_prompt_tokens=limit)

    def _check_lengths(self) -> None:
        """Refuse prompts that the engines would: all of the held-out ones have to fit, and some of the others."""
        limit = self._config.data.max_prompt_tokens
        settings = self._config.eval
        asked = max(settings.num_prompts, settings.final_num_prompts)
        lengths = [self._length(each.prompt) for each in self._eval.first(asked)] if self._eval else []
        if lengths and max(lengths) > limit:
            raise UserError(
                f"data.max_prompt_tokens={limit}: the longest held-out prompt has {max(lengths)} tokens; raise the key."
            )
        shortest = min(self._length(self._train[i]) for i in range(min(LOOKED_AT, len(self._train))))
        if shortest > limit:
            raise UserError(
                f"data.max_prompt_tokens={limit}: none of the first training prompts fits, the shortest has {shortest} "
                "tokens; raise the key."
            )

    def _length(self, prompt: Prompt) -> int:
        return len(self._encode(prompt))

    def _encode(self, prompt: Prompt) -> list[int]:
        """As the engines do."""
        has_own = self._config.data.template == "chat"
        return list(self._tokenizer(prompt.text, add_special_tokens=not has_own)["input_ids"])

    async def run(self) -> dict[str, float]:
        """The loop from the last checkpoint, or from the start, to the end; returns the last held-out metrics."""
        config, context, deadlines = self._config, self._context, self._config.deadlines.decided
        resumed = go_back(context.run_dir, self._checkpoints, self._metrics)
        self._checkpoints.tidy()
        state = resumed[1] if resumed else None
        rollouts = context.run_dir / "rollouts"
        first = state.step if state else 0
        RolloutLog(rollouts).rewind(first)
        progress = Progress(num_steps=config.steps, benchmark=self._benchmark)
        expect_steps(config.steps)
        diagnosis = DiagnosisWatch(self._metrics.read(), settings=asdict(config), rollouts=rollouts)
        logger.info(
            f"stage rl: {config.steps} steps of {config.algo.prompts_per_step} prompts x {config.algo.group_size} "
            f"completions in {config.algo.minibatches_per_step} updates; {config.rollout.num_actors} rollout, "
            f"{config.reward.num_actors} reward actors, {config.learner.num_ranks} learner ranks"
            f"{self._worlds.said(config.environment.num_actors)}; starting them"
        )
        with context.watch.during("start"), doing("start"):
            running = await launch(
                config,
                model=self._model,
                rollouts=rollouts,
                probe=self._probe(),
                programs=self._programs,
                worlds=self._worlds.sources,
            )
        try:
            if self._in_worlds and self._tries_on_actors:
                self._check_conversations(await running.environments.try_out(self._in_worlds))
            gauges = Gauges.of(context.run_dir, stage="rl")

            async def begin() -> None:
                if resumed:
                    await load(running.learner, resumed, stage="rl", deadlines=deadlines)

            def log(metrics: dict[str, float]) -> None:
                metrics = metrics | counts() | mirror_counts() | running.environments.metrics()
                self._metrics.append(metrics)
                gauges.set(metrics)
                end_step(metrics)
                progress.step(metrics)
                if is_evaluated(metrics):
                    self._curves.redraw()
                    tell_sample(rollouts, int(metrics["step"]))
                diagnosis.note(metrics)

            async def evaluated(step: int) -> EvalResult:
                return await self._evaluate(running, step, is_full=step in (0, controller.last))

            async def exported(step: int) -> None:
                await export(running.learner, self._export_dir(step), form=self._form, deadlines=deadlines)

            async def finish() -> None:
                with context.watch.during("export"):
                    if first < controller.last or not self.export_dir.is_dir():
                        await exported(controller.last)
                    best = self._best
                    if best is not None and not self._export_dir(best).is_dir():
                        folder = self._checkpoints.learner_of(best)
                        best_dir, form = self._export_dir(best), self._form
                        await export(running.learner, best_dir, form=form, deadlines=deadlines, checkpoint=folder)

            def forget(step: int) -> None:
                forget_after(step, context.run_dir, self._metrics)
                RolloutLog(rollouts).rewind(step)
                diagnosis.forget(step)

            if state:
                self._prompts.position = state.position
                self._prompts.load(state.curriculum)
            controller = self._controller = Controller(
                config,
                replace(context.watch.started(running), eval_world_s=self._eval_world_s),
                self._prompts,
                checkpoints=self._checkpoints,
                log=log,
                evaluate=evaluated if self._eval else None,
                export=exported,
                begin=begin,
                finish=finish,
                forget=forget,
                state=state,
                history=self._metrics.read(),
                domains=self._domains,
            )
            with first_sigterm(controller.stop):
                await controller.run()
        finally:
            running.shutdown()
        end_steps()
        metrics = self._finish(progress)
        diagnosis.say()
        logger.info(f"stage rl: the model is in {self.export_dir}")
        if (best := self._best) is not None:
            folder = self._export_dir(best)
            logger.info(f"stage rl: the best by {config.checkpoint.best}, version {best}, is in {folder}")
        return metrics

    @property
    def _best(self) -> int | None:
        return self._checkpoints.best() if self._config.checkpoint.best else None

    async def _evaluate(self, running: Running, step: int, *, is_full: bool) -> EvalResult:
        assert self._eval is not None
        settings = self._config.eval
        wanted = settings.final_num_prompts if is_full else settings.num_prompts
        asked = self._eval.first(wanted)
        return await evaluate(
            running.roles.eval_groups,
            [each.prompt for each in asked],
            groups=[each.groups for each in asked],
            benchmark=self._benchmark,
            samples=settings.final_samples if is_full else settings.samples,
            sampling=Sampling(
                settings.temperature, settings.top_p, self._config.algo.max_completion_tokens, with_logprobs=False
            ),
            seed=self._config.seed * 1_000_003 + step,
            slots=self._config.eval_slots,
            deadline_s=self._config.deadlines.decided.generate_s,
            world_s=self._config.environment.longest_s(self._config.most_trajectories),
            book=FailureBook(refuse_before_training) if step == 0 else self._book,
            record=lambda records: running.recorder.record_evaluation(step, records, running.eval_groups),
        )

    @property
    def _eval_world_s(self) -> float:
        """Longest time for which an evaluation may wait for environments."""
        if self._eval is None:
            return 0.0
        settings = self._config.eval
        asked = self._eval.first(max(settings.num_prompts, settings.final_num_prompts))
        return longest_in_worlds(
            [each.prompt for each in asked],
            at_a_time=self._config.eval_slots // max(settings.samples, settings.final_samples),
            world_s=self._config.environment.longest_s(self._config.most_trajectories),
        )

    def _probe(self) -> list[Int32Array]:
        """The sequences of the parity probe: the first prompts, as far as ``weights.probe_tokens`` go."""
        wanted, longest = self._config.weights.probe_tokens, self._config.max_model_len - 1
        sequences: list[Int32Array] = []
        for index in range(len(self._train)):
            ids = self._encode(self._train[index])[: min(longest, wanted)]
            if len(ids) >= 2:
                sequences.append(np.asarray(ids, dtype=np.int32))
                wanted -= len(ids)
            if wanted < 2:
                break
        if not sequences:
            raise UserError(
                f"data.train={self._config.data.train}: none of its prompts has two tokens; needs longer ones."
            )
        return sequences

    def _finish(self, progress: Progress) -> dict[str, float]:
        """Last curves and table; returns the last held-out metrics, the number of steps, and their last mean reward."""
        assert self._controller is not None
        rows, last = self._metrics.read(), self._controller.last
        trained = {"steps": float(last), "reward_mean": recent_mean(rows, "reward/mean")}
        self._curves.finish()
        evaluated = before_and_after(rows, self._benchmark)
        if evaluated is None:
            return trained
        progress.table(*evaluated)
        changed = say_change(self._context.run_dir / "rollouts", seed=self._config.seed)
        return evaluated[1] | trained | changed


def _with_local_models(config: RunConfig) -> RunConfig:
    """The same with the folders of its preference models and teachers. Raises UserError where one is not there."""
    models = {
        name: replace(model, model=local_folder(str(model.model), key=f"reward.models.{name}.model"))
        for name, model in config.reward.models.items()
    }
    return replace(config, reward=replace(config.reward, models=models), algo=with_local_teachers(config.algo))
