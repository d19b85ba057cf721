"""Which voices are found, and which one speaks a language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from media_server.engines.espeak_ng import EspeakVoice, ListedVoice, choose_voices
from media_server.engines.piper import PiperVoice, _plan, installed_voices
from media_server.engines.voicing import CLAUSE_PAUSE_S, SENTENCE_PAUSE_S
from media_server.errors import EngineUnavailable


def install(folder: Path, name: str, **config: Any) -> None:
    voice = folder / f"piper-{name}"
    voice.mkdir()
    (voice / f"{name}.onnx").touch()
    (voice / f"{name}.onnx.json").write_text(
        json.dumps({"espeak": {"voice": name.partition("_")[0]}, **config})
    )


def test_piper_voices_are_found_with_their_languages_the_best_first(tmp_path: Path) -> None:
    install(tmp_path, "es_ES-a-low", audio={"quality": "low"})
    install(tmp_path, "es_MX-b-high", audio={"quality": "high"})
    install(tmp_path, "pt_BR-c-medium", language={"family": "pt", "code": "pt_BR"})
    assert [(voice.name, voice.language) for voice in installed_voices(tmp_path)] == [
        ("es_MX-b-high", "es"),
        ("pt_BR-c-medium", "pt"),
        ("es_ES-a-low", "es"),
    ]


def test_damaged_and_unusable_piper_voices_are_left_out(tmp_path: Path) -> None:
    install(tmp_path, "zh_CN-d-medium", phoneme_type="pinyin")
    install(tmp_path, "fr_FR-e-medium")
    (tmp_path / "piper-fr_FR-e-medium" / "fr_FR-e-medium.onnx").unlink()
    install(tmp_path, "de_DE-f-medium")
    (tmp_path / "piper-de_DE-f-medium" / "de_DE-f-medium.onnx.json").write_text("[]")
    install(tmp_path, "it_IT-g-medium")
    (tmp_path / "piper-it_IT-g-medium" / "it_IT-g-medium.onnx.json").write_text("{")
    assert installed_voices(tmp_path) == []
    with pytest.raises(EngineUnavailable, match="no Piper voice"):
        PiperVoice(str(tmp_path)).load()


def test_a_long_first_sentence_is_begun_with_its_first_clause() -> None:
    long = "My fellow Americans, ask not what your country can do for you, my friends."
    assert list(_plan(f"{long} Short, though.")) == [
        ("My fellow Americans,", long, CLAUSE_PAUSE_S),
        ("ask not what your country can do for you, my friends.", "", SENTENCE_PAUSE_S),
        ("Short, though.", "Short, though.", SENTENCE_PAUSE_S),
    ]
    assert list(_plan("Short, though. ...")) == [("Short, though.", "Short, though.", SENTENCE_PAUSE_S)]
    assert list(_plan("")) == []


def test_one_espeak_voice_speaks_a_language() -> None:
    listed = [
        ListedVoice("gmw/en", ((2, "en-gb"), (2, "en"))),
        ListedVoice("gmw/en-US", ((2, "en-us"), (3, "en"))),
        ListedVoice("roa/fr-BE", ((5, "fr-be"), (8, "fr"))),
        ListedVoice("roa/fr", ((5, "fr-fr"), (5, "fr"))),
        ListedVoice("gmq/nb", ((5, "nb"), (5, "no"))),
        ListedVoice("art/eo", ((5, "eo"),)),
        ListedVoice("art/piqd", ((5, "piqd"),)),
        ListedVoice("art/py", ((5, "py"),)),
    ]
    assert choose_voices(listed) == {
        "en": "gmw/en-US", "fr": "roa/fr", "nb": "gmq/nb", "no": "gmq/nb", "eo": "art/eo",
    }  # fmt: skip


def test_espeak_has_a_voice_for_every_language_that_it_can_read() -> None:
    engine = EspeakVoice()
    languages = engine.load().languages
    engine.close()
    assert {"ar", "de", "en", "es", "fr", "hi", "it", "ja", "pt", "ru", "zh"} <= set(languages)
    assert len(languages) > 90
    assert "fo" not in languages  # listed by the library, which has no dictionary for it
