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
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from r1ray.checks import Check, CodeTests, FormatOnly, Instructions, Judged, MathAnswer, Pairwise
from r1ray.cluster.joining import is_remote
from r1ray.cluster.launch_evaluation import RunningEvaluation, launch_evaluation
from r1ray.config import EvaluationConfig, RunConfig, decisive
from r1ray.curation import filters
from r1ray.curation.card import CARD, Curation, write_dataset
from r1ray.curation.decontamination import Contamination
from r1ray.curation.duplicates import NearDuplicates
from r1ray.curation.filters import Example, FilterOptions, apply_filters
from r1ray.curation.mixture import mix
from r1ray.curation.rows import DatasetRow
from r1ray.curation.writing import (
    BOXED,
    FEW_SHOT,
    PLAIN,
    PROGRAM,
    REWRITE,
    SUMMARY,
    Shot,
    asked,
    keeps_apart,
    taken_apart,
    written,
)
from r1ray.data.checks import load_check
from r1ray.data.layouts import RawPrompt
from r1ray.data.prompts import spool_prompts
from r1ray.data.spool import SpooledRows, rows_of
from r1ray.data.template import renderer
from r1ray.errors import R1RayError, UserError
from r1ray.evaluation.policy import completion_of
from r1ray.evaluation.records import ACCURACY, Answered, Sample
from r1ray.reward.check_problems import reference_problem
from r1ray.runtime.files import files_of, write_json
from r1ray.runtime.model_files import context_of, load_tokenizer, local_folder
from r1ray.stages.base import Artifact, Context, check_sandbox, claim
from r1ray.stages.collect.sources import Sources
from r1ray.stages.evaluate.asking import ask, beside, read_answers
from r1ray.types import Prompt, Sampling, Scored

logger = logging.getLogger(__name__)

SETTINGS = ("seed", "model", "collect", "judge", "reward", "sandbox", "rollout", "data")
DATASET = "dataset"


class Collect:
    """Samples and curates; what it makes is a file that recipe=sft trains on, ``train.parquet``."""

    name = "collect"
    makes = "examples"
    needs: tuple[str, ...] = ()

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def settings(self) -> dict[str, Any]:
        config = self._config
        collect = config.collect
        sources = (source.path for source in collect.sources.values())
        paths = (config.model, config.data.train, collect.examples, collect.responses, *collect.decontaminate, *sources)
        files = {path: files_of(path) for path in paths if path is not None}
        return {"files": files} | {key: value for key, value in decisive(config).items() if key in SETTINGS}

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        job = _Job(self._config, context)
        claim(context.run_dir, digest, name=self.name)
        asyncio.run(job.ask())
        return Artifact(str(job.folder), digest, job.curate())


@dataclass(slots=True)
class _Found:
    """What curation has come to so far."""

    rows: list[DatasetRow] = field(default_factory=list)
    removed: Counter[str] = field(default_factory=Counter)
    num_examined: int = 0
    num_wrong: int = 0


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
        tokenizer = load_tokenizer(self._model, template=config.data.template)
        self._render = renderer(tokenizer, template=config.data.template)
        self._filters = self._chosen_filters()
        try:
            self._options = FilterOptions(**self._settings.options)
        except TypeError as error:
            raise UserError(f"collect.options={self._settings.options}: {error}.") from error
        self._prompts = self._read_prompts()
        if config.judge.model is None and any(isinstance(raw.check, Judged | Pairwise) for raw in self._prompts):
            raise UserError("data.train: some prompts are graded by a judge; needs judge.model=PATH.")
        self._shots = _shots(self._settings.examples) if self._settings.examples else []
        self._contamination = self._read_benchmarks()
        self._contaminated = self._contamination.report() if self._contamination is not None else None
        self._questions = self._make_questions()
        lengths = [len(ids) for ids in tokenizer([q.prompt.text for q in self._questions])["input_ids"]]
        longest, room = max(lengths), context_of(self._model)
        asked_for = self._settings.max_tokens
        self._max_tokens = asked_for if room is None else min(room - longest, asked_for)
        if self._max_tokens < 1:
            raise UserError(f"model={config.model}: its context has {room} tokens, and a prompt has {longest}.")
        self._sources = Sources(
            self._settings,
            seed=config.seed,
            stage=context.run_dir.name,
            render=self._render,
            tokenizer=tokenizer,
            context=room,
            filters=self._filters,
            options=self._options,
        )
        self._max_model_len = max(longest + self._max_tokens, self._sources.max_model_len)

    def _chosen_filters(self) -> tuple[filters.Filter, ...]:
        names = self._settings.filters
        if names is None:
            return filters.REJECTION_SAMPLING if self._settings.ways == [PLAIN] else filters.COLD_START
        known = {each.__name__: each for each in (*filters.COLD_START, *filters.REJECTION_SAMPLING)}
        for name in names:
            if name not in known:
                raise UserError(f"collect.filters: {name} is none; needs some of {', '.join(known)}.")
        return tuple(known[name] for name in names)

    def _read_prompts(self) -> list[RawPrompt]:
        path, spool = str(self._config.data.train), self._context.run_dir / "data" / "data.train.arrow"
        report = spool_prompts(path, spool, key="data.train", problem=lambda check, language: reference_problem(check))
        is_local = not is_remote(self._config.cluster.address)
        warning = check_sandbox(self._config.sandbox, report.programs, key="data.train", is_local=is_local)
        logger.info(f"data.train: {report.num_rows} prompts, from {path}")
        if warning:
            logger.warning(warning)
        self._programs = report.programs
        return list(_raw_prompts(spool))

    def _read_benchmarks(self) -> Contamination | None:
        known = Contamination() if self._settings.decontaminate else None
        for path in self._settings.decontaminate:
            spool = self._context.run_dir / "data" / f"{Path(path).stem}.arrow"
            spool_prompts(path, spool, key="collect.decontaminate", problem=lambda check, language: None)
            for raw in _raw_prompts(spool):
                assert known is not None
                known.add(Path(path).stem, raw.id, _text(raw))
        return known

    # ------------------------------------------------------------------ asking

    def _make_questions(self) -> list[_Question]:
        responses = _responses(self._settings.responses) if self._settings.responses else {}
        questions = []
        for raw in self._prompts:
            for way in self._settings.ways:
                if way == REWRITE and raw.id not in responses:
                    continue
                shots = self._shots[: self._settings.num_examples] if way == FEW_SHOT else ()
                given = asked(
                    raw.question,
                    way,
                    language=raw.language,
                    shots=shots,
                    response=responses.get(raw.id, ""),
                    end=_end_of(raw.check),
                )
                prompt = Prompt(
                    id=f"{raw.id}/{way}",
                    text=self._render(given),
                    check=raw.check,
                    domain=raw.domain,
                    language=raw.language,
                )
                questions.append(_Question(raw, way, prompt))
        if not questions:
            raise UserError(f"collect.responses={self._settings.responses}: has no right response to any prompt.")
        return questions

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
        logger.info(f"starting {config.rollout.num_actors} rollout and {config.reward.num_actors} reward actors")
        running = await launch_evaluation(
            sampling_config(config),
            model=self._model,
            max_model_len=self._max_model_len,
            template=config.data.template,
            programs=self._programs,
        )
        try:
            name, seed = self._context.run_dir.name, config.seed * 1_000_003 + 500_000_003
            put = partial(ask, running, rollout=config.rollout, deadlines=config.deadlines.decided)
            sampling = Sampling(settings.temperature, settings.top_p, self._max_tokens, with_logprobs=False)
            asking = put(prompts, self._samples, name=name, samples=settings.samples, sampling=sampling, seed=seed)
            answered, _ = await beside(running.restore(), asking)
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
                await beside(running.restore(), thinking)
            if wants_judge:
                await beside(running.restore(), self._compare_judge(running, answered))
        finally:
            running.shutdown()

    async def _compare_judge(self, running: RunningEvaluation, answered: Mapping[int, Answered]) -> None:
        """How often the judge agrees with the rules, on prompts that have one: half right samples, half wrong ones, as
        far as there are so many."""
        by_value: dict[bool, list[tuple[_Question, Sample]]] = {True: [], False: []}
        for number in sorted(answered):
            question = self._questions[number]
            if isinstance(question.raw.check, MathAnswer):
                for sample in answered[number].samples:
                    if sample.value is not None:
                        by_value[sample.is_right].append((question, sample))
        half = self._settings.judge_agreement // 2
        chosen = [pair for pairs in by_value.values() for pair in pairs[:half]]

        async def agrees(question: _Question, sample: Sample) -> bool | None:
            assert isinstance(question.raw.check, MathAnswer)
            check = Judged(question.raw.check.answer, question=_text(question.raw))
            text = completion_of(sample.text, index=0, num_tokens=sample.num_tokens, is_finished=True)
            (verdict,) = await running.scorer.score(replace(question.prompt, check=check), running.close_chunk((text,)))
            outcome = verdict.outcome
            return (outcome.parts[ACCURACY] >= 1.0) == sample.is_right if isinstance(outcome, Scored) else None

        graded = await asyncio.gather(*(agrees(*pair) for pair in chosen))
        known = [agreed for agreed in graded if agreed is not None]
        num_failed = len(graded) - len(known)
        agreement = {"agreement": sum(known) / len(known)} if known else {}
        write_json(self._agreement, {"num_graded": len(known), "num_failed": num_failed, **agreement})
        logger.info(
            f"judge: agrees with the rules on {sum(known)} of {len(known)} samples; it gave no grade to {num_failed}"
        )

    # ------------------------------------------------------------------ curating

    def curate(self) -> dict[str, float]:
        """From the samples to the data set; returns its counts."""
        settings, found = self._settings, _Found()
        known = NearDuplicates(settings.similarity) if settings.similarity < 1 else None
        texts: set[str] = set()
        answered = read_answers(self._samples)
        by_prompt: dict[str, list[DatasetRow]] = {}
        for number in sorted(answered):
            question = self._questions[number]
            if self._is_contaminated(question.raw):
                found.num_examined += len(answered[number].samples)
                found.removed["contaminated"] += len(answered[number].samples)
                continue
            kept = self._kept(question, answered[number], found)
            by_prompt.setdefault(question.raw.id, []).extend(kept)
        for rows in by_prompt.values():
            chosen = 0
            for row in sorted(rows, key=lambda row: (row.num_tokens, row.id)):
                text = row.messages[-1]["content"]
                if text in texts or (known is not None and known.seen(row.id, text) is not None):
                    found.removed["duplicate"] += 1
                elif chosen == settings.keep:
                    found.removed["enough_of_the_prompt"] += 1
                else:
                    texts.add(text)
                    chosen += 1
                    found.rows.append(row)
        if not found.rows:
            raise R1RayError(
                f"nothing was kept of {found.num_examined} samples: {dict(found.removed)}; look at {self._samples}"
            )
        return self._write(found, known)

    def _is_contaminated(self, raw: RawPrompt) -> bool:
        if self._contamination is None or self._contaminated is None:
            return False
        overlaps = self._contamination.find(_text(raw))
        self._contaminated.record(raw.id, overlaps)
        return bool(overlaps)

    def _kept(self, question: _Question, answered: Answered, found: _Found) -> list[DatasetRow]:
        """The samples of one question that are right and readable."""
        raw, settings, rows = question.raw, self._settings, []
        for index, sample in enumerate(answered.samples):
            found.num_examined += 1
            has_rule = not isinstance(raw.check, FormatOnly)
            if has_rule and (sample.value is None or sample.value < settings.min_value):
                found.removed["unscorable" if sample.value is None else "wrong"] += 1
                continue
            reasoning, summary = taken_apart(sample.text)
            example = Example(
                prompt=_text(raw),
                reasoning=reasoning,
                summary=summary,
                language=raw.language,
                response=sample.text,
                is_cut=sample.is_truncated,
                num_tokens=sample.num_tokens,
            )
            rejection = apply_filters(example, self._filters, self._options)
            if rejection is not None:
                found.removed[rejection.filter] += 1
                continue
            if not keeps_apart(reasoning, summary, pattern=settings.pattern):
                found.removed["broken_pattern"] += 1
                continue
            asked_first = raw.question
            messages = [{"role": "user", "content": asked_first}] if isinstance(asked_first, str) else asked_first
            answer = written(reasoning, summary, pattern=settings.pattern)
            rows.append(
                DatasetRow(
                    id=f"{raw.id}/{question.way}/{index}",
                    messages=(*messages, {"role": "assistant", "content": answer}),
                    source=question.way,
                    domain=raw.domain,
                    language=raw.language,
                    licence=settings.licence,
                    stage=self._context.run_dir.name,
                    reward=sample.value if has_rule else None,
                    num_tokens=sample.num_tokens,
                    prompt_id=raw.id,
                )
            )
        return rows

    def _write(self, found: _Found, known: NearDuplicates | None) -> dict[str, float]:
        rows, report = found.rows, None
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
        if given:
            ratios = {name: source.ratio for name, source in self._settings.sources.items()}
            ratios["sampled"] = 1 - sum(ratios.values())
            sources = {**given, "sampled": rows}
            total = int(len(rows) / ratios["sampled"])
            mixture = mix(sources, ratios, seed=self._config.seed, total=total, oversample=True)
            rows, report = _renamed(mixture.rows), mixture.report
        manifest = write_dataset(
            rows,
            self.folder,
            title=f"{self._context.run_dir.name}: examples sampled from {Path(self._model).name}",
            curation=Curation(
                num_examined=found.num_examined,
                removed=dict(found.removed),
                duplicates=known.report() if known is not None else None,
                contamination=self._contaminated,
                mixture=report,
                thinking=thinking,
                seeds={"run": self._config.seed},
            ),
        )
        logger.info(
            f"{manifest.num_rows} examples of {manifest.num_prompts} prompts from {found.num_examined} samples; left "
            "out: " + (", ".join(f"{count} {name}" for name, count in found.removed.most_common()) or "none")
        )
        counts = {f"removed/{name}": float(count) for name, count in found.removed.items()}
        for name, thought in thinking.items():
            counts |= {f"thoughts/{name}/prompted": float(thought.num_prompted)}
            counts |= {f"thoughts/{name}/trivial": float(thought.num_trivial)}
            counts |= {f"thoughts/{name}/left_out": float(sum(thought.left_out.values()))}
        if self._agreement.exists():
            judged = json.loads(self._agreement.read_text())
            counts |= {f"judge/{name}": float(value) for name, value in judged.items()}
        return {
            "num_rows": float(manifest.num_rows),
            "num_prompts": float(manifest.num_prompts),
            "num_samples": float(found.num_examined),
            "num_kept": float(len(found.rows)),
            **counts,
        }


@dataclass(frozen=True, slots=True)
class _Question:
    """A prompt in one of the ways."""

    raw: RawPrompt
    way: str
    prompt: Prompt


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
    )


def _end_of(check: Check) -> str:
    """What the check of a prompt looks at in the end."""
    if isinstance(check, CodeTests):
        return PROGRAM
    return SUMMARY if isinstance(check, FormatOnly | Judged | Pairwise | Instructions) else BOXED


def _renamed(rows: list[DatasetRow]) -> list[DatasetRow]:
    """Rows that occur several times in a mixture, each with an id of its own."""
    seen: Counter[str] = Counter()
    renamed = []
    for row in rows:
        seen[row.id] += 1
        again = f"{row.id}#{seen[row.id]}" if seen[row.id] > 1 else row.id
        renamed.append(DatasetRow(**{**asdict(row), "id": again, "messages": row.messages}))
    return renamed


def _raw_prompts(spool: Path) -> Iterator[RawPrompt]:
    rows = SpooledRows(spool)
    for index in range(len(rows)):
        (row,) = rows.row(index).to_pylist()
        question, check = json.loads(row["question"]), load_check(row["check"])
        yield RawPrompt(row["id"], question, check, row["domain"], row["language"])


def _text(raw: RawPrompt) -> str:
    asked_first = raw.question
    return asked_first if isinstance(asked_first, str) else "\n".join(message["content"] for message in asked_first)


def _shots(path: str) -> list[Shot]:
    shots = []
    for number, row in rows_of(path, key="collect.examples"):
        try:
            shots.append(Shot(str(row["prompt"]), str(row["reasoning"]), str(row["summary"])))
        except KeyError as error:
            raise UserError(
                f"collect.examples={path}: row {number} has no {error.args[0]}; needs prompt, reasoning and summary."
            ) from error
    return shots


def _responses(path: str) -> dict[str, str]:
    """The shortest right response to each prompt, of another collection's folder. Raises UserError."""
    samples = Path(path).expanduser().parent / "samples.jsonl"
    if not samples.exists():
        raise UserError(f"collect.responses={path}: {samples} is not there; needs what recipe=collect made.")
    best: dict[str, str] = {}
    for question in read_answers(samples).values():
        right = sorted((s.num_tokens, s.text) for s in question.samples if s.is_right)
        if right:
            best.setdefault(question.id.rpartition("/")[0], right[0][1])
    return best


def card_of(folder: str) -> dict[str, Any]:
    """What is known of a data set."""
    loaded: dict[str, Any] = json.loads((Path(folder) / CARD).read_text())
    return loaded
