"""Language pairs told from mode files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from media_server.engines.apertium import _escape, _parts, _tidy, installed_pairs
from media_server.engines.apertium_modes import FAR_QUALITY, NEAR_QUALITY, installed_modes


@pytest.fixture
def modes(tmp_path: Path) -> Path:
    folder = tmp_path / "modes"
    folder.mkdir()
    return folder


def write(folder: Path, *names: str, pipeline: str = "cat $1 | cat -u") -> None:
    for name in names:
        (folder / f"{name}.mode").write_text(pipeline)


def pairs(folder: Path) -> list[str]:
    return [f"{pair.source}-{pair.target}" for pair in installed_pairs(str(folder))]


def test_codes_become_two_letters_and_unknown_ones_stay(modes: Path) -> None:
    write(modes, "eng-spa", "spa-ast", "es-pt", "cat-ita")
    assert pairs(modes) == ["ca-it", "en-es", "es-ast", "es-pt"]


def test_what_is_no_pair_is_left_out(modes: Path) -> None:
    write(modes, "eco-es-fr", "eng-spa-tagger", "spa", "README", "eng-en")
    (modes / "README").write_text("")
    assert pairs(modes) == []


def test_a_variant_counts_only_where_there_is_no_plain_mode(modes: Path) -> None:
    write(modes, "eng-cat_valencia", "eng-cat_valencia_uni", "spa-eng_US", "es-pt_BR")
    write(modes, "eng-cat", pipeline="cat -b")
    found = installed_modes(str(modes))
    assert list(found) == [("en", "ca"), ("es", "en"), ("es", "pt")]
    assert found["en", "ca"].commands[0][1:] == ("-b",)


def test_the_newer_package_of_a_pair_wins(modes: Path) -> None:
    write(modes, "es-pt", pipeline="cat -b")
    write(modes, "spa-por", pipeline="cat -n")
    assert installed_modes(str(modes))["es", "pt"].commands[0][1:] == ("-n",)


def test_a_mode_whose_program_or_data_is_missing_is_not_offered(modes: Path) -> None:
    write(modes, "eng-spa", pipeline="no-such-program-here | cat")
    write(modes, "eng-cat", pipeline="cat '/no/such/file.automorf.bin'")
    write(modes, "fra-spa", pipeline="cat 'unclosed")
    write(modes, "fra-cat", pipeline="cat | ")
    assert pairs(modes) == []


def test_arguments_of_the_mode_are_filled_in(modes: Path) -> None:
    write(modes, "eng-spa", pipeline="cat -g $2 'a b' | cat $1 x")
    commands = installed_modes(str(modes))["en", "es"].commands
    assert [command[1:] for command in commands] == [("-g", "a b"), ("-n", "x")]


def test_relatives_are_translated_better(modes: Path) -> None:
    write(modes, "spa-por", "eng-spa")
    assert [pair.quality for pair in installed_pairs(str(modes))] == [FAR_QUALITY, NEAR_QUALITY]


def test_no_folder_means_no_pairs(tmp_path: Path) -> None:
    assert installed_pairs(str(tmp_path / "none")) == ()


def test_the_stream_formats_own_characters_are_escaped_and_come_back() -> None:
    text = r"[a] {b} ^c$ @d /e \f <g> *h"
    assert _tidy(text, _escape(text) + ".[][\n]") == text


def test_marks_that_the_text_did_not_have_are_taken_away() -> None:
    assert _tidy("a b", "*a #b @c.[][\n]") == "a b c"
    assert _tidy("a * b", "a * b #c") == "a * b c"


def test_long_texts_are_cut_at_sentence_ends_into_few_parts() -> None:
    parts = _parts("A sentence of some words. " * 100)
    assert len(parts) == 3
    assert all(part.endswith(".") and len(part) <= 1000 for part in parts)
    assert _parts("one\n\n two \r\n") == ["one", "two"]
