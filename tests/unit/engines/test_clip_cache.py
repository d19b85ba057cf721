from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from media_server.engines.bucket import TokenBucket
from media_server.engines.clip_cache import LARGEST_CLIP, ClipCache, key_of


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


def test_another_text_language_or_speaker_is_another_clip() -> None:
    keys = {
        key_of("gtts", "en", "a"),
        key_of("gtts", "es", "a"),
        key_of("gtts", "en", "b"),
        key_of("g", "ttsen", "a"),
    }
    assert len(keys) == 4
    assert key_of("gtts", "en", "\ud800")  # a lone surrogate is a text like any other


def test_memory_is_bounded_and_the_longest_unused_clip_goes_first() -> None:
    cache = ClipCache(None, 0, memory_bytes=30)
    for name in "abc":
        cache.put(name, name.encode() * 10)
    assert cache.get("a")
    cache.put("d", b"d" * 10)
    assert [name for name in "abcd" if cache.get(name) is None] == ["b"]
    cache.put("a", b"aa")
    cache.drop("a")
    assert cache.get("a") is None


def test_the_folder_is_bounded_and_the_longest_unused_clip_goes_first(tmp_path: Path) -> None:
    cache = ClipCache(tmp_path, 1000, memory_bytes=0)
    for number, name in enumerate("abcd"):
        cache.put(name, b"x" * 240)
        os.utime(tmp_path / f"{name}.mp3", (number, number))
    assert cache.get("a")  # now it is the newest
    cache.put("e", b"x" * 240)
    assert "a" in names(tmp_path)
    assert "b" not in names(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


def test_a_folder_that_is_too_large_already_is_made_smaller_and_half_written_clips_go(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.mp3").write_bytes(b"x" * 400)
    (tmp_path / ".new-1").write_bytes(b"x" * 400)
    (tmp_path / "notes.txt").write_text("somebody else's")
    ClipCache(tmp_path, 1000)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.mp3")) <= 1000
    assert "notes" in names(tmp_path)
    assert ".new-1" not in names(tmp_path)


def test_a_full_disk_leaves_no_half_clip_and_the_memory_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ClipCache(tmp_path, 1000)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache.put("a", b"clip")
    assert cache.get("a") == b"clip"
    assert names(tmp_path) == set()


def test_a_clip_that_somebody_removed_is_not_there(tmp_path: Path) -> None:
    cache = ClipCache(tmp_path, 1000, memory_bytes=0)
    cache.put("a", b"clip")
    assert cache.get("a") == b"clip"
    (tmp_path / "a.mp3").unlink()
    assert cache.get("a") is None
    cache.drop("a")


def test_clips_larger_than_any_sentence_are_neither_kept_nor_read(tmp_path: Path) -> None:
    cache = ClipCache(tmp_path, 10 * LARGEST_CLIP)
    cache.put("a", b"x" * (LARGEST_CLIP + 1))
    assert cache.get("a") is None
    (tmp_path / "b.mp3").write_bytes(b"x" * (LARGEST_CLIP + 1))
    assert cache.get("b") is None


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    bucket = TokenBucket(rate=2.0, burst=3.0, now_s=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(99.0), "a clock that goes back gives nothing"
