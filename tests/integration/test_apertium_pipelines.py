"""Apertium's pipelines as processes: kept warm, bounded, killed when they hang."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_server.engines import apertium
from media_server.engines.apertium import ApertiumTranslator
from media_server.engines.base import TranslateRequest
from media_server.errors import EngineFailed, EngineUnavailable

# A pipeline's program for tests: answers as Apertium would, in capitals, unless a word tells it otherwise.
PROGRAM = r"""#!/usr/bin/env python3
import os, pathlib, sys, time
if "--version" in sys.argv:
    sys.exit()
flag = pathlib.Path(__file__).with_suffix(".flag")
with flag.with_suffix(".starts").open("a") as file:
    file.write(f"{os.getpid()}\n")
text = b""
while piece := os.read(0, 1):
    if piece != b"\0":
        text += piece
        continue
    if b"hang" in text and not (b"once" in text and flag.exists()):
        flag.touch()
        time.sleep(60)
    if b"crash" in text and not (b"once" in text and flag.exists()):
        flag.touch()
        sys.exit(1)
    os.write(1, text.upper() + b"\0")
    text = b""
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    program = tmp_path / "program"
    program.write_text(PROGRAM)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    for name in ("eng-spa", "eng-fra", "eng-ita"):
        (tmp_path / f"{name}.mode").write_text(f"{program} | cat $2")
    return tmp_path


@pytest.fixture
def translator(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApertiumTranslator]:
    monkeypatch.setattr(apertium, "ANSWER_S", 0.2)
    (folder / "cat").write_text("#!/bin/sh\nexec /bin/cat\n")  # which knows no -z
    (folder / "cat").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    translator = ApertiumTranslator(str(folder), kept=2)
    translator.load()
    yield translator
    translator.close()


def translate(translator: ApertiumTranslator, text: str, target: str = "es") -> str:
    return translator.translate(TranslateRequest((text,), "en", target)).texts[0]


def starts(folder: Path) -> list[int]:
    path = folder / "program.starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_pipeline_is_started_on_first_use_and_kept(translator: ApertiumTranslator, folder: Path) -> None:
    assert starts(folder) == []
    assert [translate(translator, f"word {n}") for n in range(3)] == ["WORD 0", "WORD 1", "WORD 2"]
    assert len(starts(folder)) == 1


def test_a_request_without_texts_starts_the_pipeline(translator: ApertiumTranslator, folder: Path) -> None:
    assert translator.translate(TranslateRequest((), "en", "es")).texts == ()
    assert len(starts(folder)) == 1


@pytest.mark.parametrize("fault", ["hang", "crash"])
def test_a_pipeline_that_fails_is_started_anew_and_asked_again(
    translator: ApertiumTranslator, folder: Path, fault: str
) -> None:
    translate(translator, "warm")
    assert translate(translator, f"{fault} once") == f"{fault.upper()} ONCE"
    first, second = starts(folder)
    assert not alive(first)
    assert alive(second)


def test_a_text_that_always_fails_costs_its_request_only(
    translator: ApertiumTranslator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apertium, "START_S", 1.0)
    with pytest.raises(EngineFailed, match="en-es does not answer"):
        translate(translator, "crash")
    assert translate(translator, "next") == "NEXT"


def test_the_least_used_pipeline_makes_room(translator: ApertiumTranslator, folder: Path) -> None:
    for target in ("es", "fr", "es", "it"):
        translate(translator, "word", target)
    spanish, french, italian = starts(folder)
    assert [alive(pid) for pid in (spanish, french, italian)] == [True, False, True]


def test_closing_ends_every_process(translator: ApertiumTranslator, folder: Path) -> None:
    translate(translator, "word", "es")
    translate(translator, "word", "fr")
    translator.close()
    assert not any(map(alive, starts(folder)))


def test_without_pairs_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="apertium-eng-spa"):
        ApertiumTranslator(str(tmp_path / "none")).load()
