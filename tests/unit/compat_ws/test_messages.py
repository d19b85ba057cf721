"""Messages of ``/ws/audio``: read whole or refused with a code, samples never out of step."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat_ws import messages
from compat_ws.messages import Chunk, Configure, Consent, Heartbeat, HistoryRequest, PcmStream
from media_server.errors import BadRequest
from media_server.events import Caption

CAPTION = Caption("a-1", "a", 1, True, "hello", "en", "hola", "es", 5, 4, 0, 900, confidence=0.9)
TONE = (np.sin(np.arange(4_000) / 9) * 8_000).astype(np.int16)


def read(**message: object) -> messages.Message:
    return messages.parse(messages.load(json.dumps(message)))


def test_config_and_start_are_read_in_either_spelling() -> None:
    assert read(
        type="config", sampleRate=44100.0, frameSize=320, targetLang="es-MX", roomId="r", consent=True
    ) == Configure(False, 44_100, None, "es", "r", True)
    assert read(type="start", sample_rate=8000, channels=1, source_lang="en", target_lang="fr") == Configure(
        True, 8_000, "en", "fr", None, None
    )


def test_chunks_heartbeats_and_the_rest() -> None:
    encoded = base64.b64encode(b"\x01\x00\xff\xff").decode()
    chunk = read(type="audio_chunk", seq=3, sample_rate=48_000, audio_b64=encoded)
    assert isinstance(chunk, Chunk)
    assert (chunk.pcm.tolist(), chunk.seq, chunk.rate) == ([1, -1], 3, 48_000)
    assert read(type="heartbeat", ts_ms=12.5) == Heartbeat(12.5)
    assert read(type="history_request") == HistoryRequest()
    assert read(type="consent", granted=False) == Consent(False)


@pytest.mark.parametrize("rate", [True, "16000", 7_999, 48_001, 16_000.5, -1, 10**400])
def test_a_silly_rate_is_refused(rate: object) -> None:
    with pytest.raises(BadRequest) as refused:
        read(type="config", sampleRate=rate)
    assert refused.value.code == "INVALID_RATE"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
kinds = st.sampled_from(["config", "start", "audio_chunk", "heartbeat", "history_request", "consent"])
KEYS = (
    "sampleRate", "sample_rate", "targetLang", "sourceLang", "roomId", "consent", "channels", "audio_format", "seq",
    "ts_ms", "audio_b64", "granted",
)  # fmt: skip
keys = st.sampled_from(KEYS)


def refusal(text: str) -> BadRequest | None:
    """Why a text is refused; None when it is read."""
    try:
        messages.parse(messages.load(text))
    except BadRequest as error:
        return error
    return None


@given(kinds, st.dictionaries(keys, json_values, max_size=6))
def test_a_message_is_read_or_refused_with_a_code_of_the_list(kind: str, fields: dict[str, object]) -> None:
    refused = refusal(json.dumps({"type": kind} | fields))
    assert refused is None or (refused.code in CODES and refused.message)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    refused = refusal(text)
    assert refused is None or refused.code in CODES


CODES = {
    "INVALID_JSON", "UNKNOWN_TYPE", "INVALID_MESSAGE", "INVALID_RATE", "INVALID_LANGUAGE", "UNSUPPORTED_FORMAT",
    "INVALID_BASE64", "ODD_BYTES", "TOO_LARGE",
}  # fmt: skip


def test_every_code_is_documented(request: pytest.FixtureRequest) -> None:
    text = (request.config.rootpath / "docs/ws.md").read_text("utf-8")
    said = CODES | {
        "CONSENT_REQUIRED",
        "ASR_TIMEOUT",
        "ASR_UNAVAILABLE",
        "ASR_FAILED",
        "ENGINE_FAILED",
        "INTERNAL",
    }
    said |= {
        "NO_AUDIO",
        "ENGINE_RESTARTING",
        "SERVER_RESTARTING",
        "SPEECH_SKIPPED",
        "NOT_SPOKEN",
        "NO_TRANSLATION",
    }
    assert [code for code in sorted(said) if f"`{code}`" not in text] == []


@given(st.lists(st.integers(0, 8_000), max_size=12))
def test_a_stream_cut_anywhere_gives_the_samples_that_were_sent(cuts: list[int]) -> None:
    data = TONE.tobytes()
    at = [0, *sorted(cuts), len(data)]
    stream = PcmStream()
    got = [stream.push(data[start:end]) for start, end in pairwise(at)]
    assert np.concatenate([pcm for pcm, _ in got]).tobytes() == data
    assert not any(dropped for _, dropped in got)


@pytest.mark.parametrize("kept", [1, 639, 641])
def test_a_message_that_was_cut_short_does_not_put_the_next_ones_out_of_step(kept: int) -> None:
    stream = PcmStream()
    first, _ = stream.push(TONE.tobytes()[:kept])
    assert len(first) == kept // 2
    pcm, dropped = stream.push(TONE.tobytes())
    assert dropped
    assert (pcm == TONE).all()


def test_what_goes_out_has_exactly_the_keys_that_clients_know() -> None:
    assert json.loads(messages.final(CAPTION)) == {
        "type": "final", "text": "hello", "lang": "en", "translation": "hola", "target_lang": "es", "speaker": "a",
        "confidence": 0.9,
    }  # fmt: skip
    assert list(json.loads(messages.partial(replace(CAPTION, final=False)))) == [
        "type", "text", "lang", "translation", "target_lang",
    ]  # fmt: skip
    assert json.loads(messages.history([(1.5, CAPTION)]))["items"] == [
        {
            "ts": 1.5,
            "type": "final",
            "text": "hello",
            "lang": "en",
            "translation": "hola",
            "target_lang": "es",
        }
    ]
    assert messages.pong(7) == '{"type":"pong","ts_ms":7}'
    assert json.loads(messages.tts_audio(b"abc", 4)) == {
        "type": "tts_audio", "mime": "audio/mpeg", "seq": 4, "audio_b64": "YWJj",
    }  # fmt: skip
