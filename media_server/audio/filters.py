"""Loudness and another tempo, by FFmpeg's libraries through PyAV. Sound is int16 mono.

PyAV is imported when it is first needed: it takes a tenth of a second.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from media_server.audio.frames import Pcm

SHORTEST_S = 0.4  # a block of ITU-R BS.1770-4: less has no gated loudness
_SILENT_LUFS = -69.9  # the meter starts at -70, its absolute gate


def loudness(pcm: Pcm, rate: int) -> float:
    """Gated loudness (ITU-R BS.1770-4, EBU R 128) in LUFS; -inf for silence and for less than 0.4 s."""
    if len(pcm) < SHORTEST_S * rate:
        return -math.inf
    lufs = -math.inf
    for frame in _filtered(pcm, rate, ("ebur128", "metadata=1:framelog=quiet")):
        lufs = float(frame.metadata.get("lavfi.r128.I", lufs))
    return lufs if math.isfinite(lufs) and lufs > _SILENT_LUFS else -math.inf


def with_tempo(pcm: Pcm, rate: int, speed: float) -> Pcm:
    """The same speech ``speed`` times as fast (0.5 to 2.0), at the same pitch."""
    if speed == 1.0 or not len(pcm):
        return pcm
    pieces: list[Pcm] = [
        frame.to_ndarray().reshape(-1) for frame in _filtered(pcm, rate, ("atempo", f"{speed:.4f}"))
    ]
    return np.concatenate(pieces) if pieces else np.empty(0, np.int16)


def _filtered(pcm: Pcm, rate: int, *filters: tuple[str, str]) -> Iterator[Any]:
    """The frames that come out of a chain of filters."""
    import av
    from av.filter import Graph

    graph = Graph()
    nodes = [graph.add_abuffer(sample_rate=rate, format="s16", layout="mono")]
    nodes += [graph.add(name, arguments) for name, arguments in filters]
    nodes += [graph.add("aformat", "sample_fmts=s16"), graph.add("abuffersink")]
    for one, next_one in itertools.pairwise(nodes):
        one.link_to(next_one)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    frame.pts = 0
    graph.push(frame)
    graph.push(None)
    while True:
        try:
            yield graph.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return
