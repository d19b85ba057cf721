"""The speech track and the pacer in virtual time: nothing torn, nothing sent for nothing, time stamps
true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from media_server.audio import opus
from media_server.audio.frames import Pcm
from media_server.rtc.outbound import SpeechTrack
from media_server.rtc.pacer import MAX_BEHIND, STEP, Pacer


class VirtualLoop:
    """The two things a pacer wants of a loop, and a clock; timers may be made to run late."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> _Handle:
        entry = (self.now + delay, call)
        self.timers.append(entry)
        return _Handle(self, entry)

    def run(self, seconds: float, stall_at: float | None = None, stall: float = 0.0) -> None:
        end = self.now + seconds
        stalled = False
        while self.timers:
            due, call = min(self.timers, key=lambda timer: timer[0])
            if due > end:
                break
            self.timers.remove((due, call))
            self.now = max(self.now, due)
            if stall_at is not None and not stalled and self.now >= end - seconds + stall_at:
                stalled = True
                self.now += stall
            call()
        self.now = max(self.now, end)


@dataclass
class _Handle:
    loop: VirtualLoop
    entry: tuple[float, Callable[[], None]]

    def cancel(self) -> None:
        if self.entry in self.loop.timers:
            self.loop.timers.remove(self.entry)


@dataclass
class Wire:
    """What leaves."""

    packets: list[tuple[float, int, bool, int]] = field(default_factory=list)
    """Time, time stamp, marker, level."""
    payloads: list[bytes] = field(default_factory=list)

    def heard(self) -> Pcm:
        decoder = opus.new_decoder()
        return np.concatenate([decoder.decode(payload) for payload in self.payloads])


class Bench:
    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.wire = Wire()
        self.played: list[tuple[Pcm, float]] = []
        self.pacer = Pacer(self.loop, lambda: self.loop.now)  # type: ignore[arg-type]
        self.track = SpeechTrack(
            lambda pcm, at: self.played.append((pcm, at)), self.pacer, lambda: self.loop.now
        )
        self.track.attach(self._push)

    def _push(self, payload: bytes, timestamp: int, marker: bool, level: int) -> bool:
        self.wire.packets.append((self.loop.now, timestamp, marker, level))
        self.wire.payloads.append(payload)
        return True

    def stamps(self) -> list[int]:
        return [timestamp for _, timestamp, _, _ in self.wire.packets]


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def tone(seconds: float, frequency: float = 500, level: int = 8_000) -> Pcm:
    time = np.arange(round(seconds * 48_000)) / 48_000
    return (np.sin(2 * np.pi * frequency * time) * level).astype(np.int16)


async def test_nothing_is_sent_while_there_is_nothing_to_say(bench: Bench) -> None:
    bench.loop.run(5)
    assert bench.wire.packets == []
    assert bench.loop.timers == []


async def test_a_clip_is_played_whole_every_20_ms_and_its_end_filled_up(bench: Bench) -> None:
    clip = tone(0.5)[: 48_000 // 2 - 100]
    bench.track.play(clip, clip="a", last=True)
    bench.loop.run(1)
    assert len(bench.wire.packets) == 25
    assert set(np.diff(bench.stamps())) == {960}
    assert np.diff([at for at, *_ in bench.wire.packets]) == pytest.approx(STEP)
    assert [marker for _, _, marker, _ in bench.wire.packets] == [True] + [False] * 24
    sent = np.concatenate([pcm for pcm, _ in bench.played])
    assert np.array_equal(sent[: len(clip)], clip)
    assert not sent[len(clip) :].any()
    assert bench.wire.packets[5][3] == pytest.approx(-15, abs=1)  # dBov of a sine at a quarter of full scale
    assert np.corrcoef(bench.wire.heard()[1_312:13_000], sent[1_000:12_688])[0, 1] > 0.95
    assert bench.loop.timers == []


async def test_time_stamps_count_real_time_over_silence(bench: Bench) -> None:
    bench.track.play(tone(0.1), clip="a", last=True)
    bench.loop.run(3.5)
    bench.track.play(tone(0.1), clip="b", last=True)
    bench.loop.run(1)
    stamps = bench.stamps()
    assert stamps[5] - stamps[4] == pytest.approx(48_000 * 3.42, abs=48)
    assert [index for index, (_, _, marker, _) in enumerate(bench.wire.packets) if marker] == [0, 5]


async def test_clips_follow_each_other_and_pieces_join_without_a_seam(bench: Bench) -> None:
    whole = tone(0.6)
    for at in range(0, len(whole), 7_001):
        bench.track.play(whole[at : at + 7_001], clip="a", last=False)
    bench.track.play(np.empty(0, np.int16), clip="a", last=True)
    bench.track.play(tone(0.2, 900), clip="b", last=True)
    assert bench.track.queued_ms == 800
    bench.loop.run(2)
    sent = np.concatenate([pcm for pcm, _ in bench.played])
    assert np.array_equal(sent[: len(whole)], whole)
    assert len(sent) == 38_400
    assert set(np.diff(bench.stamps())) == {960}
    assert bench.track.queued_ms == 0


async def test_a_late_producer_makes_a_pause_and_no_torn_frame(bench: Bench) -> None:
    whole = tone(0.5)
    bench.track.play(whole[:10_000], clip="a", last=False)
    bench.loop.run(1)
    bench.track.play(whole[10_000:], clip="a", last=True)
    bench.loop.run(1)
    sent = np.concatenate([pcm for pcm, _ in bench.played])
    assert np.array_equal(sent[: len(whole)], whole)


@pytest.mark.parametrize("stall", [0.05, 0.09, 0.25, 1.0])
async def test_a_stalled_process_tears_no_clip_and_makes_no_burst(bench: Bench, stall: float) -> None:
    bench.track.play(tone(2.0), clip="a", last=True)
    bench.loop.run(5, stall_at=0.5, stall=stall)
    assert len(bench.wire.packets) == 100
    assert set(np.diff(bench.stamps())) == {960}
    times = np.array([at for at, *_ in bench.wire.packets])
    within = [np.count_nonzero((times >= at) & (times < at + 0.020)) for at in times]
    assert max(within) <= 4
    assert bench.pacer.stats.late >= 1
    assert bench.pacer.stats.skipped == max(0, int(stall / STEP) + 1 - MAX_BEHIND)
    # What can be made up for is made up for.
    if stall <= 0.09:
        assert times[-1] - times[0] == pytest.approx(99 * STEP, abs=0.005)


async def test_skip_fades_out_at_once_and_drops_the_rest(bench: Bench) -> None:
    bench.track.play(tone(3), clip="a", last=True)
    bench.track.play(tone(3), clip="b", last=True)
    bench.loop.run(0.5)
    before = len(bench.wire.packets)
    assert bench.track.skip() == pytest.approx(5_500, abs=40)
    bench.loop.run(1)
    assert len(bench.wire.packets) == before + 1
    last = bench.played[-1][0]
    assert not last[240:].any()
    assert np.abs(np.diff(last[:300].astype(int))).max() < 1_200
    assert bench.track.queued_ms == 0


async def test_a_clip_that_has_not_begun_can_be_taken_back(bench: Bench) -> None:
    bench.track.play(tone(0.2), clip="a", last=True)
    bench.track.play(tone(0.2), clip="b", last=True)
    bench.loop.run(0.1)
    bench.track.drop_clip("a")
    bench.track.drop_clip("b")
    bench.loop.run(1)
    assert len(bench.wire.packets) == 10


async def test_live_frames_leave_at_once(bench: Bench) -> None:
    for n in range(50):
        bench.track.push_frame(tone(0.02))
        assert len(bench.wire.packets) == n + 1
        bench.loop.run(STEP)
    assert set(np.diff(bench.stamps())) == {960}


async def test_live_digital_silence_is_not_sent(bench: Bench) -> None:
    for _ in range(50):
        bench.track.push_frame(np.zeros(960, np.int16))
        bench.loop.run(STEP)
    assert bench.wire.packets == []


async def test_live_silence_in_between_takes_its_time(bench: Bench) -> None:
    for n in range(30):
        bench.track.push_frame(np.zeros(960, np.int16) if 10 <= n < 20 else tone(0.02))
        bench.loop.run(STEP)
    assert [stamp - bench.stamps()[0] for stamp in bench.stamps()] == [
        n * 960 for n in range(30) if not 10 <= n < 20
    ]
    assert [index for index, (_, _, marker, _) in enumerate(bench.wire.packets) if marker] == [0, 10]


async def test_live_frames_that_run_ahead_of_time_are_dropped(bench: Bench) -> None:
    for _ in range(100):
        bench.track.push_frame(tone(0.02))
    assert len(bench.wire.packets) <= 8


async def test_live_sound_is_mixed_with_the_clip_that_plays(bench: Bench) -> None:
    bench.track.play(np.full(48_000, 1_000, np.int16), clip="a", last=True)
    for _ in range(40):
        bench.loop.run(STEP)
        bench.track.push_frame(np.full(960, 500, np.int16))
    middle = [pcm for pcm, _ in bench.played][10:30]
    assert {int(value) for pcm in middle for value in set(pcm)} == {1_500}


async def test_interpretation_that_waits_is_bounded_and_the_oldest_whole_clip_goes(bench: Bench) -> None:
    for n in range(20):
        bench.track.play(np.ones(48_000 * 10, np.int16), clip=str(n), last=True)
    assert bench.track.queued_ms <= 60_000
    assert bench.track.dropped_clips == 14


async def test_fec_is_on_while_the_listener_reports_loss(bench: Bench) -> None:
    bench.track.report_loss(0.1)
    voiced = np.sign(tone(1.0, 130)) * 3_000
    bench.track.play(voiced.astype(np.int16), clip="a", last=True)
    bench.loop.run(2)
    assert sum(opus.has_fec(payload) for payload in bench.wire.payloads) > 12
    for _ in range(10):
        bench.track.report_loss(0.0)
    bench.wire.payloads.clear()
    bench.track.play(voiced.astype(np.int16), clip="b", last=True)
    bench.loop.run(2)
    assert sum(opus.has_fec(payload) for payload in bench.wire.payloads) <= 2


async def test_an_error_inside_costs_a_frame_and_never_the_track(bench: Bench) -> None:
    class Broken:
        calls = 0

        def encode(self, pcm: Pcm) -> bytes:
            self.calls += 1
            if self.calls % 2:
                raise RuntimeError("out of order")
            return b"\xf8\xff\xfe"

        def set_packet_loss(self, percent: int) -> None: ...
        def reset(self) -> None: ...

    track = SpeechTrack(None, bench.pacer, lambda: bench.loop.now, Broken())
    track.attach(bench._push)
    track.play(tone(0.4), clip="a", last=True)
    bench.loop.run(1)
    assert len(bench.wire.packets) == 10
    assert track.failures == 10
    assert set(np.diff(bench.stamps())) == {1_920}
    assert track.readyState == "live"


async def test_whoever_pulls_gets_packets_and_only_the_end_ends_them(bench: Bench) -> None:
    bench.track.detach()
    waiting = asyncio.ensure_future(bench.track.recv())
    await asyncio.sleep(0)
    bench.track.play(tone(2.0), clip="a", last=True)
    bench.loop.run(3)
    first = await waiting
    assert (first.time_base.numerator, first.time_base.denominator) == (1, 48_000)
    # Nobody pulled meanwhile: what waits is bounded, the oldest went.
    rest = [(await bench.track.recv()).pts or 0 for _ in range(49)]
    assert set(np.diff(rest)) == {960}
    bench.track.stop()
    with pytest.raises(MediaStreamError):
        await bench.track.recv()
    bench.track.play(tone(1), clip="b", last=True)
    assert bench.loop.timers == []


async def test_one_failing_tick_does_not_stop_the_others(bench: Bench) -> None:
    def broken(now: float) -> bool:
        raise RuntimeError("broken")

    bench.pacer.add(broken)
    bench.track.play(tone(0.2), clip="a", last=True)
    bench.loop.run(1)
    assert len(bench.wire.packets) == 10
    assert bench.pacer.stats.failures > 10
