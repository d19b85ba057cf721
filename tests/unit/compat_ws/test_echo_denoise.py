"""RNNoise off the loop: the same sound as inline, order kept, lengths kept, and the gate where there is no room."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from compat_ws import echo_denoise
from compat_ws.echo_denoise import BUDGET_S, CROWD, Denoisers, EchoStream, Job
from compat_ws.echo_messages import Format
from media_server.audio.frames import Pcm
from media_server.audio.levels import dbov
from media_server.pipeline.denoise import NoiseGate, RNNoise
from tests.support.webrtc import until

SOUND = Format(48_000, 1, 480)


def noise(samples: int, level: float = 800.0) -> Pcm:
    return np.random.default_rng(3).normal(0, level, samples).astype(np.int16)


def messages(pcm: Pcm, size: int) -> list[bytes]:
    return [
        struct.pack("<Id", n, n * 10.0) + pcm[at : at + size].tobytes()
        for n, at in enumerate(range(0, len(pcm), size))
    ]


class Heard:
    """A client's answers."""

    def __init__(self) -> None:
        self.answers: list[bytes | str] = []

    def __call__(self, answer: bytes | str, seconds: float) -> None:
        self.answers.append(answer)

    @property
    def binary(self) -> list[bytes]:
        return [answer for answer in self.answers if isinstance(answer, bytes)]

    @property
    def sequences(self) -> list[int]:
        return [struct.unpack_from("<I", answer)[0] for answer in self.binary]

    @property
    def pcm(self) -> Pcm:
        return np.concatenate([np.frombuffer(answer, np.int16, offset=12) for answer in self.binary])


@pytest.fixture
def denoisers() -> Iterator[Denoisers]:
    made = Denoisers(threads=1, late_s=30.0)
    yield made
    made.stop()


def stream_of(denoisers: Denoisers | None, heard: Heard, sound: Format = SOUND) -> EchoStream:
    return EchoStream(sound, NoiseGate(), denoisers, heard, asyncio.get_running_loop().time)


async def feed(stream: EchoStream, data: list[bytes]) -> None:
    for message in data:
        stream.take(message)
        await stream.eased()


async def test_threads_make_what_rnnoise_makes_in_order_and_under_the_same_headers(
    denoisers: Denoisers,
) -> None:
    denoisers.start()
    heard, pcm = Heard(), noise(480 * 60)
    await feed(stream_of(denoisers, heard), messages(pcm, 480))
    await until(lambda: len(heard.answers) == 60)
    assert heard.sequences == list(range(60))
    assert np.array_equal(heard.pcm, RNNoise().process(pcm))
    assert (denoisers.denoised, denoisers.full) == (60, 0)
    assert denoisers.waiting_s == 0


@pytest.mark.parametrize(
    ("rate", "frame", "size"),
    [(48_000, 320, 320), (48_000, 480, 1_440), (16_000, 320, 640), (44_100, 441, 441), (8_000, 80, 80)],
)
async def test_other_rates_and_frames_keep_every_length_and_lose_the_noise(
    denoisers: Denoisers, rate: int, frame: int, size: int
) -> None:
    denoisers.start()
    heard, pcm = Heard(), noise(size * (2 * rate // size))
    data = messages(pcm, size)
    await feed(stream_of(denoisers, heard, Format(rate, 1, frame)), data)
    await until(lambda: len(heard.answers) == len(data))
    assert [len(answer) for answer in heard.binary] == [len(message) for message in data]
    assert dbov(heard.pcm[rate:]) < dbov(pcm) - 10


async def test_rates_that_no_voice_comes_in_are_gated_at_once(denoisers: Denoisers) -> None:
    heard = Heard()
    stream_of(denoisers, heard, Format(96_000, 1, 960)).take(messages(noise(960, 100.0), 960)[0])
    assert dbov(heard.pcm) < dbov(noise(960, 100.0)) - 12


async def test_when_the_threads_are_full_the_gate_answers_in_order_and_it_is_counted(
    denoisers: Denoisers,
) -> None:
    """No thread runs: what was accepted waits, what comes after it goes through the gate and waits its turn."""
    others, heard = Heard(), Heard()
    crowd = [stream_of(denoisers, others) for _ in range(8)]
    for stream in crowd:
        while denoisers.has_room() and not stream.crowded:
            stream.take(messages(noise(480), 480)[0])
    assert denoisers.waiting_s > BUDGET_S
    stream_of(denoisers, heard).take(messages(noise(480), 480)[0])
    assert len(heard.answers) == 1  # at once
    assert denoisers.full == 1
    assert others.answers == []
    denoisers.start()
    await until(lambda: denoisers.waiting_s == 0)


async def test_the_gate_that_stands_in_is_as_late_as_rnnoise(
    denoisers: Denoisers, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, pcm = Heard(), np.arange(1, 480 * 20 + 1, dtype=np.int16) + 3_000
    monkeypatch.setattr(denoisers, "has_room", lambda: False)
    await feed(stream_of(denoisers, heard), messages(pcm, 480))
    assert np.array_equal(heard.pcm[960:], pcm[:-960])
    assert not heard.pcm[:960].any()


async def test_rnnoise_comes_back_after_a_second_without_old_sound(
    denoisers: Denoisers, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoisers.start()
    heard, room = Heard(), [True]
    monkeypatch.setattr(denoisers, "has_room", lambda: room[0])
    stream = stream_of(denoisers, heard)
    voice = (8_000 * np.sin(np.arange(480 * 200) * 0.05)).astype(np.int16)
    voice[480 * 50 : 480 * 140] = 0  # the gate answers this part; RNNoise never hears it
    data = messages(voice, 480)
    await feed(stream, data[:40])
    room[0] = False
    await feed(stream, data[40:50])
    room[0] = True
    await feed(stream, data[50:])
    await until(lambda: len(heard.answers) == 200)
    assert heard.sequences == list(range(200))
    assert denoisers.full == 100  # a second, and no more
    assert dbov(heard.pcm[480 * 52 + 960 : 480 * 140]) < -60  # nothing of before the pause is heard again


async def test_a_message_that_is_late_is_answered_by_the_gate() -> None:
    denoisers, heard = Denoisers(threads=1, late_s=0.01), Heard()
    stuck: list[Job] = []
    denoisers.submit = stuck.append  # type: ignore[assignment, method-assign]
    denoisers._loop = asyncio.get_running_loop()
    stream = stream_of(denoisers, heard)
    for message in messages(noise(480 * 3), 480):
        stream.take(message)
    stream.say("text in its turn")
    await until(lambda: len(heard.answers) == 4)
    assert heard.sequences == [0, 1, 2]
    assert heard.answers[3] == "text in its turn"
    assert (denoisers.full, denoisers.denoised, denoisers.waiting_s) == (3, 0, 0)
    stuck[0].out.append(noise(480))
    denoisers._done.append(stuck[0])  # the thread comes back to it after all
    denoisers._deliver()
    assert len(heard.answers) == 4
    denoisers.stop()


async def test_a_client_that_sends_too_fast_is_read_more_slowly(denoisers: Denoisers) -> None:
    heard = Heard()
    stream = stream_of(denoisers, heard)
    data = messages(noise(480 * CROWD), 480)
    assert [stream.take(message) for message in data] == [False] * (CROWD - 1) + [True]
    denoisers.start()
    async with asyncio.timeout(20):
        await stream.eased()
    assert not stream.crowded


async def test_a_new_format_in_mid_stream_keeps_the_order_of_answers(denoisers: Denoisers) -> None:
    heard = Heard()
    stream = stream_of(denoisers, heard)
    data = messages(noise(480 * 9), 480)
    for message in data[:3]:
        stream.take(message)
    stream.say("ack")
    stream.set_format(Format(96_000, 1, 240))
    for message in data[3:6]:
        stream.take(message)
    stream.set_format(Format(24_000, 1, 480))
    for message in data[6:]:
        stream.take(message)
    assert heard.answers == []
    denoisers.start()
    await until(lambda: len(heard.answers) == 10)
    assert heard.sequences == list(range(9))
    assert heard.answers[3] == "ack"


async def test_a_client_that_leaves_takes_its_work_along(denoisers: Denoisers) -> None:
    heard = Heard()
    stream = stream_of(denoisers, heard)
    for message in messages(noise(480 * 5), 480):
        stream.take(message)
    stream.close()
    assert denoisers.waiting_s == 0
    denoisers.start()
    denoisers.stop()
    assert heard.answers == []


def test_threads_leave_a_core_to_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 1), (2, 1), (4, 3), (64, echo_denoise.MOST_THREADS)):
        monkeypatch.setattr(echo_denoise, "_cores", lambda cores=cores: cores)
        assert Denoisers().threads == threads
