"""The figures of ``benchmarks.rtc`` as a table for the terminal and as one HTML file with plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape


@dataclass(frozen=True)
class Row:
    what: str
    ours: float
    stock: float
    unit: str
    bar: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float:
        return self.stock / self.ours if self.ours else float("nan")


@dataclass(frozen=True)
class Series:
    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    title: str
    x: str
    y: str
    series: Sequence[Series]


@dataclass
class Report:
    machine: str
    rows: list[Row] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [self.machine, ""]
        lines.append(f"{'':60}{'ours':>12}{'stock':>12}  {'stock/ours':>10}  bar")
        for row in self.rows:
            verdict = "" if row.met is None else (" met" if row.met else " MISSED")
            stock, ratio = _figure(row.stock, ".4g"), _figure(row.ratio, ".2f")
            label = f"{row.what} [{row.unit}]" if row.unit else row.what
            lines.append(f"{label:60}{row.ours:>12.4g}{stock:>12}  {ratio:>10}  {row.bar}{verdict}")
        return "\n".join([*lines, "", *self.notes])

    def html(self) -> str:
        cells = "".join(
            f"<tr><td>{escape(row.what)} <small>{escape(row.unit)}</small></td><td>{row.ours:.4g}</td>"
            f"<td>{_figure(row.stock, '.4g')}</td><td>{_figure(row.ratio, '.2f')}</td>"
            f"<td>{escape(row.bar)}</td></tr>"
            for row in self.rows
        )
        plots = "".join(svg(plot) for plot in self.plots)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>Calls, measured</title>{STYLE}"
            f"<h1>Calls, measured</h1><p>{escape(self.machine)}</p><table><tr><th></th><th>ours</th>"
            f"<th>stock</th><th>stock / ours</th><th>bar</th></tr>{cells}</table>{notes}{plots}</html>"
        )


def _figure(value: float, form: str) -> str:
    return format(value, form) if value == value else "-"


STYLE = (
    "<style>body{font:15px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}svg{margin:1rem 1rem 0 0}"
    "td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child{text-align:left}</style>"
)
_COLOURS = ("#0a6", "#c40", "#06c", "#849")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 440, 280, 50, 40, 24


def svg(plot: Plot) -> str:
    """A line chart; both axes start at zero."""
    xs = [x for series in plot.series for x, _ in series.points] or [1]
    ys = [y for series in plot.series for _, y in series.points] or [1]
    right, top = max(xs) or 1, max(ys) * 1.05 or 1

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + x / right * (_WIDTH - _LEFT - 12),
            _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _BOTTOM - _TOP),
        )

    parts = [f'<svg width="{_WIDTH}" height="{_HEIGHT}" font-size="11">']
    parts.append(f'<text x="{_LEFT}" y="14" font-weight="bold">{escape(plot.title)}</text>')
    for step in range(5):
        value = top * step / 4
        _, y = place(0, value)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 12}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
        x, _ = place(right * step / 4, 0)
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - 24}" text-anchor="middle">{right * step / 4:.3g}</text>'
        )
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(plot.x)}</text>')
    for index, series in enumerate(plot.series):
        colour = _COLOURS[index % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in series.points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        label = f"{series.label} ({plot.y})"
        parts.append(
            f'<text x="{_LEFT + 8}" y="{_TOP + 14 * (index + 1)}" fill="{colour}">{escape(label)}</text>'
        )
    return "".join([*parts, "</svg>"])
