"""Small models, a hub that misbehaves on request, and wheels made on the spot."""

from __future__ import annotations

import hashlib
import io
import os
import random
import socket
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from media_server.models.manifest import Manifest, Model, ModelFile, Part
from media_server.models.packages import Packages
from media_server.models.progress import Progress

WEIGHTS = random.Random(7).randbytes(400_000)
CONFIG = b'{"layers": 6}'


def model_file(name: str, content: bytes, parts: tuple[Part, ...] = ()) -> ModelFile:
    return ModelFile(name, len(content), hashlib.sha256(content).hexdigest(), name, parts)


def small_model(name: str = "whisper-small", parts: Mapping[str, tuple[Part, ...]] | None = None) -> Model:
    """Two files: ``model.bin`` (WEIGHTS) and ``config.json`` (CONFIG)."""
    where = parts or {}
    return Model(
        name=name,
        kind="asr",
        purpose="for tests",
        licence="MIT",
        repository="someone/whisper-small",
        revision="abc123",
        default=True,
        files=(
            model_file("model.bin", WEIGHTS, where.get("model.bin", ())),
            model_file("config.json", CONFIG, where.get("config.json", ())),
        ),
    )


def small_manifest(model: Model | None = None) -> Manifest:
    return Manifest([model or small_model()])


def place(root: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Puts files into a model's folder as a user who copies them would."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


class Spoken(io.StringIO):
    """What Progress said, with the lines as a list."""

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


def progress(out: Spoken | None = None) -> Progress:
    return Progress(out or Spoken())


class FakeHub(ThreadingHTTPServer):
    """A hub on a free port of the loopback that serves ``small_model``'s files and records what was asked of
    it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {"model.bin": WEIGHTS, "config.json": CONFIG}
        self.resumes = True
        self.break_after: list[int] = []
        """Answers yet to come end after so many bytes, one each."""
        self.stall_after: int | None = None
        """Answers stop there until ``go_on`` is set, then end."""
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self.asked: list[tuple[str, str | None]] = []
        """File and Range header of every request."""

    @property
    def environ(self) -> dict[str, str]:
        return {"HF_ENDPOINT": f"http://127.0.0.1:{self.server_address[1]}"}

    def requests_for(self, file: str) -> list[str | None]:
        return [span for name, span in self.asked if name == file]


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_GET(self) -> None:
        hub = self.server
        name = self.path.removeprefix("/someone/whisper-small/resolve/abc123/")
        span = self.headers.get("Range")
        hub.asked.append((name, span))
        content = hub.files.get(name)
        if content is None:
            self.send_error(404)
            return
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and hub.resumes else 0
        if start >= len(content) and span:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if hub.break_after:
            body = body[: hub.break_after.pop(0)]
        if (stall := hub.stall_after) is not None:
            self.wfile.write(body[:stall])
            self.wfile.flush()
            hub.stalled.set()
            hub.go_on.wait(30)
            body = body[stall:]
        try:
            self.wfile.write(body)
        except ConnectionError:
            pass  # the client was killed, as the test wants

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, name="fake-hub")
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        hub.shutdown()
        thread.join()
        hub.server_close()


@contextmanager
def black_hole() -> Iterator[dict[str, str]]:
    """An address that never completes a connection: a listener whose queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        try:
            for _ in range(4):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(listener.getsockname())
                waiting.append(client)
            yield {"HF_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        finally:
            for client in waiting:
                client.close()


def make_wheel(folder: Path, package: str, members: Mapping[str, bytes], version: str = "1.0.0") -> Path:
    """A wheel whose import would leave a trace, and that asks for a package that exists nowhere."""
    module = package.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{module}/__init__.py", "raise SystemExit('imported')\n")
        for path, content in members.items():
            archive.writestr(path, content)
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\nRequires-Dist: no-such-package\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def index(find_links: Path) -> Packages:
    """The package index as pip knows it, except that it is a folder of wheels."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    return Packages(environ, python=sys.executable, options=["--no-index", "--find-links", str(find_links)])
