"""Talking to a model on one engine actor.

lines of the user --Conversation--> prompts --engine--> answers --> the terminal
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from r1ray.checks import FormatOnly
from r1ray.cluster.launch_evaluation import RunningEvaluation, launch_evaluation
from r1ray.errors import UserError
from r1ray.runtime.deadline import within
from r1ray.runtime.harmless import harmless
from r1ray.stages.chat.conversation import Asked, Conversation
from r1ray.stages.chat.partner import Partner
from r1ray.types import GroupRequest, Prompt, Sampling, Trajectory

logger = logging.getLogger(__name__)

NEW = "/new"
HINT = f"Ctrl-C ends an answer, {NEW} the conversation, Ctrl-D the chat"


async def answer_once(partner: Partner, question: str) -> str:
    """Return the answer to one question. Raises UserError where it is too long for the model."""
    asked = _conversation(partner).ask(question)
    async with _serving(partner) as running:
        made = await _answer(running, partner, asked, number=0)
    _say_cut(made)
    return _text(made)


async def talk(partner: Partner) -> None:
    """Answer what is typed, or what another program writes, until it ends."""
    conversation, is_typed = _conversation(partner), sys.stdin.isatty()
    async with _serving(partner) as running:
        print(f"{HINT}." + ("" if conversation.has_turns else " Each question stands for itself."), file=sys.stderr)
        with _Interrupts() as interrupts:
            for number in itertools.count():
                question = await _typed("> " if is_typed else "")
                if question is None:
                    break
                if question.strip() == NEW:
                    conversation.forget()
                elif question.strip():
                    await _turn(running, partner, conversation, question, number=number, interrupts=interrupts)
    if is_typed:
        print()


async def _turn(
    running: RunningEvaluation,
    partner: Partner,
    conversation: Conversation,
    question: str,
    *,
    number: int,
    interrupts: _Interrupts,
) -> None:
    try:
        asked = conversation.ask(question)
    except UserError as error:
        logger.warning(str(error))
        return
    answering = asyncio.ensure_future(_answer(running, partner, asked, number=number))
    interrupts.act, interrupts.were_any = answering.cancel, False
    try:
        made = await answering
    except asyncio.CancelledError:
        if not interrupts.were_any:
            raise
        logger.info("the answer was ended, and is forgotten")
        return
    finally:
        interrupts.act = None
    print(harmless(_text(made)), flush=True)
    _say_cut(made)
    conversation.answered(question, _text(made))


async def _answer(running: RunningEvaluation, partner: Partner, asked: Asked, *, number: int) -> Trajectory:
    config = partner.config
    assert config.temperature is not None and config.top_p is not None
    request = GroupRequest(
        group_id=f"chat/{number}",
        prompt=Prompt(id=str(number), text=asked.text, check=FormatOnly(), domain="chat", language="en"),
        group_size=1,
        sampling=Sampling(config.temperature, config.top_p, asked.max_tokens, with_logprobs=False),
        seed=config.seed * 1_000_003 + number,
        is_eval=True,
    )
    (made,) = await within(
        config.deadlines.decided.generate_s,
        running.groups.sample(request),
        waiter="the chat",
        owner="the engine to answer",
        key="deadlines.generate_s",
    )
    return made


@asynccontextmanager
async def _serving(partner: Partner) -> AsyncIterator[RunningEvaluation]:
    """Start one engine with the model, and nothing else."""
    logger.info(f"starting an engine for {partner}")
    running = await launch_evaluation(
        partner.config,
        model=partner.model,
        max_model_len=partner.context,
        template=partner.form.template,
        programs=frozenset(),
        is_scored=False,
    )
    try:
        yield running
    finally:
        running.shutdown()


class _Interrupts:
    """Ctrl-C while the block lasts: it does what ``act`` says, and else reminds of the way out."""

    def __init__(self) -> None:
        self.act: Callable[[], object] | None = None
        self.were_any = False

    def __enter__(self) -> _Interrupts:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *ended: object) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    def _interrupt(self) -> None:
        self.were_any = self.act is not None
        if self.act is not None:
            self.act()
        else:
            print(f"\n{HINT}.\n> ", end="", file=sys.stderr, flush=True)


async def _typed(sign: str) -> str | None:
    """Return the next line; None at the end. A thread waits for it that nobody waits for: engines are looked after
    meanwhile."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str | None] = loop.create_future()

    def settle(found: str | None) -> None:
        if not line.done():
            line.set_result(found)

    def read() -> None:
        try:
            found = input(sign)
        except (EOFError, OSError, UnicodeDecodeError):
            found = None
        loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=read, name="input", daemon=True).start()
    return await line


def _conversation(partner: Partner) -> Conversation:
    assert partner.config.max_tokens is not None
    return Conversation(partner.tokenizer, partner.form, context=partner.context, max_tokens=partner.config.max_tokens)


def _text(made: Trajectory) -> str:
    return made.text.strip("\n")


def _say_cut(made: Trajectory) -> None:
    if made.status == "truncated":
        logger.info(f"the answer was cut after {made.num_policy_tokens} tokens (max_tokens, or the end of the context)")
