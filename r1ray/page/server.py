"""``r1ray report --serve``: the page, and the rollouts that it asks for, on this machine alone.

It answers four paths and reads no other file than those of the runs' folders that it was started with. A request whose
Host is not this machine's own name is refused: another site's page, whose name was made to point here, is no reader.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from r1ray.errors import UserError
from r1ray.page.document import page
from r1ray.page.folders import parts_of, rollout_files
from r1ray.page.packing import json_of, packed
from r1ray.page.query import read_query
from r1ray.page.report import data_of, read_runs, title_of
from r1ray.page.served import Served

ADDRESS, PORT = "127.0.0.1", 8642
HOSTS = ("127.0.0.1", "localhost")
"""With any port: one that ssh forwards has another number."""
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def serve(folders: Sequence[Path], *, told: Callable[[str], None]) -> None:
    """Serve the report of runs until the process is interrupted.

    Args:
        told: gets the address, once it is open.
    """
    application = application_of(folders)
    with _socket() as listening:
        told(f"http://{ADDRESS}:{listening.getsockname()[1]}/")
        config = uvicorn.Config(application, log_level="warning", access_log=False, server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


def application_of(folders: Sequence[Path]) -> Starlette:
    """Return the application that answers for runs. Raises UserError."""
    pages = Pages(folders)
    routes = [
        Route("/", pages.page),
        Route("/api/choices", pages.choices),
        Route("/api/rollouts", pages.rollouts),
        Route("/api/scan", pages.scan),
        Route("/api/group", pages.group),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_guarded)],
        exception_handlers={UserError: _mistake},
    )


class Pages:
    """The answers. A run may go on: its folder is looked at again whenever the page is loaded."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders, self._served = folders, Served(read_runs(folders))

    def page(self, request: Request) -> Response:
        parts = parts_of(self._folders)
        if rollout_files(parts) != self._served.runs.files or parts != self._served.runs.parts:
            self._served = Served(read_runs(self._folders))
        runs = self._served.runs
        data = packed(data_of(runs, num_sampled=None))
        return HTMLResponse(page(title_of(runs), data=data, groups="", is_served=True))

    def choices(self, request: Request) -> Response:
        return _json(json_of(self._served.choices()))

    def rollouts(self, request: Request) -> Response:
        return _json(json_of(self._served.page_of(read_query(request.query_params))))

    def scan(self, request: Request) -> Response:
        steps = self._served.prepare(read_query(request.query_params))
        return StreamingResponse(_lines(steps), media_type="application/x-ndjson")

    def group(self, request: Request) -> Response:
        row = request.query_params.get("id", "")
        if not row.isdecimal():
            raise UserError("no such rollout")
        return _json(json_of(self._served.group(int(row))))


async def _guarded(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse a request that names another host, and one for rollouts that another site's page made."""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    is_own = request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    if host not in HOSTS or not (is_own or request.url.path == "/"):  # a link from elsewhere may lead to the page
        return PlainTextResponse("This page is served to this machine alone.", status_code=403, headers=HEADERS)
    response = await answer(request)
    response.headers.update(HEADERS)
    return response


def _mistake(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}", status_code=400)


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")


def _lines(steps: Iterator[dict[str, int]]) -> Iterator[str]:
    for step in steps:
        yield json_of(step) + "\n"


def _socket() -> socket.socket:
    """Return a socket that listens at the port, or, where that is taken, at another that is free."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((ADDRESS, PORT))
    except OSError:
        listening.bind((ADDRESS, 0))
    listening.listen()
    return listening
