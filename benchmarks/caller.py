"""A caller in a process of its own: sends prepared packets in real time and notes when what came back.

    python -m benchmarks.caller PLAN.json LOG.json http://127.0.0.1:5000

It is a stock aiortc peer, but for the sound that comes back: packets are kept as they arrive, not decoded.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import time
from base64 import b64encode
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import Packet

from benchmarks.callplan import (
    OPUS_FRAME,
    OPUS_RATE,
    PACKET_S,
    CallLog,
    CallPlan,
    payload_of,
    read_plan,
    write,
)

CONNECT_S = 15.0
SETTLE_S = 1.0  # silence before the first clip, so that the server has started to listen


class PreparedMicrophone(MediaStreamTrack):
    """Gives packets at their time, and none early: a late loop sends late, and the log says so."""

    kind = "audio"

    def __init__(self, silence: list[bytes]) -> None:
        super().__init__()
        self._silence = itertools.cycle(silence)
        self._clip: list[bytes] = []
        self._sent: list[float] = []
        self._finished = asyncio.Event()
        self._count = 0
        self._started = 0.0

    async def play(self, packets: list[bytes]) -> list[float]:
        """When each packet was sent; returns after the last one."""
        self._sent = sent = list[float]()
        self._finished.clear()
        self._clip = packets
        await self._finished.wait()
        return sent

    async def recv(self) -> Any:
        if self.readyState != "live":
            raise MediaStreamError
        now = time.monotonic()
        self._started = self._started or now
        await asyncio.sleep(self._started + self._count * PACKET_S - now)
        packet = Packet(self.next_payload())
        packet.pts, packet.time_base = self._count * OPUS_FRAME, Fraction(1, OPUS_RATE)
        self._count += 1
        return packet

    def next_payload(self) -> bytes:
        """What is sent now."""
        if not self._clip:
            return next(self._silence)
        payload = self._clip[len(self._sent)]
        self._sent.append(time.monotonic())
        if len(self._sent) == len(self._clip):
            self._clip = []
            self._finished.set()
        return payload


class Refused(SystemExit):
    """The server takes no call now: its status, its reason, when to come back, and how long it took to say so."""

    def __init__(self, status: int, code: str, retry_after: str, took_s: float) -> None:
        super().__init__(f"the server refused the call: {status} {code}")
        self.status, self.reason, self.retry_after, self.took_s = status, code, retry_after, took_s


class BenchCaller:
    Microphone: ClassVar[type[PreparedMicrophone]] = PreparedMicrophone

    def __init__(self, plan: CallPlan, url: str) -> None:
        self.log = CallLog()
        self._plan = plan
        self._url = url
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._microphone = self.Microphone([payload_of(text) for text in plan.silence])
        self._sound_at = 0.0
        self._final_at = 0.0

    async def run(self) -> None:
        await self.connect()
        await asyncio.sleep(SETTLE_S)
        await self.talk()
        await self.close()

    async def connect(self) -> None:
        """Raises Refused when the server takes no call now."""
        ready = asyncio.Event()
        channel = self._channel = self._pc.createDataChannel("captions")
        channel.on("open", ready.set)
        channel.on("message", self._message)
        self._pc.addTrack(self._microphone)
        (transceiver,) = self._pc.getTransceivers()
        vars(transceiver.receiver)["_handle_rtp_packet"] = (
            self._packet
        )  # before its jitter buffer and decoder
        await self._pc.setLocalDescription(await self._pc.createOffer())
        body = {"sdp": self._pc.localDescription.sdp, "type": "offer", **self._plan.keys}
        asked = time.monotonic()
        async with aiohttp.ClientSession() as http, http.post(f"{self._url}/offer", json=body) as response:
            answer = await response.json()
            if response.status != 200:
                took_s = time.monotonic() - asked
                retry_after = response.headers.get("Retry-After", "")
                await self._pc.close()
                raise Refused(response.status, str(answer["error"]["code"]), retry_after, took_s)
        await self._pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        async with asyncio.timeout(CONNECT_S):
            await ready.wait()

    async def talk(self, until: float = float("inf")) -> None:
        """Says the clips, each when the one before is answered; none is begun after ``until``."""
        for clip in self._plan.clips:
            if time.monotonic() >= until:
                return
            started = time.monotonic()
            self.log.sent.append(await self._microphone.play([payload_of(text) for text in clip]))
            await self._wait_for_answer(started)

    async def close(self) -> None:
        self._microphone.stop()
        await self._pc.close()
        self.log.cpu_s = time.process_time()

    def send(self, **message: object) -> None:
        """A control message."""
        self._channel.send(json.dumps(message))

    async def _wait_for_answer(self, started: float) -> None:
        ended = time.monotonic()
        while (now := time.monotonic()) < ended + self._plan.patience_s:
            answered = self._final_at > started
            quiet = now - max(self._sound_at, self._final_at) > self._plan.quiet_s
            if answered and quiet and now > ended + self._plan.pause_s:
                return
            await asyncio.sleep(PACKET_S)

    def _message(self, text: object) -> None:
        now = time.monotonic()
        if isinstance(text, str) and text.startswith("{"):
            message = json.loads(text)
            self.log.messages.append((now, message))
            if message["type"] == "final":
                self._final_at = now

    async def _packet(self, packet: Any, arrival_time_ms: int) -> None:
        self._sound_at = time.monotonic()
        self.log.packets.append((self._sound_at, packet.timestamp, b64encode(packet.payload).decode()))


def main() -> None:
    plan_path, log_path, url = sys.argv[1:]
    caller = BenchCaller(read_plan(Path(plan_path)), url)
    gc.freeze()
    asyncio.run(caller.run())
    write(Path(log_path), caller.log)


if __name__ == "__main__":
    main()
