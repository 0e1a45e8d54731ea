"""A small server that speaks as much of the hub's API as the files of a data set or a model need, on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

REPO = "acme/sums"


@dataclass
class Hub:
    """One data set: the files of each revision by path."""

    revisions: dict[str, Mapping[str, bytes]]
    gated: bool = False
    kind: str = "datasets"
    """Or ``models``: then they are a model's files."""
    downloaded: list[str] = field(default_factory=list)
    """Paths of the files whose contents were asked for."""
    address: str = ""

    def commit(self, revision: str) -> str:
        """Return the name of a revision's commit."""
        files = self.revisions[revision]
        return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()

    def files(self, name: str) -> Mapping[str, bytes] | None:
        """Return the files of a revision, or of a commit."""
        return next((files for known, files in self.revisions.items() if name in (known, self.commit(known))), None)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        kind = self.hub.kind
        api, file = f"/api/{kind}/{REPO}/", f"/{REPO}/resolve/" if kind == "models" else f"/{kind}/{REPO}/resolve/"
        if path.startswith(f"{api}revision/"):
            self._revision(path.removeprefix(f"{api}revision/"))
        elif path.startswith(f"{api}tree/"):
            self._tree(path.removeprefix(f"{api}tree/"))
        elif path.startswith(file):
            self._file(*path.removeprefix(file).split("/", 1))
        else:
            self._refuse("RepoNotFound")

    def _revision(self, name: str) -> None:
        files = self.hub.files(name)
        if self.hub.gated:
            return self._refuse("GatedRepo", code=403)
        if files is None:
            return self._refuse("RevisionNotFound")
        known = next(each for each in self.hub.revisions if self.hub.files(each) is files)
        siblings = [{"rfilename": path} for path in files]
        self._answer({"id": REPO, "sha": self.hub.commit(known), "siblings": siblings, "tags": [], "private": False})

    def _tree(self, name: str) -> None:
        files = self.hub.files(name) or {}
        self._answer(
            [{"type": "file", "path": path, "size": len(data), "oid": _oid(data)} for path, data in files.items()]
        )

    def _file(self, name: str, path: str) -> None:
        data = (self.hub.files(name) or {})[path]
        if self.command == "GET":
            self.hub.downloaded.append(path)
        self._answer(data, {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": name})

    def _refuse(self, reason: str, *, code: int = 404) -> None:
        self._answer({"error": reason}, {"X-Error-Code": reason}, code=code)

    def _answer(self, content: object, headers: Mapping[str, str] | None = None, *, code: int = 200) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve a data set during the block, at ``hub.address``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
