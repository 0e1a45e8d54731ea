"""Questions in two languages and their worked solutions. The expressions and the held-out ones are those of the running
total, in either language."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.examples.bilingual_total.phrases import PHRASES, Language
from r1ray.examples.running_total.task import Expression, Split, sample_expression

__all__ = ["Expression", "Split", "asked", "boxed", "prompt_of", "sample_expression", "steps_of", "worked"]


def asked(question: str) -> str:
    """Return a prompt in the form that the base model knows."""
    return f"User:{question}\nAssistant:"


def prompt_of(expression: Expression, language: Language) -> str:
    """Return the question in one language.

    >>> prompt_of(Expression(24, (4, -5)), "en")
    'User:find 24a+4b-5\\nAssistant:'
    """
    return asked(PHRASES[language].ask + expression.text)


def steps_of(expression: Expression, languages: Sequence[Language]) -> list[str]:
    """Return the right steps, one for each operand, each in its own language."""
    return [
        f"{step}{PHRASES[language].result(operand)}{total}"
        for step, operand, total, language in zip(
            expression.steps, expression.operands, expression.totals, languages, strict=True
        )
    ]


def worked(expression: Expression, languages: Language | Sequence[Language]) -> str:
    """Return the right solution in one language, or in one language for each step.

    >>> worked(Expression(24, (4, -5)), "en"), worked(Expression(24, (4, -5)), ["en", "zh"])
    ('24a+4 makes 28b-5 leaves 23', '24a+4 makes 28b-5剩23')
    """
    each = [languages] * len(expression.operands) if isinstance(languages, str) else languages
    return f"{expression.start}{''.join(steps_of(expression, each))}"


def boxed(answer: int) -> str:
    """Return the answer in the form that is read after the reasoning."""
    return f"\\boxed{{{answer}}}"
