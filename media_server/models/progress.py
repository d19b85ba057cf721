"""How far a fetch is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

_REDRAW_S = 0.1
_LINE_STEP = 0.25  # without a terminal: a line each quarter


def human(size: float) -> str:
    """Bytes for people: ``145 MB``."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.1f} MB" if size < 1e7 else f"{size / 1e6:.0f} MB"


class Progress:
    """One model at a time: ``start``, then ``advance`` and ``preview``, then ``end``."""

    def __init__(self, out: TextIO, *, quiet: bool = False) -> None:
        self._out = out
        self._quiet = quiet
        self._bar = not quiet and out.isatty()
        self._title = ""
        self._total = 0
        self._done = 0
        self._preview = 0
        self._shown = 0
        self._started = 0.0
        self._drawn = 0.0
        self._said = 0.0

    def start(self, title: str, total: int) -> None:
        """Begins a model of ``total`` bytes."""
        self._title, self._total = title, total
        self._done = self._preview = self._shown = 0
        self._said = self._drawn = 0.0
        self._started = time.monotonic()
        if not self._bar:
            self.say(f"{title}: fetching {human(total)}")

    def advance(self, count: int) -> None:
        """``count`` bytes of the model more are here (fewer, when negative)."""
        self._done += count
        self._show()

    def preview(self, count: int) -> None:
        """``count`` bytes have come that are not the model's yet: a package on its way."""
        self._preview = count
        self._show()

    def end(self, outcome: str) -> None:
        """Ends a model with one line that says how it went."""
        if self._bar:
            self._out.write("\r\x1b[K")
        self.say(f"{self._title}: {outcome}")

    def say(self, line: str) -> None:
        """A line of its own."""
        if not self._quiet:
            self._out.write(line + "\n")
            self._out.flush()

    def _show(self) -> None:
        if self._quiet or not self._total:
            return
        # A package that has come is then unpacked: the bar waits meanwhile instead of falling back.
        self._shown = max(self._shown, min(self._total, self._done + self._preview))
        share = self._shown / self._total
        if not self._bar:
            if share >= self._said + _LINE_STEP and share < 1.0:
                self._said = share
                self.say(f"{self._title}: {share:.0%} of {human(self._total)}")
            return
        now = time.monotonic()
        if now - self._drawn < _REDRAW_S and share < 1.0:
            return
        self._drawn = now
        rate = self._shown / max(now - self._started, 0.1)
        text = f" {share:4.0%}  {human(self._shown)} of {human(self._total)}  {human(rate)}/s"
        width = max(10, min(40, shutil.get_terminal_size().columns - len(self._title) - len(text) - 4))
        filled = round(width * share)
        self._out.write(f"\r\x1b[K{self._title} [{'#' * filled}{'.' * (width - filled)}]{text}")
        self._out.flush()
