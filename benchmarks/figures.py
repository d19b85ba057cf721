"""Measured figures and the table they are printed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    row: str
    what: str
    value: float
    unit: str = ""
    bar: float | None = None
    note: str = ""
    at_least: bool = False
    """The bar is to be reached, not kept under."""

    @property
    def held(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar


def render(figures: Sequence[Figure]) -> str:
    lines = []
    row = ""
    for figure in figures:
        if figure.row != row:
            row = figure.row
            lines.append(row)
        digits = 0 if figure.unit == "ms" or figure.value == int(figure.value) else 2
        value = f"{figure.value:.{digits}f} {figure.unit}".rstrip()
        bar = (
            ""
            if figure.bar is None
            else f"{'>=' if figure.at_least else '<='} {figure.bar:g} {figure.unit}".rstrip()
        )
        mark = {None: "", True: "ok", False: "MISSED"}[figure.held]
        lines.append(f"  {figure.what:<64} {value:>11}  {bar:<12} {mark:<7} {figure.note}".rstrip())
    return "\n".join(lines)
