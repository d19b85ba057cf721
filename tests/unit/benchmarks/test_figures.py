"""Figures beside their bars."""

from __future__ import annotations

from benchmarks.figures import Figure, render


def test_a_bar_is_kept_under_or_reached() -> None:
    assert Figure("row", "late", 1.3, "s", 1.2).held is False
    assert Figure("row", "people", 9, bar=8, at_least=True).held is True
    assert Figure("row", "people", 7, bar=8, at_least=True).held is False
    assert Figure("row", "people", 7).held is None


def test_a_missed_bar_says_so() -> None:
    text = render([Figure("row", "people", 7, bar=8, at_least=True), Figure("row", "late", 1.0, "s", 1.2)])
    assert ">= 8" in text
    assert "MISSED" in text
    assert "<= 1.2 s" in text
