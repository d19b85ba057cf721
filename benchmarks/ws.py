"""``/ws-audio`` beside a FastAPI server on uvicorn and uvloop that does the same, on the same machine in one run.

Servers run on one core, the load on another. Ours is the whole server as people start it, without models. Figures are
messages for each second of the server's CPU time, so a load that is held up does not make a server look slower.

    python -m benchmarks.ws [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks.rtc_load import pin
from benchmarks.rtc_report import Report, Row
from benchmarks.ws_load import Prepared, Talker, connect, pace

SERVER_CORE, LOAD_CORE = 0, 1
CLIENTS = 50
WINDOW = 8  # messages of a client on their way
PACED = 200  # clients that send 100 messages a second
ON_TIME_S = 0.040
LADDERS = {"ours": (12, 16, 20, 22, 24, 26, 28, 30, 34, 38), "older": (2, 4, 6, 7, 8, 9, 10, 12)}
"""Clients with RNNoise at a time, up to where a core should be full."""


def progress(words: str) -> None:
    print(f"  {words} ...", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Server:
    pid: int
    port: int
    kind: str

    def cpu_s(self) -> float:
        """CPU time of the process, all threads, children that run engines not among them."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    async def health(self) -> dict[str, Any]:
        """What our server says of ``/ws-audio``."""

        def fetch() -> dict[str, Any]:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
                body: dict[str, Any] = json.load(answer)["endpoints"]["/ws-audio"]
                return body

        return await asyncio.to_thread(fetch)


@asynccontextmanager
async def serving(kind: str, rnnoise: bool) -> AsyncIterator[Server]:
    """A server of that kind as a child on its core."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as empty:
        environ = dict(os.environ)
        if kind == "older":
            command = ["-m", "benchmarks.ws_older", "--port", str(port), *(["--rnnoise"] if rnnoise else [])]
        else:
            command = ["-m", "media_server"]
            environ |= {
                "PORT": str(port), "HOST": "127.0.0.1", "ENABLE_RNNOISE": "1" if rnnoise else "0",
                "MODELS_DIR": empty, "APERTIUM_MODES": empty, "LOG_LEVEL": "WARNING",
            }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env=environ,
            stdout=asyncio.subprocess.DEVNULL,
            preexec_fn=lambda: pin(SERVER_CORE),
        )
        try:
            await _listening(port, process)
            await asyncio.sleep(1.0)  # what it does once at its start
            yield Server(process.pid, port, kind)
        finally:
            if process.returncode is None:
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    for _ in range(600):
        if process.returncode is not None:
            break
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            await asyncio.sleep(0.05)
    raise ConnectionError("a server did not come up")


@dataclass(frozen=True)
class Throughput:
    per_core: float
    """Messages for each second of CPU time."""
    compressed: bool


async def saturate(
    server: Server, prepared: Prepared, window: int, deflate: bool, seconds: float
) -> Throughput:
    """Every client sends the next message when an answer comes."""
    talkers = await connect(prepared, server.port, CLIENTS, deflate)
    for talker in talkers:
        talker.talk(window)
    await asyncio.sleep(0.7)
    answers, cpu = sum(talker.answers for talker in talkers), server.cpu_s()
    await asyncio.sleep(seconds)
    answers, cpu = sum(talker.answers for talker in talkers) - answers, server.cpu_s() - cpu
    compressed = talkers[0].compressed
    await _close(talkers)
    return Throughput(answers / max(cpu, 0.01), compressed)


async def _close(talkers: list[Talker]) -> None:
    for talker in talkers:
        talker.close()
    await asyncio.sleep(0.3)


@dataclass(frozen=True)
class Paced:
    p50_ms: float
    p99_ms: float
    cores: float
    answered: float
    """Share of what was sent."""
    on_time: int
    """Clients of whose messages 99 % came back within ``ON_TIME_S``."""


async def paced(server: Server, prepared: Prepared, clients: int, seconds: float) -> Paced:
    """Every client sends 100 messages a second, as a microphone does."""
    talkers = await connect(prepared, server.port, clients)
    await pace(talkers, 1.0)
    for talker in talkers:
        talker.delays.clear()
    cpu, began = server.cpu_s(), time.perf_counter()
    await pace(talkers, seconds)
    cpu, took = server.cpu_s() - cpu, time.perf_counter() - began
    await asyncio.sleep(0.1)
    seen = [np.array(talker.delays) for talker in talkers]
    expected = seconds / 0.010
    on_time = sum(int((delays <= ON_TIME_S).sum()) >= 0.99 * expected for delays in seen)
    delays = np.concatenate(seen) * 1000 if any(len(one) for one in seen) else np.array([math.inf])
    await _close(talkers)
    return Paced(
        float(np.quantile(delays, 0.5)),
        float(np.quantile(delays, 0.99)),
        cpu / took,
        len(delays) / (expected * clients),
        on_time,
    )


async def rnnoise_clients(kind: str, prepared: Prepared, seconds: float) -> tuple[int, list[str]]:
    """The most clients of which 95 % are on time, and their sound through RNNoise; and every step on the way."""
    best, misses, steps = 0, 0, []
    async with serving(kind, rnnoise=True) as server:
        for clients in LADDERS[kind]:
            before = (await server.health())["messages"] if kind == "ours" else {}
            measured = await paced(server, prepared, clients, seconds)
            share = 1.0
            if kind == "ours":
                after = (await server.health())["messages"]
                went = {how: after[how] - before[how] for how in after}
                share = went["rnnoise"] / max(1, sum(went.values()))
            steps.append(
                f"{kind}: {clients} clients, {measured.on_time} on time, {share:.1%} through RNNoise, "
                f"p99 {measured.p99_ms:.1f} ms, {measured.cores:.2f} cores"
            )
            if measured.on_time >= 0.95 * clients and share >= 0.99:
                best, misses = clients, 0
            else:
                misses += 1
            if misses == 2:
                break
    return best, steps


async def run(quick: bool) -> Report:
    seconds = 1.5 if quick else 3.0
    prepared = Prepared.make()
    report = Report(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run; server on core {SERVER_CORE}, "
        f"load on core {LOAD_CORE}; messages of 10 ms, speech and silence half and half"
    )
    rates: dict[tuple[str, str], float] = {}
    delays: dict[str, Paced] = {}
    for kind in ("ours", "older"):
        progress(f"the gate, {kind}")
        async with serving(kind, rnnoise=False) as server:
            for name, window, deflate in (
                ("plain", WINDOW, False),
                ("single", 1, False),
                ("deflate", WINDOW, True),
            ):
                measured = [await saturate(server, prepared, window, deflate, seconds) for _ in range(2)]
                rates[kind, name] = max(one.per_core for one in measured)
                if deflate:
                    agreed = "agreed to" if measured[0].compressed else "declined"
                    report.notes.append(f"permessage-deflate, offered by the client: {agreed} by {kind}.")
            tries = [await paced(server, prepared, PACED, seconds) for _ in range(2)]
            delays[kind] = min(tries, key=lambda one: one.p99_ms)
    for name, words, bar in (
        ("plain", f"messages/s, the gate, {WINDOW} under way", 3.5),
        ("deflate", "messages/s, deflate offered", 8.0),
        ("single", "messages/s, the gate, 1 under way", 0.0),
    ):
        ours, older = rates["ours", name], rates["older", name]
        met = ours >= bar * older if bar else None
        report.rows.append(Row(words, ours, older, "a core", f">= {bar} times" if bar else "", met))
    ours_paced, older_paced = delays["ours"], delays["older"]
    what = f"{PACED} x 100 messages/s"
    report.rows.append(Row(f"{what}, median", ours_paced.p50_ms, older_paced.p50_ms, "ms"))
    report.rows.append(
        Row(f"{what}, p99", ours_paced.p99_ms, older_paced.p99_ms, "ms", "<= 2 ms", ours_paced.p99_ms <= 2.0)
    )
    report.rows.append(Row(f"{what}, answered", ours_paced.answered * 100, older_paced.answered * 100, "%"))
    report.rows.append(Row(f"{what}, server", ours_paced.cores, older_paced.cores, "cores"))
    best = {}
    for kind in ("ours", "older"):
        progress(f"RNNoise, {kind}")
        best[kind], steps = await rnnoise_clients(kind, prepared, seconds)
        report.notes += steps
    report.rows.append(
        Row("clients on time, RNNoise", best["ours"], best["older"], "a core", ">= 20", best["ours"] >= 20)
    )
    report.notes.append(
        "On time: 99 % of a client's answers within 40 ms; with RNNoise 99 % of all messages through it, too."
    )
    return report


def text(report: Report) -> str:
    """As a table, ratios with the better figure on top."""
    lines = [report.machine, "", f"{'':44}{'ours':>12}{'older':>12}  {'ours/older':>10}  bar"]
    for row in report.rows:
        verdict = "" if row.met is None else (" met" if row.met else " MISSED")
        ratio = f"{row.ours / row.stock:.2f}" if row.stock else "-"
        lines.append(
            f"{f'{row.what} [{row.unit}]':44}{row.ours:>12.4g}{row.stock:>12.4g}  {ratio:>10}  {row.bar}{verdict}"
        )
    return "\n".join([*lines, "", *report.notes])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="short runs, for a first look")
    arguments = parser.parse_args()
    if (os.cpu_count() or 1) < 2 or not sys.platform.startswith("linux"):
        print("Linux and two cores are needed: one for the server, one for the load", file=sys.stderr)
        return 2
    pin(LOAD_CORE)
    report = uvloop.run(run(arguments.quick))
    print(text(report))
    return 0 if all(row.met is not False for row in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
