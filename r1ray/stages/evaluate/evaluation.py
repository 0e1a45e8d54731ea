"""One benchmark put to one model: its prompts as the model reads them, and the folder that keeps the answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1ray.config import EvaluationConfig
from r1ray.conversation import ConversationSettings
from r1ray.data.template import Renderer
from r1ray.errors import UserError
from r1ray.evaluation.records import Answered
from r1ray.evaluation.search_run import Found
from r1ray.rollout.architectures import check_served
from r1ray.runtime.files import content_digest, digest_of
from r1ray.runtime.model_files import context_of, load_tokenizer, local_folder
from r1ray.stages.evaluate.fingerprint import settings_of
from r1ray.stages.evaluate.in_worlds import EvalWorlds
from r1ray.stages.evaluate.task import Task, memo_of
from r1ray.stages.model_form import form_remark
from r1ray.stages.token_checks import check_rewarded_pattern, check_same_prompts
from r1ray.types import Prompt


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """One benchmark and one model."""

    task: Task
    key: str
    """``model`` or ``against``."""
    model: str
    folder: Path
    prompts: list[Prompt]
    longest: int
    """Tokens of the longest prompt."""
    max_tokens: int
    most_tokens: int
    """Most tokens that may follow a prompt: ``max_tokens``, or all turns of an environment where that is more."""
    settings: dict[str, Any]
    remarks: list[str]
    answered: dict[int, Answered] = field(default_factory=dict)
    found: dict[int, Found] = field(default_factory=dict)
    seconds: float = 0.0
    """Of asking, in this process."""
    new_tokens: int = 0

    @property
    def name(self) -> str:
        prompt = f", {self.task.prompt}," if self.task.prompt else ""
        return f"{self.task.benchmark.name}{prompt} of {name_of(self.model)}"

    @property
    def names_of_worlds(self) -> list[str]:
        """Return the environments of its questions."""
        return sorted({prompt.environment for prompt in self.prompts} - {""})

    @property
    def is_chat(self) -> bool:
        return self.task.template == "chat"

    def first_prompts(self, count: int) -> dict[str, list[Prompt]]:
        """Return the first prompts of each set, by what messages call it."""
        found: dict[str, list[Prompt]] = {}
        for item, prompt in zip(self.task.items, self.prompts, strict=True):
            is_named = "set" in item.groups
            firsts = found.setdefault(f"{self.name}, data.{item.groups['set']}" if is_named else self.name, [])
            if len(firsts) < count:
                firsts.append(prompt)
        return found


def evaluation_of(config: EvaluationConfig, task: Task, worlds: EvalWorlds, *, key: str, path: str) -> Evaluation:
    """Return the benchmark's prompts as a model reads them, and where its answers are kept. Raises UserError.

    Args:
        key: of the configuration, that holds ``path``, the model: ``model`` or ``against``.
    """
    memo = memo_of(config.output_dir)
    model = local_folder(path, key=key)
    if memo.is_relative_to(model):
        raise UserError(f"output_dir={config.output_dir}: is inside of {key}={path}; needs a folder of its own.")
    tokenizer = load_tokenizer(model, template=task.template, key=key, is_trained=False, is_checked=True)
    check_served(model, key=key)
    check_rewarded_pattern(tokenizer, config.reward, model=model, key=key)
    if config.reward_model.model is not None:
        ranks = local_folder(config.reward_model.model, key="reward_model.model")
        check_same_prompts(tokenizer, ranks, template=task.template, model=model, key="reward_model.model")
    render = Renderer(tokenizer, task.form)
    prompts = [item.prompt(render, task.form) for item in task.items]
    lengths = [
        len(ids)
        for ids in tokenizer([p.text for p in prompts], add_special_tokens=task.template != "chat")["input_ids"]
    ]
    context = context_of(model)
    wanted = task.max_tokens
    if any(prompt.environment for prompt in prompts):
        wanted = max(wanted, config.environment.trajectory_tokens(wanted))
    conversations = ConversationSettings.of(config.environment, task.form, model=model)
    in_worlds = worlds.lengths(tokenizer, prompts, conversations)
    longest = max([*lengths, *in_worlds])
    if in_worlds:  # an environment may add to its question what the context has room for
        added = config.environment.max_context_tokens
        longest += added if context is None else max(0, min(added, context - longest - wanted))
    room = wanted if context is None else context - longest
    if room < 1 and longest > max(lengths):
        raise UserError(
            f"{key}={path}: its context has {context} tokens, and a question of {task.benchmark.name} has {longest} "
            "with the tools of its environment."
        )
    if room < 1:
        raise UserError(
            f"{key}={path}: its context has {context} tokens, and question {prompts[lengths.index(longest)].id} of "
            f"{task.benchmark.name} has {longest}."
        )
    said = form_remark(tokenizer, task.form, model=model, key=key)
    remarks = [*task.remarks, *([said[1]] if said is not None and said[0] else [])]
    if room < wanted:
        limit = "max_tokens" if wanted == task.max_tokens else "environment.max_trajectory_tokens"
        remarks.append(f"{limit}={wanted} is lowered to {room}: the model's context has {context} tokens")
    settings = settings_of(config, task)
    digest = digest_of({"model": content_digest(model, memo), "task": task.digest, "settings": settings})
    return Evaluation(
        task=task,
        key=key,
        model=model,
        folder=memo.parent / f"{task.benchmark.name}-{name_of(model)}-{digest[:10]}",
        prompts=prompts,
        longest=longest,
        max_tokens=min(room, task.max_tokens),
        most_tokens=min(room, wanted),
        settings=settings,
        remarks=remarks,
    )


def name_of(model: str) -> str:
    """What people call a model's folder: that of a run's export is a number.

    >>> name_of("/runs/quickstart-seed0/hf/120"), name_of("/models/Qwen2.5-7B")
    ('quickstart-seed0-120', 'Qwen2.5-7B')
    """
    folder = Path(model)
    return f"{folder.parents[1].name}-{folder.name}" if folder.parent.name == "hf" else folder.name
