"""``python -m tests.mirror.gcs_emulator PORT``: an emulator of Google Cloud Storage, with the XML API too.

The emulator speaks the JSON API, and of the XML API as much as signed URLs need. ``obstore`` speaks the latter: objects
have generations, writes have the condition ``x-goog-if-generation-match``, and a bucket is listed as S3's are.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

from tests.mirror.servers import BUCKET

ORDER = threading.Lock()


class XmlHandler(RequestHandler):  # type: ignore[misc]
    """One request. They come one after the other, so that a condition and what depends on it are not parted."""

    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        if not self.rfile.peek(1):  # the connection is closed
            self.close_connection = True
            return
        with ORDER:
            super().handle_one_request()

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        bucket, key = self._place()
        wanted = self.headers.get("x-goog-if-generation-match")
        found = self._object(bucket, key)
        if wanted is not None and wanted != (found["generation"] if found else "0"):
            return self._answer(412)
        md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
        made = {
            "name": key,
            "bucket": bucket,
            "generation": str(time.time_ns()),
            "size": str(len(content)),
            "md5Hash": md5,
            "etag": md5,
            "updated": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        try:
            self.storage.create_file(bucket, key, content, made)
        except NotFound:
            return self._answer(404)
        return self._answer(200, made)

    def do_GET(self) -> None:
        bucket, key = self._place()
        if not key:
            return self._list(bucket)
        found = self._object(bucket, key)
        if found is None:
            return self._answer(404)
        content = b"" if self.command == "HEAD" else self.storage.get_file(bucket, key)
        return self._answer(200, found, content)

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        bucket, key = self._place()
        if self._object(bucket, key) is None:
            return self._answer(404)
        self.storage.delete_file(bucket, key)
        return self._answer(204)

    def _list(self, bucket: str) -> None:
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        try:
            found, _ = self.storage.get_file_list(bucket, prefix)
        except NotFound:
            return self._answer(404)
        rows = "".join(
            f"<Contents><Key>{escape(each['name'])}</Key><LastModified>{each['updated']}</LastModified>"
            f'<ETag>"{each["etag"]}"</ETag><Size>{each["size"]}</Size></Contents>'
            for each in sorted(found, key=lambda each: each["name"])
        )
        xml = f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        return self._answer(200, content=xml.encode())

    def _place(self) -> tuple[str, str]:
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        return bucket, key

    def _object(self, bucket: str, key: str) -> dict[str, Any] | None:
        try:
            return dict(self.storage.get_file_obj(bucket, key))
        except NotFound:
            return None

    def _answer(self, status: int, made: dict[str, Any] | None = None, content: bytes = b"") -> None:
        self.send_response(status)
        if made is not None:
            self.send_header("ETag", f'"{made["etag"]}"')
            self.send_header("x-goog-generation", made["generation"])
            self.send_header("Last-Modified", format_datetime(datetime.now(UTC), usegmt=True))
        is_head = self.command == "HEAD" and made is not None
        self.send_header("Content-Length", made["size"] if is_head and made else str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Serve one bucket, kept in memory, until the process is killed."""
    storage = Storage(use_memory_fs=True)
    create_bucket(BUCKET, storage)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), partial(XmlHandler, storage)).serve_forever()


if __name__ == "__main__":
    main()
