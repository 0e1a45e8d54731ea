"""Chromium, driven by Playwright: pages of reports are opened in it as a reader opens them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from tests.tools import path_of

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-dev-shm-usage"),
)
WAIT_MS = 30_000
"""For machines that do much else."""
SERIOUS = ("serious", "critical")


@dataclass
class Opened:
    """A page, with what it said and asked for since it was opened."""

    page: Any
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def drawn_ms(self) -> int:
        """Time until everything was drawn."""
        return int(self.page.evaluate("document.documentElement.dataset.drawn"))

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def texts(self, selector: str) -> list[str]:
        return list(self.page.locator(selector).all_inner_texts())

    def told(self, wanted: str) -> None:
        """Wait until the line above the list of rollouts has a text."""
        self.page.wait_for_function(
            "wanted => document.querySelector('#rollouts [role=status]').textContent.includes(wanted)", arg=wanted
        )

    def faults(self) -> list[str]:
        """Return what axe-core finds that keeps somebody from reading the page."""
        self.page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text())
        found = self.page.evaluate("axe.run()")["violations"]
        return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in SERIOUS]


@contextmanager
def browser() -> Iterator[Any]:
    """Yield a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path_of("chromium"), args=list(FLAGS))
        yield launched
        launched.close()


@contextmanager
def opened(launched: Any, address: str, *, width: int = 1280, scheme: str = "light") -> Iterator[Opened]:
    """Yield a page once everything in it is drawn; one of a file has no network."""
    context = launched.new_context(
        offline=address.startswith("file:"), color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    context.set_default_timeout(WAIT_MS)
    found = Opened(context.new_page())
    found.page.on("console", lambda message: found.messages.append(message.text))
    found.page.on("pageerror", lambda error: found.messages.append(str(error)))
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.goto(address)
    assert found.messages == []  # a page with a broken script is never drawn
    found.page.wait_for_selector("html[data-drawn]")
    yield found
    context.close()
