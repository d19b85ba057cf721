"""Recognition for many speakers at once, measured: ``python -m benchmarks.asr`` (``make bench-asr``).

Rows
    windows     windows decoded in a second while 16 people speak, arriving in real time: this server's recognizer,
                the best that it does without batches, and faster-whisper as it comes, each behind the same queue
    callers     how many WebRTC callers can speak at once, everything that a call needs included: their finals come
                within 1.2 s of the end of speech (19 of 20), with as few wrong words as of one caller alone

Two cores are used, those of the callers included where the machine has no others.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import aioice.ice
import uvloop

from benchmarks.arrivals import Outcome, arrivals, play
from benchmarks.crowd import talk
from benchmarks.figures import Figure, render
from benchmarks.live import LiveServer
from benchmarks.material import PiperSpeaker, sentences
from benchmarks.scoring import Errors, errors, median, quantile
from benchmarks.timeline import Seen
from media_server import config
from media_server.engines.base import EngineSpec
from media_server.engines.registry import choose, look_around
from media_server.models.store import ModelStore

ROWS = ("windows", "callers")
CORES = 2
SPEAKERS = 16
AGAINST_PLAIN, AGAINST_UNBATCHED = 5.0, 1.3
UNBATCHED = ((1, 2), (2, 1))  # workers and threads; one worker of one thread leaves a core idle
BARS = {"base": 8, "tiny.en": 14}
"""People who can speak at once."""
FINAL_S = 1.2
FINAL_SHARE = 0.95
WORSE = 0.02  # word error rate, above that of one caller alone: 1 word of 50
STEP = 2  # people more in the second try, when the first was a success
FEWER = 0.6  # of the people, when it was none
CALL_CLIPS = 6


class AsrBench:
    def __init__(self, model: str, seconds: float, people: int, say: Callable[[str], None]) -> None:
        self._model = model
        self._seconds = seconds
        self._people_first = people
        self._say = say
        self._models = config.load(os.environ, Path(".env")).models_path
        self.figures: list[Figure] = []
        say("making the material")
        speaker = PiperSpeaker(self._models / "piper-en_US-joe-medium")
        self._clips = [clip for clip in speaker.say_all(sentences()) if 1.5 <= clip.speech_s <= 5.0]

    def add(self, row: str, what: str, value: float, unit: str = "", **how: object) -> None:
        self.figures.append(Figure(row, what, value, unit, **how))  # type: ignore[arg-type]

    # Windows

    def windows(self) -> None:
        ours = self._play("this server's recognizer")
        unbatched = {
            (workers, threads): self._play(
                f"the same without batches, {workers} x {threads}",
                ASR_MAX_BATCH="1",
                ASR_WORKERS=str(workers),
                ASR_THREADS=str(threads),
            )
            for workers, threads in UNBATCHED
        }
        plain = self._play("faster-whisper as it comes", plain=True)
        best = max(unbatched, key=lambda choice: unbatched[choice].windows_per_s)
        rate = ours.windows_per_s
        row = f"windows ({self._model}, {SPEAKERS} people, {self._seconds:.0f} s)"
        self._outcome(row, "this server", ours)
        for (workers, threads), outcome in unbatched.items():
            self._outcome(row, f"without batches, {workers} x {threads} thread{'s'[: threads - 1]}", outcome)
        self._outcome(row, "faster-whisper, 30 s windows, cpu_threads=2", plain)
        for what, value, bar in (
            (
                "this server against faster-whisper",
                rate / max(plain.windows_per_s, 1 / self._seconds),
                AGAINST_PLAIN,
            ),
            (
                f"this server against itself without batches ({best[0]} x {best[1]})",
                rate / max(unbatched[best].windows_per_s, 1 / self._seconds),
                AGAINST_UNBATCHED,
            ),
        ):
            self.add(row, what, round(value, 2), "times", bar=bar, at_least=True)

    def _play(self, name: str, *, plain: bool = False, **environ: str) -> Outcome:
        self._say(name)
        settings = config.load(
            {"MODELS_DIR": str(self._models), "ASR_MODEL_SIZE": self._model, **environ}, None
        )
        plan = choose(settings, look_around(settings, ModelStore(settings.models_path)), "")
        specs: tuple[EngineSpec, ...] = plan.recognize
        if plain:
            kept = {key: specs[0].settings[key] for key in ("model_dir", "device", "compute_type")}
            specs = (
                replace(
                    specs[0],
                    factory="benchmarks.plain_whisper:PlainWhisper",
                    settings={**kept, "threads": CORES},
                ),
            )
        offered = arrivals(self._clips, SPEAKERS, self._seconds)
        return uvloop.run(play(specs, plan.gather_s, offered, self._seconds))

    def _outcome(self, row: str, name: str, outcome: Outcome) -> None:
        finals = f"{len(outcome.final_s)} of {outcome.finals_asked} finals"
        if outcome.final_s:
            finals += f" in {median(outcome.final_s):.2f} s (95 %: {quantile(outcome.final_s, 0.95):.2f} s)"
        note = (
            f"partials {outcome.partial_ms(0.5):.0f} ms (95 %: {outcome.partial_ms(0.95):.0f} ms), {finals}, "
            f"words wrong {outcome.errors.rate * 100:.1f} %"
        )
        self.add(row, name, round(outcome.windows_per_s, 1), "a second", note=note)

    # Callers

    def callers(self) -> None:
        for model, bar in BARS.items():
            if not (self._models / f"whisper-{model}").is_dir():
                self._say(f"whisper-{model} is not here: left out")
                continue
            self._callers(model, bar)

    def _callers(self, model: str, bar: int) -> None:
        row = f"callers ({model})"
        alone = self._talk(model, 1)
        best = int(self._people(row, 1, alone, None))
        limit = _errors(alone).rate + WORSE
        people = self._people_first or bar
        tried = [people]
        seen = self._talk(model, people)
        if self._people(row, people, seen, limit):
            best = people
            tried.append(people + STEP)
        else:
            tried.append(max(1, round(people * FEWER)))
        if self._people(row, tried[1], self._talk(model, tried[1]), limit):
            best = max(best, tried[1])
        note = f"of 1, {min(tried)} and {max(tried)}"
        self.add(row, "people who can speak at once", best, bar=bar, at_least=True, note=note)

    def _talk(self, model: str, people: int) -> list[Seen]:
        self._say(f"{people} WebRTC caller{'s'[: people - 1]} with {model}")
        settings = {"MODELS_DIR": str(self._models), "ASR_MODEL_SIZE": model, "RTC_BIND": "127.0.0.1"}
        own = _cores()
        _use(own[:CORES])
        with LiveServer(0, MAX_SESSIONS=str(max(64, people)), MAX_SPEECH_LOAD="1000", **settings) as server:
            _use(own[CORES:] or own)
            clips = self._clips[:: max(1, len(self._clips) // CALL_CLIPS)][:CALL_CLIPS]
            seen = uvloop.run(talk(server.url, clips, people))
        _use(own)
        return seen

    def _people(self, row: str, people: int, seen: Sequence[Seen], limit: float | None) -> bool:
        finals = [value for one in seen if (value := one.final_s()) is not None]
        late = quantile(finals, FINAL_SHARE) if finals else float("inf")
        wrong = _errors(seen)
        firsts = [value for one in seen if (value := one.first_partial_s()) is not None]
        rewrites = sum(one.calm().rewrites for one in seen)
        note = (
            f"median {median(finals):.2f} s, {len(finals)} of {len(seen)} finals; first words after "
            f"{median(firsts):.2f} s; words wrong {wrong.rate * 100:.1f} %; committed text changed {rewrites} times"
        )
        self.add(row, f"{people} at once: end of speech to final, 95 %", round(late, 3), "s", note=note)
        everybody = len(finals) >= FINAL_SHARE * len(seen)
        return late <= FINAL_S and everybody and (limit is None or wrong.rate <= limit)


def _errors(seen: Sequence[Seen]) -> Errors:
    return sum((errors(one.clip.text, one.text) for one in seen), Errors())


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _use(cores: Sequence[int]) -> None:
    """This process, and those that it starts, on these cores."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures; 1 if one missed its bar."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.asr", description="Measures recognition at scale."
    )
    parser.add_argument("--only", default="", help=f"rows, comma-separated: {', '.join(ROWS)}")
    parser.add_argument("--model", default="base", help="size for the row windows")
    parser.add_argument("--seconds", type=float, default=12.0, help="of every run of the row windows")
    parser.add_argument(
        "--people", type=int, default=0, help="callers in the first try; 0: as many as the bar"
    )
    parser.add_argument("--json", type=Path, default=None, help="write the figures there, too")
    given = parser.parse_args(arguments)
    rows = [row for row in given.only.split(",") if row] or list(ROWS)
    if unknown := set(rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    logging.disable(logging.WARNING)
    # Callers on loopback only: the network's own interfaces add nothing to what is measured.
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    cores = _cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    bench = AsrBench(
        given.model,
        given.seconds,
        given.people,
        lambda text: print(f"... {text}", file=sys.stderr, flush=True),
    )
    for row in rows:
        _use(cores[:CORES] if row == "windows" else cores)
        getattr(bench, row)()
    print(f"{min(CORES, len(cores) or CORES)} cores, load {load:.1f} before the run\n{render(bench.figures)}")
    if given.json is not None:
        given.json.write_text(
            json.dumps([asdict(figure) for figure in bench.figures], indent=1) + "\n", "utf-8"
        )
    return int(any(figure.held is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main())
