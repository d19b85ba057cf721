"""Opus by ctypes: what goes in comes out, gaps are concealed, garbage does no harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_server.audio import opus
from media_server.audio.frames import FRAME_SAMPLES, Pcm
from media_server.audio.opus_av import AvDecoder, AvEncoder


def voice(frames: int) -> list[Pcm]:
    """Something voiced: harmonics of a gliding pitch with syllables in it."""
    time = np.arange(frames * FRAME_SAMPLES) / 48_000
    phase = 2 * np.pi * (140 * time + 8 * np.sin(2 * np.pi * 0.7 * time))
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    pcm = (tone * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * time)) * 4_000).astype(np.int16)
    return list(pcm.reshape(frames, FRAME_SAMPLES))


def correlation(first: Pcm, second: Pcm) -> float:
    return float(np.corrcoef(first.astype(float), second.astype(float))[0, 1])


def test_the_library_of_the_av_wheel_is_used_and_named() -> None:
    assert opus.origin().startswith("libopus of the av wheel, 1.")
    assert opus.new_decoder().conceals


def test_a_voice_survives_encoding_and_decoding() -> None:
    encoder, decoder = opus.new_encoder(), opus.new_decoder()
    frames = voice(50)
    payloads = [encoder.encode(frame) for frame in frames]
    heard = np.concatenate([decoder.decode(payload) for payload in payloads])
    said = np.concatenate(frames)
    delay = 312  # samples of look-ahead: 6.5 ms
    assert sum(map(len, payloads)) * 8 / 1.0 < 45_000  # bit/s
    assert correlation(heard[9_600 + delay :], said[9_600 : len(said) - delay]) > 0.9


def test_decoded_frames_are_the_callers_to_keep() -> None:
    encoder, decoder = opus.new_encoder(), opus.new_decoder()
    payloads = [encoder.encode(frame) for frame in voice(3)]
    first = decoder.decode(payloads[0])
    copy = first.copy()
    decoder.decode(payloads[1])
    decoder.conceal(960)
    assert np.array_equal(first, copy)


def test_a_lost_frame_is_concealed_with_sound_like_the_one_before() -> None:
    encoder, decoder = opus.new_encoder(), opus.new_decoder()
    for frame in voice(20):
        last = decoder.decode(encoder.encode(frame))
    concealed = decoder.conceal(960)
    assert len(concealed) == 960
    assert np.abs(concealed).max() > np.abs(last).max() / 4


def test_in_band_fec_is_there_while_loss_is_reported_and_recovers_the_frame() -> None:
    encoder, decoder, reference = opus.new_encoder(), opus.new_decoder(), opus.new_decoder()
    frames = voice(60)
    assert not any(opus.has_fec(encoder.encode(frame)) for frame in frames[:10])
    encoder.set_packet_loss(15)
    payloads = [encoder.encode(frame) for frame in frames]
    with_copy = [n for n, payload in enumerate(payloads) if n > 10 and opus.has_fec(payload)]
    assert len(with_copy) > 30
    lost = with_copy[len(with_copy) // 2] - 1
    expected = [reference.decode(payload) for payload in payloads][lost]
    for payload in payloads[:lost]:
        decoder.decode(payload)
    recovered = decoder.decode_fec(payloads[lost + 1], 960)
    assert correlation(recovered, expected) > 0.9
    encoder.set_packet_loss(0)
    after = [opus.has_fec(encoder.encode(frame)) for frame in frames[:20]]
    assert not any(after[3:])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_opus_error_and_the_decoder_goes_on(payload: bytes) -> None:
    decoder = opus.new_decoder()
    try:
        duration = opus.packet_samples(payload)
    except opus.OpusError:
        duration = 0
    try:
        pcm = decoder.decode(payload)
    except opus.OpusError:
        pass
    else:
        assert len(pcm) == duration
    opus.has_fec(payload)
    good = opus.new_encoder().encode(np.zeros(960, np.int16))
    assert len(decoder.decode(good)) == 960


@pytest.mark.parametrize("payload", [b"", b"\x03", b"\x03\x00", b"\xff\x3f"])
def test_a_payload_without_a_sensible_duration_is_refused(payload: bytes) -> None:
    with pytest.raises(opus.OpusError):
        opus.packet_samples(payload)


def test_the_fallback_without_libopus_speaks_the_same_language() -> None:
    encoder, decoder = AvEncoder(), AvDecoder()
    frames = voice(20)
    heard = [decoder.decode(encoder.encode(frame)) for frame in frames]
    assert all(len(frame) == FRAME_SAMPLES for frame in heard[1:])
    assert not decoder.conceals
    with pytest.raises(opus.OpusError):
        decoder.decode(b"")
    assert len(opus.new_decoder().decode(encoder.encode(frames[0]))) == FRAME_SAMPLES
