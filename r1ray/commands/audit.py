"""``r1ray audit``: what would a reward pay for nothing?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from r1ray.commands.arguments import Parser
from r1ray.commands.compose import compose
from r1ray.commands.unnamed import with_unnamed
from r1ray.config import RunConfig
from r1ray.config.keys import sections_of
from r1ray.runtime.exit_codes import DONE, NOT_RIGHT

if TYPE_CHECKING:
    from r1ray.reward.audit.examine import Audit, Payment

MAX_SHOWN = 72
"""Characters of a response; its end says most."""


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    made = Parser(
        "audit",
        "Put responses that are wrong by construction to a reward, and show what they would be paid. They are made\n"
        "for prompts of data.train, or for built-in ones. If any is paid for nothing, the command ends with 1.",
        usage="[reward=NAME] [data.train=FILE] [the overrides of a run]",
        examples="""
            r1ray audit reward=r1_zero
            r1ray audit data.train=train.jsonl '+reward.parts.short={weight: 0.2, function: "my_rewards:short"}'
        """,
        sections=lambda: sections_of(RunConfig, first=("audit", "reward")),
    )
    made.flags.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    return made


def command(arguments: Sequence[str]) -> int:
    """Audit the reward of each stage that trains by it; returns 1 if a wrong response is paid for nothing."""
    given = parser().read(arguments)
    configs = with_unnamed(given.words, partial(_configs, config_dir=given.config_dir))
    from r1ray.stages.audit import audit

    audits = {name: audit(config) for name, config in configs.items()}
    if given.json:
        print(json.dumps([_as_json(name, each) for name, each in audits.items()], indent=2, ensure_ascii=False))
    else:
        print("\n\n".join("\n".join(_lines(name, configs[name], each)) for name, each in audits.items()))
    return NOT_RIGHT if any(each.payments for each in audits.values()) else DONE


def _configs(overrides: list[str], *, config_dir: str | None) -> dict[str, RunConfig]:
    """Return the configurations of the stages whose rewards are looked at, by their names."""
    config = compose(overrides, config_dir=config_dir)
    from r1ray.recipes import configs_by_name, stages_of
    from r1ray.stages.audit import audited

    return audited(configs_by_name(config, stages_of(config)))


def _lines(name: str, config: RunConfig, audit: Audit) -> list[str]:
    """Return the report of one stage."""
    from r1ray.stages.audit import has_own_prompts

    weights = ", ".join(f"{part} {each.weight:g}" for part, each in config.reward.parts.items())
    source = str(config.data.train) if has_own_prompts(config) else "built in"
    lines = [
        f"{f'{name}: ' if name else ''}reward {weights}",
        f"{audit.num_responses} wrong responses to {audit.num_prompts} prompts ({source}), "
        f"audit.seed={config.audit.seed}",
    ]
    lines += _table([_row(each) for each in audit.payments.values()]) if audit.payments else []
    lines += [f"not scored, or by one part less: {count} x {reason}" for reason, count in audit.failures.most_common()]
    lines.append(f"form alone is paid at most {audit.form_share:.0%} of what a right response is paid")
    kinds = list(dict.fromkeys(each.kind for each in audit.payments.values()))
    lines.append(f"paid for nothing: {len(kinds)} kinds ({'; '.join(kinds)})" if kinds else "paid for nothing: none")
    return lines


def _row(payment: Payment) -> tuple[str, ...]:
    shown = repr(payment.response[-MAX_SHOWN:])
    shown = shown if len(payment.response) <= MAX_SHOWN else f"...{shown}"
    counted, pays = str(payment.num_responses), f"{payment.highest:.3g}"
    return payment.kind, payment.part, counted, pays, f"{payment.prompt.id} {_reference(payment)}", shown


def _reference(payment: Payment) -> str:
    from r1ray.reward.audit.battery import right_answer

    answer = right_answer(payment.prompt)
    return "" if answer is None else f"({answer[:30]})"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    cells = [("kind", "part", "responses", "pays", "prompt (reference)", "response"), *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _as_json(name: str, audit: Audit) -> dict[str, Any]:
    return {
        "stage": name,
        "prompts": audit.num_prompts,
        "responses": audit.num_responses,
        "form_share": audit.form_share,
        "failures": dict(audit.failures),
        "paid": [
            {
                "kind": each.kind,
                "part": each.part,
                "responses": each.num_responses,
                "pays": each.highest,
                "prompt": each.prompt.id,
                "response": each.response,
            }
            for each in audit.payments.values()
        ],
    }
