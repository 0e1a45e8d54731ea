"""The page as one HTML file. Everything that a run or a model wrote is in it as base64: no text of theirs is HTML.

The Content-Security-Policy lets the page's own scripts run, by their hashes, and nothing else: no other script, no
picture, no request.
"""

from __future__ import annotations

import base64
import hashlib
import html
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = HERE / "vendor" / "echarts" / "echarts.min.js"
SCRIPTS = (
    *("elements", "lines", "charts", "chart_sections", "timeline", "tables", "diagnosis"),
    *("static_rollouts", "served_rollouts"),
    *("filters", "rollout_list", "tokens", "group", "main"),
)
"""Files of ``assets/``, in the order in which they are run."""
SELF, NOTHING = "'self'", "'none'"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header id="top"><h1>{title}</h1></header>
<main id="page"><p id="loading">The page is being drawn. It needs JavaScript.</p></main>
<script type="application/octet-stream" id="data">{data}</script>
<script type="application/octet-stream" id="groups">{groups}</script>
<script>{library}</script>
<script>{script}</script>
</body>
</html>
"""


def page(title: str, *, data: str, groups: str, is_served: bool) -> str:
    """Return the HTML of a page.

    Args:
        title: any text.
        data: of the page, see :func:`r1ray.page.packing.packed`.
        groups: rollouts, see :func:`r1ray.page.sample.pack`; empty where the page asks the server for them.
        is_served: the page may ask the server that it came from.
    """
    library, script, style = sources()
    scripts = " ".join(f"'sha256-{_hash(text)}'" for text in (library, script))
    policy = f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    policy += f"form-action 'none'; connect-src {SELF if is_served else NOTHING}"
    return PAGE.format(
        policy=policy,
        title=html.escape(title.encode(errors="replace").decode()),
        style=style,
        data=data,
        groups=groups,
        library=library,
        script=script,
    )


@cache
def sources() -> tuple[str, str, str]:
    """Return the charts' library, the page's script and its style."""
    library = LIBRARY.read_text(encoding="utf-8").replace("</script", "<\\/script")
    files = [HERE / "assets" / f"{name}.js" for name in SCRIPTS]
    script = "\n".join(["'use strict';", *(file.read_text(encoding="utf-8") for file in files)])
    return library, script, (HERE / "assets" / "page.css").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
