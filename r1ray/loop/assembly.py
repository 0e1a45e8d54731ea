"""Assembly: what the controller is made of, beside the roles that it calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from r1ray.config import RunConfig
from r1ray.loop.buffer import Buffer
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.ledger import Ledger
from r1ray.loop.roles import Evaluate, PromptSource, Roles
from r1ray.loop.upkeep.account import Account
from r1ray.loop.upkeep.faults import Faults
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.recovery import Recovery
from r1ray.loop.upkeep.reporting import Report
from r1ray.loop.upkeep.saving import Saver
from r1ray.loop.upkeep.waiting import Engines, Waiter


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Classes of one concern each, which share the progress of the run."""

    ledger: Ledger
    progress: Progress
    waiter: Waiter
    engines: Engines
    buffer: Buffer
    account: Account
    report: Report
    saver: Saver
    recovery: Recovery


def assemble(
    config: RunConfig,
    roles: Roles,
    prompts: PromptSource,
    *,
    checkpoints: Checkpoints,
    log: Callable[[dict[str, float]], None],
    evaluate: Evaluate | None,
    export: Callable[[int], Awaitable[None]] | None,
    forget: Callable[[int], None],
    state: LoopState | None,
    history: Sequence[Mapping[str, float]],
    domains: Sequence[str],
) -> Parts:
    """Return the parts of a controller, whose arguments these are."""
    faults, waiter = Faults(), Waiter(config.deadlines.decided)
    ledger = Ledger(state.ledger if state else None)
    progress = Progress(config.steps, config.stop, state=state, history=history)
    engines = Engines(roles.weights, progress, waiter)
    roles.weights.when_lost(lambda: faults.note("rollout_worker"))
    roles.recorder.when_lost(lambda: faults.note("rollout_log"))
    buffer = Buffer(
        roles.groups,
        prompts,
        algo=config.algo,
        reward=config.reward,
        world_s=config.environment.longest_s(config.most_trajectories),
        seed=config.seed,
        ledger=ledger,
        progress=progress,
        engines=engines,
        waiter=waiter,
    )
    account = Account(
        roles.groups,
        algo=config.algo,
        ledger=ledger,
        progress=progress,
        removals=buffer.removals,
        faults=faults,
        errors=buffer.errors,
        prompts=prompts,
        domains=domains,
    )
    report = Report(
        log,
        evaluate,
        evaluation=config.eval,
        checkpoint=config.checkpoint,
        stop=config.stop,
        progress=progress,
        weights=roles.weights,
        groups=roles.eval_groups,
        world_s=roles.eval_world_s,
        engines=engines,
        waiter=waiter,
    )
    saver = Saver(
        config.checkpoint,
        roles.learner,
        roles.recorder,
        checkpoints,
        export,
        progress=progress,
        report=report,
        engines=engines,
        waiter=waiter,
    )

    async def go_back(found: LoopState | None) -> None:
        buffer.hold()
        progress.go_back(found)
        report.go_back()
        await roles.recorder.flush()  # groups are about to run again under the names of those that it still writes
        await asyncio.to_thread(forget, progress.step)
        await buffer.go_back(found)

    recovery = Recovery(
        config.learner,
        roles.learner,
        checkpoints,
        faults=faults,
        waiter=waiter,
        step=lambda: progress.step,
        is_stopping=lambda: buffer.is_closed,
        go_back=go_back,
        settle=saver.go_back,
        tell=engines.note_learner,
        ended=buffer.errors.instead_of,
    )
    return Parts(
        ledger=ledger,
        progress=progress,
        waiter=waiter,
        engines=engines,
        buffer=buffer,
        account=account,
        report=report,
        saver=saver,
        recovery=recovery,
    )
