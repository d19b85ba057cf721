"""A hundred calls through the whole application, half of them killed, leave nothing behind. ``make soak``: a thousand.

Each is a person who connects, agrees to be heard, says something, reads it as a final, hears the denoised microphone,
and hangs up, or whose network is pulled. Only the recognizer's words are scripted: it runs in a child process.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import threading
import time
from base64 import b64decode
from pathlib import Path

import pytest

from benchmarks.caller import PreparedMicrophone
from benchmarks.callplan import plan_call
from benchmarks.material import Clip, jfk
from tests.support.application import Application, application, steady
from tests.support.webrtc import Client, no_leaked_tasks, only_loopback, until

__all__ = ["no_leaked_tasks", "only_loopback"]

CALLS = int(os.environ.get("SOAK_CALLS", "100"))
WARM_UP = 50
AT_ONCE = 25
SETTING_UP = 6  # fewer than the unfinished calls that one address may have
PATIENCE_S = 60.0

SETTINGS = {
    "CONSENT_REQUIRED": "1",
    "RESUME_SECS": "1",
    "MAX_SESSIONS": str(2 * AT_ONCE),
    "MAX_QUEUE_WAIT_MS": "100000",
    "MAX_LOOP_LAG_MS": "100000",
    "MAX_SPEECH_LOAD": "100000",
}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def memory() -> int:
    """Resident bytes, without what the C library only keeps for later."""
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


class People:
    """Who calls. What they say was encoded beforehand."""

    def __init__(self, app: Application) -> None:
        clip = jfk()
        plan = plan_call([Clip("", clip.pcm[: len(clip.pcm) // 11])], {})  # one second
        self._speech = [b64decode(text) for text in plan.clips[0]]
        self._silence = [b64decode(text) for text in plan.silence]
        self._app = app
        self._setting_up = asyncio.Semaphore(SETTING_UP)

    async def call(self, killed: bool) -> None:
        client, microphone = Client.make(audio=None), PreparedMicrophone(self._silence)
        client.pc.addTrack(microphone)
        async with self._setting_up:
            body = {"sdp": await client.offer(), "type": "offer", "sourceLang": "en", "targetLang": "en"}
            status, answer = await self._app.post("/offer", body)
            assert status == 200, answer
            await client.take(answer["sdp"])
            await client.connected()
        for message in ({"type": "consent", "granted": True}, {"type": "loopback", "on": True}):
            client.channel.send(json.dumps(message))
        await until(lambda: sum('"ack"' in text for text in client.texts) == 2, PATIENCE_S)
        await microphone.play(self._speech)
        await until(lambda: any('"final"' in text for text in client.texts), PATIENCE_S)
        await until(lambda: client.received, PATIENCE_S)
        session = self._app.hub.find(answer["sessionId"])
        if killed:
            client.vanish()
        else:
            await client.close()
        await until(lambda: session not in list(self._app.hub), PATIENCE_S)
        microphone.stop()
        await client.close()

    async def calls(self, count: int) -> None:
        """The second half is killed."""
        for killed, left in ((False, count // 2), (True, count - count // 2)):
            for start in range(0, left, AT_ONCE):
                together = min(AT_ONCE, left - start)
                await asyncio.gather(*(self.call(killed) for _ in range(together)))


@pytest.mark.usefixtures("only_loopback", "no_leaked_tasks")
@pytest.mark.timeout(240 + 2 * CALLS)
async def test_calls_leave_no_task_thread_descriptor_or_memory_behind() -> None:
    async with application(steady(), **SETTINGS) as app:
        people = People(app)
        await people.calls(WARM_UP)

        def level() -> tuple[int, int, int]:
            return len(asyncio.all_tasks()), threading.active_count(), descriptors()

        await asyncio.sleep(0.5)
        resident, before = memory(), level()
        await people.calls(CALLS)
        deadline = time.monotonic() + 60
        while any(now > then for now, then in zip(level(), before, strict=True)):
            assert time.monotonic() < deadline, f"{level()} where it was {before}"
            await asyncio.sleep(0.1)
            gc.collect()
        assert len(app.hub) == 0
        ended = app.metrics.registry.get_sample_value("lai_utterances_total", {"outcome": "final"}) or 0
        assert ended >= WARM_UP + CALLS, "every person was heard"
        grown = memory() - resident
        assert grown < 5_000_000, f"{grown / 1e6:.1f} MB more"
