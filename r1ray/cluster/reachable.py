"""A question to a Ray cluster, to see if it answers, without Ray, which would try for minutes."""

from __future__ import annotations

import os
import socket

SETTINGS = 4
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, SETTINGS, 0, 0, 0, 0, 0))
"""With what a gRPC client begins: HTTP/2's preface and a frame of settings. A server's first frame is one too."""


def why_unreachable(address: str, *, timeout_s: float) -> str | None:
    """Why no Ray answers at ``HOST:PORT``, with or without ``ray://``, where Ray itself would try for minutes; None
    where one does, and for an address without a port."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host.startswith(("http://", "https://")):
        return "that is a job server, to which `r1ray submit` sends runs"
    if not port.isdigit():
        return None
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s) as server:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return None
            server.sendall(HELLO)
            is_grpc = server.recv(4, socket.MSG_WAITALL)[3:] == bytes((SETTINGS,))
    except TimeoutError:
        return f"no Ray answers there within {timeout_s:g} s"
    except OSError as error:
        return f"no Ray answers there: {error}"
    return None if is_grpc else "what answers there is not Ray"
