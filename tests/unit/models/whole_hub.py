"""A hub with an API as the real one's: repositories, revisions, trees, large files on another host, tokens."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "5b1f0c2a9d3e4f60718293a4b5c6d7e8f9012345"
LARGE = (".bin", ".onnx", ".spm", ".model")
_API = re.compile(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)(?:/(.*))?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class WholeHub(ThreadingHTTPServer):
    """``repositories``: files by path. What ``LARGE`` says is in its LFS and served by a redirect to another host."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.token = ""
        """What must be shown, if anything."""
        self.lies: dict[str, bytes] = {}
        """Path -> other bytes than the hub's own list says."""
        self.break_after: dict[str, int] = {}
        """Path -> answers end after so many bytes, once."""
        self.seen: list[tuple[str, str, str | None, str | None]] = []
        """Host, path, Authorization and Range of every request."""
        self.status = 0
        """Answer everything with this, if not 0."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def environ(self) -> dict[str, str]:
        return {"HF_ENDPOINT": f"http://127.0.0.1:{self.port}"}


class _Handler(BaseHTTPRequestHandler):
    server: WholeHub

    def do_GET(self) -> None:
        hub, host, path = self.server, str(self.headers["Host"]), unquote(self.path)
        hub.seen.append((host, path, self.headers.get("Authorization"), self.headers.get("Range")))
        store = host.startswith("localhost")
        if hub.status:
            self.send_error(hub.status)
        elif not store and hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self.send_error(401)
        elif (match := _API.fullmatch(path)) is not None:
            self._api(*match.groups())
        elif (match := _FILE.fullmatch(path)) is not None:
            self._file(match[1], match[2], match[3], store=store)
        else:
            self.send_error(404)

    def _api(self, repository: str, what: str, revision: str, folder: str | None) -> None:
        files = self.server.repositories.get(repository)
        if files is None or revision not in {"main", COMMIT}:
            self.send_error(404)
        elif what == "revision":
            self._json({"id": repository, "sha": COMMIT, "cardData": {"license": "cc-by-4.0"}})
        else:
            start = f"{folder}/" if folder else ""
            self._json([_entry(path, content) for path, content in files.items() if path.startswith(start)])

    def _file(self, repository: str, revision: str, path: str, *, store: bool) -> None:
        content = self.server.repositories.get(repository, {}).get(path)
        if content is None or revision != COMMIT:
            self.send_error(404)
            return
        if path.endswith(LARGE) and not store:
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.port}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.server.lies.get(path, content)
        span = self.headers.get("Range")
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if (end := self.server.break_after.pop(path, None)) is not None:
            body = body[:end]
        self.wfile.write(body)

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _entry(path: str, content: bytes) -> dict[str, object]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if path.endswith(LARGE):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


@contextmanager
def whole_hub() -> Iterator[WholeHub]:
    hub = WholeHub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, name="whole-hub")
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
