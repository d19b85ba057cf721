"""Fetching from a hub that resumes, breaks off, lies, refuses or does not answer."""

from __future__ import annotations

import socket
import time

import pytest

from media_server.models.fetch import fetch
from media_server.models.hub import Hub
from media_server.models.manifest import ModelError
from media_server.models.store import ModelStore
from tests.unit.models.support import CONFIG, WEIGHTS, FakeHub, black_hole, progress


def test_files_come_from_the_pinned_revision(store: ModelStore, hub_server: FakeHub) -> None:
    model = store.manifest["whisper-small"]
    assert fetch(store, model, [Hub(hub_server.environ)], progress())
    folder = store.path("whisper-small")
    assert folder is not None
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert (folder / "config.json").read_bytes() == CONFIG
    assert not (store.root / ".downloads" / "whisper-small").exists()


def test_a_model_that_is_here_is_not_fetched_again(store: ModelStore, hub_server: FakeHub) -> None:
    model = store.manifest["whisper-small"]
    fetch(store, model, [Hub(hub_server.environ)], progress())
    hub_server.asked.clear()
    assert not fetch(store, model, [Hub(hub_server.environ)], progress())
    assert hub_server.asked == []


def test_a_transfer_that_breaks_off_goes_on_where_it_was(store: ModelStore, hub_server: FakeHub) -> None:
    hub_server.break_after = [100_000, 50_000]
    fetch(store, store.manifest["whisper-small"], [Hub(hub_server.environ)], progress())
    assert hub_server.requests_for("model.bin") == [None, "bytes=100000-", "bytes=150000-"]
    assert store.path("whisper-small") is not None


def test_the_next_run_goes_on_with_what_the_last_one_left(store: ModelStore, hub_server: FakeHub) -> None:
    hub_server.break_after = [90_000, 0]
    model = store.manifest["whisper-small"]
    with pytest.raises(ModelError, match="broke off"):
        fetch(store, model, [Hub(hub_server.environ)], progress())
    assert store.path("whisper-small") is None
    hub_server.asked.clear()
    fetch(store, model, [Hub(hub_server.environ)], progress())
    assert hub_server.requests_for("model.bin") == ["bytes=90000-"]


def test_a_hub_that_does_not_resume_is_read_from_the_start(store: ModelStore, hub_server: FakeHub) -> None:
    hub_server.resumes = False
    hub_server.break_after = [90_000]
    fetch(store, store.manifest["whisper-small"], [Hub(hub_server.environ)], progress())
    assert store.path("whisper-small") is not None


@pytest.mark.parametrize("left", [b"\0" * 1000, bytes(len(WEIGHTS)), bytes(len(WEIGHTS) + 5)])
def test_damaged_bytes_of_an_earlier_run_are_thrown_away(
    store: ModelStore, hub_server: FakeHub, left: bytes
) -> None:
    model = store.manifest["whisper-small"]
    staging = store.root / ".downloads" / model.name
    staging.mkdir(parents=True)
    (staging / f"{model.files[0].sha256[:16]}-model.bin.part").write_bytes(left)
    fetch(store, model, [Hub(hub_server.environ)], progress())
    assert store.path("whisper-small") is not None


def test_other_bytes_than_the_manifests_are_never_installed(store: ModelStore, hub_server: FakeHub) -> None:
    hub_server.files["model.bin"] = bytes(len(WEIGHTS))
    with pytest.raises(ModelError, match="bytes there are not those"):
        fetch(store, store.manifest["whisper-small"], [Hub(hub_server.environ)], progress())
    assert not (store.root / "whisper-small" / "model.bin").exists()


@pytest.mark.parametrize("other", [b"<html>please log in</html>", WEIGHTS + b"more"])
def test_a_file_of_another_size_is_not_even_read(
    store: ModelStore, hub_server: FakeHub, other: bytes
) -> None:
    hub_server.files["model.bin"] = other
    with pytest.raises(ModelError, match="another size"):
        fetch(store, store.manifest["whisper-small"], [Hub(hub_server.environ)], progress())


def test_a_file_that_the_hub_lacks_is_told_with_its_status(store: ModelStore, hub_server: FakeHub) -> None:
    del hub_server.files["config.json"]
    with pytest.raises(ModelError, match=r"config\.json.*HTTP 404"):
        fetch(store, store.manifest["whisper-small"], [Hub(hub_server.environ)], progress())
    assert store.path("whisper-small") is None


def test_an_unreachable_hub_is_asked_once_for_all_models(store: ModelStore) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refused
        hub = Hub({"HF_ENDPOINT": f"http://127.0.0.1:{unused.getsockname()[1]}"})
        with pytest.raises(ModelError, match="cannot be reached"):
            fetch(store, store.manifest["whisper-small"], [hub], progress())
    with pytest.raises(ModelError, match="cannot be reached"):
        fetch(store, store.manifest["whisper-small"], [hub], progress())


def test_a_hub_that_swallows_packets_costs_one_connect_time_out(store: ModelStore) -> None:
    with black_hole() as environ:
        hub = Hub(environ, connect_timeout_s=0.3)
        begun = time.monotonic()
        for _ in range(3):
            with pytest.raises(ModelError, match=r"does not answer within|timed out"):
                fetch(store, store.manifest["whisper-small"], [hub], progress())
        assert time.monotonic() - begun < 1.0


def test_a_hub_that_falls_silent_costs_one_read_time_out(store: ModelStore, hub_server: FakeHub) -> None:
    hub_server.stall_after = 0
    hub = Hub(hub_server.environ, read_timeout_s=0.3)
    with pytest.raises(ModelError, match="timed out"):
        fetch(store, store.manifest["whisper-small"], [hub], progress())


def test_offline_means_that_the_hub_is_not_asked(store: ModelStore, hub_server: FakeHub) -> None:
    hub = Hub({**hub_server.environ, "HF_HUB_OFFLINE": "1"})
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        fetch(store, store.manifest["whisper-small"], [hub], progress())
    assert hub_server.asked == []


def test_an_endpoint_that_is_no_address_is_said_so(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="no http address"):
        fetch(store, store.manifest["whisper-small"], [Hub({"HF_ENDPOINT": "hub.example"})], progress())
