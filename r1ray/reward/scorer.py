"""The scorer, which turns a trajectory into its outcome: every part by name, and their total."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import cast

from r1ray.algo.compose import total_reward
from r1ray.algo.consensus import answer_classes
from r1ray.checks import FormatOnly, OwnCheck
from r1ray.config import JudgeConfig, PreferenceModelConfig, RewardConfig, RewardPart, SandboxConfig
from r1ray.data.checks import CHECK_TYPES, check_problem
from r1ray.errors import (
    DeadlineExceeded,
    InfrastructureError,
    PartFailure,
    R1RayError,
    UnscorableError,
    UserError,
)
from r1ray.interfaces import RewardFn
from r1ray.reward import shaping
from r1ray.reward.accuracy import Accuracy
from r1ray.reward.extract import final_answer
from r1ray.reward.format import boxed_answer_of_format, cold_start_format_reward, format_reward, judged_text
from r1ray.reward.judged import Judge
from r1ray.reward.language import language_consistency
from r1ray.reward.last_number import last_number
from r1ray.reward.own_check import judge_of
from r1ray.reward.own_function import call, load_function, own_function_problem
from r1ray.reward.own_result import MAX_RESPONSE, NotANumber, part_failure, score_of, shortened
from r1ray.reward.preference import Batches, PreferenceModel, seen
from r1ray.reward.service_errors import is_service_error
from r1ray.runtime.own_code import Raised
from r1ray.turns import InEnvironment
from r1ray.types import (
    Outcome,
    Prompt,
    Response,
    Score,
    Scored,
    ScoredTrajectory,
    ScoringFailed,
    Trajectory,
    Unscorable,
)

RULES: dict[str, RewardFn] = {
    "format": format_reward,
    "cold_start_format": cold_start_format_reward,
    "language": language_consistency,
    "last_number": last_number,
    "repetition": shaping.repetition_penalty,
    "soft_overlong": shaping.soft_overlong,
    "tag_count": shaping.tag_count,
    "code_format": shaping.code_format,
}
"""r1ray's own rules that only need the text. ``accuracy`` and ``cosine_length`` need more."""
ACCURACY, COSINE, LAST_NUMBER = "accuracy", "cosine_length", "last_number"
ENTRY_POINTS = "r1ray.rewards"
USER_THREADS = 64


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the reward, ready to be called."""

    name: str
    config: RewardPart
    function: RewardFn | None
    """The function to call; None for accuracy, cosine_length and a preference model, which the scorer handles."""
    is_own: bool
    """True for r1ray's own parts, which take linear time or have deadlines of their own."""
    model: PreferenceModelConfig | None = None
    """The preference model whose score the part is."""

    @property
    def is_worlds(self) -> bool:
        """True if environments give its value."""
        return self.config.from_environment

    def applies_to(self, domain: str, check: str) -> bool:
        """Return whether the part applies to prompts of a domain and a type of check."""
        if self.config.domains is not None and domain not in self.config.domains:
            return False
        if self.config.checks is not None:
            return check in self.config.checks
        if self.is_own and self.name == LAST_NUMBER:
            return check == "math"
        return not self.needs_reference or check != "format"

    @property
    def needs_reference(self) -> bool:
        return self.is_own and self.name in (ACCURACY, COSINE)

    @property
    def is_users(self) -> bool:
        """True if it calls a function that is not r1ray's."""
        return not self.is_own and self.model is None and not self.is_worlds

    @property
    def on_error(self) -> str:
        """Consequence for a response on which it fails. A built-in rule never ends a run because of a model's text."""
        return "zero" if self.is_own and self.config.on_error == "auto" else self.config.on_error


def resolve_parts(config: RewardConfig) -> tuple[Part, ...]:
    """Return every part with its function or model. Raises UserError for an unknown name that has neither."""
    offered = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    unused = [name for name in config.models if name not in config.parts]
    if unused:
        raise UserError(f"reward.models.{unused[0]}: no part has its name; needs reward.parts.{unused[0]}.")
    parts = []
    for name, part in config.parts.items():
        key, function, is_own = f"reward.parts.{name}", None, False
        if name in config.models:
            parts.append(Part(name, part, None, False, _model_of(name, part, config.models[name])))
            continue
        if part.from_environment:
            _check_worlds(name, part)
        elif part.function is not None:
            function = _load_users(f"{key}.function", part.function, key, part)
        elif name in (ACCURACY, COSINE) or name in RULES:
            function, is_own = RULES.get(name), True
        elif name in offered:
            function = _load_users(key, offered[name].value, key, part)
        else:
            known = sorted([ACCURACY, COSINE, *RULES, *offered])
            raise UserError(
                f"{key}: no such reward; needs one of {', '.join(known)}, or {key}.function=package.module:function, "
                f"or reward.models.{name}.model=PATH, or {key}.from_environment=true."
            )
        if part.options and is_own and name == ACCURACY:
            raise UserError(f"{key}.options={part.options}: accuracy has none; see reward.verifier and sandbox.")
        if part.options and function is None:
            _check_options(key, shaping.cosine_length, part.options, True, 1, 1)
        elif part.options and function is not None:
            if is_own:
                _check_options(key, function, part.options, None, None)
            function = cast(RewardFn, functools.partial(cast(Callable[..., float], function), **part.options))
        parts.append(Part(name, part, function, is_own))
    if COSINE in config.parts and ACCURACY not in config.parts:
        raise UserError(f"reward.parts.{COSINE} depends on whether the answer is right: needs reward.parts.{ACCURACY}.")
    return tuple(parts)


def _check_worlds(name: str, part: RewardPart) -> None:
    """Raise UserError if a part that environments give has another source of its value, too."""
    key = f"reward.parts.{name}"
    if name in (ACCURACY, COSINE) or name in RULES:
        raise UserError(f"{key}.from_environment=true: {name} is a rule of r1ray's; needs another name.")
    if part.function is not None or part.options:
        raise UserError(f"{key}.from_environment=true: environments give it; needs no function and no options.")


def _load_users(named: str, path: str, key: str, part: RewardPart) -> RewardFn:
    """Return a function of the user. Raises UserError if it cannot be called as a reward.

    Args:
        named: the key, or the part of an entry point, that holds the function's path.
        key: configuration key of the part.
    """
    function = load_function(named, path)
    problem = own_function_problem(key, part, function, shown=f"{named}={path}")
    if problem is not None:
        raise UserError(problem)
    return function


def _model_of(name: str, part: RewardPart, model: PreferenceModelConfig) -> PreferenceModelConfig:
    """Return the model. Raises UserError if the part has another source of its value, too."""
    key = f"reward.parts.{name}"
    if name in (ACCURACY, COSINE) or name in RULES:
        raise UserError(f"reward.models.{name}: {name} is a rule of r1ray's; give the model another name.")
    if part.function is not None or part.options:
        raise UserError(f"{key}: is the score of reward.models.{name}; needs no function and no options.")
    if model.model is None:
        raise UserError(f"reward.models.{name}.model is not set: needs the folder of a reward model, or ~{key}.")
    return model


def check_parts(
    parts: Sequence[Part], kinds: Collection[tuple[str, str]], *, key: str, are_all_used: bool = True
) -> None:
    """Raise UserError if no part applies to prompts of some kind, or if no prompt is in any of a part's domains.

    Args:
        kinds: domains and types of check of the prompts.
        key: configuration key of the prompts' file.
        are_all_used: every part needs prompts.
    """
    known = sorted({domain for domain, _ in kinds})
    for part in parts:
        if are_all_used and part.config.domains is not None and not set(known) & set(part.config.domains):
            raise UserError(
                f"reward.parts.{part.name}.domains=[{', '.join(part.config.domains)}]: no prompt of {key} is of any; "
                f"there are {', '.join(known)}."
            )
    for domain, check in sorted(kinds):
        if not any(part.config.weight and part.applies_to(domain, check) for part in parts):
            raise UserError(
                f"{key}: its prompts of domain {domain} with check {check} have no part of the reward "
                f"({', '.join(part.name for part in parts)}): leave them out, or add {domain} to the domains, or "
                f"{check} to the checks, of one of reward.parts."
            )


def _check_options(key: str, function: Callable[..., object], options: dict[str, object], *arguments: object) -> None:
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError as error:
        raise UserError(f"{key}.options={options}: {error}.") from error


class RewardScorer:
    """The Scorer role: applies the configured parts to trajectories."""

    def __init__(
        self,
        config: RewardConfig,
        sandbox: SandboxConfig,
        programs: frozenset[str] | None = frozenset(),
        max_tokens: int | None = None,
        judge: Judge | JudgeConfig | None = None,
        models: Mapping[str, PreferenceModel] | None = None,
    ) -> None:
        """
        Args:
            programs: languages of the programs that prompts will ask for; if there are any, a sandbox is made. None:
                unknown, and the sandbox is made for the first program.
            max_tokens: length limit of sampled trajectories, for rewards about length.
            judge: a judge, or the configuration of its service, for prompts that a generative judge grades; None: there
                are no such prompts.
            models: the served models of ``reward.models``.

        Raises:
            SandboxUnavailable: programs have to be run, and no working isolation is available.
            UserError: a part does not exist, a model is not served, or the tools of a language are missing.
        """
        self._config, self._max_tokens = config, max_tokens
        self._parts = resolve_parts(config)
        served = models or {}
        for name in set(config.models) - set(served):
            raise UserError(f"reward.parts.{name}: is the score of reward.models.{name}, which only r1ray run serves.")
        self._models = {
            name: Batches(served[name], name=name, max_calls=model.num_actors) for name, model in config.models.items()
        }
        self._weights = {part.name: part.config.weight for part in self._parts}
        self._gate = config.gate if config.combine == "gated" else None
        judge = _api_judge(judge) if isinstance(judge, JudgeConfig) else judge
        forms = None if config.answer_forms is None else frozenset(config.answer_forms)
        self._accuracy = Accuracy(config.verifier, sandbox, programs, judge, forms=forms)
        self._user_slots = asyncio.Semaphore(USER_THREADS)

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        """See :class:`r1ray.interfaces.Scorer`."""
        equivalent = self._accuracy.equivalence(prompt.check)
        if equivalent is None:
            return None
        # In a thread, because it may have to wait for the verifier.
        return tuple(await asyncio.to_thread(answer_classes, answers, equivalent=equivalent))

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        """See :class:`r1ray.interfaces.Scorer`. In an environment the last turn is the response."""
        started = time.monotonic()
        last = trajectory.policy_segments[-1] if trajectory.world is not None else None
        response = Response(
            trajectory.text if last is None else last.text,
            trajectory.is_ended,
            num_tokens=trajectory.num_policy_tokens if last is None else len(last.token_ids),
            max_tokens=self._max_tokens,
        )
        outcome, extracted = await self.outcome(prompt, response, trajectory.world)
        return ScoredTrajectory.of(trajectory, outcome, extracted=extracted, seconds=time.monotonic() - started)

    async def outcome(
        self, prompt: Prompt, response: Response, world: InEnvironment | None = None
    ) -> tuple[Outcome, str | None]:
        """Return the outcome of one response and the answer that was found in it.

        Args:
            world: the environment's rewards for the response, if it was in one. A part that the environment does not
                give does not apply.
        """
        problem = check_problem(prompt.check)
        if problem is not None:
            return Unscorable(problem), None
        scores: dict[str, Score] = {}
        failures: list[PartFailure] = []
        check = CHECK_TYPES[type(prompt.check)]
        parts = [part for part in self._parts if part.applies_to(prompt.domain, check) and not part.is_worlds]
        of_worlds = {part.name for part in self._parts if part.applies_to(prompt.domain, check) and part.is_worlds}
        try:
            for part in parts:
                if part.name == COSINE and part.is_own:
                    continue
                found = await self._score_of(part, prompt, response)
                if isinstance(found, PartFailure):
                    failures.append(found)
                scores[part.name] = found if isinstance(found, Score) else Score(0.0)
        except UnscorableError as error:
            return Unscorable(str(error)), None
        except DeadlineExceeded:
            raise
        except InfrastructureError as error:
            return ScoringFailed(str(error)), None
        for part in parts:
            if part.name == COSINE and part.is_own and ACCURACY in scores:
                found = _cosine_of(part, response, is_correct=scores[ACCURACY].value >= 1.0)
                if isinstance(found, PartFailure):
                    failures.append(found)
                scores[COSINE] = found if isinstance(found, Score) else Score(0.0)
        if masking := [failure for failure in failures if failure.on_error == "mask"]:
            return ScoringFailed(str(masking[0]), tuple(failures)), None
        values = {name: score.value for name, score in scores.items()}
        if world is not None:  # values that are no parts are logged as metrics
            given = world.parts.items()
            values |= {name: value for name, value in given if name in of_worlds or name not in self._weights}
        of_world = Score(0.0) if world is None else Score(0.0, world.label, detail=world.detail)
        spoken = next((score for score in scores.values() if score.label), of_world)
        extracted = next((score.extracted for score in scores.values() if score.extracted is not None), None)
        if extracted is None and (ACCURACY not in scores or isinstance(prompt.check, OwnCheck)):
            text = judged_text(prompt, response)
            in_format, forms = isinstance(prompt.check, FormatOnly), self._accuracy.forms_of(prompt)
            extracted = boxed_answer_of_format(text) if in_format else final_answer(text, forms=forms)
        total = total_reward(values, self._weights, gate=self._gate)
        metrics = {name: metric for score in scores.values() for name, metric in score.metrics.items()}
        tests = next((score.tests for score in scores.values() if score.tests is not None), None)
        return Scored(total, metrics | values, tuple(failures), spoken.label, spoken.detail, tests), extracted

    async def _score_of(self, part: Part, prompt: Prompt, response: Response) -> Score | PartFailure:
        """Return the score of one part, or the failure of its function on the model's text. Raises InfrastructureError
        if a machine, or a service that the function uses, failed."""
        if part.name == ACCURACY and part.is_own and isinstance(prompt.check, OwnCheck):
            return await self._own_check(part, prompt.check, prompt, response)
        if part.name == ACCURACY and part.is_own:
            return await self._accuracy_of(prompt, response)
        if part.model is not None:
            return await self._model_score(part, prompt, response)
        assert part.function is not None
        if not part.is_own:
            return await self._users(part, part.function, prompt, response)
        failure = functools.partial(part_failure, part.name, function=part.function, on_error=part.on_error)
        try:
            return score_of(part.function(prompt, response))
        except R1RayError:
            raise
        except Exception as error:  # of a built-in rule: a model's text must never stop training
            return failure(_own_error(part, error), response)

    async def _own_check(self, part: Part, check: OwnCheck, prompt: Prompt, response: Response) -> Score | PartFailure:
        """Return the score of a check of the user's own, which replaces r1ray's accuracy."""
        own = replace(part, is_own=False)  # on_error applies as to a function of the user
        try:
            judge = judge_of(check, prompt)
        except Exception as error:  # a class of the user that accepted these data before the run
            return part_failure(part.name, error, response, function=judge_of, on_error=own.on_error)
        found = await self._users(own, judge, response)
        if not isinstance(found, Score) or found.label:
            return found
        return replace(found, label="correct" if found.value >= 1.0 else "wrong")

    async def _users(self, part: Part, function: Callable[..., object], *arguments: object) -> Score | PartFailure:
        """Return the score of a function of the user. The last of its arguments is the response."""
        response = arguments[-1]
        assert isinstance(response, Response)
        failure = functools.partial(part_failure, part.name, function=function, on_error=part.on_error)
        deadline_s, slots = part.config.deadline_s, self._user_slots
        try:
            value = await call(function, *arguments, name=part.name, deadline_s=deadline_s, slots=slots)
            return score_of(value)
        except NotANumber as error:
            return failure(error, response)
        except Raised as raised:
            return failure(_own_error(part, raised.error), response)
        except R1RayError:
            raise
        except Exception as error:  # a coroutine function that raises when it is called
            return failure(_own_error(part, error), response)

    async def _accuracy_of(self, prompt: Prompt, response: Response) -> Score:
        """Return the score of r1ray's own accuracy, which handles errors on a model's text itself."""
        try:
            return await self._accuracy(prompt, response)
        except R1RayError:
            raise
        except Exception as error:
            raise InfrastructureError(f"accuracy: {type(error).__name__}: {error}") from error

    async def _model_score(self, part: Part, prompt: Prompt, response: Response) -> Score:
        assert part.model is not None
        return Score(await self._models[part.name].score(seen(prompt, response, sees=part.model.sees)))

    def close(self) -> None:
        """End everything that was started."""
        self._accuracy.close()


def _cosine_of(part: Part, response: Response, *, is_correct: bool) -> Score | PartFailure:
    """Return the reward about length, or a failure if only the text and no number of tokens is known."""
    if response.num_tokens is None or response.max_tokens is None:
        return PartFailure(
            part=part.name,
            kind="unknown length",
            message="the number of tokens, or their limit, is not known here",
            response=shortened(response.text, MAX_RESPONSE),
            on_error=part.on_error,
        )
    lengths = (response.num_tokens, response.max_tokens)
    return Score(shaping.cosine_length(is_correct, *lengths, **part.config.options))


def _own_error(part: Part, error: BaseException) -> BaseException:
    """Return the exception of a function if it is the function's own error. Raises UnscorableError for an unusable
    reference, and InfrastructureError if a machine or a service failed."""
    if isinstance(error, UnscorableError):
        raise error
    if isinstance(error, InfrastructureError) or is_service_error(error):
        raise InfrastructureError(f"reward part {part.name}: {type(error).__name__}: {error}") from error
    return error


def _api_judge(config: JudgeConfig) -> Judge:
    from r1ray.reward.api_judge import ApiJudge  # takes half a second, so only if needed

    return ApiJudge(
        str(config.url),
        str(config.model),
        config.api_key_env,
        deadline_s=config.deadline_s,
        max_tokens=config.max_tokens,
        max_in_flight=config.max_in_flight,
    )
