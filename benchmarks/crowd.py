"""Many WebRTC callers who speak at once to a running server: prepared packets out, captions back.

They are the load's callers of ``benchmarks.rtc_load`` with a data channel: what they cost is little beside the server.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from benchmarks.callplan import CallLog, encode_clip, payload_of, plan_call
from benchmarks.material import Clip
from benchmarks.rtc_load import SLOTS, STEP, Caller, Quiet
from benchmarks.timeline import Seen, seen_of

CONNECT_S = 20.0
SETTLE_S = 1.0
EARLY_MS = 800.0  # an utterance begins with a little of the silence before it
REST_S = 2.2  # after a sentence, in which its final should come


class Talker:
    """One caller who says ``clips``, the first ``delay_s`` after the others begin."""

    def __init__(self, clips: Sequence[Clip], silence: Sequence[bytes], delay_s: float) -> None:
        self.clips = clips
        self.log = CallLog()
        self.ready = asyncio.Event()
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._marks: list[tuple[int, int]] = []
        payloads: list[bytes] = []

        def rest(seconds: float) -> None:
            payloads.extend(silence[n % len(silence)] for n in range(round(seconds / STEP)))

        rest(SETTLE_S + delay_s)
        for clip in clips:
            packets = [payload_of(text) for text in encode_clip(clip)]
            self._marks.append((len(payloads), len(payloads) + len(packets)))
            payloads += packets
            rest(REST_S)
        self._caller = Caller(self._pc, payloads)
        self._length = len(payloads)

    async def connect(self, http: aiohttp.ClientSession, url: str) -> None:
        channel = self._pc.createDataChannel("captions")
        channel.on("open", self.ready.set)
        channel.on("message", self._message)
        self._pc.addTrack(Quiet())
        await self._pc.setLocalDescription(await self._pc.createOffer())
        body = {"sdp": self._pc.localDescription.sdp, "type": "offer", "sourceLang": "en", "targetLang": "en"}
        async with http.post(f"{url}/offer", json=body) as response:
            answer = await response.json()
            if response.status != 200:
                raise SystemExit(f"the server refused a call: {answer}")
        await self._pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        async with asyncio.timeout(CONNECT_S):
            await self.ready.wait()
        self._caller._take_over()

    @property
    def done(self) -> bool:
        return self._caller.sent >= self._length

    def send(self, now: float) -> None:
        if not self.done:
            self._caller.send(now)

    def seen(self) -> list[Seen]:
        """What came of each clip; messages belong to it by where in the call their sound is, however late they come."""
        sent = self._caller._sent_at
        logs = [CallLog(sent=[sent[start:end]]) for start, end in self._marks]
        starts_ms = [start * STEP * 1000 - EARLY_MS for start, _ in self._marks]
        for at, message in self.log.messages:
            if message["type"] in {"partial", "final"}:
                place = bisect.bisect_right(starts_ms, message["start_ms"]) - 1
                logs[max(0, place)].messages.append((at, message))
        return [seen_of([clip], log)[0] for clip, log in zip(self.clips, logs, strict=True)]

    async def close(self) -> None:
        await self._pc.close()

    def _message(self, text: object) -> None:
        if isinstance(text, str) and text.startswith("{"):
            message: dict[str, Any] = json.loads(text)
            self.log.messages.append((time.monotonic(), message))


async def talk(url: str, clips: Sequence[Clip], people: int) -> list[Seen]:
    """What each of ``people`` saw of its sentences; all say the same ones, in turns, not in step."""
    silence = [payload_of(text) for text in plan_call([], {}).silence]
    talkers = [
        Talker([*clips[n % len(clips) :], *clips[: n % len(clips)]], silence, n * 0.37 % 3.0)
        for n in range(people)
    ]
    try:
        async with aiohttp.ClientSession() as http:
            for talker in talkers:
                await talker.connect(http, url)
        began, tick = time.monotonic(), 0
        while not all(talker.done for talker in talkers):
            now = time.monotonic()
            for talker in talkers[tick % SLOTS :: SLOTS]:
                talker.send(now)
            tick += 1
            await asyncio.sleep(max(0.0, began + tick * STEP / SLOTS - time.monotonic()))
    finally:
        await asyncio.gather(*(talker.close() for talker in talkers), return_exceptions=True)
    return [seen for talker in talkers for seen in talker.seen()]
