"""Examples to learn from, sampled from a model, judged, filtered and written as a data set with its card: the cold
start's (paper section 2.3.1), and those of rejection sampling (2.3.3).

    prompts --asked in each way--> samples.jsonl --correct? readable? new? clean?--> dialogues --mixed--> dataset/
    rows of the user's --thoughts before their answers--> thoughts.jsonl --readable?--> dialogues --^

What was sampled is kept by question, so that a collection that is interrupted goes on; all that comes after it is a
function of those samples.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from r1ray.checks import Judged, Pairwise
from r1ray.cluster.group_host import episodes_spec
from r1ray.cluster.joining import is_remote
from r1ray.cluster.launch_evaluation import launch_evaluation
from r1ray.config import EvaluationConfig, RunConfig, decisive
from r1ray.config.sources import name_of
from r1ray.conversation import ConversationEncoder, ConversationSettings
from r1ray.curation.card import CARD, Curation, Thinking, write_dataset
from r1ray.curation.decontamination import Contamination
from r1ray.curation.mixture import MixtureReport, mix
from r1ray.curation.rows import DatasetRow
from r1ray.data.layouts import RawPrompt
from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.template import Form, Renderer
from r1ray.errors import R1RayError, UserError
from r1ray.reward.check_problems import reference_problem
from r1ray.rollout.architectures import check_served
from r1ray.runtime.model_files import context_of, load_tokenizer, local_folder
from r1ray.runtime.run_files import holds_work
from r1ray.stages import reasoning_gym
from r1ray.stages.base import Artifact, Context, Input, check_sandbox, claim, files_read, inputs_of, lasting_digest
from r1ray.stages.collect.judge_agreement import compare_judge
from r1ray.stages.collect.questions import questions_of, raw_prompts, text_of
from r1ray.stages.collect.selection import Selection, Selector, filters_of, options_of
from r1ray.stages.collect.sources import Sources
from r1ray.stages.collect.trajectories import Trajectories
from r1ray.stages.evaluate.asking import ask, read_answers
from r1ray.stages.first_rows import say_first_rows
from r1ray.stages.own_functions import own_columns_of
from r1ray.stages.training import say_form
from r1ray.stages.worlds import RunWorlds
from r1ray.types import Prompt, Sampling

logger = logging.getLogger(__name__)

SETTINGS = ("seed", "model", "collect", "judge", "reward", "sandbox", "rollout", "data", "environment")
DATASET = "dataset"


class Collect:
    """Samples and curates; what it makes is a file that recipe=sft trains on, ``train.parquet``."""

    name = "collect"
    makes = "examples"
    needs: tuple[str, ...] = ()

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def reads(self) -> list[Input]:
        config, collect = self._config, self._config.collect
        return inputs_of(
            ("model", config.model, "model"),
            ("data.train", reasoning_gym.files_of(config.data.train), "prompts"),
            ("collect.examples", collect.examples, "rows"),
            ("collect.responses", collect.responses, "file"),
            *(("collect.decontaminate", path, "rows") for path in collect.decontaminate),
            *((f"collect.sources.{name}.path", source.path, "rows") for name, source in collect.sources.items()),
            ("judge.model", None if config.judge.url else config.judge.model, "model"),
        )

    def settings(self) -> dict[str, Any]:
        settings = {key: value for key, value in decisive(self._config).items() if key in SETTINGS}
        return {"files": files_read(self)} | settings

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        job = _Job(self._config, context)
        claim(
            context.run_dir / "begun.json",
            lasting_digest(self, inputs),
            is_begun=holds_work(context.run_dir),
            refusal=f"stage {self.name}: {context.run_dir} was begun with other settings or inputs. Remove it to make "
            "it anew, or give the run another name.",
        )
        asyncio.run(job.ask())
        return Artifact(str(job.folder), digest, job.curate())


class _Job:
    """One execution of the stage."""

    def __init__(self, config: RunConfig, context: Context) -> None:
        """Everything that can be wrong with what the user gave is found here, before any actor starts."""
        self._config, self._context, self._settings = config, context, config.collect
        self.folder = context.run_dir / DATASET
        self._samples = context.run_dir / "samples.jsonl"
        self._thoughts = context.run_dir / "thoughts.jsonl"
        self._agreement = context.run_dir / "judge.json"
        self._model = local_folder(str(config.model), key="model")
        tokenizer = load_tokenizer(self._model, template=config.data.template, is_trained=False)
        check_served(self._model)
        form = Form.of(config.data)
        self._worlds = RunWorlds(config.environment, config.sandbox, form)
        say_form(tokenizer, form, model=self._model)
        self._make_render = partial(Renderer, tokenizer, form)
        render = self._make_render()
        filters, options = filters_of(self._settings), options_of(self._settings)
        prompts = self._read_prompts()
        if config.judge.model is None and any(isinstance(raw.check, Judged | Pairwise) for raw in prompts):
            raise UserError("data.train: some prompts are graded by a judge; needs judge.model=PATH.")
        self._selector = Selector(
            self._settings,
            stage=context.run_dir.name,
            filters=filters,
            options=options,
            benchmarks=self._read_benchmarks(),
            trajectories=self._trajectories(tokenizer, form),
        )
        self._questions = questions_of(prompts, self._settings, render=render, form=form)
        self._check_worlds(tokenizer)
        lengths = [len(ids) for ids in tokenizer([q.prompt.text for q in self._questions])["input_ids"]]
        longest, room = max(lengths), context_of(self._model)
        asked_for = self._settings.max_tokens
        self._max_tokens = asked_for if room is None else min(room - longest, asked_for)
        if self._max_tokens < 1:
            raise UserError(f"model={config.model}: its context has {room} tokens, and a prompt has {longest}.")
        in_worlds = self._longest_trajectory(room) if self._worlds.sources else 0
        asked = [question.prompt for question in self._questions]
        say_first_rows(config, {"data.train": asked}, max_tokens=self._max_tokens)
        self._sources = Sources(
            self._settings,
            seed=config.seed,
            stage=context.run_dir.name,
            render=render,
            tokenizer=tokenizer,
            context=room,
            filters=filters,
            options=options,
        )
        self._max_model_len = max(longest + self._max_tokens, self._sources.max_model_len, in_worlds)

    def _conversations(self, form: Form) -> ConversationSettings:
        return ConversationSettings.of(self._config.environment, form, model=self._model)

    def _trajectories(self, tokenizer: Any, form: Form) -> Trajectories:
        settings = self._conversations(form)
        encoder = ConversationEncoder(tokenizer, form=form, settings=settings)
        return Trajectories(self._settings, encoder, stage=self._context.run_dir.name)

    def _check_worlds(self, tokenizer: Any) -> None:
        """Raise UserError for an environment that cannot be entered, or whose conversations the model cannot have."""
        config, firsts = self._config, dict[str, Prompt]()
        for question in self._questions:
            if question.raw.environment:
                firsts.setdefault(question.raw.environment, question.prompt)
        if firsts and not is_remote(config.cluster.address):
            begun = self._worlds.try_out(list(firsts.values()))
            settings, limit = self._conversations(Form.of(config.data)), config.data.max_prompt_tokens
            self._worlds.check_conversations(tokenizer, begun, settings, max_prompt_tokens=limit)

    def _longest_trajectory(self, room: int | None) -> int:
        """Return the tokens of the longest trajectory in an environment, with its prompt; turns are no longer than the
        model's context allows. Raises UserError where it does not hold a trajectory."""
        config, prompt = self._config, self._config.data.max_prompt_tokens
        if room is not None and config.environment.max_trajectory_tokens is None:
            self._max_tokens = min(self._max_tokens, room - prompt)
        longest = prompt + config.environment.trajectory_tokens(self._max_tokens)
        if self._max_tokens < 1 or (room is not None and longest > room):
            raise UserError(
                f"data.max_prompt_tokens={prompt}, environment.max_trajectory_tokens="
                f"{config.environment.max_trajectory_tokens}: the context of model={config.model} has {room} tokens; "
                "needs one that holds a prompt and a trajectory."
            )
        return longest

    def _read_prompts(self) -> list[RawPrompt]:
        folder = self._context.run_dir / "data"
        tasks = self._config.data.reasoning_gym
        path = reasoning_gym.write_tasks(self._config.data.train, folder, tasks, key="data.train")
        spool = folder / "data.train.arrow"
        report = spool_prompts(
            path,
            spool,
            key="data.train",
            problem=lambda check, language: reference_problem(check),
            columns=own_columns_of(self._config.data),
            make_render=self._make_render,
            on_bad_row=self._config.data.on_bad_row,
            world_problem=self._worlds.problem,
        )
        is_local = not is_remote(self._config.cluster.address)
        warning = check_sandbox(self._config.sandbox, report.programs, key="data.train", is_local=is_local)
        logger.info(f"data.train: {report.num_rows} prompts, from {path}")
        for remark in report.remarks:
            logger.info(f"data.train: {remark}")
        if warning:
            logger.warning(warning)
        self._programs = report.programs
        return list(raw_prompts(spool))

    def _read_benchmarks(self) -> Contamination | None:
        known = Contamination() if self._settings.decontaminate else None
        for path in self._settings.decontaminate:
            name = Path(path).stem if Path(path).is_file() else name_of(path)
            spool = self._context.run_dir / "data" / f"{name}.arrow"
            spool_prompts(path, spool, key="collect.decontaminate", problem=lambda check, language: None)
            for raw in raw_prompts(spool):
                assert known is not None
                known.add(name, raw.id, text_of(raw))
        return known

    # ------------------------------------------------------------------ asking

    async def ask(self) -> None:
        """Sample every question that has no samples yet."""
        config, settings = self._config, self._settings
        prompts = {number: question.prompt for number, question in enumerate(self._questions)}
        to_think = self._sources.prompts
        wants_judge = config.judge.model is not None and settings.judge_agreement and not self._agreement.exists()
        is_asked = len(read_answers(self._samples)) == len(prompts)
        has_thought = len(read_answers(self._thoughts)) == len(to_think)
        if is_asked and has_thought and not wants_judge:
            return
        logger.info(
            f"starting {config.rollout.num_actors} rollout and {config.reward.num_actors} reward actors"
            + self._worlds.said(config.environment.num_actors)
        )
        running = await launch_evaluation(
            sampling_config(config),
            model=self._model,
            max_model_len=self._max_model_len,
            template=config.data.template,
            programs=self._programs,
            worlds=self._worlds.sources,
            episodes=episodes_spec(config, self._model) if self._worlds.sources else None,
        )
        try:
            name, seed = self._context.run_dir.name, config.seed * 1_000_003 + 500_000_003
            put = partial(
                ask,
                running,
                rollout=config.rollout,
                deadlines=config.deadlines.decided,
                world_s=config.environment.longest_s(config.most_trajectories),
            )
            sampling = Sampling(settings.temperature, settings.top_p, self._max_tokens, with_logprobs=False)
            asking = put(prompts, self._samples, name=name, samples=settings.samples, sampling=sampling, seed=seed)
            answered, _ = await asking
            if not has_thought:
                sampling = replace(sampling, max_tokens=self._sources.max_new_tokens)
                thinking = put(
                    to_think,
                    self._thoughts,
                    name=f"{name}, thoughts",
                    samples=1,
                    sampling=sampling,
                    seed=seed + 250_000_000,
                )
                await thinking
            if wants_judge:
                comparing = compare_judge(
                    running, self._questions, answered, self._agreement, num_samples=settings.judge_agreement
                )
                await comparing
        finally:
            running.shutdown()

    # ------------------------------------------------------------------ curating

    def curate(self) -> dict[str, float]:
        """Make the data set of the samples; return its counts."""
        found = self._selector.select(self._questions, read_answers(self._samples))
        if not found.rows:
            raise R1RayError(
                f"nothing was kept of {found.num_examined} samples: {dict(found.removed)}; look at {self._samples}"
            )
        return self._write(found)

    def _write(self, found: Selection) -> dict[str, float]:
        given, thinking = self._sources.written(read_answers(self._thoughts))
        for name, each in thinking.items():
            left_out = ", ".join(f"{count} {why}" for why, count in each.left_out.items()) or "none"
            logger.info(
                f"{name}: {each.num_rows} answers; a chain of thought was prompted for {each.num_prompted}, "
                f"{each.num_own} had one, {each.num_trivial} are trivial, {each.num_not_drawn} were not drawn; left "
                f"out: {left_out}"
            )
        for name in given:
            if not given[name]:
                raise R1RayError(f"collect.sources.{name}: nothing was kept of it; look at {self._thoughts}")
        rows, report = self._mixed(found.rows, given)
        manifest = write_dataset(
            rows,
            self.folder,
            title=f"{self._context.run_dir.name}: examples sampled from {Path(self._model).name}",
            curation=Curation(
                num_examined=found.num_examined,
                removed=dict(found.removed),
                duplicates=found.duplicates,
                contamination=found.contamination,
                mixture=report,
                thinking=thinking,
                seeds={"run": self._config.seed},
            ),
        )
        logger.info(
            f"{manifest.num_rows} examples of {manifest.num_prompts} prompts from {found.num_examined} samples; left "
            "out: " + (", ".join(f"{count} {name}" for name, count in found.removed.most_common()) or "none")
        )
        return {
            "num_rows": float(manifest.num_rows),
            "num_prompts": float(manifest.num_prompts),
            "num_samples": float(found.num_examined),
            "num_kept": float(len(found.rows)),
            **self._counts(found, thinking),
        }

    def _mixed(
        self, sampled: list[DatasetRow], given: Mapping[str, list[DatasetRow]]
    ) -> tuple[list[DatasetRow], MixtureReport | None]:
        """Return the sampled rows with those of the user's in their ratios."""
        if not given:
            return sampled, None
        ratios = {name: source.ratio for name, source in self._settings.sources.items()}
        ratios["sampled"] = 1 - sum(ratios.values())
        total = int(len(sampled) / ratios["sampled"])
        sources = {**given, "sampled": sampled}
        mixture = mix(sources, ratios, seed=self._config.seed, total=total, oversample=True)
        return _renamed(mixture.rows), mixture.report

    def _counts(self, found: Selection, thinking: Mapping[str, Thinking]) -> dict[str, float]:
        counts = {f"removed/{name}": float(count) for name, count in found.removed.items()}
        for name, thought in thinking.items():
            counts |= {f"thoughts/{name}/prompted": float(thought.num_prompted)}
            counts |= {f"thoughts/{name}/trivial": float(thought.num_trivial)}
            counts |= {f"thoughts/{name}/left_out": float(sum(thought.left_out.values()))}
        if self._agreement.exists():
            judged = json.loads(self._agreement.read_text())
            counts |= {f"judge/{name}": float(value) for name, value in judged.items()}
        return counts


def sampling_config(config: RunConfig) -> EvaluationConfig:
    """A run's engines and reward actors, without its learner."""
    return EvaluationConfig(
        model=config.model,
        benchmarks=config.recipe,
        data=config.data.train or config.data.eval,
        seed=config.seed,
        rollout=config.rollout,
        reward=config.reward,
        sandbox=config.sandbox,
        judge=config.judge,
        deadlines=config.deadlines,
        cluster=config.cluster,
        environment=replace(config.environment, shares=None),  # every prompt is asked
    )


def _renamed(rows: list[DatasetRow]) -> list[DatasetRow]:
    """Rows that occur several times in a mixture, each with an id of its own."""
    seen: Counter[str] = Counter()
    renamed = []
    for row in rows:
        seen[row.id] += 1
        again = f"{row.id}#{seen[row.id]}" if seen[row.id] > 1 else row.id
        renamed.append(DatasetRow(**{**asdict(row), "id": again, "messages": row.messages}))
    return renamed


def card_of(folder: str) -> dict[str, Any]:
    """What is known of a data set."""
    loaded: dict[str, Any] = json.loads((Path(folder) / CARD).read_text())
    return loaded
