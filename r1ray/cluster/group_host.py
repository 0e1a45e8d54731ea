"""A group worker with the reward actors and environment workers that it asks: what a group worker's process runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

import ray

from r1ray.cluster.environments import EnvironmentPool
from r1ray.cluster.host import Handle
from r1ray.cluster.scorers import ScorerPool
from r1ray.config import RunConfig
from r1ray.config.specs import EpisodesSpec, GroupWorkerSpec
from r1ray.conversation import ConversationSettings, make_renderer
from r1ray.data.template import Form
from r1ray.endpoint.server import Endpoint
from r1ray.rollout.episode import Episodes
from r1ray.rollout.group_worker import GroupWorker
from r1ray.runtime.model_files import load_tokenizer


@dataclass(frozen=True, slots=True)
class Trouble:
    """A reward actor that died, or has gone quiet, as a group worker found it."""

    scorer: int
    actor: Handle


class GroupHost:
    """A group worker, and the actors that it asks."""

    def __init__(self, scorers: Sequence[Handle], spec: GroupWorkerSpec, environments: Sequence[Handle] = ()) -> None:
        self._scorers = ScorerPool(
            scorers,
            self._note,
            deadline_s=spec.score_s,
            max_in_flight=spec.scores_in_flight,
            suspects=spec.suspects,
        )
        self._environments = EnvironmentPool(environments, start_s=spec.episodes.start_s if spec.episodes else math.inf)
        self._worker = GroupWorker(
            self._scorers,
            deadline_s=spec.generate_s,
            number=spec.number,
            episodes=_episodes(self._environments, spec.episodes) if spec.episodes else None,
        )
        self._troubles: asyncio.Queue[Trouble] = asyncio.Queue()
        self.run, self.sample, self.abort = self._worker.run, self._worker.sample, self._worker.abort
        self.read, self.drop, self.status = self._worker.read, self._worker.drop, self._worker.status
        self.set_engines, self.classes = self._worker.set_engines, self._scorers.classes
        self.score, self.held = self._scorers.score, self._worker.held

    async def set_scorers(self, actors: Sequence[Handle]) -> None:
        """Take over the reward actors that live now."""
        self._scorers.update(actors)

    async def set_environments(self, actors: Sequence[Handle]) -> None:
        """Take over the environment workers that live now."""
        self._environments.update(actors)

    async def troubles(self) -> list[Trouble]:
        """Wait until something died here; return all that did."""
        found = [await self._troubles.get()]
        while not self._troubles.empty():
            found.append(self._troubles.get_nowait())
        return found

    def _note(self, index: int, actor: Handle) -> None:
        self._troubles.put_nowait(Trouble(index, actor))


def episodes_spec(config: RunConfig, model: str) -> EpisodesSpec:
    """Return what group workers of a run need to have trajectories in environments."""
    return EpisodesSpec(
        environment=config.environment,
        model=model,
        template=config.data.template,
        template_arguments=config.data.template_arguments or {},
        max_prompt_tokens=config.data.max_prompt_tokens,
        max_row_tokens=config.learner.max_tokens_per_microbatch,
        start_s=config.deadlines.decided.start_s,
    )


def conversation_settings(spec: EpisodesSpec) -> ConversationSettings:
    """Return the keys that decide how conversations become tokens."""
    form = Form(spec.template, template_arguments=spec.template_arguments)
    return ConversationSettings.of(spec.environment, form, model=spec.model)


def _episodes(worlds: EnvironmentPool, spec: EpisodesSpec) -> Episodes:
    tokenizer = load_tokenizer(spec.model, template=spec.template)
    renderer = make_renderer(tokenizer, settings=conversation_settings(spec), says=False)
    return Episodes(
        worlds,
        renderer,
        spec.environment,
        max_prompt_tokens=spec.max_prompt_tokens,
        max_row_tokens=spec.max_row_tokens,
        endpoint=Endpoint(ray.util.get_node_ip_address()),
    )
