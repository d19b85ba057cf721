"""Test sound, the same in every run: sentences in a Piper voice, noise over them, pauses in them, long talk.

int16 mono; 16 kHz unless a name says otherwise. Levels are RMS in dBFS, over the active parts where speech is meant.
"""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media_server.audio.resample import resample
from media_server.engines.base import RECOGNIZER_RATE, Pcm

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
JFK_TEXT = (
    "And so my fellow Americans ask not what your country can do for you ask what you can do for your country"
)
SPEECH_DBFS = -23.0
"""Level that all speech is brought to: a voice at a usual distance with automatic gain."""
FRAME = RECOGNIZER_RATE // 50  # 20 ms
ACTIVE_BELOW_PEAK_DB = 30.0  # a frame is active while it is at most so far under the loudest one

type Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece of speech and what is said in it. ``word_ends_s`` are the times at which its words have been said."""

    text: str
    pcm: Pcm
    word_ends_s: tuple[float, ...] = ()

    @property
    def seconds(self) -> float:
        return self.pcm.size / RECOGNIZER_RATE

    @property
    def voiced(self) -> tuple[int, int]:
        """Samples at which the first active frame begins and the last one ends."""
        active = np.flatnonzero(active_frames(self.pcm))
        return int(active[0]) * FRAME, min(self.pcm.size, (int(active[-1]) + 1) * FRAME)

    @property
    def speech_s(self) -> float:
        """From the first to the last active frame."""
        start, end = self.voiced
        return (end - start) / RECOGNIZER_RATE


def read_wav(path: Path) -> Pcm:
    """A mono 16-bit file at 16 kHz."""
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RECOGNIZER_RATE):
            raise ValueError(f"{path} is not 16-bit mono at 16 kHz")
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def sentences() -> list[str]:
    return [line.strip() for line in (DATA / "sentences.txt").read_text("utf-8").splitlines() if line.strip()]


def jfk() -> Clip:
    """A recording of a real voice, eleven seconds with three pauses in one sentence."""
    return Clip(JFK_TEXT, read_wav(DATA / "jfk.wav"))


def active_frames(pcm: Pcm) -> NDArray[np.bool_]:
    """Which frames of 20 ms hold speech; a rest shorter than a frame belongs to none."""
    frames = pcm[: pcm.size // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    power = (frames**2).mean(axis=1)
    loud: NDArray[np.bool_] = power > max(power.max(initial=0.0), 1.0) * 10 ** (-ACTIVE_BELOW_PEAK_DB / 10)
    return loud


def active_dbfs(pcm: Pcm) -> float:
    frames = pcm[: pcm.size // FRAME * FRAME].reshape(-1, FRAME)[active_frames(pcm)].astype(np.float64)
    return float(10 * np.log10((frames**2).mean() / 32768**2))


def to_int16(samples: NDArray[np.floating[Any]]) -> Pcm:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def levelled(pcm: Pcm, dbfs: float = SPEECH_DBFS) -> Pcm:
    """The speech at that level over its active frames."""
    return to_int16(pcm * 10 ** ((dbfs - active_dbfs(pcm)) / 20))


class PiperSpeaker:
    """The English Piper voice with a fixed seed: the same texts in the same order sound the same in every run."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        import onnxruntime
        from piper import PiperVoice

        (model,) = folder.glob("*.onnx")
        onnxruntime.set_seed(seed)
        self._voice: Any = PiperVoice.load(model)

    def say(self, text: str) -> Clip:
        pieces = list(self._voice.synthesize(text))
        pcm = np.concatenate([piece.audio_int16_array for piece in pieces])
        return Clip(text, levelled(resample(pcm, pieces[0].sample_rate, RECOGNIZER_RATE)))

    def say_all(self, texts: Sequence[str]) -> list[Clip]:
        return [self.say(text) for text in texts]


def coloured_noise(samples: int, rng: Rng, slope: float, rate: int = RECOGNIZER_RATE) -> NDArray[np.float64]:
    """Noise of RMS 1 whose power falls by ``slope`` x 3 dB an octave (0 white, 1 pink, 2 brown) from 20 Hz up."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    shape = np.where(frequencies < 20, 0.0, np.maximum(frequencies, 20) ** (-slope / 2))
    noise = np.fft.irfft(spectrum * shape, samples)
    return np.asarray(noise / np.sqrt((noise**2).mean()))


def with_noise(clip: Clip, snr_db: float, rng: Rng, slope: float = 1.0) -> Clip:
    """The clip under noise that is ``snr_db`` below its active speech."""
    level = 10 ** ((active_dbfs(clip.pcm) - snr_db) / 20) * 32768
    return replace(clip, pcm=to_int16(clip.pcm + level * coloured_noise(clip.pcm.size, rng, slope)))


def with_margins(clip: Clip, before_s: float, after_s: float) -> Clip:
    """Digital silence around it."""
    before, after = round(before_s * RECOGNIZER_RATE), round(after_s * RECOGNIZER_RATE)
    return Clip(
        clip.text, np.pad(clip.pcm, (before, after)), tuple(end + before_s for end in clip.word_ends_s)
    )


def with_pause(clip: Clip, rng: Rng, shortest_s: float = 0.4, longest_s: float = 0.8) -> Clip:
    """A pause between two of its words, where the speaker goes on afterwards; needs ``word_ends_s``.

    The place is drawn among the inner gaps, then moved to the quietest 10 ms within 60 ms around it.
    """
    if len(clip.word_ends_s) < 5:
        raise ValueError("too short for a pause inside")
    gap = int(rng.integers(1, len(clip.word_ends_s) - 2))
    around = round(clip.word_ends_s[gap] * RECOGNIZER_RATE)
    step = FRAME // 2
    places = range(max(step, around - 6 * step), min(clip.pcm.size - step, around + 6 * step), step // 2)
    samples = clip.pcm.astype(np.float64)
    place = min(places, key=lambda at: float((samples[at - step // 2 : at + step // 2] ** 2).sum()))
    pause_s = float(rng.uniform(shortest_s, longest_s))
    fade = np.linspace(1.0, 0.0, step // 2)
    before, after = samples[:place].copy(), samples[place:].copy()
    before[-fade.size :] *= fade
    after[: fade.size] *= fade[::-1]
    silence = np.zeros(round(pause_s * RECOGNIZER_RATE))
    ends = tuple(end if i <= gap else end + pause_s for i, end in enumerate(clip.word_ends_s))
    return Clip(clip.text, to_int16(np.concatenate([before, silence, after])), ends)


def _lower_first(text: str) -> str:
    return text if text.startswith("I ") else text[0].lower() + text[1:]


def long_sentences(texts: Sequence[str], words: int = 30) -> list[str]:
    """Some of the sentences told as one of at least ``words`` words: 30 take 8 to 12 s to say."""
    chains: list[str] = []
    parts: list[str] = []
    for text in texts:
        if len(text.split()) < 6:
            continue
        parts.append(text.rstrip(".?!") if not parts else _lower_first(text).rstrip(".?!"))
        if len(" ".join(parts).split()) >= words:
            chains.append(", and ".join(parts) + ".")
            parts = []
    return chains


def joined(clips: Sequence[Clip]) -> Clip:
    """One after the other with no break: silence around each is cut off."""
    pieces: list[Pcm] = []
    ends: list[float] = []
    at = 0.0
    for clip in clips:
        start, end = clip.voiced
        pieces.append(clip.pcm[start:end])
        ends += [at + word_end - start / RECOGNIZER_RATE for word_end in clip.word_ends_s]
        at += (end - start) / RECOGNIZER_RATE
    return Clip(" ".join(clip.text for clip in clips), np.concatenate(pieces), tuple(ends))
