"""WebRTC callers at a running server, more and more of them: latency, gaps and CPU over their number.

    python -m loadtest.webrtc_swarm --url http://localhost:5000 --callers 1,2,4,8 --seconds 5 --loss 0.05

Each caller is a stock peer connection that sends prepared Opus (recorded speech in a loop) and asks to hear itself, so
that the way there and back is measured by the sound. Lost packets follow a seeded pattern: the same seed loses the
same ones. The server recognizes what is said meanwhile. The page with the plots is one file that needs no server.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.rtc_load import Load, Measured
from benchmarks.rtc_report import STYLE, Plot, Series, svg

PERCENTS = (50, 95, 99)


class Refused(Exception):
    """The server does not take another caller; the text says why."""


class RunningServer:
    """A server by its address: offers go to ``/offer``, figures come from ``/metrics``."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/")

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        return await (self._call(request["offer"]) if "offer" in request else self._figures())

    async def _call(self, sdp: str) -> dict[str, Any]:
        # The same language on both sides: captions only, so that nothing but the caller itself is in what comes back.
        body = {"sdp": sdp, "type": "offer", "sourceLang": "en", "targetLang": "en", "consent": True}
        try:
            async with self._http.post(f"{self._url}/offer", json=body) as response:
                answer = await response.json(content_type=None)
                if response.status != 200:
                    raise Refused(f"{response.status}: {answer['error']['message']}")
        except (aiohttp.ClientError, ValueError, KeyError, TypeError) as error:
            raise Refused(f"{self._url}/offer does not answer as it should ({error})") from error
        return {"answer": answer["sdp"]}

    async def _figures(self) -> dict[str, Any]:
        """CPU seconds and memory of the server with its engines, frames by what became of them; NaN unknown."""
        figures = {"cpu": math.nan, "memory": math.nan, "played": 0.0, "recovered": 0.0, "concealed": 0.0}
        async with self._http.get(f"{self._url}/metrics") as response:
            if response.status != 200:  # ENABLE_METRICS=0
                return figures
            families = text_string_to_metric_families(await response.text())
        engines = 0.0
        for sample in (sample for family in families for sample in family.samples):
            if sample.name == "process_cpu_seconds_total":
                figures["cpu"] = sample.value
            elif sample.name == "process_resident_memory_bytes":
                figures["memory"] = sample.value
            elif sample.name == "lai_engine_cpu_seconds":
                engines += sample.value
            elif sample.name == "lai_audio_frames_total" and sample.labels["how"] in figures:
                figures[sample.labels["how"]] = sample.value
        figures["cpu"] += engines
        return figures


@dataclass(frozen=True)
class Step:
    """What a number of callers saw. Milliseconds; percentiles as in ``PERCENTS``."""

    callers: int
    on_time: int
    sound_ms: float
    """From sending a sound to its return, median of a few callers."""
    late_ms: tuple[float, ...]
    """How much later than the fastest packet of its caller a packet came."""
    gap_ms: tuple[float, ...]
    """Between the arrivals of frames that follow each other: 20 where all is well."""
    longest_gap_ms: float
    came: float
    """Share of what was sent that the server played as sent or made up for."""
    cores: float
    """The server's, with its engines."""

    @classmethod
    def of(cls, measured: Measured, loss: float) -> Step:
        offered = measured.sent / (1 - loss)
        return cls(
            callers=measured.sessions,
            on_time=measured.on_time,
            sound_ms=measured.delay_ms,
            late_ms=tuple(percentile(measured.spread_ms, percent) for percent in PERCENTS),
            gap_ms=tuple(percentile(measured.gaps_ms, percent) for percent in PERCENTS),
            longest_gap_ms=measured.gaps_ms[-1] if measured.gaps_ms else math.nan,
            came=min(1.0, sum(measured.frames.values()) / offered) if offered else math.nan,
            cores=measured.cores_per_session * measured.sessions,
        )


def percentile(ordered: list[float], percent: float) -> float:
    """Of values in order of size; NaN where there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else math.nan


COLUMNS: tuple[tuple[str, Callable[[Step], str]], ...] = (
    ("callers", lambda step: f"{step.callers}"),
    ("on time", lambda step: f"{step.on_time}"),
    ("sound to sound ms", lambda step: f"{step.sound_ms:.0f}"),
    ("late ms p50/p95/p99", lambda step: "/".join(f"{value:.0f}" for value in step.late_ms)),
    ("gap ms p50/p95/p99", lambda step: "/".join(f"{value:.0f}" for value in step.gap_ms)),
    ("longest gap ms", lambda step: f"{step.longest_gap_ms:.0f}"),
    ("frames played %", lambda step: f"{step.came:.1%}"),
    ("server cores", lambda step: f"{step.cores:.2f}"),
)


def table(steps: list[Step]) -> str:
    """For the terminal."""
    rows = [[name for name, _ in COLUMNS], *([show(step) for _, show in COLUMNS] for step in steps)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def page(steps: list[Step], about: str) -> str:
    """One HTML file."""

    def series(label: str, values: list[float]) -> Series:
        points = [(float(step.callers), value) for step, value in zip(steps, values, strict=True)]
        return Series(label, [(x, y) for x, y in points if y == y])

    plots = [
        Plot(
            "Latency",
            "callers",
            "ms",
            [
                series("sound to sound", [step.sound_ms for step in steps]),
                *(series(f"late, p{p}", [step.late_ms[n] for step in steps]) for n, p in enumerate(PERCENTS)),
            ],
        ),
        Plot(
            "Gaps",
            "callers",
            "ms",
            [
                *(series(f"p{p}", [step.gap_ms[n] for step in steps]) for n, p in enumerate(PERCENTS)),
                series("longest", [step.longest_gap_ms for step in steps]),
            ],
        ),
        Plot("CPU", "callers", "cores", [series("server with engines", [step.cores for step in steps])]),
    ]
    head = "".join(f"<th>{escape(name)}</th>" for name, _ in COLUMNS)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(show(step))}</td>' for _, show in COLUMNS)}</tr>" for step in steps
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>A swarm of callers</title>{STYLE}"
        f"<h1>A swarm of callers</h1><p>{escape(about)}</p><table><tr>{head}</tr>{rows}</table>"
        f"{''.join(svg(plot) for plot in plots)}</html>"
    )


async def swarm(options: argparse.Namespace) -> tuple[list[Step], str]:
    """The steps that could be measured, and why there are no more of them (empty: all are there)."""
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    steps: list[Step] = []
    connector = aiohttp.TCPConnector(ssl=False) if options.insecure else None
    async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
        load = Load(RunningServer(http, options.url), looped=True, seed=options.seed)
        try:
            for count in options.callers:
                print(f"  {count} callers ...", file=sys.stderr, flush=True)
                await load.grow(count, options.loss)
                steps.append(Step.of(await load.measure(options.seconds), options.loss))
        except (Refused, TimeoutError, aiohttp.ClientError) as error:
            return steps, f"caller {len(load) + 1}: {str(error) or 'no answer in time'}"
        finally:
            await load.close()
    return steps, ""


def counts(text: str) -> list[int]:
    """``1,2,4`` as numbers in order."""
    numbers = sorted({int(part) for part in text.split(",") if part.strip()})
    if not numbers or numbers[0] < 1:
        raise ValueError
    return numbers


def share(text: str) -> float:
    """A share from 0 to 0.9."""
    value = float(text)
    if not 0 <= value <= 0.9:
        raise ValueError
    return value


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="webrtc_swarm", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--url", default="http://localhost:5000", help="the server (%(default)s)")
    parser.add_argument("--callers", type=counts, default=[1, 2, 4, 8], help="how many at a time: 1,2,4,8")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="of measuring for each number (%(default)s)"
    )
    parser.add_argument(
        "--loss", type=share, default=0.0, help="share of packets lost on the way there, 0 to 0.9"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the pattern of lost packets (%(default)s)")
    parser.add_argument("--token", default="", help="a key, where the server needs one")
    parser.add_argument("--insecure", action="store_true", help="take any certificate (TLS=1 makes its own)")
    parser.add_argument(
        "--out", default="out/webrtc-swarm.html", help="the page with the plots (%(default)s)"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 when every number of callers was measured."""
    options = arguments(argv)
    for library in ("aiortc", "aioice"):  # they say much when a connection ends
        logging.getLogger(library).setLevel(logging.ERROR)
    steps, problem = asyncio.run(swarm(options))
    if steps:
        about = (
            f"{options.url}, {options.seconds:g} s each, {options.loss:.0%} of packets lost on the way there "
            f"(seed {options.seed})"
        )
        out = Path(options.out)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page(steps, about), encoding="utf-8")
        print(f"{about}\n\n{table(steps)}\n\nPlots: {out}")
    if problem:
        print(f"Stopped at {problem}", file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
