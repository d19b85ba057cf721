"""The real server in a process of its own, and calls to it from another one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from benchmarks.callplan import CallLog, CallPlan, read_log, write
from benchmarks.gathering import CrowdPlan, PersonLog, read_logs, write_plan

ROOT = Path(__file__).resolve().parent.parent
START_S = 60.0
STOP_S = 20.0
_OURS = re.compile(r"(ASR|RTC|TTS|MT|DEFAULT|CONSENT|API|ALLOWED|TLS|MAX)_?")  # settings a shell may carry


class LiveServer:
    """``with LiveServer(ASR_PARTIAL_MS="500") as server``: its engines are loaded. ``port`` 0 takes a free one."""

    def __init__(self, port: int = 0, **settings: str) -> None:
        self._port = port or _free_port()
        self._settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="bench-speech-")
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        environ = {key: value for key, value in os.environ.items() if not _OURS.match(key)}
        environ |= {"HOST": "127.0.0.1", "PORT": str(self._port), **self._settings}
        log = Path(self._folder.name) / "server.log"
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "media_server"], cwd=ROOT, env=environ, stdout=output, stderr=output
            )
        until = time.monotonic() + START_S
        while not self._loaded():
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise SystemExit(f"the server did not come up:\n{log.read_text('utf-8')}")
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/health", timeout=5) as response:
            body: dict[str, Any] = json.load(response)
        return body

    def _loaded(self) -> bool:
        try:
            health = self.health()
        except OSError:
            return False
        return bool(health["ready"])

    def cpu_s(self, stage: str) -> float:
        """CPU seconds that the children of a stage have used so far."""
        return self.metric("lai_engine_cpu_seconds", stage=stage)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 when there are none."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as response:
            text = response.read().decode()
        lines = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(value) for given, value in lines if all(label in given for label in wanted))

    def call(self, plan: CallPlan) -> CallLog:
        """Makes the call and returns when it has ended."""
        folder = Path(self._folder.name)
        write(folder / "plan.json", plan)
        command = [sys.executable, "-m", "benchmarks.caller", "plan.json", "log.json", self.url]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=folder, env=environ, check=True)
        return read_log(folder / "log.json")

    def crowd(self, plan: CrowdPlan) -> list[PersonLog]:
        """Makes the calls and returns when all have ended; one log a person, in the order of the plan."""
        folder = Path(self._folder.name)
        write_plan(folder / "crowd.json", plan)
        command = [sys.executable, "-m", "benchmarks.gathering", "crowd.json", "logs.json", self.url]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=folder, env=environ, check=True)
        return read_logs(folder / "logs.json")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
