"""Stock aiortc as a server: what the tests of hardening hold beside ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from media_server.rtc import hardening
from tests.support.webrtc import Client, candidate_of


@dataclass
class StockServer:
    """aiortc as it comes, answering a call and listening to it."""

    pc: RTCPeerConnection
    frames: int = 0
    answer: str = ""

    @property
    def address(self) -> tuple[str, int]:
        return candidate_of(self.answer)


@contextlib.asynccontextmanager
async def stock_server(
    client: Client, track: Any = None, *, listens: bool = True
) -> AsyncIterator[StockServer]:
    server = StockServer(RTCPeerConnection(RTCConfiguration(iceServers=[])))
    tasks = []

    async def listen(remote: Any) -> None:
        with contextlib.suppress(Exception):  # whatever ends the track ends the listening
            while True:
                await remote.recv()
                server.frames += 1

    if listens:
        server.pc.on("track", lambda remote: tasks.append(asyncio.ensure_future(listen(remote))))
    if track is not None:
        server.pc.addTrack(track)
    await server.pc.setRemoteDescription(RTCSessionDescription(await client.offer(), "offer"))
    await server.pc.setLocalDescription()
    server.answer = server.pc.localDescription.sdp
    try:
        yield server
    finally:
        await hardening.hard_close(server.pc, 1.0)
        await client.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
