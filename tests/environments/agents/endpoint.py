"""An endpoint that answers from a script: chat completions in OpenAI's form, in one piece or as events."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from r1ray.turns import Access

KEY = "sk-secret-of-one-trajectory"
Reply = Callable[[list[dict[str, Any]]], str | dict[str, Any]]
"""Takes messages; returns the text of an answer, or a whole message."""


class Endpoint(ThreadingHTTPServer):
    """Serves a script, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, reply: Reply) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply, self.asked, self.num_refused = reply, list[dict[str, Any]](), 0

    @property
    def access(self) -> Access:
        return Access(base_url=f"http://127.0.0.1:{self.server_address[1]}/v1", api_key=KEY, model="policy")


@contextmanager
def serving(reply: Reply) -> Iterator[Endpoint]:
    """Serve a script meanwhile."""
    endpoint = Endpoint(reply)
    thread = threading.Thread(target=endpoint.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.shutdown()
        endpoint.server_close()
        thread.join()


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """Return a message that calls a tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": function}]}


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != f"Bearer {KEY}" or self.path != "/v1/chat/completions":
            self.server.num_refused += 1
            return self._answer(401, json.dumps({"error": {"message": "no such key", "type": "invalid_request_error"}}))
        self.server.asked.append(body)
        said = self.server.reply(body["messages"])
        message = {"role": "assistant", "content": said} if isinstance(said, str) else said
        why = "tool_calls" if message.get("tool_calls") else "stop"
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        head = {"id": "1", "created": 0, "model": "policy"}
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": why}
            whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            return self._answer(200, json.dumps(whole))
        calls = [{"index": index, **each} for index, each in enumerate(message.get("tool_calls") or [])]
        delta = {**message, **({"tool_calls": calls} if calls else {})}
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": why}]},
            {"choices": [], "usage": usage},
        ]
        lines = [json.dumps({**head, "object": "chat.completion.chunk", **event}) for event in events]
        return self._answer(200, "".join(f"data: {line}\n\n" for line in (*lines, "[DONE]")), "text/event-stream")

    def _answer(self, status: int, text: str, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None: ...
