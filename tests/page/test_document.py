from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from r1ray.page import document
from r1ray.page.document import page, sources

VENDOR = Path(document.__file__).parent / "vendor" / "echarts"


def test_only_the_pages_own_scripts_may_run() -> None:
    text = page("<b>a & b\ud800</b>", data="", groups="", is_served=False)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in scripts]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert f"script-src {' '.join(hashes)};" in policy
    assert policy.startswith("default-src 'none'") and policy.endswith("connect-src 'none'")
    assert "<title>&lt;b&gt;a &amp; b?&lt;/b&gt;</title>" in text
    assert len(scripts) == 2


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    _, script, style = sources()
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", script + style)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|DOMParser", script)


def test_a_served_page_may_ask_its_server() -> None:
    assert "connect-src 'self'" in page("a", data="", groups="", is_served=True)


def test_the_charts_library_is_as_it_was_released() -> None:
    """ECharts 6.1.0 from npm, with what its licence wants beside it."""
    for line in (VENDOR / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
    assert "6.1.0" in (VENDOR / "README.md").read_text()
    assert 'version="6.1.0"' in (VENDOR / "echarts.min.js").read_text()


def test_files_of_the_page_are_short() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in VENDOR.parents[1].glob("assets/*.js")}
    assert max(lines.values()) <= 200, lines
