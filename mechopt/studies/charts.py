"""Charts as inline SVG: no script, no network; colours and text follow the page's style sheet.

Series k has the classes `s{k}` (colour) and its own dash and marker, so that charts can be read
without colour. Sizes are in units of a 360 × 240 box that scales with the page. Not Matplotlib's
SVG: the page would need the extra, colours could not follow light and dark, and marks would say
nothing when pointed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, inf, isfinite, log10
from os import PathLike
from pathlib import Path
from typing import Any

from mechopt import tolerances
from mechopt.atomic import replacing
from mechopt.errors import NotSupported

WIDTH, HEIGHT = 360, 232
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 34
_DASHES = ("", "6 3", "2 2", "8 3 2 3", "10 4", "4 4 1 4")


@dataclass(frozen=True)
class Series:
    """A line: points (x, y, low, high) by ascending x; low and high may be infinite."""

    name: str
    style: int
    points: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Dot:
    """One row of a dot chart: a mean with its interval."""

    label: str
    style: int
    mean: float
    low: float
    high: float


def line_chart(series: Sequence[Series], x_name: str, y_name: str, *, ceiling: float = inf) -> str:
    """Lines with intervals as vertical bars, cut at `ceiling`; y starts at 0."""
    xs = [x for line in series for x, *_ in line.points]
    means = [y for line in series for _, y, *_ in line.points]
    ends = [high for line in series for *_, high in line.points if isfinite(high)]
    x_ticks = ticks(min(xs), max(xs))
    y_ticks = ticks(min([0.0, *means]), min(max([*means, *ends]), ceiling))
    x_low, x_high = min(xs), max(max(xs), min(xs) + tolerances.DATA)
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def across(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)

    def up(y: float) -> float:
        return HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM)

    parts = [_grid(y_ticks, up)]
    for x in x_ticks:
        if x_low <= x <= x_high:
            parts.append(_text(across(x), HEIGHT - _BOTTOM + 14, number(x), "middle"))
    parts.append(_text((WIDTH + _LEFT) / 2, HEIGHT - 4, x_name, "middle", "axis"))
    for line in series:
        style = line.style
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y, *_ in line.points)
        dash = f' stroke-dasharray="{_DASHES[style]}"' if _DASHES[style] else ""
        parts.append(f'<polyline class="line s{style}" points="{path}"{dash}/>')
        for x, y, low, high in line.points:
            if isfinite(low) and isfinite(high) and high > low:
                top, bottom = up(min(high, y_high)), up(max(low, y_low))
                parts.append(_bar(across(x), top, across(x), bottom, style))
            parts.append(marker(across(x), up(y), style, f"{line.name}: {number(y)} at {x:g}"))
    return _svg(parts, HEIGHT, f"{y_name} against {x_name}")


def dot_chart(dots: Sequence[Dot], name: str) -> str:
    """One row per dot, label above its dot and interval, x from 0 if nothing is negative."""
    row = 34
    height = row * len(dots) + 30
    ends = [v for dot in dots for v in (dot.mean, dot.high) if isfinite(v)]
    marks = ticks(min([0.0, *(dot.mean for dot in dots)]), max(ends), 4)
    low, high = marks[0], marks[-1]

    def across(x: float) -> float:
        return 12 + (min(max(x, low), high) - low) / (high - low) * (WIDTH - 36)

    parts = []
    for mark in marks:
        x = across(mark)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{height - 22}"/>')
        parts.append(_text(x, height - 8, number(mark), "middle"))
    for k, dot in enumerate(dots):
        y = row * k + 26
        parts.append(_text(16, y - 9, dot.label, "start"))
        if isfinite(dot.low) and isfinite(dot.high) and dot.high > dot.low:
            parts.append(_bar(across(dot.low), y, across(dot.high), y, dot.style))
        shown = f"{dot.label}: {number(dot.mean)}"
        parts.append(marker(across(dot.mean), y, dot.style, shown))
    return _svg(parts, height, name)


def histogram(values: Sequence[float], name: str, unit: str, style: int = 0) -> str:
    """How many values lie in each of at most 12 equal intervals; counts above the bars."""
    marks = ticks(min(0.0, *values), max(values), 8) if len(values) else [0.0, 1.0]
    low, high, bins = marks[0], marks[-1], len(marks) - 1
    counts = [0] * bins
    for value in values:
        counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    most = max([*counts, 1])
    wide = (WIDTH - _LEFT - _RIGHT) / bins
    floor_ = HEIGHT - _BOTTOM
    parts = []
    for place, count in enumerate(counts):
        x, tall = _LEFT + place * wide, count / most * (floor_ - _TOP - 12)
        title = f"{number(marks[place])} to {number(marks[place + 1])}: {count:,}"
        parts.append(
            f'<rect class="b{style}" x="{x + 1:.1f}" y="{floor_ - tall:.1f}" '
            f'width="{wide - 2:.1f}" height="{tall:.1f}"><title>{escape(title)}</title></rect>'
        )
        if count:
            parts.append(_text(x + wide / 2, floor_ - tall - 3, f"{count:,}", "middle"))
    for place, mark in enumerate(marks):
        if place % 2 == 0 or bins <= 5:
            parts.append(_text(_LEFT + place * wide, floor_ + 14, number(mark), "middle"))
    parts.append(
        f'<line class="grid" x1="{_LEFT}" y1="{floor_}" x2="{WIDTH - _RIGHT}" y2="{floor_}"/>'
    )
    parts.append(_text((WIDTH + _LEFT) / 2, HEIGHT - 4, unit, "middle", "axis"))
    return _svg(parts, HEIGHT, name)


def share_bar(share: float, low: float, high: float) -> str:
    """A small bar for a share in [0, 1] with its interval."""
    parts = [
        '<rect class="track" x="0" y="3" width="100" height="8" rx="2"/>',
        f'<rect class="fill" x="0" y="3" width="{100 * share:.1f}" height="8" rx="2"/>',
        f'<line class="whisker" x1="{100 * low:.1f}" y1="7" x2="{100 * high:.1f}" y2="7"/>',
    ]
    title = f"{percent(share)} (95 %: {percent(low)} to {percent(high)})"
    return (
        f'<svg class="share" viewBox="0 0 100 14" role="img" aria-label="{title}">'
        f"<title>{title}</title>{''.join(parts)}</svg>"
    )


def marker(x: float, y: float, style: int, title: str) -> str:
    """A marker of its own shape per style, with a title that is shown on hovering."""
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>',
        f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>',
        f'<path d="M{x:.1f} {y - 4:.1f}l4 7h-8z"/>',
        f'<path d="M{x:.1f} {y - 4.4:.1f}l4.4 4.4l-4.4 4.4l-4.4 -4.4z"/>',
        f'<path d="M{x:.1f} {y + 4:.1f}l4 -7h-8z"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>',
    )
    return f'<g class="mark s{style}"><title>{escape(title)}</title>{shapes[style]}</g>'


def key(style: int) -> str:
    """A short stretch of line with its marker, for legends."""
    dash = f' stroke-dasharray="{_DASHES[style]}"' if _DASHES[style] else ""
    return (
        '<svg class="key" viewBox="0 0 30 10" aria-hidden="true">'
        f'<polyline class="line s{style}" points="1,5 29,5"{dash}/>{marker(15, 5, style, "")}</svg>'
    )


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that enclose [low, high], about `wanted` of them."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / wanted
    size = 10.0 ** floor(log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first, last = floor(low / step + tolerances.WHOLE), ceil(high / step - tolerances.WHOLE)
    return [round(k * step, 12) + 0.0 for k in range(first, last + 1)]


def number(value: float) -> str:
    """Up to four significant digits, thousands separated."""
    if value == 0:
        return "0"
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.2g}"


def percent(share: float) -> str:
    """A share in per cent; only 0 and 1 are shown as 0 and 100 %."""
    if share in (0, 1):
        return f"{100 * share:g} %"
    return f"{min(max(100 * share, 0.1), 99.9):.1f} %"


def _grid(marks: Sequence[float], up: object) -> str:
    assert callable(up)
    lines = [
        f'<line class="grid" x1="{_LEFT}" y1="{up(y):.1f}" x2="{WIDTH - _RIGHT}" y2="{up(y):.1f}"/>'
        + _text(_LEFT - 5, up(y) + 3.5, number(y), "end")
        for y in marks
    ]
    return "".join(lines)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _bar(x1: float, y1: float, x2: float, y2: float, style: int) -> str:
    return f'<line class="bar s{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _svg(parts: Sequence[str], height: float, title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


# -- pictures by Matplotlib -----------------------------------------------------------------------

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#555555")  # Okabe and Ito 2008


def canvas(width: float, height: float) -> Any:
    """An empty Matplotlib figure, inches; NotSupported without Matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise NotSupported('pictures need Matplotlib: pip install "mechopt[plot]"') from None
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, path: str | PathLike[str]) -> None:
    """Write a figure by its name's ending, whole or not at all. Raises OutputError."""
    kind = Path(path).suffix[1:].lower()
    # no dates or versions inside, so that the same table gives the same file
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with replacing(path, binary=True) as stream:
        figure.savefig(stream, format=kind or None, dpi=200, metadata=metadata.get(kind))
