"""A stranger's file to sound, in a process of its own: what it does to its decoder it does to that process alone.

A short WAV file of plain samples, which is what other servers like this one send, needs no decoder and no process.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media_server.audio.resample import RATES, resample
from media_server.engines.base import RECOGNIZER_RATE, EngineSpec, Pcm
from media_server.engines.child import environment
from media_server.errors import BadRequest, Overloaded, TooLarge
from media_server.pipeline.detect import FRAME_SAMPLES, SileroDetector
from media_server.uploads.child import MAX_SECONDS

DECODE_S = 60.0  # wall time; the machine may be busy with calls
PLAIN_S = 30.0
PLAIN_BYTES = 4 << 20
_SPEC = EngineSpec("recognize", "upload", "")  # for its environment: no secrets, one numeric thread
_SAMPLE_BYTES = 2
_MOST_BYTES = int(MAX_SECONDS + 1) * 16_000 * _SAMPLE_BYTES + 64 * 1024


@dataclass(frozen=True, slots=True)
class Decoded:
    pcm: Pcm
    """int16 at 16 kHz."""
    heard: NDArray[np.float32]
    """How likely each frame of ``detect.FRAME_SAMPLES`` is speech, 0 to 1."""


async def decode(data: bytes) -> Decoded:
    """Raises BadRequest or TooLarge with words; cancelling it ends the process."""
    if (pcm := plain(data)) is not None:
        return Decoded(pcm, await asyncio.to_thread(_listen, pcm))
    return await _decode_apart(data)


def plain(data: bytes) -> Pcm | None:
    """The samples of a WAV file (int16, one channel, a usual rate) of at most ``PLAIN_S``; None for anything else."""
    if not data.startswith(b"RIFF") or len(data) > PLAIN_BYTES:
        return None
    try:
        with wave.open(io.BytesIO(data), "rb") as file:
            rate = file.getframerate()
            if (file.getnchannels(), file.getsampwidth()) != (1, 2) or rate not in RATES:
                return None
            if not 0 < file.getnframes() <= PLAIN_S * rate:
                return None
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16, copy=False)
    except (wave.Error, EOFError, ValueError):
        return None
    return resample(samples, rate, RECOGNIZER_RATE) if len(samples) else None


def _listen(pcm: Pcm) -> NDArray[np.float32]:
    detector = SileroDetector()
    frames = pcm[: len(pcm) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    return np.array([detector.probability(frame) for frame in frames], np.float32)


async def _decode_apart(data: bytes) -> Decoded:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "media_server.uploads.child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment(_SPEC),
        limit=1 << 20,
        start_new_session=True,  # so that its priority counts among sessions, too
    )  # fmt: skip
    try:
        async with asyncio.timeout(DECODE_S):
            _, answer = await asyncio.gather(_feed(process, data), _read(process))
            await process.wait()
    except TimeoutError:
        raise BadRequest("The file takes too long to decode.", code="FILE_UNUSABLE") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return _understood(answer)


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):  # it has ended, and its answer says why
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    answer = bytearray()
    while piece := await process.stdout.read(1 << 20):
        answer += piece
        if len(answer) > _MOST_BYTES:
            process.kill()
            break
    return bytes(answer)


def _understood(answer: bytes) -> Decoded:
    line, _, body = answer.partition(b"\n")
    try:
        head = json.loads(line)
    except ValueError:  # killed by one of its limits
        raise BadRequest(
            "The file cannot be decoded: it needs too much memory or time.", code="FILE_UNUSABLE"
        ) from None
    if "error" in head:
        words = f"{str(head['error']).capitalize()}."
        if head["too_long"]:
            raise TooLarge(f"{words} Send it in parts.")
        raise BadRequest(words, code="FILE_UNUSABLE")
    samples, frames = int(head["samples"]), int(head["frames"])
    if len(body) != samples * _SAMPLE_BYTES + frames:
        raise Overloaded("The file could not be decoded now.", code="DECODER_LOST", retry_after_s=5)
    pcm = np.frombuffer(body, "<i2", samples).astype(np.int16, copy=False)
    heard = np.frombuffer(body, np.uint8, frames, samples * _SAMPLE_BYTES).astype(np.float32) / np.float32(
        255
    )
    return Decoded(pcm, heard)
