"""Recordings: cut into windows without losing a word's sound, written in every format, decoded within limits."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_server.audio import containers
from media_server.audio.encode import MEDIA_TYPES, RATE, Encoder
from media_server.errors import BadRequest, TooLarge
from media_server.pipeline.detect import FRAME_MS, FRAME_SAMPLES
from media_server.uploads import decoder
from media_server.uploads.cut import JOINED_MS, Cutter
from media_server.uploads.render import render
from media_server.uploads.transcribe import Line, Transcript


def tone(seconds: float, rate: int = 16_000) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return (6000 * np.sin(2 * np.pi * 300 * time)).astype(np.int16)


def wav(pcm: np.ndarray, rate: int = 16_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm.astype("<i2").tobytes())
    return file.getvalue()


def windows(heard: list[float], longest_s: float) -> list[tuple[int, int]]:
    """Frames of the windows."""
    cutter = Cutter(np.ones(len(heard) * FRAME_SAMPLES, np.int16), np.array(heard, np.float32))
    found = []
    while (piece := cutter.next(longest_s)) is not None:
        first = round(piece.start_s * 1000 / FRAME_MS)
        found.append((first, first + len(piece.pcm) // FRAME_SAMPLES))
    return found


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 120)), max_size=20),
    st.sampled_from([2.0, 8.0, 28.0]),
)
def test_every_frame_of_speech_is_in_exactly_one_window_and_none_is_too_long(
    runs: list[tuple[bool, int]], longest_s: float
) -> None:
    heard = [0.9 if voiced else 0.0 for voiced, count in runs for _ in range(count)]
    found = windows(heard, longest_s)
    assert all(end - first <= longest_s * 1000 / FRAME_MS for first, end in found)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(found))
    covered = {frame for first, end in found for frame in range(first, end)}
    position = 0
    for voiced, count in runs:
        if voiced and count >= 12:  # enough to be speech whatever is around it
            inside = set(range(position + 3, position + count - 3))
            assert len(inside - covered) <= 3, "at most the end of a cut that holds hardly a voice"
        position += count


def test_silence_is_in_no_window_and_a_long_one_ends_it() -> None:
    speech, breath, silence = [0.9] * 60, [0.0] * 15, [0.0] * 90
    assert windows([*silence, *silence], 28.0) == []
    (first, second) = windows([*silence, *speech, *breath, *speech, *silence, *speech], 28.0)
    assert second[0] - first[1] > (JOINED_MS - 1) / FRAME_MS
    assert first[0] > 75


def test_speech_without_a_pause_is_cut_where_it_is_quietest() -> None:
    heard = [0.9] * 200
    heard[55] = heard[56] = 0.4
    assert windows(heard, 2.0)[0] == (0, 56)


LINES = (Line("One.", 0.5, 1.25, -0.2, 0.01), Line("Two --> three.", 3661.5, 3662.0, -0.3, 0.02))
TRANSCRIPT = Transcript(LINES, "es", 3700.0)


def test_a_transcript_is_written_in_every_format() -> None:
    assert render(TRANSCRIPT, "text", "transcribe") == ("One. Two --> three.\n", "text/plain")
    assert json.loads(render(TRANSCRIPT, "json", "transcribe")[0]) == {"text": "One. Two --> three."}
    srt = render(TRANSCRIPT, "srt", "transcribe")[0]
    assert srt == (
        "1\n00:00:00,500 --> 00:00:01,250\nOne.\n\n2\n01:01:01,500 --> 01:01:02,000\nTwo -> three.\n"
    )
    assert render(TRANSCRIPT, "vtt", "transcribe")[0].startswith(
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.250\nOne.\n"
    )
    verbose = json.loads(render(TRANSCRIPT, "verbose_json", "translate")[0])
    assert (verbose["task"], verbose["language"], verbose["duration"]) == ("translate", "spanish", 3700.0)
    assert verbose["segments"][0]["end"] == 1.25


@pytest.mark.parametrize("form", [form for form in MEDIA_TYPES if form != "pcm"])
@pytest.mark.parametrize("speed", [1.0, 2.0, 0.3])
def test_what_is_encoded_in_pieces_can_be_decoded_and_has_its_length(form: str, speed: float) -> None:
    sound = tone(2.0, 48_000)
    encoder = Encoder(form, 48_000, speed)
    data = (
        b"".join(encoder.push(sound[at : at + 30_000]) for at in range(0, len(sound), 30_000)) + encoder.end()
    )
    decoded = containers.decode(data, RATE, 60.0)
    assert len(decoded) / RATE == pytest.approx(2.0 / speed, abs=0.15)
    assert np.abs(decoded).mean() > 3000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no sound",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"RIFF\xff\xff\xff\xffWAVE" + bytes(500),
        b"\x00\x00\x00\x20ftypM4A " + bytes(5000),
    ],
)
async def test_a_file_that_is_no_sound_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(BadRequest, match="file"):
        await decoder.decode(data)


async def test_a_recording_is_decoded_apart_and_says_where_its_speech_is() -> None:
    stereo = np.repeat(tone(1.5, 44_100), 2)
    decoded = await decoder.decode(wav(stereo, 44_100, 2))
    assert len(decoded.pcm) / 16_000 == pytest.approx(1.5, abs=0.01)
    assert len(decoded.heard) == len(decoded.pcm) // FRAME_SAMPLES


async def test_a_short_plain_wav_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "create_subprocess_exec", None)
    decoded = await decoder.decode(wav(tone(1.0)))
    assert len(decoded.pcm) == 16_000


async def test_ten_minutes_are_the_most_however_small_the_file_is() -> None:
    encoder = Encoder("flac", 24_000)
    silence = np.zeros(24_000 * 30, np.int16)
    bomb = b"".join(encoder.push(silence) for _ in range(21)) + encoder.end()
    assert len(bomb) < 1 << 20
    with pytest.raises(TooLarge, match=r"more than 600 s.*parts"):
        await decoder.decode(bomb)


async def test_a_decoder_that_hits_its_limits_costs_the_file_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoder, "DECODE_S", 0.05)
    with pytest.raises(BadRequest, match="too long to decode"):
        await decoder.decode(wav(np.repeat(tone(2.0), 2), 16_000, 2))
    with pytest.raises(BadRequest, match="too much memory or time"):
        decoder._understood(b"")
