"""The servers that ``benchmarks.rtc`` compares, one a process: JSON lines in on stdin, JSON lines out on
stdout.

``{"offer": sdp}`` is answered with ``{"answer": sdp}``, ``{"stats": 1}`` with CPU time, memory and frame
counts. Each echoes what it hears, as a loopback call does; the ``denoise`` kinds clean it on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from av import AudioFrame

from media_server.audio.frames import Pcm
from media_server.metrics import Metrics
from media_server.pipeline.denoise import make_denoiser
from media_server.rtc import hardening
from media_server.rtc.pacer import shared_pacer
from media_server.rtc.peer import Peer, RtcConfig

KINDS = ("ours", "ours-denoise", "stock", "stock-denoise")


class Server(Protocol):
    async def answer(self, sdp: str) -> str: ...
    def counts(self) -> dict[str, float]: ...
    async def close(self) -> None: ...


class Echo:
    """A call of this server with its loopback switch on."""

    def __init__(self, denoise: bool) -> None:
        self.peer: Peer | None = None
        self._denoiser = make_denoiser() if denoise else None

    def on_audio(self, pcm: Pcm) -> None:
        if self._denoiser is not None:
            pcm = self._denoiser.process(pcm)
        if self.peer is not None:
            self.peer.speech.push_frame(pcm)

    def on_gap(self, milliseconds: int) -> None: ...
    def on_text(self, channel: str, text: str) -> None: ...
    def on_channel_open(self, channel: str) -> None: ...
    def on_connected(self) -> None: ...
    def on_played(self, pcm: Pcm, at_s: float) -> None: ...
    def on_closed(self, reason: str) -> None: ...


class Ours:
    def __init__(self, denoise: bool) -> None:
        hardening.install()
        self._denoise = denoise
        self._metrics = Metrics()
        self._config = RtcConfig(bind="127.0.0.1", max_half_open=1_000, max_half_open_per_address=1_000)
        self._peers: list[Peer] = []

    async def answer(self, sdp: str) -> str:
        echo = Echo(self._denoise)
        echo.peer = await Peer.accept(sdp, echo, self._config, self._metrics, address="127.0.0.1")
        self._peers.append(echo.peer)
        return echo.peer.answer_sdp

    def counts(self) -> dict[str, float]:
        def sample(how: str) -> float:
            return self._metrics.registry.get_sample_value("lai_audio_frames_total", {"how": how}) or 0.0

        ticks = shared_pacer().stats
        return {
            "played": sample("played"),
            "recovered": sample("recovered"),
            "concealed": sample("concealed"),
            "late_ticks": ticks.late,
        }

    async def close(self) -> None:
        await asyncio.gather(*(peer.close("over") for peer in self._peers))


def _documented_rnnoise() -> Any:
    """pyrnnoise's own frame function, from its file: importing the package asks for plotting libraries."""
    spec = importlib.util.find_spec("pyrnnoise")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).with_name("rnnoise.py")
    loaded = importlib.util.spec_from_file_location("documented_rnnoise", path)
    assert loaded is not None
    assert loaded.loader is not None
    module = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(module)
    return module


class Passing(MediaStreamTrack):
    """What people write: a track that pulls, counts, perhaps denoises, and hands on."""

    kind = "audio"

    def __init__(self, source: MediaStreamTrack, rnnoise: Any, frames: list[int]) -> None:
        super().__init__()
        self._source, self._rnnoise, self._frames = source, rnnoise, frames
        self._state = rnnoise.create() if rnnoise is not None else None

    async def recv(self) -> Any:
        frame = await self._source.recv()
        self._frames[0] += 1
        if self._rnnoise is None:
            return frame
        assert isinstance(frame, AudioFrame)
        mono = frame.to_ndarray().reshape(-1, 2)[:, 0].copy()
        out = np.empty_like(mono)
        for at in range(0, len(mono), 480):
            out[at : at + 480], _ = self._rnnoise.process_mono_frame(self._state, mono[at : at + 480])
        cleaned = AudioFrame.from_ndarray(out.reshape(1, -1), format="s16", layout="mono")
        cleaned.sample_rate = frame.sample_rate
        cleaned.pts, cleaned.time_base = frame.pts, frame.time_base
        return cleaned


class Stock:
    def __init__(self, denoise: bool) -> None:
        self._rnnoise = _documented_rnnoise() if denoise else None
        self._frames = [0]
        self._connections: list[RTCPeerConnection] = []

    async def answer(self, sdp: str) -> str:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connections.append(pc)
        pc.on("track", lambda track: pc.addTrack(Passing(track, self._rnnoise, self._frames)))
        await pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await pc.setLocalDescription()
        return str(pc.localDescription.sdp)

    def counts(self) -> dict[str, float]:
        return {"played": self._frames[0], "recovered": 0, "concealed": 0, "late_ticks": 0}

    async def close(self) -> None:
        await asyncio.gather(*(hardening.hard_close(pc, 2) for pc in self._connections))


def memory() -> int:
    """Resident bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def serve(server: Server) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        request = json.loads(line)
        if "offer" in request:
            reply: dict[str, Any] = {"answer": await server.answer(request["offer"])}
        else:
            reply = {"cpu": time.process_time(), "memory": memory(), **server.counts()}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
    await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--core", type=int, default=-1)
    arguments = parser.parse_args()
    if arguments.core >= 0:
        os.sched_setaffinity(0, {arguments.core})
    denoise = arguments.kind.endswith("denoise")

    async def run() -> None:
        await serve(Ours(denoise) if arguments.kind.startswith("ours") else Stock(denoise))

    if arguments.kind.startswith("ours"):
        import uvloop

        uvloop.run(run())
    else:
        asyncio.run(run())


if __name__ == "__main__":
    main()
