"""``WS /ws/audio`` with the real server, its engines and a client that shares no code with it: every dialect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus

from media_server.audio.resample import resample
from tests.support.caller import Caller, recording
from tests.support.server import Server
from tests.support.ws_client import CONFIG, START, WsClient, decoded

SPEECH = resample(recording("jfk.wav"), 48_000, 16_000)[
    : int(16_000 * 2.6)
]  # "And so my fellow Americans", a pause
QUIET = np.zeros(16_000 * 2, np.int16)
SAID = np.concatenate((SPEECH, QUIET))

WORDS = ["type", "text", "lang", "translation", "target_lang"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(DRAIN_SECS="1", MAX_SESSIONS="100", ASR_MODEL_SIZE="base") as running:
        yield running


def is_golden(client: WsClient, opening: list[str], speech: str) -> None:
    """Message for message what the older server's clients get for one sentence."""
    assert client.order == [*opening, "partial", "final", speech]
    assert all(list(one) == WORDS for one in client.of("partial"))
    (final,) = client.of("final")
    assert list(final) == [*WORDS, "speaker", "confidence"]
    assert "americans" in final["text"].lower()
    assert (final["lang"], final["target_lang"]) == ("en", "es")
    assert "americanos" in final["translation"].lower()
    assert 0 < final["confidence"] <= 1
    (clip,) = client.clips
    pcm, _ = decoded(clip)
    assert np.abs(pcm.astype(np.int32)).max() > 1000


@pytest.mark.parametrize("rate", [16_000, 44_100])
async def test_the_browser_dialect_gets_captions_and_mp3_clips(server: Server, rate: int) -> None:
    async with WsClient(server) as client:
        await client.send(CONFIG, sampleRate=rate, sourceLang="en", roomId=f"browser {rate}")
        await client.speak(SAID, rate)
        await client.until(lambda: client.clips)
        is_golden(client, ["ack"], "mp3")


async def test_the_json_dialect_gets_its_speech_in_base64_with_the_number_of_the_last_chunk(
    server: Server,
) -> None:
    async with WsClient(server) as client:
        await client.send(START, sourceLang="en", targetLang="es", roomId="json")
        await client.speak_json(SAID)
        await client.until(lambda: client.clips)
        is_golden(client, ["ack"], "tts_audio")
        (speech,) = client.of("tts_audio")
        assert list(speech) == ["type", "mime", "seq", "audio_b64"]
        assert speech["mime"] == "audio/mpeg"
        assert 5 <= speech["seq"] <= 7, "2.0 to 2.6 s in chunks of 400 ms"


async def test_the_legacy_dialect_sends_bare_sound_and_may_configure_later() -> None:
    """Its default language is the server's; a later ``config`` changes the rate and not the dialect."""
    with Server(DEFAULT_TGT_LANG="es", DEFAULT_SRC_LANG="en", SHARE_DEFAULT_ROOM="0") as server:
        async with WsClient(server) as client:
            await client.send(type="heartbeat", ts_ms=5)
            await client.speak(SAID)
            await client.until(lambda: client.clips)
            is_golden(client, ["pong"], "mp3")
            await client.send(type="config", sampleRate=48_000)
            await client.until(lambda: client.of("ack"))
            await client.speak(SAID, 48_000)
            await client.until(lambda: len(client.clips) == 2)
            assert client.order == ["pong", "partial", "final", "mp3", "ack", "partial", "final", "mp3"]


async def test_a_webrtc_member_and_a_ws_member_of_a_room_read_and_hear_each_other(server: Server) -> None:
    async with (
        Caller(server, sourceLang="en", targetLang="es", roomId="both") as caller,
        WsClient(server) as client,
    ):
        await client.send(CONFIG, sourceLang="en", targetLang="es", roomId="both")
        await client.until(lambda: client.of("ack"))
        caller.microphone.say(recording("jfk.wav")[: 48_000 * 26 // 10])
        await client.until(lambda: client.of("final") and client.clips)
        assert client.of("final")[0]["speaker"] == caller.answer["speaker"]
        await caller.until(lambda: caller.finals)
        await client.speak(SAID)
        await caller.until(lambda: len(caller.finals) == 2 and caller.heard_seconds() > 1.0)
        await client.until(lambda: len(client.of("final")) == 2 and len(client.clips) == 2)
        await client.send(type="history_request")
        await client.until(lambda: client.of("history"))
        items = client.of("history")[0]["items"]
        assert all(list(item) == ["ts", *WORDS] for item in items)
        assert [item["text"] for item in items] == [final["text"] for final in client.of("final")]
        assert [item["ts"] for item in items] == sorted(item["ts"] for item in items)
    async with WsClient(server) as later:
        await later.send(CONFIG, targetLang="es", roomId="both")
        await later.send(type="history_request")
        await later.until(lambda: later.of("history"))
        assert len(later.of("history")[0]["items"]) == 2, (
            "the room's history outlives a moment without members"
        )


async def test_nothing_is_heard_without_consent_and_a_withdrawal_takes_the_words_back() -> None:
    with Server(CONSENT_REQUIRED="1", ASR_MODEL_SIZE="base") as server:
        async with WsClient(server) as client:
            await client.send(CONFIG, sourceLang="en", roomId="consent")
            await client.speak(SPEECH, pace=4)
            await client.until(lambda: client.of("error"))
            assert [error["code"] for error in client.of("error")] == ["CONSENT_REQUIRED"]
            await client.send(type="consent", granted=True)
            await client.speak(SAID)
            await client.until(lambda: client.clips)
            assert len(client.of("error")) == 1
            await client.send(type="consent", granted=False)
            await client.send(type="history_request")
            await client.until(lambda: client.of("history"))
            assert client.of("history")[0]["items"] == []
            count = len(client.received)
            await client.speak(SAID, pace=4)
            await client.send(type="heartbeat", ts_ms=1)
            await client.until(lambda: client.of("pong"))
            assert len(client.received) == count + 1


async def test_messages_that_make_no_sense_get_an_error_and_the_call_goes_on(server: Server) -> None:
    async with WsClient(server) as client:
        for text, code in (
            ("{", "INVALID_JSON"),
            ("[]", "INVALID_JSON"),
            ('{"type":"heartbeat","ts_ms":NaN}', "INVALID_JSON"),
            ('{"type":"dance"}', "UNKNOWN_TYPE"),
            ('{"type":["config"]}', "UNKNOWN_TYPE"),
            ('{"type":"config","sampleRate":true}', "INVALID_RATE"),
            ('{"type":"config","sampleRate":7999}', "INVALID_RATE"),
            ('{"type":"start","sample_rate":1e999}', "INVALID_RATE"),
            ('{"type":"config","targetLang":"auto"}', "INVALID_LANGUAGE"),
            ('{"type":"start","channels":2}', "UNSUPPORTED_FORMAT"),
            ('{"type":"audio_chunk","seq":1,"audio_b64":"*"}', "INVALID_BASE64"),
            ('{"type":"audio_chunk","seq":1,"audio_b64":"AAAA"}', "ODD_BYTES"),
            ('{"type":"audio_chunk","seq":true,"audio_b64":""}', "INVALID_MESSAGE"),
            ('{"type":"consent","granted":"yes"}', "INVALID_MESSAGE"),
        ):
            before = len(client.of("error"))
            await client.socket.send(text)
            await client.got("error", before + 1)
            assert client.of("error")[-1]["code"] == code, text
            assert client.of("error")[-1]["message"]
        await client.send(CONFIG, sourceLang="en", roomId="errors")
        await client.socket.send(SPEECH.tobytes()[:101])
        await client.speak(SAID, 11_025)
        await client.send(type="config", sampleRate=11_025)
        await client.speak(SAID, 11_025)
        await client.until(lambda: client.clips)
        assert any("americans" in final["text"].lower() for final in client.of("final"))


async def test_silence_after_config_is_said_once_and_sound_that_stops_ends_what_was_said(
    server: Server,
) -> None:
    async with WsClient(server) as client:
        await client.send(CONFIG, sourceLang="en", roomId="silence")
        await client.until(lambda: client.of("warning"))
        assert client.of("warning")[0]["code"] == "NO_AUDIO"
        await client.speak(SPEECH[: int(16_000 * 2.2)])
        await client.until(lambda: client.of("final"))
        assert len(client.of("warning")) == 1


async def test_a_session_made_before_is_used_and_kept_for_its_client(server: Server) -> None:
    _, created = await server.post(
        "/session/create", {"sourceLang": "en", "targetLang": "es", "roomId": "made"}
    )
    query = f"?session={created['sessionId']}"
    async with WsClient(server, query) as client:
        await client.speak(SAID)
        await client.until(lambda: client.clips)
        assert client.of("final")[0]["target_lang"] == "es"
        assert (await server.get(f"/session/status{query}"))[1]["connected"]
        async with WsClient(server, query) as again:
            await client.until(lambda: client.closed)
            assert client.closed == (1000, "another connection has taken over")
            await again.send(type="heartbeat", ts_ms=1)
            await again.until(lambda: again.of("pong"))
    assert (await server.get(f"/session/status{query}"))[0] == 200


async def test_a_full_server_refuses_before_the_upgrade_and_a_stopping_one_says_goodbye() -> None:
    with Server(MAX_SESSIONS="1", DRAIN_SECS="1", ready=False) as small:
        async with WsClient(small) as client:
            with pytest.raises(InvalidStatus) as refused:
                await WsClient(small).__aenter__()
            response = refused.value.response
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) > 0
            assert json.loads(response.body)["error"]["code"] == "SERVER_FULL"
            assert (await small.get("/ws/audio"))[1]["error"]["code"] == "NOT_A_WEBSOCKET"
            await asyncio.to_thread(small.stop)
            await client.until(lambda: client.closed)
            assert client.closed == (1001, "the server is restarting")
            assert client.of("warning")[0]["code"] == "SERVER_RESTARTING"


async def test_the_older_metric_names_count_these_clients(server: Server) -> None:
    assert await server.metric("lai_ws_connections_total", path="/ws/audio") >= 1
    for name in ("asr_partial", "asr_final", "mt", "tts", "e2e"):
        assert await server.metric(f"lai_{name}_latency_ms_count") >= 1, name
