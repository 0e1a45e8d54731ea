"""The questions of this example as a taskset of verifiers (0.4), run by its own command: see launch/README.md.

vf-eval sum-taskset --env.taskset.question "What is 37*82+15?" ...
"""

import math
import re

import verifiers.v1 as vf

__all__ = ["SumTaskset"]


class SumData(vf.TaskData):
    """A question with its answer."""

    answer: int


class SumTask(vf.Task[SumData]):
    """Task that rewards the right number at the end of the last reply."""

    @vf.reward(weight=1.0)  # type: ignore[untyped-decorator]
    async def right(self, trace: vf.Trace) -> float:
        """Return 1 for the right number, otherwise 0."""
        return float(re.findall(r"\d+", trace.last_reply or "")[-1:] == [str(self.data.answer)])


class SumConfig(vf.TasksetConfig):
    """Configuration of the taskset, which has one task."""

    question: str = "What is 37*82+15?"


class SumTaskset(vf.Taskset[SumTask, SumConfig]):
    """Taskset with the one task of a question."""

    def load(self) -> list[SumTask]:
        """Return the task."""
        terms = re.findall(r"[\d*]+", self.config.question)
        answer = sum(math.prod(map(int, term.split("*"))) for term in terms)
        return [SumTask(SumData(prompt=self.config.question, answer=answer), self.config.task)]
