"""``/ws-audio`` of the real server, spoken to by a client that shares no code with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from media_server.audio.levels import dbov
from tests.support.caller import recording
from tests.support.server import Server

K6_CONFIG = '{"type":"config","sampleRate":48000,"channelCount":1,"frameSize":480,"format":"s16le"}'
LOUD = np.full(480, 2_000, np.int16).tobytes()
QUIET = np.full(480, 100, np.int16).tobytes()


@pytest.fixture(scope="module")
def no_models(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An empty folder: nothing here needs an engine."""
    return str(tmp_path_factory.mktemp("no-models"))


@pytest.fixture(scope="module")
def gate(no_models: str) -> Iterator[Server]:
    with Server(
        ready=False, MODELS_DIR=no_models, ENABLE_RNNOISE="0", WS_MAX_PER_ADDRESS="60", WS_IDLE_SECS="10"
    ) as server:
        yield server


@pytest.fixture(scope="module")
def rnnoise(no_models: str) -> Iterator[Server]:
    with Server(ready=False, MODELS_DIR=no_models, CONSENT_REQUIRED="1") as server:
        yield server


@contextlib.asynccontextmanager
async def client(server: Server, query: str = "", **options: Any) -> AsyncIterator[ClientConnection]:
    url = f"ws://127.0.0.1:{server.port}/ws-audio{query}"
    async with connect(url, proxy=None, **options) as connection:
        yield connection


async def ask(connection: ClientConnection, message: str | bytes) -> str | bytes:
    await connection.send(message)
    async with asyncio.timeout(20):
        return await connection.recv()


async def test_text_gets_the_documented_answers_byte_for_byte(gate: Server) -> None:
    async with client(gate) as connection:
        assert await ask(connection, K6_CONFIG) == '{"type":"ack"}'
        assert await ask(connection, "{nonsense") == '{"type":"error","message":"invalid_json"}'
        assert (
            await ask(connection, '{"type":"hello"}') == '{"type":"error","message":"unknown_text_message"}'
        )
        answer = json.loads(await ask(connection, '{"type":"config","frameSize":0}'))
        assert (answer["type"], answer["message"]) == ("error", "invalid_config")
        assert await ask(connection, bytes(12) + QUIET) == bytes(12) + np.full(480, 20, np.int16).tobytes()


async def test_headers_come_back_bit_for_bit_and_in_order_without_a_config(gate: Server) -> None:
    chance = np.random.default_rng(5)
    heads = [chance.bytes(12) for _ in range(300)] + [b"\xff" * 12, struct.pack("<Id", 0, float("nan"))]
    async with client(gate) as connection:
        for head in heads:
            await connection.send(head + LOUD)
        async with asyncio.timeout(20):
            answers = [await connection.recv() for _ in heads]
    assert answers == [head + LOUD for head in heads]


async def test_binary_messages_that_hold_no_frame(gate: Server) -> None:
    async with client(gate) as connection:
        await connection.send(b"")
        await connection.send(b"x" * 11)  # both ignored
        assert await ask(connection, b"h" * 12) == b"h" * 12
        assert await ask(connection, b"h" * 12 + LOUD[:-1]) == b"h" * 12
        assert await ask(connection, b"h" * 12 + LOUD + b"\1") == b"h" * 12 + LOUD
        assert await ask(connection, '{"type":"config","channelCount":2,"frameSize":100}') == '{"type":"ack"}'
        assert await ask(connection, b"h" * 12 + LOUD) == b"h" * 12 + LOUD[:400]


@pytest.mark.parametrize("kind", ["gate", "rnnoise"])
async def test_sound_sent_right_behind_a_config_is_of_that_format_and_answered_after_it(
    kind: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(kind)
    sizes = [100, 480, 240, 320] * 40
    async with client(server) as connection:
        for size in sizes:
            await connection.send(json.dumps({"type": "config", "frameSize": size}))
            await connection.send(bytes(12) + LOUD)
        async with asyncio.timeout(20):
            answers = [await connection.recv() for _ in range(2 * len(sizes))]
    assert answers[::2] == ['{"type":"ack"}'] * len(sizes)
    assert [len(answer) for answer in answers[1::2]] == [12 + 2 * (480 // size * size) for size in sizes]


async def test_a_fragmented_message_is_one_message(gate: Server) -> None:
    async with client(gate) as connection:
        await connection.send([b"h" * 5, b"h" * 7 + LOUD[:100], LOUD[100:]])
        async with asyncio.timeout(20):
            assert await connection.recv() == b"h" * 12 + LOUD


async def test_compression_is_declined_and_nothing_else_changes(gate: Server) -> None:
    async with client(gate, compression="deflate") as connection:
        assert connection.protocol.extensions == []
        assert await ask(connection, b"h" * 12 + LOUD) == b"h" * 12 + LOUD


async def test_a_message_of_the_largest_size_passes_and_a_bomb_ends_only_its_own_call(gate: Server) -> None:
    async with client(gate, max_size=None) as connection, client(gate) as bystander:
        big = bytes(12) + b"\0\x10" * 384_000
        assert await ask(connection, big) == big
        await connection.send(b"\0" * 2_000_000)
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(20):
                await connection.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        assert await ask(bystander, bytes(12) + LOUD) == bytes(12) + LOUD


async def test_rnnoise_takes_noise_away_and_says_so(rnnoise: Server) -> None:
    """Consent is not asked for: the sound goes back to who sent it and nowhere else."""
    noise = np.random.default_rng(1).normal(0, 700, 48_000 * 2).astype(np.int16)
    voice = recording("jfk.wav")[: 48_000 * 4 // 480 * 480]
    cleaned = []
    async with client(rnnoise) as connection:
        assert await ask(connection, K6_CONFIG) == '{"type":"ack"}'
        for n, at in enumerate(range(0, len(noise) + len(voice), 480)):
            frame = np.concatenate((noise, voice))[at : at + 480]
            head = struct.pack("<Id", n, n * 10.0)
            answer = await ask(connection, head + frame.tobytes())
            assert isinstance(answer, bytes)
            assert answer[:12] == head
            assert len(answer) == 972
            cleaned.append(np.frombuffer(answer, np.int16, offset=12))
    sound = np.concatenate(cleaned)
    assert dbov(sound[48_000 : len(noise)]) < dbov(noise) - 15
    heard, said = sound[len(noise) + 960 :].astype(float), voice[:-960].astype(float)
    assert np.corrcoef(heard, said)[0, 1] > 0.9
    _, health = await rnnoise.get("/health")
    here = health["endpoints"]["/ws-audio"]
    assert (here["denoiser"], here["full"]) == ("rnnoise", False)
    assert here["messages"]["rnnoise"] > 500


async def test_connections_and_messages_are_counted(gate: Server) -> None:
    before = await gate.metric("lai_ws_connections_total", path="/ws-audio")
    async with client(gate) as connection:
        await ask(connection, bytes(12) + LOUD)
    assert await gate.metric("lai_ws_connections_total", path="/ws-audio") == before + 1
    for _ in range(100):  # once a second
        if await gate.metric("lai_echo_messages_total", how="gate"):
            break
        await asyncio.sleep(0.2)
    assert await gate.metric("lai_echo_messages_total", how="gate") > 0


async def test_access_is_that_of_every_entrance(no_models: str) -> None:
    with Server(
        ready=False, MODELS_DIR=no_models, API_KEYS="sesame", ALLOWED_ORIGINS="https://a.example"
    ) as server:
        for query, headers, status in (
            ("", {}, 401),
            ("?token=wrong", {}, 401),
            ("?token=sesame", {"Origin": "https://b.example"}, 403),
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with client(server, query, additional_headers=headers):
                    pass
            assert refused.value.response.status_code == status
        async with client(
            server, "?token=sesame", additional_headers={"Origin": "https://a.example"}
        ) as connection:
            assert await ask(connection, "{}") == '{"type":"error","message":"unknown_text_message"}'


async def test_refusals_are_json_with_a_reason(gate: Server) -> None:
    status, body = await gate.get("/ws-audio")
    assert (status, body["error"]["code"]) == (400, "NOT_A_WEBSOCKET")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(60):
            await stack.enter_async_context(client(gate))
        with pytest.raises(InvalidStatus) as refused:
            async with client(gate):
                pass
    assert refused.value.response.status_code == 429
    async with asyncio.timeout(20):
        while True:  # those who have left make room again
            with contextlib.suppress(InvalidStatus):
                async with client(gate) as connection:
                    assert await ask(connection, bytes(12)) == bytes(12)
                    break


async def test_at_the_end_everybody_is_told(no_models: str) -> None:
    with Server(ready=False, MODELS_DIR=no_models, ENABLE_RNNOISE="0") as server:
        async with client(server) as connection:
            assert await ask(connection, bytes(12)) == bytes(12)
            stopped = asyncio.create_task(asyncio.to_thread(server.stop))
            with pytest.raises(ConnectionClosed) as closed:
                async with asyncio.timeout(30):
                    while True:
                        await connection.send(bytes(12))
                        await connection.recv()
            assert closed.value.rcvd == Close(1001, "the server is restarting")
        assert await stopped == 0
        assert '"level": "error"' not in server.log


async def stalled(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that asks for much and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1)
    writer.write(
        b"GET /ws-audio HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    frame = b"\x82\xfe" + (972).to_bytes(2) + bytes(4) + bytes(12) + LOUD
    writer.write(frame * 600)
    return reader, writer


@pytest.mark.timeout(90)
async def test_fifty_stalled_readers_change_nothing_for_others_and_are_closed(gate: Server) -> None:
    """Beside them, one that is only idle: it is told so."""
    dropped = await gate.metric("lai_drops_total", queue="echo")
    readers = [await stalled(gate) for _ in range(50)]
    async with client(gate) as healthy, client(gate) as idle:
        async with asyncio.timeout(40):
            n = 0
            while True:
                head = struct.pack("<Id", n, 0.0)
                assert await ask(healthy, head + LOUD) == head + LOUD
                n += 1
                _, health = await gate.get("/health")
                if n > 20 and health["endpoints"]["/ws-audio"]["clients"] == 1:
                    break
                await asyncio.sleep(0.1)
        assert await gate.metric("lai_drops_total", queue="echo") > dropped
        with pytest.raises(ConnectionClosed) as closed:
            await idle.recv()
        assert closed.value.rcvd == Close(1001, "idle: no sound came for a while")
    for _, writer in readers:
        writer.close()
    assert gate.log.count('"reason": "stalled"') == 50


@pytest.fixture(autouse=True)
def nothing_failed(gate: Server) -> Iterator[None]:
    yield
    if gate.process.poll() is None:
        assert '"level": "error"' not in gate.log
