"""A dataset hub on the loopback device, with the faults that a real one has."""

import hashlib
import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote, urlsplit

from runner.data.hub import Dataset, File

DATASET = Dataset("Skylion007/openwebtext", "refs/convert/parquet", "plain_text/train")


class Hub:
    """Serves `files` under their paths. What it does wrong can be set; what it was asked is in `requests`.

    Like the real one it lists a folder in pages and sends those who want a file to another address.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.stated = {path: File(path, len(b), hashlib.sha256(b).hexdigest()) for path, b in files.items()}
        self.requests: list[tuple[str, str]] = []  # path of a file, or "listing", and the Range header
        self.drops: deque[int] = deque()  # bytes after which each of the next answers breaks off
        self.answers: deque[int] = deque()  # statuses of the next answers
        self.ranges = True
        self.page = 1000

    def __enter__(self) -> Self:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # a client that was killed while it listened
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def asked(self, path: str) -> list[str]:
        """The Range headers of the requests for a file, in order."""
        return [span for name, span in self.requests if name == path]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path
        tree = "/api/datasets/Skylion007/openwebtext/tree/refs%2Fconvert%2Fparquet/plain_text/train"
        resolve = "/datasets/Skylion007/openwebtext/resolve/refs%2Fconvert%2Fparquet/"
        if path.startswith(resolve) and unquote(path.removeprefix(resolve)) in self.files:
            _send(handler, 302, b"", Location=f"{self.address}/elsewhere/{path.removeprefix(resolve)}")
            return
        if path == tree:
            self.requests.append(("listing", ""))
        elif path.startswith("/elsewhere/"):
            self.requests.append((unquote(path.removeprefix("/elsewhere/")), handler.headers.get("Range", "")))
        if self.answers and (status := self.answers.popleft()) != 200:
            _send(handler, status, b"")
        elif path == tree:
            self._list(handler)
        elif path.startswith("/elsewhere/"):
            self._file(handler, self.files[unquote(path.removeprefix("/elsewhere/"))])
        else:
            _send(handler, 404, b"")

    def _list(self, handler: BaseHTTPRequestHandler) -> None:
        first = int(urlsplit(handler.path).query.removeprefix("cursor=") or 0)
        files = sorted(self.stated.values(), key=lambda file: file.path, reverse=True)
        entries = [
            {"type": "file", "oid": "0" * 40, "size": f.size, "path": f.path, "lfs": {"oid": f.sha256, "size": f.size}}
            for f in files[first : first + self.page]
        ]
        if not first:
            entries.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": "plain_text/train/more"})
        more = first + self.page
        link = {"Link": f'<{handler.path.split("?")[0]}?cursor={more}>; rel="next"'} if more < len(files) else {}
        _send(handler, 200, json.dumps(entries).encode(), **link)

    def _file(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        begin, headers, status = 0, {}, 200
        if self.ranges and (span := handler.headers.get("Range")):
            first, _, last = span.removeprefix("bytes=").partition("-")
            begin, status = int(first), 206
            if begin >= len(content):
                _send(handler, 416, b"", **{"Content-Range": f"bytes */{len(content)}"})
                return
            end = min(int(last) + 1, len(content)) if last else len(content)
            headers = {"Content-Range": f"bytes {begin}-{end - 1}/{len(content)}"}
            content = content[:end]
        _send(handler, status, content[begin:], self.drops.popleft() if self.drops else None, **headers)


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes, drop: int | None = None, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body[:drop])
