"""The messages of ``/ws-audio``: documented answers to text, and sound that comes back as documented."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from compat_ws.echo_messages import (
    ACK,
    INVALID_JSON,
    UNKNOWN_TEXT,
    Format,
    answer_text,
    gated,
    sound_of,
)
from media_server.pipeline.denoise import NoiseGate

DEFAULT = Format(48_000, 1, 480)
GATE = NoiseGate(0.015, 0.2)
NAN = bytes.fromhex("0700000001dec0addefff87f")  # sequence 7 and a NaN with a payload


def test_a_config_is_acknowledged_and_holds() -> None:
    text = '{"type":"config","sampleRate":16000,"channelCount":2,"frameSize":320,"format":"s16le"}'
    assert answer_text(text, DEFAULT) == ('{"type":"ack"}', Format(16_000, 2, 320))
    assert answer_text('{"type":"config"}', DEFAULT) == (ACK, DEFAULT)
    assert answer_text('{"type":"config","sampleRate":44100.0}', DEFAULT) == (ACK, Format(44_100, 1, 480))


@pytest.mark.parametrize("text", ["", "{", "\0", "nul", "[" * 100_000, '{"a":' + "9" * 5_000 + "}"])
def test_what_is_no_json_gets_the_documented_error(text: str) -> None:
    assert answer_text(text, DEFAULT) == ('{"type":"error","message":"invalid_json"}', None)
    assert INVALID_JSON == '{"type":"error","message":"invalid_json"}'


@pytest.mark.parametrize(
    "text", ["{}", "[]", "1", "null", '"config"', '{"type":"start"}', '{"type":["config"]}']
)
def test_other_text_gets_the_documented_error(text: str) -> None:
    assert answer_text(text, DEFAULT) == ('{"type":"error","message":"unknown_text_message"}', None)
    assert UNKNOWN_TEXT == '{"type":"error","message":"unknown_text_message"}'


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sampleRate", 0), ("sampleRate", -48_000), ("sampleRate", 1e308), ("sampleRate", "48000"),
        ("sampleRate", None), ("sampleRate", True), ("sampleRate", 48_000.5), ("sampleRate", float("nan")),
        ("sampleRate", float("inf")), ("sampleRate", 7_999), ("sampleRate", 10**400), ("channelCount", 0),
        ("channelCount", 9), ("channelCount", []), ("frameSize", 0), ("frameSize", 48_001), ("frameSize", {}),
        ("format", "f32le"), ("format", None),
    ],
)  # fmt: skip
def test_silly_values_get_an_error_that_names_them_and_change_nothing(key: str, value: object) -> None:
    answer, sound = answer_text(json.dumps({"type": "config", key: value}), DEFAULT)
    body = json.loads(answer)
    assert sound is None
    assert (body["type"], body["message"]) == ("error", "invalid_config")
    assert body["detail"].startswith(key)


def test_an_open_gate_returns_the_very_message() -> None:
    loud = np.full(480, 2_000, np.int16).tobytes()
    for head in (NAN, struct.pack("<Id", 2**32 - 1, float("-inf"))):
        data = head + loud
        assert gated(data, DEFAULT, GATE) is data


def test_a_quiet_frame_is_attenuated_under_the_same_header() -> None:
    quiet = np.full(480, 100, np.int16).tobytes()
    assert gated(NAN + quiet, DEFAULT, GATE) == NAN + np.full(480, 20, np.int16).tobytes()


def test_each_frame_of_a_long_message_has_a_gate_of_its_own() -> None:
    levels = np.repeat(np.array([100, 2_000, -100], np.int16), 160)
    answer = gated(NAN + levels.tobytes(), Format(16_000, 1, 160), GATE)
    assert answer == NAN + np.repeat(np.array([20, 2_000, -20], np.int16), 160).tobytes()


def test_what_makes_no_whole_frame_is_cut_off() -> None:
    loud = np.full(1_000, 2_000, np.int16).tobytes()
    assert gated(NAN + loud + b"\1", DEFAULT, GATE) == NAN + loud[: 2 * 960]
    assert gated(NAN + loud[:958], DEFAULT, GATE) == NAN  # one sample short of a frame
    assert gated(NAN + b"\1", DEFAULT, GATE) == NAN
    assert gated(NAN, DEFAULT, GATE) == NAN


def test_channels_are_mixed_to_mono_before_frames_are_cut() -> None:
    left, right = np.full(500, 1_000, np.int16), np.full(500, 3_001, np.int16)
    both = np.stack((left, right), axis=1).tobytes()
    sound = Format(48_000, 2, 480)
    assert gated(NAN + both, sound, GATE) == NAN + np.full(480, 2_000, np.int16).tobytes()
    assert len(sound_of(NAN + both + b"\1\2\3", Format(48_000, 8, 10))) == 120
    full = np.full((10, 8), -32_768, np.int16)
    assert set(sound_of(NAN + full.tobytes(), Format(48_000, 8, 10))) == {-32_768}
