"""Media while engines are saturated, and those inside while many more ask to come in.

    python -m benchmarks.overload [--quick] [--only saturated|beside|crowded]

Calls go to the real server with its real engines, from one other process that sends prepared speech in real time and
decodes nothing; both share the machine's cores with the engines. Three parts:

- Saturated: eight people speak at once without a break, four of them hearing their own denoised microphone back
  (sound comes back all the time), four interpreted. What comes back is looked at from the client's side.
- Beside: four people hear their own denoised microphone while clients of ``/ws-audio`` have more sound denoised than
  the cores can take.
- Crowded: people who speak sentences come one after the other, three for each that was let in. Latencies of those
  inside stand beside those of the first of them alone.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Thread
from types import MappingProxyType

import numpy as np
import uvloop

from benchmarks.callplan import OPUS_FRAME, OPUS_RATE, PACKET_S, CallPlan, plan_call
from benchmarks.gathering import CrowdPlan, Person, PersonLog
from benchmarks.live import LiveServer
from benchmarks.material import (
    Clip,
    PiperSpeaker,
    joined,
    long_sentences,
    sentences,
    with_margins,
    with_noise,
)
from benchmarks.rtc_report import Report, Row
from benchmarks.scoring import quantile
from benchmarks.timeline import Seen, seen_of
from benchmarks.ws_load import Prepared, connect, pace
from media_server import config

PARTS = ("saturated", "beside", "crowded")
SPEAKERS = 8
LOOPED = 4
ECHOES = 40  # clients of /ws-audio, more than RNNoise's threads can serve beside calls
OFFERED = 30  # more than a server of two cores lets in three times over
LATE_S = 0.040  # beyond the call's fastest packet, as in the rest of the benchmark
LATE_TICK_MS = "25.0"  # a pacer's tick that is more than a frame late
EDGE_S = 0.2  # of hiss before and behind a talk; what of it is silence to the server is not sent back
HISS_DB = 30.0  # under the speech: no frame is digital silence, which would not be sent
ARRIVE_S = 1.0  # between two who come
PAUSE_S = 1.0  # between a sentence's answer and the next sentence
WORST = 1.25  # of the latency of those inside, beside an unloaded server
SEED = 7


# -- what is read from a log: pure functions ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sound:
    """What came back to one caller."""

    packets: int
    late: int
    missing: int
    """Sequence numbers between the first and the last that did not come."""
    frames: int
    """Time stamps between the first and the last, silence that was not sent included."""


def sound_of(packets: Sequence[tuple[float, int, int]]) -> Sound:
    """``packets``: arrival in s, RTP time stamp, sequence number. Both numbers may wrap."""
    if not packets:
        return Sound(0, 0, 0, 0)
    stamps = _unwrapped([stamp for _, stamp, _ in packets], 32)
    numbers = _unwrapped([number for *_, number in packets], 16)
    behind = [at - (stamp - stamps[0]) / OPUS_RATE for (at, *_), stamp in zip(packets, stamps, strict=True)]
    fastest = min(behind)
    return Sound(
        packets=len(packets),
        late=sum(value - fastest > LATE_S for value in behind),
        missing=max(numbers) - min(numbers) + 1 - len(set(numbers)),
        frames=(max(stamps) - min(stamps)) // OPUS_FRAME + 1,
    )


def _unwrapped(numbers: Sequence[int], bits: int) -> list[int]:
    """Numbers of so many bits that go on over their end."""
    whole, half = 1 << bits, 1 << (bits - 1)
    result = [numbers[0]]
    for before, after in pairwise(numbers):
        result.append(result[-1] + (after - before + half) % whole - half)
    return result


def partial_gaps_s(log: PersonLog) -> list[float]:
    """Seconds between two partials of the same utterance."""
    last: dict[str, float] = {}
    gaps: list[float] = []
    for at, message in log.call.messages:
        if message["type"] == "partial":
            if (before := last.get(message["id"])) is not None:
                gaps.append(at - before)
            last[message["id"]] = at
    return gaps


def spoken(clips: Sequence[Clip], log: PersonLog) -> list[Seen]:
    """The sentences that were said; the callers go round their clips."""
    count = len(log.call.sent)
    said = [clips[n % len(clips)] for n in range(count)]
    return seen_of(said, log.call)


# -- the runs -------------------------------------------------------------------------------------------------------


class Overload:
    def __init__(self, models: Path, quick: bool) -> None:
        self._models = models
        self._seconds = 15.0 if quick else 45.0
        voice = PiperSpeaker(models / "piper-en_US-joe-medium")
        self._sentences = voice.say_all([text for text in sentences() if len(text.split()) >= 5])
        self._talks = _talks(voice.say_all(long_sentences(sentences())), 2 if quick else 4)

    def _server(self, settings: Mapping[str, str] = MappingProxyType({})) -> LiveServer:
        given = {"MODELS_DIR": str(self._models), "ASR_MODEL_SIZE": "base", **settings}
        return LiveServer(0, **given)

    def saturated(self, report: Report) -> None:
        """Eight at once. The rules that would keep some of them out are switched off."""
        rng = np.random.default_rng(SEED)
        talks = [with_noise(with_margins(talk, EDGE_S, EDGE_S), HISS_DB, rng) for talk in self._talks]
        people = [
            Person(_plan([talk], "en" if n % 2 else "es"), loopback=bool(n % 2))
            for n, talk in enumerate(talks)
        ]
        open_to_all = {"MAX_QUEUE_WAIT_MS": "60000", "MAX_LOOP_LAG_MS": "60000", "MAX_SPEECH_LOAD": "100"}
        with self._server(open_to_all) as server:
            (alone,) = server.crowd(CrowdPlan(people[:1], 1.0, together=True))
            unloaded = waits_ms(server)
        with self._server(open_to_all) as server:
            logs = server.crowd(CrowdPlan(people, self._seconds, together=True))
            loaded = waits_ms(server)
            ticks = server.metric("lai_audio_late_ms_count")
            late_ticks = ticks - server.metric("lai_audio_late_ms_bucket", le=LATE_TICK_MS)
            fed = server.metric("lai_audio_frames_total")
            made_up = fed - server.metric("lai_audio_frames_total", how="played")
            lost = server.metric("lai_utterances_total", outcome="lost")
            finals = server.metric("lai_utterances_total", outcome="final")
        sounds = [sound_of(log.sound) for log in logs]
        packets = sum(sound.packets for sound in sounds)
        late = sum(sound.late for sound in sounds) / max(1, packets) * 100
        mirrored = [
            (sound_of(log.sound), log) for log, person in zip(logs, people, strict=True) if person.loopback
        ]
        edges = round(2 * EDGE_S / PACKET_S)
        gone = sum(sound.missing for sound in sounds) + sum(
            max(0, sum(map(len, log.call.sent)) - edges - sound.frames) for sound, log in mirrored
        )
        name = f"{SPEAKERS} speak at once"
        rows = report.rows
        rows.append(_row(f"{name}: packets back that are late", late, "%", "< 1", late < 1))
        tick_share = late_ticks / max(1.0, ticks) * 100
        rows.append(_row(f"{name}: ticks of the pacer > 25 ms late", tick_share, "%", "< 1", tick_share < 1))
        rows.append(_row(f"{name}: frames lost of {packets}", gone, "", "0", gone == 0))
        rows.append(_row(f"{name}: frames made up of {fed:.0f} heard", made_up, "", "0", made_up == 0))
        rows.append(_row(f"{name}: utterances lost of {finals + lost:.0f}", lost, "", "0", lost == 0))
        gaps, gaps_alone = [gap for log in logs for gap in partial_gaps_s(log)], partial_gaps_s(alone)
        if gaps and gaps_alone:
            one, many = quantile(gaps_alone, 0.5), quantile(gaps, 0.5)
            rows.append(_row("between two partials: one speaks", one * 1000, "ms"))
            rows.append(_row(f"between two partials: {SPEAKERS} speak", many * 1000, "ms"))
        for work in ("final", "partial"):
            rows.append(_row(f"a {work} waits: one speaks", unloaded[work], "ms"))
            rows.append(_row(f"a {work} waits: {SPEAKERS} speak", loaded[work], "ms"))

    def beside(self, report: Report) -> None:
        """RNNoise for others costs calls no time."""
        people = [Person(_plan(self._mine(n), "en"), loopback=True) for n in range(LOOPED)]
        plan = CrowdPlan(people, self._seconds / 2, together=True)
        with self._server() as server:
            for clients in (0, ECHOES):
                with echoing(server, clients, self._seconds / 2 + 15) as answers:
                    sounds = [sound_of(log.sound) for log in server.crowd(plan)]
                packets = sum(sound.packets for sound in sounds)
                late = sum(sound.late for sound in sounds) / max(1, packets) * 100
                name = f"{LOOPED} calls beside {clients} clients of /ws-audio"
                report.rows.append(_row(f"{name}: packets back that are late", late, "%", "< 1", late < 1))
                lost = sum(sound.missing for sound in sounds)
                report.rows.append(_row(f"{name}: frames lost of {packets}", lost, "", "0", lost == 0))
            report.rows.append(_row(f"messages of {ECHOES} clients that were answered", answers(), "%"))
            denoised = server.metric("lai_echo_messages_total", how="rnnoise")
            share = denoised / max(1.0, server.metric("lai_echo_messages_total")) * 100
            report.rows.append(_row("of that by RNNoise, the rest by the gate", share, "%"))

    def crowded(self, report: Report) -> None:
        """Who is let in is the server's choice, with the settings as they come."""
        people = [Person(_plan(self._mine(n), "es"), arrives_s=n * ARRIVE_S) for n in range(OFFERED)]
        with self._server() as server:
            alone = server.crowd(CrowdPlan(people[:1], self._seconds + 15))
        with self._server() as server:
            logs = server.crowd(CrowdPlan(people, self._seconds + len(people) * ARRIVE_S))
            lost = server.metric("lai_utterances_total", outcome="lost")
        inside = [log.status == 200 for log in logs]
        seen = [one for n, log in enumerate(logs) if inside[n] for one in spoken(self._mine(n), log)]
        latencies = [value for one in seen if (value := one.final_s()) is not None]
        unloaded = [value for one in spoken(self._mine(0), alone[0]) if (value := one.final_s()) is not None]
        refused = [log for log in logs if log.status != 200]
        rows = report.rows
        rows.append(_row("people who spoke and were let in", sum(inside), f"of {len(people)}"))
        orderly = all(log.status == 503 and int(log.retry_after or 0) > 0 for log in refused)
        enough = len(people) >= 3 * sum(inside)
        rows.append(_row("refused, each with 503 and Retry-After", len(refused), "", "all", orderly))
        if refused:
            slowest = max(log.refused_after_s for log in refused) * 1000
            rows.append(_row("slowest refusal", slowest, "ms", "<= 100", slowest <= 100))
        silent = len(seen) - len(latencies)
        rows.append(
            _row(f"sentences without a final of {len(seen)}", silent + lost, "", "0", silent + lost == 0)
        )
        before, after = quantile(unloaded, 0.95) * 1000, quantile(latencies, 0.95) * 1000
        rows.append(_row("end of speech to final, 95 %: one person alone", before, "ms"))
        met = after <= WORST * before
        rows.append(_row("end of speech to final, 95 %: those inside", after, "ms", f"<= {WORST} times", met))
        rows.append(_row("the same beside one alone", after / before, "times", f"<= {WORST}", met))
        if not enough:
            report.notes.append(f"{len(people)} offered calls are not three times the {sum(inside)} let in.")

    def _mine(self, person: int) -> list[Clip]:
        """Everybody begins at another sentence."""
        start = person * 3 % len(self._sentences)
        return self._sentences[start:] + self._sentences[:start]


@contextmanager
def echoing(server: LiveServer, clients: int, seconds: float) -> Iterator[Callable[[], float]]:
    """While it is open ``clients`` of ``/ws-audio`` send sound in real time, ``seconds`` at the most.

    Gives the share of their messages that was answered, in percent, to be asked for afterwards.
    """
    port = int(server.url.rpartition(":")[2])
    counts = [0, 0]

    async def talk() -> None:
        talkers = await connect(Prepared.make(), port, clients)
        await pace(talkers, seconds)
        counts[0] = sum(talker.answers for talker in talkers)
        counts[1] = round(clients * seconds * 100)
        for talker in talkers:
            talker.close()

    thread = Thread(target=lambda: uvloop.run(talk()))
    if clients:
        thread.start()
    yield lambda: counts[0] / max(1, counts[1]) * 100
    if clients:
        thread.join()


def _talks(clips: Sequence[Clip], count: int) -> list[Clip]:
    """Talk without a break for each speaker, of ``count`` long sentences; nobody says what another says then."""
    return [joined([clips[(n + step * 3) % len(clips)] for step in range(count)]) for n in range(SPEAKERS)]


def _plan(clips: Sequence[Clip], target: str) -> CallPlan:
    plan = plan_call(clips, {"sourceLang": "en", "targetLang": target}, pause_s=PAUSE_S)
    return CallPlan(
        plan.keys, plan.clips, plan.silence, plan.pause_s, quiet_s=-1.0
    )  # talks over the interpretation


def waits_ms(server: LiveServer) -> dict[str, float]:
    """Mean wait for a recognizer, by work."""
    name = "lai_asr_queue_wait_ms"
    return {
        work: server.metric(f"{name}_sum", work=work) / max(1.0, server.metric(f"{name}_count", work=work))
        for work in ("final", "partial")
    }


def _row(what: str, value: float, unit: str, bar: str = "", met: bool | None = None) -> Row:
    return Row(what, value, math.nan, unit, bar, met)


def measure(report: Report, quick: bool, parts: Sequence[str] = PARTS) -> None:
    """Adds the rows of the parts."""
    overload = Overload(config.load(os.environ, Path(".env")).models_path, quick)
    for part in parts:
        print(f"  overload: {part} ...", file=sys.stderr, flush=True)
        getattr(overload, part)(report)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="short runs, for a first look")
    parser.add_argument("--only", choices=PARTS, help="one part")
    given = parser.parse_args()
    report = Report(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run")
    measure(report, given.quick, [given.only] if given.only else PARTS)
    print(report.text())
    return 0 if all(row.met is not False for row in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
