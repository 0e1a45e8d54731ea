"""The view of a run on a terminal: where it is, what it waits for, its metrics, its actors, and one sample.

Live, waits of this process, status files of the actors --view_of--> rows for a terminal of any size
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from r1ray.runtime import activity
from r1ray.runtime.actor_status import ActorStatus, read_actors, status_of
from r1ray.runtime.advance import Advance, under_way
from r1ray.runtime.harmless import harmless
from r1ray.runtime.run_files import LOGS
from r1ray.telemetry.live import RECENT, Live, clock
from r1ray.telemetry.metrics import reward_parts

MOST_ROWS = 24
MOST_EACH = 2
"""Actors of one role that have a row each; more share one."""
SAMPLE_ROWS = 4
METRICS = (
    ("completion/length_mean", "length", ".1f"),
    ("group/uniform_rate", "uniform groups", ".0%"),
    ("entropy", "entropy", ".3g"),
    ("kl/ref", "KL", ".3g"),
    ("teacher/kl", "KL to teacher", ".3g"),
    ("staleness/mean", "staleness", ".2g"),
    ("mismatch/kl", "mismatch", ".2g"),
    ("loss/total", "loss", ".4f"),
    ("throughput/generated_tokens_per_s", "tokens/s", ".0f"),
    ("throughput/trained_tokens_per_s", "trained tokens/s", ".0f"),
)
"""Name in metrics.jsonl, name for people, format."""


def view_of(live: Live, width: int, height: int) -> list[str]:
    """Return the rows of the view, none wider than ``width``. What matters less is left out where there is no room."""
    actors = [status_of(told) for told in read_actors(live.run_dir / LOGS)]
    parts = [
        [Text("-" * width, "dim")],
        heading(live, width),
        [row for advance in under_way() for row in bar(advance, width)],
        flow([Text(item) for item in metrics(live)], width),
        waits(activity.current(), now=time.time()),
        [Text(line, "dim") for line in _sample(live, height)],
        actor_rows(actors),
    ]
    rows = [row for part in parts for row in part][: min(height, MOST_ROWS)]
    return painted(rows, width)


def view_of_work(begun: float, width: int, height: int) -> list[str]:
    """Return the rows of a command that is no run: how long it has gone on, what is under way, and what it waits for.

    Args:
        begun: of the monotonic clock.
    """
    rows = [
        Text("-" * width, "dim"),
        Text(f"{clock(time.monotonic() - begun)} elapsed"),
        *(row for advance in under_way() for row in bar(advance, width)),
        *waits(activity.current(), now=time.time()),
    ]
    return painted(rows[:height], width)


def heading(live: Live, width: int) -> list[Text]:
    """Return the name of the run, its stage, and how far it is."""
    now = time.monotonic()
    items = [Text(harmless(live.run_dir.name), "bold"), Text(f"stage {live.stage or 'not begun'}")]
    step = live.row.get("step")
    if step is not None:
        items.append(Text(f"step {step:.0f}" + (f"/{live.num_steps}" if live.num_steps else "")))
    items.append(Text(f"{clock(now - live.begun)} elapsed"))
    if live.left:
        items.append(Text(f"{live.left} left"))
    return flow(items, width)


def bar(advance: Advance, width: int) -> list[Text]:
    """Return work that is under way, as a bar where there is room for one."""
    share = min(1.0, advance.done / advance.total) if advance.total else 1.0
    seconds = time.monotonic() - advance.begun
    left = f", {clock(seconds / share * (1 - share))} left" if 0 < share < 1 and seconds > 1 else ""
    text = f"{harmless(advance.what)} {share:.0%}{left}"
    room = min(30, width - len(text) - 3)
    return [Text(f"[{'#' * round(share * room):.<{room}}] {text}" if room >= 8 else text)]


def metrics(live: Live) -> list[str]:
    """Return the metrics of the last step, each with its name."""
    row, items = live.row, []
    if "reward/mean" in row:
        items.append(f"reward {row['reward/mean']:.3f} (mean of {RECENT}: {live.rewards.mean or 0.0:.3f})")
    items += [f"{harmless(name.removeprefix('reward/'))} {row[name]:.3f}" for name in reward_parts(row)]
    tested = {name: value for name, value in live.tested.items() if name.endswith("pass@1")}
    items += [f"{harmless(name.removeprefix('eval/'))} {value:.3f}" for name, value in sorted(tested.items())[:4]]
    items += [f"{label} {row[name]:{form}}" for name, label, form in METRICS if math.isfinite(row.get(name, math.nan))]
    return items


def waits(doing: activity.Doing, *, now: float) -> list[Text]:
    """Return what the driver waits for."""
    if doing.waits_for == activity.IDLE:
        return []
    return [Text(f"waits for {harmless(doing.waits_for)} ({clock(max(0.0, now - doing.since))})")]


def actor_rows(actors: Sequence[ActorStatus]) -> list[Text]:
    """Return the actors: those that are not running, and of each role a few, or one row for all of them."""
    rows: list[Text] = []
    for role, found in groupby(actors, key=lambda actor: actor.role):
        members = list(found)
        odd = [each for each in members if each.state != "running"]
        well = [each for each in members if each.state == "running"]
        rows += [Text(_actor(each), "bold red") for each in odd[:MOST_EACH]]
        if len(odd) > MOST_EACH:
            rows.append(Text(f"{role}: {len(odd) - MOST_EACH} more are not running", "bold red"))
        if len(well) <= MOST_EACH:
            rows += [Text(_actor(each)) for each in well]
        else:
            longest = max(well, key=lambda each: each.since_s)
            rows.append(Text(f"{role}: {len(well)} running; the longest: {longest.index} {_wait(longest)}"))
    return rows


def flow(items: Sequence[Text], width: int) -> list[Text]:
    """Return items in rows, two spaces between them; an item is never broken."""
    rows: list[Text] = []
    for item in items:
        if rows and rows[-1].cell_len + 2 + item.cell_len <= width:
            rows[-1] = Text.assemble(rows[-1], "  ", item)
        else:
            rows.append(item)
    return rows


def painted(rows: Sequence[Text], width: int) -> list[str]:
    """Return rows as a terminal shows them, cut to the width; in colours unless NO_COLOR forbids it."""
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=True, width=width, color_system="standard", highlight=False, markup=False, emoji=False
    )
    for row in rows:
        console.print(row, no_wrap=True, overflow="ellipsis", crop=True)
    return out.getvalue().splitlines()


def _sample(live: Live, height: int) -> list[str]:
    lines = [line for line in harmless(live.sample).expandtabs(4).splitlines() if line.strip()]
    return lines[: min(SAMPLE_ROWS, max(0, height - 10))]


def _actor(actor: ActorStatus) -> str:
    if actor.state == "running":
        return f"{actor.role} {actor.index} {_wait(actor)}"
    last_error = f"; {actor.last_error}" if actor.last_error else ""
    return harmless(f"{actor.role} {actor.index}: {actor.state}{last_error}")


def _wait(actor: ActorStatus) -> str:
    if actor.waits_for == activity.IDLE:
        return f"is idle ({clock(actor.since_s)})"
    return harmless(f"waits for {actor.waits_for} ({clock(actor.since_s)})")
