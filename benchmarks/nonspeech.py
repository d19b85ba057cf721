"""Sound that nobody speaks in: seeded generators of what a microphone picks up between words. int16 mono, 16 kHz."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.material import Rng, coloured_noise, to_int16
from media_server.engines.base import RECOGNIZER_RATE, Pcm

type Signal = NDArray[np.float64]

RATE = RECOGNIZER_RATE
PIECE_S = 20.0
LOUDEST_DBFS, QUIETEST_DBFS = -12.0, -55.0


def _time(samples: int) -> Signal:
    return np.arange(samples) / RATE


def _decay(samples: int, seconds: float) -> Signal:
    return np.asarray(np.exp(-_time(samples) / seconds))


def _place(signal: Signal, at: int, sound: Signal) -> None:
    sound = sound[: max(0, signal.size - at)]
    signal[at : at + sound.size] += sound


def silence(samples: int, rng: Rng) -> Signal:
    """Digital silence with, here and there, the least significant bit."""
    return np.asarray(rng.integers(-1, 2, samples) * (rng.random(samples) < 0.01) / 32768)


def hum(samples: int, rng: Rng) -> Signal:
    """Mains at 50 or 60 Hz with harmonics that waver a little."""
    base = rng.choice([50.0, 60.0])
    time = _time(samples)
    wander = 1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.1, 0.7) * time)
    parts = (np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6.28)) / k for k in range(1, 12))
    return np.asarray(sum(parts, start=np.zeros(samples)) * wander + 0.02 * rng.standard_normal(samples))


def white(samples: int, rng: Rng) -> Signal:
    return coloured_noise(samples, rng, 0)


def pink(samples: int, rng: Rng) -> Signal:
    return coloured_noise(samples, rng, 1)


def brown(samples: int, rng: Rng) -> Signal:
    """Rumble, wind and traffic."""
    slow = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.05, 0.3) * _time(samples))
    return np.asarray(coloured_noise(samples, rng, 2) * slow)


def clicks(samples: int, rng: Rng) -> Signal:
    """Single clicks and plugs, none to eight a second."""
    signal = np.zeros(samples)
    for at in rng.integers(0, samples, rng.poisson(samples / RATE * rng.uniform(0.5, 8))):
        length = int(rng.integers(8, 160))
        _place(
            signal, int(at), rng.choice([-1.0, 1.0]) * rng.uniform(0.2, 1) * _decay(length, length / RATE / 5)
        )
    return signal


def keyboard(samples: int, rng: Rng) -> Signal:
    """Typing: each key is a press and a release of short resonant noise, in bursts with rests."""
    signal = 0.002 * rng.standard_normal(samples)
    at = 0.0
    while at < samples / RATE:
        for _ in range(int(rng.integers(3, 25))):
            for delay, loud in ((0.0, 1.0), (rng.uniform(0.05, 0.1), 0.5)):
                length = int(rng.uniform(0.01, 0.03) * RATE)
                ring = np.sin(2 * np.pi * rng.uniform(800, 4000) * _time(length))
                key = (
                    (rng.standard_normal(length) + ring) * _decay(length, 0.006) * loud * rng.uniform(0.5, 1)
                )
                _place(signal, int((at + delay) * RATE), key)
            at += rng.uniform(0.06, 0.3)
        at += rng.uniform(0.2, 2.5)
    return signal


def tones(samples: int, rng: Rng) -> Signal:
    """Beeps, dialling tones and sweeps."""
    signal = np.zeros(samples)
    at = 0.0
    while at < samples / RATE:
        length = int(rng.uniform(0.08, 1.5) * RATE)
        time = _time(length)
        low, high = rng.uniform(200, 1200), rng.uniform(1200, 3800)
        kind = int(rng.integers(0, 3))
        if kind == 0:
            sound = np.sin(2 * np.pi * high * time)
        elif kind == 1:
            sound = np.sin(2 * np.pi * low * time) + np.sin(2 * np.pi * high * time)
        else:
            sound = np.sin(2 * np.pi * (low * time + (high - low) * time**2 / (2 * time[-1])))
        _place(signal, int(at * RATE), np.asarray(sound))
        at += length / RATE + rng.uniform(0.05, 1.0)
    return signal


def breath(samples: int, rng: Rng) -> Signal:
    """Breathing into the microphone: noise between 300 Hz and 4 kHz that swells and fades, in and out."""
    signal = np.zeros(samples)
    at = 0.0
    while at < samples / RATE:
        for _ in range(2):
            length = int(rng.uniform(0.5, 1.6) * RATE)
            spectrum = np.fft.rfft(rng.standard_normal(length))
            frequencies = np.fft.rfftfreq(length, 1 / RATE)
            centre = rng.uniform(500, 1500)
            spectrum *= np.exp(-(np.log(np.maximum(frequencies, 1) / centre) ** 2) / 0.8)
            swell = np.sin(np.pi * np.linspace(0, 1, length)) ** 2
            noise = np.fft.irfft(spectrum, length) * swell * rng.uniform(0.5, 1)
            _place(signal, int(at * RATE), np.asarray(noise))
            at += length / RATE + rng.uniform(0.1, 0.6)
        at += rng.uniform(0.3, 2.0)
    return signal


def music(samples: int, rng: Rng) -> Signal:
    """Plucked chords, a melody over them and a drum, at a steady beat."""
    signal = np.zeros(samples)
    beat = 60 / rng.uniform(70, 140)
    root = rng.uniform(110, 220)
    scale = (0, 2, 4, 5, 7, 9, 11, 12)

    def note(semitones: float, seconds: float) -> Signal:
        length = int(seconds * RATE)
        time = _time(length)
        pitch = root * 2 ** (semitones / 12)
        parts = (np.sin(2 * np.pi * pitch * k * time) / k**1.5 for k in range(1, 8) if pitch * k < RATE / 2)
        attack = np.minimum(1.0, time / 0.01)
        return np.asarray(sum(parts, start=np.zeros(length)) * attack * _decay(length, seconds / 3))

    for step in range(int(samples / RATE / beat) + 1):
        at = int(step * beat * RATE)
        if step % 4 == 0:
            chord = int(rng.integers(0, 5))
            for third in (0, 2, 4):
                degree = chord + third
                _place(signal, at, 0.5 * note(scale[degree % 7] + 12 * (degree // 7), beat * 4))
        if rng.random() < 0.8:
            _place(signal, at, 0.7 * note(scale[int(rng.integers(0, 8))] + 12, beat * rng.uniform(0.5, 1.5)))
        drum = int(0.08 * RATE)
        _place(signal, at, 0.4 * rng.standard_normal(drum) * _decay(drum, 0.02))
    return signal


KINDS: dict[str, Callable[[int, Rng], Signal]] = {
    "silence": silence,
    "hum": hum,
    "white noise": white,
    "pink noise": pink,
    "brown noise": brown,
    "clicks": clicks,
    "keyboard": keyboard,
    "tones": tones,
    "breath": breath,
    "music": music,
}


def nonspeech(kind: str, seconds: float, rng: Rng) -> Pcm:
    """A piece of one kind, at a level drawn between barely audible and loud, its ends faded for 20 ms."""
    signal = KINDS[kind](round(seconds * RATE), rng)
    if kind != "silence":
        dbfs = rng.uniform(QUIETEST_DBFS, LOUDEST_DBFS)
        signal = signal / max(np.sqrt((signal**2).mean()), 1e-9) * 10 ** (dbfs / 20)
    fade = np.minimum(1.0, np.arange(signal.size) / (0.02 * RATE))
    return to_int16(np.clip(signal * fade * fade[::-1], -1, 1) * 32767)


def pieces(minutes: float, seed: int = 1, piece_s: float = PIECE_S) -> Iterator[tuple[str, Pcm]]:
    """``minutes`` of it: pieces of all kinds in turn, each with its name."""
    rng = np.random.default_rng(seed)
    names = list(KINDS)
    for turn in range(round(minutes * 60 / piece_s)):
        name = names[turn % len(names)]
        yield name, nonspeech(name, piece_s, rng)
