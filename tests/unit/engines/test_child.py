"""What a child inherits, and what of an error may be said."""

from __future__ import annotations

import pytest

from media_server.engines.base import EngineSpec
from media_server.engines.child import environment
from media_server.engines.worker import describe
from media_server.errors import EngineFailed


def spec(**settings: int) -> EngineSpec:
    return EngineSpec("turn", "x", "x:Y", dict(settings))


def test_secrets_stay_and_what_programs_need_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("LC_ALL", "C")
    passed = environment(spec())
    assert "secret" not in passed.values()
    assert (passed["PATH"], passed["LC_ALL"]) == ("/bin", "C")


def test_numeric_libraries_get_as_many_threads_as_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert environment(spec())["OMP_NUM_THREADS"] == "1"
    assert environment(spec(threads=4))["OMP_NUM_THREADS"] == "4"


def test_an_error_is_described_by_type_and_place_and_an_engines_own_by_its_words() -> None:
    try:
        raise ValueError("somebody said this")
    except ValueError as error:
        described = describe(error)
    assert described.startswith("ValueError at test_child.py:")
    assert "somebody" not in described
    assert describe(EngineFailed("no such voice")) == "no such voice"
