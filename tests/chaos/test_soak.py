"""A hundred calls through the whole application, half of them killed, leave nothing behind. ``make soak``: a thousand.

Each is a person who connects, agrees to be heard, says something, reads it as a final, hears the denoised microphone,
and hangs up, or whose network is pulled. Only the recognizer's words are scripted. The server, its recognizer and the
people are three processes, so that what is measured is the server's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import pytest

from tests.support.people import AT_ONCE, people
from tests.support.soaked import soaked

CALLS = int(os.environ.get("SOAK_CALLS", "100"))
WARM_UP = 50

SETTINGS = {
    "CONSENT_REQUIRED": "1",
    "RESUME_SECS": "1",
    "MAX_SESSIONS": str(2 * AT_ONCE),
    "MAX_QUEUE_WAIT_MS": "100000",
    "MAX_LOOP_LAG_MS": "100000",
    "MAX_SPEECH_LOAD": "100000",
}


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
@pytest.mark.timeout(240 + 2 * CALLS)
async def test_calls_leave_no_task_thread_descriptor_or_memory_behind() -> None:
    async with soaked(**SETTINGS) as server:
        await people(server.url, WARM_UP)
        await asyncio.sleep(0.5)
        before = await server.held()
        await people(server.url, CALLS)
        deadline = time.monotonic() + 60
        while (after := await server.held()).beyond(before):
            assert time.monotonic() < deadline, f"{after} where it was {before}"
            await asyncio.sleep(0.1)
        assert after.sessions == 0
        assert after.finals >= WARM_UP + CALLS, "every person was heard"
        grown = after.resident - before.resident
        print(f"\n{CALLS} calls: {grown / 1e6:+.1f} MB\nbefore: {before}\nafter:  {after}")
        assert grown < 5_000_000, f"{grown / 1e6:.1f} MB more"
