"""People who call, in a process of their own, so that what they cost is not the server's.

``python -m tests.support.people URL COUNT``: the first half hangs up, the other half's network is pulled. Ends with
status 0 when each was heard, heard something, and left no session behind.
"""

from __future__ import annotations

import asyncio
import json
import sys
from base64 import b64decode

import aiohttp
import aioice.ice

from benchmarks.caller import PreparedMicrophone
from benchmarks.callplan import plan_call
from benchmarks.material import Clip, jfk
from tests.support.webrtc import Client, until

AT_ONCE = 25
SETTING_UP = 6  # fewer than the unfinished calls that one address may have
PATIENCE_S = 60.0
LOOK_S = 0.2


class People:
    """What they say was encoded beforehand."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        clip = jfk()
        plan = plan_call([Clip("", clip.pcm[: len(clip.pcm) // 11])], {})  # one second
        self._speech = [b64decode(text) for text in plan.clips[0]]
        self._silence = [b64decode(text) for text in plan.silence]
        self._url = url
        self._http = http
        self._setting_up = asyncio.Semaphore(SETTING_UP)

    async def call(self, killed: bool) -> None:
        client, microphone = Client.make(audio=None), PreparedMicrophone(self._silence)
        client.pc.addTrack(microphone)
        async with self._setting_up:
            body = {"sdp": await client.offer(), "type": "offer", "sourceLang": "en", "targetLang": "en"}
            async with self._http.post(self._url + "/offer", json=body) as response:
                answer = await response.json()
                assert response.status == 200, answer
            await client.take(answer["sdp"])
            await client.connected()
        for message in ({"type": "consent", "granted": True}, {"type": "loopback", "on": True}):
            client.channel.send(json.dumps(message))
        await until(lambda: sum('"ack"' in text for text in client.texts) == 2, PATIENCE_S)
        await microphone.play(self._speech)
        await until(lambda: any('"final"' in text for text in client.texts), PATIENCE_S)
        await until(lambda: client.received, PATIENCE_S)
        assert await self._is_there(answer["sessionId"])
        if killed:
            client.vanish()
        else:
            await client.close()
        async with asyncio.timeout(PATIENCE_S):
            while await self._is_there(answer["sessionId"]):  # noqa: ASYNC110  # it is in another process
                await asyncio.sleep(LOOK_S)
        microphone.stop()
        await client.close()

    async def _is_there(self, session: str) -> bool:
        async with self._http.get(self._url + "/session/status", params={"session": session}) as response:
            assert response.status in {200, 404}
            return response.status == 200

    async def calls(self, count: int) -> None:
        """The second half is killed."""
        for killed, left in ((False, count // 2), (True, count - count // 2)):
            for start in range(0, left, AT_ONCE):
                together = min(AT_ONCE, left - start)
                await asyncio.gather(*(self.call(killed) for _ in range(together)))


async def people(url: str, count: int) -> None:
    """So many call from a child process. AssertionError when one of them was not served."""
    command = [sys.executable, "-m", "tests.support.people", url, str(count)]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        assert await process.wait() == 0, "its own error stands above"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def main(url: str, count: int) -> None:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:
        await People(url, http).calls(count)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
