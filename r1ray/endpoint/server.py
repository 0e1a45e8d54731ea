"""Server of chat completions in a process: a key for each trajectory, two paths, nothing else.

    Endpoint.open(line) -> Access          POST /v1/chat/completions, GET /v1/models  <-- an agent, by its key
    Endpoint.close(access)                 chat_call(body) --Line.answer--> Answer

It listens on one address of its node, starting when the first key is opened. A call is cancelled if its client
disconnects; a call without a valid key gets no information.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from r1ray.endpoint.answers import Answer
from r1ray.endpoint.chat_call import MODEL, ChatCall, chat_call
from r1ray.endpoint.refusals import Refused
from r1ray.errors import InfrastructureError
from r1ray.turns import Access

logger = logging.getLogger(__name__)
MAX_BODY_BYTES = 8 * 2**20
MAX_CONNECTIONS = 4096
KEEP_ALIVE_S = 75.0
"""Timeout of idle connections, longer than that of clients, so that the server never closes one as a call begins."""
STARTED_POLL_S = 0.005
PATIENCE, PAUSE_S = 64, 0.5
"""Number of refusals of a key after which further ones are delayed, and the delay in seconds. Refusals without a key
are always delayed. A client in a loop thus costs its group worker almost nothing."""


class Line(Protocol):
    """The policy behind a key."""

    async def answer(self, call: ChatCall) -> Answer:
        """Return a turn. Raises Refused. Cancelled if the client disconnects."""
        ...

    def note_refusal(self, code: str) -> None:
        """Count a call that did not get a turn."""
        ...


class Endpoint:
    """The server and its keys."""

    def __init__(self, address: str) -> None:
        """``address``: address of this node at which agents reach it."""
        self._address = address
        self._lines: dict[str, Line] = {}
        self._num_refused: Counter[Line] = Counter()
        self._failures: set[type[Exception]] = set()
        self._starting = asyncio.Lock()
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._port = 0

    async def open(self, line: Line) -> Access:
        """Return an agent's access to a line. Raises InfrastructureError if the address is not available."""
        async with self._starting:
            if self._server is None or self._serving is None or self._serving.done():
                self._server = await self._started()
        key = f"r1ray-{secrets.token_urlsafe(24)}"
        self._lines[key] = line
        host = f"[{self._address}]" if ":" in self._address else self._address
        return Access(base_url=f"http://{host}:{self._port}/v1", api_key=key, model=MODEL)

    def close(self, access: Access) -> None:
        """Invalidate a key. Its calls under way are still answered."""
        if (line := self._lines.pop(access.api_key, None)) is not None:
            del self._num_refused[line]

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = self._server.force_exit = True
            await self._serving

    async def _started(self) -> _Server:
        listening = _listening(self._address)
        self._port = listening.getsockname()[1]
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
        ]
        application = Starlette(routes=routes, exception_handlers={HTTPException: _no_path})
        application.router.redirect_slashes = False
        server = _Server(
            uvicorn.Config(
                application,
                log_config=None,
                log_level="error",  # invalid requests of clients are not logged
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="off",
                ws="none",
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=int(KEEP_ALIVE_S),
            )
        )
        self._serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not self._serving.done():
            await asyncio.sleep(STARTED_POLL_S)
        if self._serving.done():
            self._serving.result()
        return server

    # ------------------------------------------------------------------ the two paths

    async def _models(self, request: Request) -> Response:
        try:
            self._line(request)
        except Refused as refused:
            return await self._refused(refused, None)
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "r1ray"}
        return _response(200, {"object": "list", "data": [model]})

    async def _chat(self, request: Request) -> Response:
        line: Line | None = None
        try:
            line = self._line(request)
            call = chat_call(await _body(request))
            answer = await _unless_gone(request, line, call)
        except Refused as refused:
            return await self._refused(refused, line)
        except (ClientDisconnect, asyncio.CancelledError):  # the client has disconnected, or this process ends
            return Response(status_code=499)
        except Exception as error:
            if type(error) not in self._failures:
                self._failures.add(type(error))
                logger.exception("a call of an agent's failed")
            sentence = "The call failed; the log of the run says why."
            return await self._refused(Refused(500, "internal_error", sentence), line)
        if call.streams:
            return Response(b"".join(answer.chunks(wants_usage=call.wants_usage)), media_type="text/event-stream")
        return Response(answer.whole(), media_type="application/json")

    async def _refused(self, refused: Refused, line: Line | None) -> Response:
        """Return the response for a refusal. The refusal is counted, and delayed for clients that have had many."""
        if line is not None:
            line.note_refusal(refused.code)
            self._num_refused[line] += 1
        if line is None or self._num_refused[line] > PATIENCE:
            await asyncio.sleep(PAUSE_S)
        return _response(refused.status, refused.body, refused.headers)

    def _line(self, request: Request) -> Line:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        line = self._lines.get(key.strip()) if scheme.lower() == "bearer" else None
        if line is None:
            raise Refused(401, "invalid_api_key", "The key is unknown, or its trajectory has ended.")
        return line


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the process's signals alone, and leaves nothing open when cancelled."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            for connection in list(self.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            for each in (*getattr(self, "servers", ()), *(sockets or ())):
                each.close()


def _listening(address: str) -> socket.socket:
    """Return a socket on a free port. The socket has an explicit protocol, because without one asyncio would delay each
    answer until the client has acknowledged the previous one, 40 ms later."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.bind((address, 0))
    except OSError as error:
        listening.close()
        raise InfrastructureError(
            f"the chat completions for agents cannot listen on {address}, the address of this node as Ray knows it: "
            f"{error.strerror}"
        ) from error
    return listening


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise Refused(413, "too_large", f"The body has more than {MAX_BODY_BYTES} bytes.")
    return bytes(body)


async def _unless_gone(request: Request, line: Line, call: ChatCall) -> Answer:
    """Return the answer to a call. Raises ClientDisconnect if the client disconnects first."""
    answering = asyncio.create_task(line.answer(call))
    watching = asyncio.create_task(_until_gone(request))
    try:
        await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            with suppress(asyncio.CancelledError):
                await answering
            raise ClientDisconnect
        return answering.result()
    finally:
        answering.cancel()
        watching.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _no_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = f"{request.method} {request.url.path}: there are POST /v1/chat/completions and GET /v1/models."
    refused = Refused(error.status_code, "not_found" if error.status_code == 404 else "not_allowed", sentence)
    return _response(refused.status, refused.body, refused.headers)


def _response(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, media_type="application/json")
