"""Clients of ``/ws/audio`` that read nothing, come in crowds or go silent: they cost nobody but themselves."""

from __future__ import annotations

import asyncio
import socket
from itertools import pairwise

import numpy as np
import pytest

from tests.support.ws_client import CONFIG, START, WsClient, decoded
from tests.support.ws_house import WsHouse
from tests.unit.rooms.fakes import heard

STALLED = 50


class Deaf:
    """A client that joins a room and never reads."""

    async def join(self, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)
        await self._loop.sock_connect(self._socket, ("127.0.0.1", port))
        await self.write(
            b"GET /ws/audio?room=crowd HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            + frame(b'{"type":"config","targetLang":"es"}')
        )
        seen = b""
        while b"ack" not in seen:
            seen += await self._loop.sock_recv(self._socket, 1024)

    async def write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    def leave(self) -> None:
        self._socket.close()


def frame(text: bytes) -> bytes:
    """A text message of at most 125 bytes, masked with zeros."""
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


async def test_fifty_clients_that_read_nothing_change_nothing_for_the_others() -> None:
    async with WsHouse(MAX_SESSIONS="60", stall_s=1.0) as house, WsClient(house, "?room=crowd") as client:
        await client.send(CONFIG)
        await client.got("ack")
        deaf = [Deaf() for _ in range(STALLED)]
        await asyncio.gather(*(one.join(house.port) for one in deaf))
        assert len(house.hub) == STALLED + 1
        speaker = house.hub.open(source="en", target="en", room="crowd")
        loud = "word " * 200  # more than the systems of both sides hold
        count = 0
        while len(house.hub) > 2:
            count += 1
            speaker.room.heard(speaker.speaker, heard(f"{loud}{count}", f"u{count}"), house.hub.clock())
            await client.got("final", count)
            if count == 1:
                await client.got("mp3")
        assert [final["text"] for final in client.of("final")] == [f"{loud}{n + 1}" for n in range(count)]
        assert house.fleet.translated == [f"{loud}{n + 1}" for n in range(count)], "once, not per listener"
        await client.send(type="heartbeat", ts_ms=1)
        await client.until(lambda: client.of("pong"))
        for one in deaf:
            one.leave()


async def test_who_asks_without_reading_is_not_read_from_and_ends() -> None:
    async with WsHouse(stall_s=0.5) as house:
        deaf = Deaf()
        await deaf.join(house.port)
        beats = frame(b'{"type":"heartbeat","ts_ms":1}') * 1000
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(30):
                while True:
                    await deaf.write(beats)
        deaf.leave()
        async with asyncio.timeout(10):
            while len(house.hub):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_clip_is_a_sentence_for_browsers_and_an_utterance_for_legacy_clients() -> None:
    async with (
        WsHouse() as house,
        WsClient(house, "?room=r") as browser,
        WsClient(house, "?room=r") as second,
        WsClient(house, "?room=r") as json,
        WsClient(house, "?room=r") as legacy,
    ):
        house.fleet.sentences = True
        for client in (browser, second):
            await client.send(CONFIG)
        await json.send(START, targetLang="es")
        await legacy.socket.send(bytes(640))
        await legacy.send(type="config", targetLang="es")
        for client in (browser, second, json, legacy):
            await client.got("ack")
        speaker = house.hub.open(source="en", target="en", room="r")
        speaker.room.heard(speaker.speaker, heard("one two three"), house.hub.clock())
        for client, clips in ((browser, 3), (second, 3), (json, 3), (legacy, 1)):
            await client.got("mp3", clips)
            assert len(client.clips) == clips
            pcm = np.concatenate([decoded(clip)[0] for clip in client.clips])
            assert len(pcm) / 24_000 == pytest.approx(0.3, abs=0.15)
        assert browser.clips == second.clips
        assert [one["seq"] for one in json.of("tts_audio")] == [0, 0, 0], (
            "the speaker sent no numbered chunks"
        )


async def test_a_connection_on_which_nothing_moves_is_closed_with_its_reason() -> None:
    async with WsHouse() as house:
        house.hub.settings.__dict__["ws_idle_secs"] = 0.5  # less than may be set, so that nobody waits
        async with WsClient(house) as client:
            await client.until(lambda: client.closed)
            assert client.closed == (1008, "nothing moved for too long")
        assert len(house.hub) == 0


async def test_a_message_over_the_limit_ends_the_connection_and_one_over_the_legal_size_does_not() -> None:
    async with WsHouse() as house, WsClient(house) as client:
        await client.socket.send(bytes(600_000))
        await client.until(lambda: client.of("error"))
        assert client.of("error")[0]["code"] == "TOO_LARGE"
        await client.socket.send(bytes(2_000_000))
        await client.until(lambda: client.closed)
        assert client.closed is not None and client.closed[0] == 1009


async def test_rooms_change_in_mid_call_and_captions_follow() -> None:
    async with WsHouse() as house, WsClient(house) as client:
        texts: list[str] = []
        for name in ("a", "b", "a"):
            await client.send(CONFIG, roomId=name)
            await client.got("ack", len(texts) + 1)
            speakers = {room: house.hub.open(source="en", target="en", room=room) for room in ("a", "b")}
            for room, speaker in speakers.items():
                text = f"in {room} {len(texts)}"
                speaker.room.heard(speaker.speaker, heard(text, f"{speaker.speaker}-1"), house.hub.clock())
            texts.append(f"in {name} {len(texts)}")
            await client.got("final", len(texts))
            for speaker in speakers.values():
                await house.hub.end(speaker, "left")
        assert [final["text"] for final in client.of("final")] == texts
        await client.send(type="history_request")
        await client.until(lambda: client.of("history"))
        items = [item["text"] for item in client.of("history")[0]["items"]]
        assert items == ["in a 0", "in a 1", "in a 2"]
        assert all(a < b for a, b in pairwise(items))
