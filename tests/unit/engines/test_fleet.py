"""What admission takes recognizers for."""

from __future__ import annotations

from typing import Any

import pytest

from media_server.engines.base import Capabilities
from media_server.engines.fleet import lanes


@pytest.mark.parametrize(
    ("how", "count"),
    [
        ({}, 1),
        ({"batch": 4, "batch_s": 16.0}, 1),
        ({"batch": 64, "batch_s": 16.0}, 1),  # ASR_MAX_BATCH makes no CPU faster
        ({"batch": 1}, 1),
        ({"batch": 16}, 4),
        ({"concurrent": 8}, 8),
    ],
)
def test_a_recognizer_counts_as_many_as_it_does_at_once(how: dict[str, Any], count: int) -> None:
    assert lanes(Capabilities("recognize", "one", **how)) == count
