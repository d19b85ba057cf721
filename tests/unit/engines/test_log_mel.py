"""Features equal those of faster-whisper, silence after the sound included."""

from __future__ import annotations

import numpy as np
import pytest

from media_server.engines.log_mel import HOP, LogMel


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize(
    ("samples", "frames"), [(96_000, 800), (96_077, 600), (48_159, 302), (50, 100), (0, 10), (128_000, 800)]
)
def test_features_are_those_that_whisper_was_trained_on(bands: int, samples: int, frames: int) -> None:
    from faster_whisper.feature_extractor import FeatureExtractor

    rng = np.random.default_rng(samples)
    sound = (rng.standard_normal(samples) * np.linspace(1e-4, 0.2, samples)).astype(np.float32)
    padded = np.pad(sound, (0, max(0, frames * HOP - samples)))[: frames * HOP]
    expected = FeatureExtractor(feature_size=bands)(padded, padding=0)
    features = LogMel(bands)(sound, frames)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=2e-6)
