"""Order of sources, atomicity, two fetches at a time, a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_server.models.fetch import Source, fetch
from media_server.models.folder import Folder
from media_server.models.hub import Hub
from media_server.models.manifest import ModelError
from media_server.models.store import ModelStore
from media_server.models.transfer import DiskFull, Transfer
from tests.unit.models.support import (
    CONFIG,
    WEIGHTS,
    FakeHub,
    Spoken,
    place,
    progress,
    small_manifest,
)

CHILD = """
import sys
from pathlib import Path
from media_server.models.fetch import fetch
from media_server.models.hub import Hub
from media_server.models.store import ModelStore
from tests.unit.models.support import progress, small_manifest
store = ModelStore(Path(sys.argv[1]), small_manifest())
fetch(store, store.manifest["whisper-small"], [Hub({"HF_ENDPOINT": sys.argv[2]})], progress())
"""


class FullDisk:
    """A source on whose second file the disk turns out to be full."""

    name = "a source"

    def get(self, transfer: Transfer) -> None:
        if transfer.file.name == "config.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        transfer.write(WEIGHTS)


class Glutton:
    """A source that leaves no room on the disk before it writes."""

    name = "a source"

    def get(self, transfer: Transfer) -> None:
        ballast = transfer.staging / "ballast"
        with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as out:
            while True:
                out.write(bytes(4096))
        transfer.write(WEIGHTS)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root; a full disk is also tested with a source that reports one")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_at_hand_is_used_before_the_network(
    store: ModelStore, hub_server: FakeHub, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    place(copy, "whisper-small", {"model.bin": WEIGHTS})
    (copy / "config.json").write_bytes(CONFIG)
    fetch(store, store.manifest["whisper-small"], [Folder(copy), Hub(hub_server.environ)], progress())
    assert store.path("whisper-small") is not None
    assert hub_server.asked == []


def test_what_the_folder_lacks_comes_from_the_next_source(
    store: ModelStore, hub_server: FakeHub, tmp_path: Path
) -> None:
    place(tmp_path / "copy", "whisper-small", {"model.bin": bytes(len(WEIGHTS)), "config.json": CONFIG})
    sources: list[Source] = [Folder(tmp_path / "copy"), Hub(hub_server.environ)]
    fetch(store, store.manifest["whisper-small"], sources, progress())
    assert [name for name, _ in hub_server.asked] == ["model.bin"]


def test_only_the_damaged_file_of_a_model_is_fetched(store: ModelStore, hub_server: FakeHub) -> None:
    place(store.root, "whisper-small", {"model.bin": WEIGHTS, "config.json": b"{}"})
    fetch(store, store.manifest["whisper-small"], [Hub(hub_server.environ)], progress())
    assert [name for name, _ in hub_server.asked] == ["config.json"]


def test_when_no_source_has_it_the_message_says_why_for_each(
    store: ModelStore, hub_server: FakeHub, tmp_path: Path
) -> None:
    hub_server.files.clear()
    with pytest.raises(ModelError, match=r"the folder .*: model\.bin is not there; the model hub: .*404"):
        fetch(store, store.manifest["whisper-small"], [Folder(tmp_path), Hub(hub_server.environ)], progress())


def test_two_fetches_at_a_time_transfer_the_model_once(store: ModelStore, hub_server: FakeHub) -> None:
    hub_server.stall_after = 100_000
    first, second = Spoken(), Spoken()

    def run(said: Spoken) -> None:
        own = ModelStore(store.root, small_manifest())
        fetch(own, own.manifest["whisper-small"], [Hub(hub_server.environ)], progress(said))

    threads = [threading.Thread(target=run, args=(said,)) for said in (first, second)]
    threads[0].start()
    assert hub_server.stalled.wait(10)
    threads[1].start()
    while not second.lines and threads[1].is_alive():
        threads[1].join(0.01)
    hub_server.stall_after = None
    hub_server.go_on.set()
    for thread in threads:
        thread.join(20)
    assert second.lines == ["whisper-small: another fetch is at work on it, waiting"]
    assert len(hub_server.requests_for("model.bin")) == 1
    assert store.path("whisper-small") is not None


def test_a_fetch_that_is_killed_leaves_no_model_and_is_gone_on_with(
    store: ModelStore, hub_server: FakeHub, project_root: Path
) -> None:
    hub_server.stall_after = 150_000
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store.root), hub_server.environ["HF_ENDPOINT"]], cwd=project_root
    )
    assert hub_server.stalled.wait(20)
    digest = store.manifest["whisper-small"].files[0].sha256
    kept = store.root / ".downloads" / "whisper-small" / f"{digest[:16]}-model.bin.part"
    while child.poll() is None and (not kept.exists() or kept.stat().st_size == 0):
        threading.Event().wait(0.01)
    child.kill()
    child.wait()
    assert store.path("whisper-small") is None
    assert not (store.root / "whisper-small").exists()
    size = kept.stat().st_size
    hub_server.stall_after = None
    hub_server.go_on.set()
    hub_server.asked.clear()
    fetch(store, store.manifest["whisper-small"], [Hub(hub_server.environ)], progress())
    assert store.path("whisper-small") is not None
    assert hub_server.requests_for("model.bin") == [f"bytes={size}-"]


def test_a_full_disk_is_told_in_plain_words_and_leaves_nothing(store: ModelStore) -> None:
    with pytest.raises(DiskFull, match=r"the disk is full. It needs .* MODELS_DIR"):
        fetch(store, store.manifest["whisper-small"], [FullDisk()], progress())
    assert not (store.root / "whisper-small").exists()
    assert not (store.root / ".downloads" / "whisper-small").exists()


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(small_disk: Path) -> None:
    store = ModelStore(small_disk / "models", small_manifest())
    with pytest.raises(DiskFull):
        fetch(store, store.manifest["whisper-small"], [Glutton()], progress())
    assert [path for path in store.root.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_disk_without_room_is_noticed_before_anything_is_transferred(
    small_disk: Path, hub_server: FakeHub
) -> None:
    (small_disk / "ballast").write_bytes(bytes(700_000))
    store = ModelStore(small_disk / "models", small_manifest())
    with pytest.raises(DiskFull):
        fetch(store, store.manifest["whisper-small"], [Hub(hub_server.environ)], progress())
    assert hub_server.asked == []


def test_a_folder_that_cannot_be_written_is_told_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file, not a folder")
    store = ModelStore(tmp_path / "models", small_manifest())
    with pytest.raises(ModelError, match=r"cannot write to .*MODELS_DIR"):
        fetch(store, store.manifest["whisper-small"], [], progress())
