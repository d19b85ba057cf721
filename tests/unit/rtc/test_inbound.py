"""The receive path: losses recovered from in-band FEC or concealed, one microphone at a time, nothing after
close."""

from __future__ import annotations

import random
import wave
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from media_server.audio import opus
from media_server.audio.frames import Pcm
from media_server.audio.resample import resample
from media_server.rtc.inbound import WATCHDOG_FAILURES, InboundAudio

FRAME = 960


@pytest.fixture(scope="module")
def voice(project_root: Path) -> list[Pcm]:
    with wave.open(str(project_root / "tests/data/jfk.wav")) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate = file.getframerate()
    pcm = resample(pcm, rate, 48_000)
    return [pcm[at : at + FRAME] for at in range(0, len(pcm) - FRAME, FRAME)]


class Bench:
    """Packets every 20 ms of virtual time."""

    def __init__(self) -> None:
        self.now = 10.0
        self.frames: list[Pcm] = []
        self.gaps: list[int] = []
        self.made: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.inbound = InboundAudio(
            self.frames.append, self.gaps.append, self._made, self._dropped, lambda: self.now
        )

    def _made(self, how: str) -> None:
        self.made[how] += 1

    def _dropped(self, why: str) -> None:
        self.dropped[why] += 1

    def packet(self, n: int, payload: bytes, ssrc: int = 1, timestamp: int | None = None) -> None:
        stamp = n * FRAME if timestamp is None else timestamp
        self.inbound.packet(ssrc, n & 0xFFFF, stamp & 0xFFFF_FFFF, payload, self.now)

    def heard(self) -> Pcm:
        return np.concatenate(self.frames)


@pytest.fixture
async def bench() -> Iterator[Bench]:  # type: ignore[misc]
    bench = Bench()
    yield bench
    bench.inbound.close()


def encoded(frames: list[Pcm], loss: int = 0) -> list[bytes]:
    encoder = opus.new_encoder()
    encoder.set_packet_loss(loss)
    return [encoder.encode(frame) for frame in frames]


async def test_in_band_fec_recovers_single_losses(bench: Bench, voice: list[Pcm]) -> None:
    payloads = encoded(voice, loss=15)
    rng = random.Random(3)
    lost: set[int] = set()
    for n in range(5, len(payloads) - 2):
        if n - 1 not in lost and rng.random() < 0.08:
            lost.add(n)
    for n, payload in enumerate(payloads):
        bench.now += 0.02
        if n not in lost:
            bench.packet(n, payload)
    with_copy = sum(opus.has_fec(payloads[n + 1]) for n in lost)
    assert with_copy > 20
    assert bench.made["recovered"] >= 0.8 * with_copy
    assert bench.made["recovered"] + bench.made["concealed"] == len(lost)
    assert len(bench.frames) == len(payloads)
    assert bench.gaps == []


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.1, 0.2])
async def test_what_comes_is_played_as_sent_and_the_rest_has_its_length(
    bench: Bench, voice: list[Pcm], loss: float
) -> None:
    payloads = encoded(voice, loss=20)
    rng = random.Random(9)
    came = 0
    for n, payload in enumerate(payloads):
        bench.now += 0.02
        if n < 3 or n > len(payloads) - 4 or rng.random() >= loss:
            came += 1
            bench.packet(n, payload)
    bench.now += 0.1
    assert bench.made["played"] == came
    assert bench.made["recovered"] + bench.made["concealed"] >= (len(payloads) - came) * 0.9
    assert len(bench.frames) * 20 + sum(bench.gaps) == pytest.approx(len(payloads) * 20, abs=20)
    # It still is the voice.
    reference = opus.new_decoder()
    whole = np.concatenate([reference.decode(payload) for payload in payloads]).astype(float)
    heard = bench.heard()[: len(whole)].astype(float)
    if not bench.gaps:
        assert np.corrcoef(heard, whole[: len(heard)])[0, 1] > 1 - 3 * loss


@pytest.mark.parametrize("per_packet", [2, 3])
async def test_packets_of_40_and_60_ms_become_frames_of_20(
    bench: Bench, voice: list[Pcm], per_packet: int
) -> None:
    encoder = opus.new_encoder()
    assert isinstance(encoder, opus.LibopusEncoder)
    single = [encoder.encode(frame) for frame in voice[:60]]
    # Frames of one configuration joined as code 3 of RFC 6716 section 3.2.5, constant order.
    joined = []
    for at in range(0, 60, per_packet):
        group = single[at : at + per_packet]
        if len({payload[0] & 0xFC for payload in group}) == 1:
            body = b"".join(payload[1:] for payload in group)
            sizes = b"".join(_size(len(payload) - 1) for payload in group[:-1])
            joined.append(bytes((group[0][0] & 0xFC | 3, 0x80 | per_packet)) + sizes + body)
    for n, payload in enumerate(joined):
        bench.now += 0.02 * per_packet
        bench.packet(n, payload, timestamp=n * per_packet * FRAME)
    assert len(joined) > 5
    assert len(bench.frames) == len(joined) * per_packet
    assert {len(frame) for frame in bench.frames} == {FRAME}
    assert bench.gaps == []


def _size(length: int) -> bytes:
    """RFC 6716 section 3.2.1."""
    return (
        bytes((length,)) if length < 252 else bytes((252 + (length & 3), (length - 252 - (length & 3)) >> 2))
    )


async def test_a_second_source_waits_until_the_first_is_silent(bench: Bench, voice: list[Pcm]) -> None:
    payloads = encoded(voice[:50])
    for n in range(10):
        bench.now += 0.02
        bench.packet(n, payloads[n], ssrc=1)
        bench.packet(n, payloads[n], ssrc=2)
    assert len(bench.frames) == 10
    assert bench.dropped["second_source"] == 10
    bench.now += 0.6
    bench.packet(40, payloads[10], ssrc=2)
    assert len(bench.frames) == 11


async def test_garbage_is_concealed_and_a_stuck_decoder_replaced(
    bench: Bench, voice: list[Pcm], caplog: pytest.LogCaptureFixture
) -> None:
    good = encoded(voice[:20])
    garbage = b"\x0b\xff\x00"  # a plausible duration, an impossible packing
    payloads = [*good[:10], *[garbage] * (WATCHDOG_FAILURES + 5), *good[10:], b"", b"\x03"]
    for n, payload in enumerate(payloads):
        bench.now += 0.02
        bench.packet(n, payload)
    assert bench.dropped["payload"] >= 2
    assert bench.made["played"] == 20
    if bench.made["garbage"]:
        assert bench.made["garbage"] == WATCHDOG_FAILURES + 5
        assert "decoder was replaced" in caplog.text


async def test_nothing_comes_after_close(bench: Bench, voice: list[Pcm]) -> None:
    payloads = encoded(voice[:20])
    bench.packet(0, payloads[0])
    bench.packet(2, payloads[2])
    bench.inbound.close()
    bench.now += 1
    bench.packet(3, payloads[3])
    bench.inbound.tick()
    assert len(bench.frames) == 1
    assert bench.gaps == []


async def test_silence_is_reported_by_ticks(bench: Bench, voice: list[Pcm]) -> None:
    bench.packet(0, encoded(voice[:1])[0])
    for _ in range(50):
        bench.now += 0.02
        bench.inbound.tick()
    assert sum(bench.gaps) == pytest.approx(960, abs=60)
    assert max(bench.gaps[1:]) <= 100


async def test_a_process_that_stood_still_does_not_take_waiting_packets_for_silence(
    bench: Bench, voice: list[Pcm]
) -> None:
    payloads = encoded(voice[:40])
    for n in range(10):
        bench.now += 0.02
        bench.packet(n, payloads[n])
        bench.inbound.tick()
    bench.now += 0.5
    bench.inbound.tick()  # the timer runs before the sockets are read
    for n in range(10, 35):
        bench.packet(n, payloads[n])
    assert bench.gaps == []
    assert len(bench.frames) == 35
