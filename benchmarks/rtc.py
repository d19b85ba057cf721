"""What a call costs, what it adds in delay, and what it loses, beside stock aiortc on the same machine.

Server and load run on different cores. The load sends prepared Opus and decodes nothing while it measures.
The server echoes; the rows with denoising stand beside pyrnnoise's own function as its documentation uses it.
Behind them: media and finals of the whole server, with its engines, under more work than it can do
(``benchmarks.overload``).

    python -m benchmarks.rtc [--quick] [--html FILE]
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from pathlib import Path

import aioice.ice
import uvloop

from benchmarks import overload
from benchmarks.rtc_load import Load, Measured, ServerProcess, pin, unpin
from benchmarks.rtc_report import Plot, Report, Row, Series

SERVER_CORE, LOAD_CORE = 0, 1
COST_SESSIONS = 6
DENOISE_SESSIONS = 3
LOSSES = (0.0, 0.01, 0.02, 0.05, 0.10, 0.20)
LADDERS = {
    "ours": (20, 40, 60, 80, 100, 115, 130, 145),
    "stock": (4, 6, 8, 10, 12, 14),
    "ours-denoise": (6, 10, 14, 16, 18, 20, 22, 24),
    "stock-denoise": (2, 3, 4, 5, 6, 7, 8),
}
"""Callers at a time, up to where a core should be full."""


def progress(words: str) -> None:
    print(f"  {words} ...", file=sys.stderr, flush=True)


async def cost(kind: str, sessions: int, seconds: float, rounds: int) -> Measured:
    """CPU, delay and memory at an equal number of sessions; the quietest of a few rounds."""
    async with ServerProcess(kind, SERVER_CORE) as server:
        load = Load(server)
        await load.grow(sessions)
        measured = [await load.measure(seconds) for _ in range(rounds)]
        await load.close()
    return min(measured, key=lambda m: m.cores_per_session)


async def on_time(kind: str, seconds: float) -> tuple[int, list[Measured]]:
    """The most callers at a time of which at least 95 % are served on time, and every step on the way."""
    best, steps, failed = 0, [], 0
    async with ServerProcess(kind, SERVER_CORE) as server:
        load = Load(server)
        for sessions in LADDERS[kind]:
            await load.grow(sessions)
            measured = await load.measure(seconds)
            if measured.on_time < 0.95 * sessions:  # once more: other work on the machine may have held it up
                measured = await load.measure(seconds)
            steps.append(measured)
            if measured.on_time >= 0.95 * sessions:
                best, failed = sessions, 0
            else:
                failed += 1
            if failed == 2:
                break
        await load.close()
    return best, steps


async def memory(kind: str, few: int, many: int) -> float:
    """MB a session."""
    async with ServerProcess(kind, SERVER_CORE) as server:
        load = Load(server)
        await load.grow(few)
        low = (await load.measure(1.0)).memory
        await load.grow(many)
        high = (await load.measure(1.0)).memory
        await load.close()
    return (high - low) / (many - few) / 1e6


async def loss(kind: str, share: float, seconds: float) -> tuple[float, float, float]:
    """Share of the sent frames that are played as sent, share made up for, delay in ms."""
    async with ServerProcess(kind, SERVER_CORE) as server:
        load = Load(server)
        await load.grow(3, loss=share)
        measured = await load.measure(seconds)
        await load.close()
    # What was sent, with what the network lost.
    offered = measured.sent / (1 - share)
    made = measured.frames["recovered"] + measured.frames["concealed"]
    return min(1.0, measured.frames["played"] / offered), made / offered, measured.delay_ms


async def run(quick: bool) -> Report:
    seconds, rounds = (2.0, 1) if quick else (5.0, 3)
    report = Report(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run; "
        f"server on core {SERVER_CORE}, load on core {LOAD_CORE}"
    )
    for name, suffix, sessions, bar in (
        ("loopback", "", COST_SESSIONS, 3.5),
        ("loopback, denoised", "-denoise", DENOISE_SESSIONS, 2.4),
    ):
        progress(f"cost of {name}")
        ours = await cost(f"ours{suffix}", sessions, seconds, rounds)
        stock = await cost(f"stock{suffix}", sessions, seconds, rounds)
        ratio = stock.cores_per_session / ours.cores_per_session
        report.rows.append(
            Row(
                f"CPU a session, {name}",
                ours.cores_per_session,
                stock.cores_per_session,
                f"cores at {sessions}",
                f">= {bar} times cheaper",
                ratio >= bar,
            )
        )
        report.rows.append(
            Row(
                f"sound to sound, {name}",
                ours.delay_ms,
                stock.delay_ms,
                "ms",
                "<= 45" if not suffix else "",
                ours.delay_ms <= 45 if not suffix else None,
            )
        )
    for name, suffix, wanted in (("loopback", "", 100), ("loopback, denoised", "-denoise", 20)):
        progress(f"sessions on time, {name}")
        best, steps = await on_time(f"ours{suffix}", seconds)
        best_stock, steps_stock = await on_time(f"stock{suffix}", seconds)
        report.rows.append(
            Row(f"on-time sessions, {name}", best, best_stock, "a core", f">= {wanted}", best >= wanted)
        )
        report.plots.append(
            Plot(
                f"Late packets, {name}",
                "sessions",
                "ms, slowest twentieth",
                [
                    Series("ours", [(m.sessions, m.spread_p95_ms) for m in steps]),
                    Series("stock", [(m.sessions, m.spread_p95_ms) for m in steps_stock]),
                ],
            )
        )
    progress("memory")
    ours_mb, stock_mb = await memory("ours", 10, 40), await memory("stock", 2, 8)
    report.rows.append(Row("memory a session", ours_mb, stock_mb, "MB", "<= 3", ours_mb <= 3))
    await _losses(report, seconds)
    report.notes.append(
        "On time: 99 % of a caller's packets within 40 ms of its fastest. Sound to sound holds 13 ms of Opus "
        "itself and, denoised, 20 ms of RNNoise."
    )
    return report


async def _losses(report: Report, seconds: float) -> None:
    ours, stock, delays, stock_delays, filled = [], [], [], [], []
    for share in LOSSES:
        progress(f"loss of {share:.0%}")
        played, made, delay = await loss("ours", share, seconds)
        stock_played, _, stock_delay = await loss("stock", share, seconds)
        percent = share * 100
        ours.append((percent, played * 100))
        filled.append((percent, (played + made) * 100))
        stock.append((percent, stock_played * 100))
        delays.append((percent, delay))
        stock_delays.append((percent, stock_delay))
        report.rows.append(Row(f"played as sent at {share:.0%} loss", played * 100, stock_played * 100, "%"))
        report.rows.append(
            Row(f"played or made up for at {share:.0%} loss", (played + made) * 100, math.nan, "%")
        )
        report.rows.append(Row(f"sound to sound at {share:.0%} loss", delay, stock_delay, "ms"))
    report.plots.append(
        Plot(
            "Frames heard",
            "% of packets lost",
            "%",
            [Series("ours, as sent", ours), Series("stock", stock), Series("ours, with concealment", filled)],
        )
    )
    report.plots.append(
        Plot("Delay", "% of packets lost", "ms", [Series("ours", delays), Series("stock", stock_delays)])
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="short runs, for a first look")
    parser.add_argument("--html", default="build/bench-rtc.html", help="where the page with the plots goes")
    arguments = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        print("two cores are needed: one for the server, one for the load", file=sys.stderr)
        return 2
    logging.disable(logging.WARNING)  # stock connections say much when they end
    pin(LOAD_CORE)
    # Callers on loopback only: the network's own interfaces add nothing to what is measured.
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    report = uvloop.run(run(arguments.quick))
    unpin()  # engines use every core
    overload.measure(report, arguments.quick)
    print(report.text())
    page = Path(arguments.html)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(report.html(), encoding="utf-8")
    print(f"\nPlots: {page}")
    return 0 if all(row.met is not False for row in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
