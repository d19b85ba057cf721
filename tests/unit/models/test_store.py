"""What counts as a model that is here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from media_server.models import store as stores
from media_server.models.store import MARKER, ModelStore
from tests.unit.models.support import CONFIG, WEIGHTS, place, small_manifest

FILES = {"model.bin": WEIGHTS, "config.json": CONFIG}
VOICE = {
    "audio": {"sample_rate": 22050},
    "language": {"code": "es_ES", "family": "es"},
    "espeak": {"voice": "es"},
}


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    hashed: list[Path] = []
    real = stores.sha256_of

    def counting(path: Path) -> str:
        hashed.append(path)
        return real(path)

    monkeypatch.setattr(stores, "sha256_of", counting)
    return hashed


def test_a_model_is_here_when_all_its_files_have_the_right_bytes(store: ModelStore) -> None:
    assert store.path("whisper-small") is None
    folder = place(store.root, "whisper-small", FILES)
    assert store.path("whisper-small") == folder
    assert store.missing(["whisper-small"]) == []


def test_a_file_of_the_right_size_with_other_bytes_does_not_count(store: ModelStore) -> None:
    place(store.root, "whisper-small", {**FILES, "model.bin": bytes(len(WEIGHTS))})
    assert store.missing(["whisper-small"]) == ["whisper-small"]


@pytest.mark.parametrize("content", [WEIGHTS[:-1], b""])
def test_a_file_that_is_cut_short_does_not_count(store: ModelStore, content: bytes) -> None:
    place(store.root, "whisper-small", {**FILES, "model.bin": content})
    assert store.path("whisper-small") is None


def test_files_are_hashed_once_and_not_again_by_the_next_process(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = count_hashes(monkeypatch)
    place(store.root, "whisper-small", FILES)
    store.path("whisper-small")
    assert len(hashed) == 2
    assert ModelStore(store.root, small_manifest()).path("whisper-small") is not None
    assert len(hashed) == 2


def test_a_file_changed_after_it_was_verified_is_hashed_again(store: ModelStore) -> None:
    folder = place(store.root, "whisper-small", FILES)
    assert store.path("whisper-small") is not None
    (folder / "model.bin").write_bytes(bytes(len(WEIGHTS)))
    assert store.path("whisper-small") is None


def test_a_marker_of_another_manifest_or_in_pieces_is_not_believed(store: ModelStore) -> None:
    folder = place(store.root, "whisper-small", {**FILES, "model.bin": bytes(len(WEIGHTS))})
    stamps = {name: [len(FILES[name]), os.stat(folder / name).st_mtime_ns] for name in FILES}
    for marker in (json.dumps({"files": stamps, "sha256": {}}), "{", "[]", '{"files": 1}'):
        (folder / MARKER).write_text(marker)
        assert store.path("whisper-small") is None


def test_a_folder_that_takes_no_marker_is_hashed_once_a_process(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = count_hashes(monkeypatch)
    folder = place(store.root, "whisper-small", FILES)
    (folder / f"{MARKER}.{os.getpid()}").mkdir()  # in the way of the draft, also for root
    assert store.path("whisper-small") == folder
    assert store.path("whisper-small") == folder
    assert len(hashed) == 2
    assert not (folder / MARKER).exists()


def test_the_users_own_models_are_taken_as_they_are_when_nothing_is_missing(store: ModelStore) -> None:
    assert store.path("whisper-large-v3") is None
    folder = place(store.root, "whisper-large-v3", {"model.bin": b"w"})
    assert store.path("whisper-large-v3") is None
    (folder / "config.json").write_text("{}")
    assert store.path("whisper-large-v3") == folder
    assert store.installed() == ["whisper-large-v3"]


def test_voices_are_listed_with_their_language(store: ModelStore) -> None:
    old = {"audio": {"sample_rate": 16000}, "espeak": {"voice": "pt-br"}}
    for name, description in {"es": json.dumps(VOICE), "old": json.dumps(old), "broken": "{"}.items():
        place(store.root, f"piper-{name}", {"v.onnx": b"o", "v.onnx.json": description.encode()})
    place(store.root, "piper-half", {"v.onnx": b"o"})
    found = {voice.name: (voice.language, voice.locale, voice.sample_rate) for voice in store.voices()}
    assert found == {"piper-es": ("es", "es_ES", 22050), "piper-old": ("pt", "pt-br", 16000)}


def test_what_is_missing_comes_with_the_command_that_fetches_it(store: ModelStore) -> None:
    words = store.command_for(["whisper-small", "whisper-huge"])
    assert "meeting-voice-language models fetch whisper-small" in words
    assert "whisper-huge" in words.split(";")[1]


def test_verifying_finds_damage_that_size_and_time_do_not_show(store: ModelStore) -> None:
    folder = place(store.root, "whisper-small", FILES)
    model = store.manifest["whisper-small"]
    assert store.verify(model) == []
    status = (folder / "model.bin").stat()
    (folder / "model.bin").write_bytes(bytes(len(WEIGHTS)))
    os.utime(folder / "model.bin", ns=(status.st_atime_ns, status.st_mtime_ns))
    (folder / "config.json").unlink()
    assert store.verify(model) == ["model.bin is damaged", "config.json is not there"]
    assert store.path("whisper-small") is None
