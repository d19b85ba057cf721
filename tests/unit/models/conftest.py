"""Fixtures of the models' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from media_server.models.store import ModelStore
from tests.unit.models.support import FakeHub, fake_hub, small_manifest


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with fake_hub() as hub:
        yield hub


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty store whose manifest knows ``whisper-small``."""
    return ModelStore(tmp_path / "models", small_manifest())
