"""The real server as a process of its own, on a free port, with the environment a test wants."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """``with Server(MAX_SESSIONS="1") as server``: running and, unless ``ready=False``, with its engines
    loaded."""

    def __init__(self, *, ready: bool = True, **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._ready = ready
        self._environ = environ
        self._log = Path(tempfile.mkstemp(suffix=".log")[1])
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Server:
        environ = {
            key: value for key, value in os.environ.items() if not key.startswith(("ASR_", "RTC_", "TTS_"))
        }
        environ |= {"PORT": str(self.port), "HOST": "127.0.0.1", "LOG_FORMAT": "json"} | self._environ
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "media_server"],
                cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + START_S
        while not self._is_up():
            if self.process.poll() is not None or time.monotonic() > until:
                log_text = self.log
                self.stop()
                raise AssertionError(f"the server did not come up: {log_text}")
            time.sleep(0.1)
        return self

    def _is_up(self) -> bool:
        try:
            _, health = self.fetch("GET", "/health")
        except OSError:
            return False
        return not self._ready or bool(health["ready"])

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._log.unlink(missing_ok=True)

    def stop(self) -> int:
        """Ends the server in order; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    @property
    def log(self) -> str:
        """Everything the server has written so far."""
        return self._log.read_text(encoding="utf-8")

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """(status, JSON body) of a GET."""
        return await self.request("GET", path, None, **headers)

    async def post(self, path: str, body: object, **headers: str) -> tuple[int, Any]:
        """(status, JSON body) of a POST of JSON, or of bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.request("POST", path, data, **headers)

    async def request(self, method: str, path: str, data: bytes | None, **headers: str) -> tuple[int, Any]:
        return await asyncio.to_thread(self.fetch, method, path, data, **headers)

    def fetch(self, method: str, path: str, data: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """The same without a loop. Underscores in names of headers stand for hyphens."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, _body(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _body(error.read())

    def headers(self, method: str, path: str) -> dict[str, str]:
        """The headers of an answer, whatever its status."""
        request = urllib.request.Request(self.url + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return dict(response.headers)
        except urllib.error.HTTPError as error:
            with error:
                return dict(error.headers)

    def retry_after(self, path: str, body: object) -> int:
        """The seconds of ``Retry-After`` in the refusal of a POST; 0 when there is none."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=20):
                return 0
        except urllib.error.HTTPError as error:
            with error:
                return int(error.headers.get("Retry-After", 0))

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 when there are none."""
        _, text = await self.get("/metrics")
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in str(text).splitlines()
            if line.split("{")[0].split(" ")[0] == name and all(label in line for label in wanted)
        )


def _body(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")
