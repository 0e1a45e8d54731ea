"""Forwarder of connections from an isolated agent to the endpoint, and to nothing else.

agent -- 127.0.0.1 of its own network --> listening socket, accepted here --> the endpoint
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

PIECE = 1 << 16


class Forwarder:
    """Forwards each connection of a listening socket to one address."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._tasks: set[asyncio.Task[None]] = set()

    def accept_from(self, listener: socket.socket) -> None:
        """Begin to accept connections."""
        listener.setblocking(False)
        self._add(asyncio.create_task(self._serve(listener)))

    async def close(self) -> None:
        """Close all connections, and stop accepting."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _serve(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._accept, sock=listener)
        async with server:
            await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._add(task)
        to_close = [writer]
        try:
            with contextlib.suppress(OSError):
                answers, requests = await asyncio.open_connection(self._host, self._port)
                to_close.append(requests)
                await _carry(reader, requests, answers, writer)
        finally:
            for each in to_close:
                each.close()

    def _add(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _carry(
    reader: asyncio.StreamReader,
    requests: asyncio.StreamWriter,
    answers: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Forward data until either end has closed; the other end is then closed, too."""
    ways = [asyncio.create_task(_copy(reader, requests)), asyncio.create_task(_copy(answers, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(PIECE):
            target.write(piece)
            await target.drain()
