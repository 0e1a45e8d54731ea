"""Messages between processes: with descriptors over the control socket, and as lines of JSON between children."""

from __future__ import annotations

import array
import errno
import json
import os
import socket
from typing import Any

Job = dict[str, Any]
"""A message: a job, its reply, a request."""
json_dumps, json_loads = json.dumps, json.loads  # a program cannot replace these


def send(control: socket.socket, message: Job, descriptors: list[int]) -> None:
    """Send one message with descriptors."""
    data = json.dumps(message).encode()
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    control.sendmsg([data], ancillary)


def receive(control: socket.socket) -> tuple[Job, list[int]] | None:
    """Return the next message with its descriptors; None if the other side is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 64)
    except OSError as error:
        if error.errno in (errno.ECONNRESET, errno.EPIPE):
            return None
        raise
    if not data:
        return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return json.loads(data), list(descriptors)


def read_all(descriptor: int) -> bytes:
    """Read everything from a descriptor and close it."""
    with os.fdopen(descriptor, "rb", closefd=True) as source:
        return source.read()


def read_at(folder: int, path: str) -> str:
    """Return the text of a file below an open folder."""
    return read_all(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)).decode()


def write_at(folder: int, path: str, text: str) -> None:
    """Write to a file below an open folder."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


class Channel:
    """Lines of JSON of bounded length over two descriptors."""

    MAX_LINE = 1 << 24

    def __init__(self, read: int | None, write: int) -> None:
        self._read, self._write = read, write
        self._buffer = b""

    def send(self, message: Job) -> None:
        data = (json_dumps(message) + "\n").encode()
        while data:
            data = data[os.write(self._write, data) :]

    def receive(self) -> Job | None:
        """Return the next line; None if the other side is gone. Raises ValueError if the line is no JSON object."""
        assert self._read is not None
        while b"\n" not in self._buffer:
            if len(self._buffer) > self.MAX_LINE:
                raise ValueError("a line without an end")
            data = os.read(self._read, 1 << 16)
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        message = json_loads(line)
        if not isinstance(message, dict):
            raise ValueError("no object")
        return message
