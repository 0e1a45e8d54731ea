"""The page in a browser: opens, is looked through by mouse and keyboard, and can be read by everyone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from r1ray.page.report import read_runs, write_report
from tests.page.browser import Opened, browser, opened
from tests.page.planted import HOSTILE, plant, plant_turns

pytestmark = pytest.mark.needs("chromium", "playwright")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, and the page of both."""
    folder = tmp_path_factory.mktemp("runs")
    plant(folder / "one", num_steps=10)
    plant_turns(folder / "two")
    write_report(read_runs([folder / "one", folder / "two"]), folder / "both.html")
    return folder


@pytest.fixture(scope="module")
def launched() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def both(launched: Any, folder: Path) -> Iterator[Opened]:
    with opened(launched, f"file://{folder}/both.html") as found:
        yield found
        assert found.messages == []
        assert found.page.title() == "r1ray: one, two"


@pytest.fixture
def fresh(both: Opened) -> Opened:
    """The page with no filter set."""
    both.page.click("text=Clear")
    both.told(f"1 to 25 of {both.text('#rollouts > p').split()[1]} rollouts")
    return both


def test_it_opens_without_a_message_and_asks_for_nothing_but_itself(both: Opened, folder: Path) -> None:
    assert both.messages == []
    assert both.requests == [f"file://{folder}/both.html"]


def test_runs_differ_by_dash_as_well_as_by_colour_and_can_be_hidden(both: Opened) -> None:
    look = "[...document.querySelectorAll('.chart canvas')].map(canvas => canvas.closest('.chart'))[0]"
    series = f"echarts.getInstanceByDom({look}).getOption().series.filter(each => each.type === 'line')"
    styles = both.page.evaluate(f"{series}.map(each => [String(each.lineStyle.type), each.lineStyle.color])")
    assert len({dash for dash, _ in styles}) == len({color for _, color in styles}) == 2
    both.page.uncheck(".legend input >> nth=0")
    assert both.page.evaluate(f"{series}.map(each => each.name)") == ["two"]
    both.page.check(".legend input >> nth=0")


def test_kinds_of_work_look_unlike_each_other_and_commands_that_went_on_are_told(both: Opened) -> None:
    look = "mark => [mark.className, getComputedStyle(mark).backgroundColor].join()"
    marks = both.page.evaluate(f"[...document.querySelectorAll('#timeline figure:first-of-type .mark')].map({look})")
    assert len(marks) == len(set(marks)) == 7
    assert "the command before: killed" in both.text("#ledger")


def test_many_intervals_are_a_band(launched: Any, tmp_path: Path) -> None:
    run = plant(tmp_path / "often", num_steps=1)
    name = "eval/heldout/pass@1"
    lines = [{"step": step, name: 0.5, f"{name}_low": 0.4, f"{name}_high": 0.6} for step in range(60)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_report(read_runs([run]), run / "report.html")
    with opened(launched, f"file://{run}/report.html") as found:
        found.page.wait_for_selector(f"[data-metric='{name}'] canvas")
        drawn = f"echarts.getInstanceByDom(document.querySelector(\"[data-metric='{name}']\"))"
        shapes = "({shape}) => [shape?.points?.length, shape?.x1]"
        kinds = found.page.evaluate(f"{drawn}.getZr().storage.getDisplayList().map({shapes})")
        assert sum(points == 4 for points, _ in kinds) == 59
        assert found.messages == []


def test_a_chart_has_a_description_and_a_table_of_its_numbers(both: Opened) -> None:
    figure = both.page.locator("figure", has_text="eval/heldout/pass@1").first
    assert "one: from 0.2 at step 0 to 0.9 at step 10" in figure.locator("[role=img]").get_attribute("aria-label")
    figure.locator("summary").click()
    figure.locator("tbody").wait_for()
    assert "Healthy: pass@1 follows reward" in figure.locator("details p").first.inner_text()
    assert figure.locator("tbody tr").first.all_inner_texts() == ["0\t0.2\t0.2"]
    assert "algo.group_size" not in both.text("#runs") and "driver" in both.page.locator(".lanes").first.get_attribute(
        "aria-label"
    )


def test_filters_paging_and_ready_filters_show_other_rollouts(fresh: Opened) -> None:
    fresh.page.click("text=Next page")
    fresh.told("26 to 50 of")
    fresh.page.select_option("[name=domain]", "code")
    fresh.told("1 to 25 of")
    fresh.page.fill("[name=step_max]", "2")
    fresh.page.press("[name=step_max]", "Enter")
    fresh.told("1 to 5 of 5 rollouts")
    fresh.page.fill("[name=text]", "let me CHECK")
    fresh.page.click("text=Find")
    fresh.told("1 to 1 of 1 rollout")


@pytest.mark.parametrize(
    ("ready", "mark"),
    [
        ("mismatch", "mismatch 0.3"),
        ("suspected", "paid like the best"),
        ("phrases", "says wait"),
        ("dropped", "dropped: generation_failed"),
    ],
)
def test_ready_filters_mark_what_they_find(fresh: Opened, ready: str, mark: str) -> None:
    fresh.page.click(f"[data-ready={ready}]")
    fresh.page.wait_for_function(
        "mark => [...document.querySelectorAll('#rollouts tbody tr')].every(row => row.textContent.includes(mark))",
        arg=mark,
    )
    assert fresh.page.get_attribute(f"[data-ready={ready}]", "aria-pressed") == "true"


def test_the_keyboard_opens_a_group_and_comes_back(fresh: Opened) -> None:
    fresh.page.focus("#rollouts .open >> nth=1")
    fresh.page.keyboard.press("Enter")
    fresh.page.wait_for_selector("#group-title:focus")
    assert [text[:12] for text in fresh.texts(".card h4")] == [f"Trajectory {number}" for number in range(4)]
    fresh.page.keyboard.press("Tab")
    fresh.page.keyboard.press("Enter")
    assert fresh.page.evaluate("document.activeElement === document.querySelectorAll('#rollouts .open')[1]")
    assert fresh.page.locator("#group-title").count() == 0


def test_what_a_model_wrote_is_text_and_does_nothing(fresh: Opened) -> None:
    fresh.page.click("#rollouts .open >> nth=0")
    shown = fresh.page.locator(".card .text").first.text_content()
    assert re.sub(r"version [01]", "", shown) == HOSTILE
    assert fresh.page.locator(".card img, .card b, .card script").count() == 0
    assert fresh.page.title() == "r1ray: one, two"


def test_tokens_are_shaded_turns_named_and_versions_marked(fresh: Opened) -> None:
    fresh.page.select_option("[name=environment]", "calculator") if fresh.page.locator(
        "[name=environment]"
    ).count() else None
    fresh.page.fill("[name=text]", "multiply with the tool")
    fresh.page.press("[name=text]", "Enter")
    fresh.told("1 to 1 of 1 rollout")
    fresh.page.click("#rollouts .open")
    assert fresh.texts(".card h5") == ["assistant", "tool calculator", "assistant"]
    assert "3 of 4 run passed, 5 in all" in fresh.text(".card dl")
    assert fresh.page.get_attribute(".card .lower >> nth=0", "title") == "learner - engine: -0.21 nats"
    assert "version 1" in fresh.texts(".card .version")
    fresh.page.uncheck("text=Shade tokens")
    assert fresh.page.locator(".card .lower").count() == 0


def test_the_diagnosis_says_what_is_wrong_and_its_example_is_text(launched: Any, tmp_path: Path, both: Opened) -> None:
    assert both.text("#diagnosis p") == "Nothing that the rules know is wrong."
    run = plant(tmp_path / "stuck", num_steps=1)
    lines = [{"step": step, "time/step_s": 1.0, "reward/mean": 1.0, "group/uniform_rate": 1.0} for step in range(1, 7)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_report(read_runs([run]), run / "report.html")
    with opened(launched, f"file://{run}/report.html", width=400) as found:
        assert "100% of the groups of the last 5 steps have equal rewards" in found.text("#diagnosis strong")
        assert "algo.group_size (now 4)" in found.text("#diagnosis li > p")
        assert "<b onmouseover=" in found.text("#diagnosis .example")
        assert found.page.locator("#diagnosis img, #diagnosis b, #diagnosis script").count() == 0
        assert (found.page.title(), found.overflow) == ("r1ray: stuck", 0)


VARIANTS = [
    (1280, "light"),
    (400, "dark"),
    pytest.param(1280, "dark", marks=pytest.mark.long),
    pytest.param(400, "light", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("width", "scheme"), VARIANTS)
def test_it_can_be_read_on_any_screen_and_axe_finds_nothing_serious(
    launched: Any, folder: Path, width: int, scheme: str
) -> None:
    with opened(launched, f"file://{folder}/both.html", width=width, scheme=scheme) as found:
        found.page.click("#rollouts .open >> nth=0")
        found.page.evaluate("document.querySelectorAll('details').forEach((each, at) => each.open = at < 3 || at > 20)")
        assert found.overflow == 0
        assert found.faults() == []
        assert found.messages == []


def test_the_served_page_looks_through_all_rollouts(launched: Any, folder: Path) -> None:
    command = [sys.executable, "-m", "r1ray", "report", str(folder / "one"), "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
            with opened(launched, address) as found:
                found.page.click("text=Next page")
                found.told("26 to 50 of")
                found.page.fill("[name=text]", "onerror=")
                found.page.press("[name=text]", "Enter")
                found.told("1 to 1 of 1 rollout")
                found.page.click("#rollouts .open")
                assert HOSTILE[:40] in found.page.locator(".card .text").first.text_content()
                assert found.messages == []
                assert {request.partition("?")[0].removeprefix(address) for request in found.requests} == {
                    *("", "api/choices", "api/rollouts", "api/scan", "api/group"),
                }
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)
    assert server.returncode == 130
