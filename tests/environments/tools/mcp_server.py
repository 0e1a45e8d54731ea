"""A server of the SDK's, and one without it that starts at once and misbehaves as its first word says.

python mcp_server.py sdk stdio | sdk http PORT | plain WORD
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

TOOL = {
    "name": "add",
    "description": "Add.",
    "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}


def serve_sdk(kind: str, *words: str) -> None:
    from mcp.server.mcpserver import MCPServer

    app = MCPServer("test")
    seen: list[str] = []

    @app.tool()
    def add(a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b

    @app.tool()
    def fail(how: str) -> str:
        """Fail."""
        if how == "die":
            os._exit(1)
        raise ValueError(f"no such way: {how}")

    @app.tool()
    async def wait(seconds: float) -> str:
        """Wait."""
        import anyio

        await anyio.sleep(seconds)
        return "waited"

    @app.tool()
    def remember(word: str) -> list[str]:
        """Keep a word, and tell all."""
        seen.append(word)
        return seen

    @app.tool()
    def variables() -> dict[str, str]:
        """Tell the environment."""
        return dict(os.environ)

    if kind == "stdio":
        app.run("stdio")
    else:
        app.run("streamable-http", host="127.0.0.1", port=int(words[0]))


def serve_plain(word: str) -> None:
    """Speak JSON-RPC, a line a message."""
    if word == "dies":
        sys.exit("there is no database")
    if word == "silent":
        time.sleep(600)
    if word == "garbage":
        print("not JSON at all", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        if request["method"] == "tools/call":
            called(word)
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request, word)}), flush=True)


def called(word: str) -> None:
    if word == "dies_in_call":
        os._exit(1)
    if word == "hangs_in_call":
        time.sleep(600)
    if word == "floods":
        print("x" * 1_000_000, file=sys.stderr, flush=True)


def answer(request: dict[str, Any], word: str) -> dict[str, Any]:
    match request["method"]:
        case "initialize":
            version = request["params"]["protocolVersion"]
            info = {"name": "plain", "version": "1"}
            return {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}}
        case "tools/list":
            return {"result": {"tools": tools(word)}}
        case "tools/call" if word == "refuses":
            return {"error": {"code": -32602, "message": "the arguments are no good"}}
        case "tools/call" if word == "floods":
            return {"result": {"content": [{"type": "text", "text": "y" * 1_000_000}]}}
        case "tools/call":
            image = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
            link = {"type": "resource_link", "name": "notes", "uri": "file:///notes"}
            text = {"type": "resource", "resource": {"uri": "file:///a", "text": "inside"}}
            return {"result": {"content": [{"type": "text", "text": "3"}, image, link, text]}}
    return {"error": {"code": -32601, "message": "no such method"}}


def tools(word: str) -> list[dict[str, Any]]:
    if word == "no_tools":
        return []
    if word == "broken_schema":
        return [{**TOOL, "inputSchema": {"type": "object", "properties": {"a": {"type": "whole"}}}}]
    return [TOOL]


if __name__ == "__main__":
    kind, *words = sys.argv[1:]
    if kind == "sdk":
        serve_sdk(*words)
    elif kind == "plain":
        serve_plain(*words)
    else:
        sys.exit(f"no such kind: {kind}")
