"""Trajectories in environments as rows to learn from: whole dialogues with tools, calls and results, a row for each
branch, of which recipe=sft makes the tokens again that the policy was given and sampled.

Sample.dialogues --whole? well-formed? the same tokens?--> DatasetRow with ``tools``
"""

from __future__ import annotations

from typing import Any

import numpy as np

from r1ray.config import CollectConfig
from r1ray.conversation.dialogue_encoder import ConversationEncoder
from r1ray.curation.filters import Example
from r1ray.curation.rows import DatasetRow
from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.dialogues import Layout, recognise
from r1ray.data.layouts import RawPrompt
from r1ray.data.sft_layouts import EXAMPLES
from r1ray.evaluation.dialogues import SampledDialogue
from r1ray.evaluation.records import Sample
from r1ray.stages.collect.questions import Question, text_of

CALL_PROBLEM, EMPTY, OTHER_TOKENS = "malformed_call", "empty_turn", "other_tokens"
"""Reasons to leave a trajectory out: all that its policy wrote would be learned, or in other tokens."""


class Trajectories:
    """Makes rows of trajectories."""

    def __init__(self, settings: CollectConfig, encoder: ConversationEncoder, *, stage: str) -> None:
        """
        Args:
            encoder: as recipe=sft has it.
        """
        self._settings, self._encoder, self._stage = settings, encoder, stage
        layout = recognise(frozenset(["messages"]), EXAMPLES)
        assert layout is not None
        self._layout: Layout = layout

    def rows(self, question: Question, index: int, sample: Sample) -> tuple[tuple[DatasetRow, ...], str | None]:
        """Return the rows of a trajectory, or why it is not fit to learn from."""
        if sample.is_truncated or not all(each.is_whole for each in sample.dialogues):
            return (), "cut"
        if any(each.problems for each in sample.dialogues):
            return (), CALL_PROBLEM
        branches = enumerate(sample.dialogues)
        rows = tuple(self._row(question, f"{index}.{branch}", sample, each) for branch, each in branches)
        for row, dialogue in zip(rows, sample.dialogues, strict=True):
            try:
                is_same = self._reads_back(row, dialogue)
            except (MalformedRow, UnusableRow):
                return (), EMPTY if _has_empty_turn(row) else OTHER_TOKENS
            if not is_same:
                return (), OTHER_TOKENS
        return rows, None

    def _reads_back(self, row: DatasetRow, dialogue: SampledDialogue) -> bool:
        (raw,) = self._layout.read({"id": row.id, "messages": list(row.messages), "tools": row.tools}, 0)
        ((ids, mask),) = self._encoder.encode([self._encoder.pieces(raw.dialogues[0])])
        learned = np.zeros(len(dialogue.token_ids), dtype=bool)
        for begin, end in dialogue.turn_ends:
            learned[begin:end] = True
        return ids.tolist() == dialogue.token_ids and np.array_equal(mask, learned)

    def _row(self, question: Question, number: str, sample: Sample, dialogue: SampledDialogue) -> DatasetRow:
        raw = question.raw
        return DatasetRow(
            id=f"{raw.id}/{raw.environment}/{number}",
            messages=tuple(dialogue.messages),
            source=raw.environment,
            domain=raw.domain,
            language=raw.language,
            licence=self._settings.licence,
            stage=self._stage,
            reward=sample.value,
            num_tokens=sum(end - begin for begin, end in dialogue.turn_ends),
            prompt_id=raw.id,
            tools=dialogue.tools,
        )


def example_of(raw: RawPrompt, sample: Sample) -> Example:
    """Return a trajectory as the filters see it: all that its policy thought, and its last turn."""
    turns: list[dict[str, Any]] = [m for each in sample.dialogues for m in each.messages if "written" in m]
    *_, last = turns or [{"content": ""}]
    return Example(
        prompt=text_of(raw),
        reasoning="\n\n".join(turn["reasoning_content"] for turn in turns if "reasoning_content" in turn),
        summary=last["content"] or last.get("tool_calls", ""),
        language=raw.language,
        response=sample.text,
        is_cut=sample.is_truncated,
        num_tokens=sample.num_tokens,
    )


def _has_empty_turn(row: DatasetRow) -> bool:
    return any("written" in each and not each["content"] and "tool_calls" not in each for each in row.messages)
