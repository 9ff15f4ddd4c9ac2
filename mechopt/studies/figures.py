"""Figures for a paper: the curves of a comparison as PNG, PDF and SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any

from mechopt.errors import InvalidOption, OutputError
from mechopt.studies.charts import COLOURS, canvas, save
from mechopt.studies.report_html import Curve, curves_of, groups_of, slug
from mechopt.studies.results import Table

FORMATS = ("png", "pdf", "svg")
# by style, as in `mechopt.studies.charts`
_MARKERS, _DASHES = "os^Dv.", ("-", "--", ":", "-.", (0, (7, 3)), (0, (3, 3, 1, 3)))
_LABELS = {"improvement": "expected improvement", "expenditure": "expected expenditure"}


def write_figures(
    table: Table, folder: str | PathLike[str], formats: Sequence[str] = FORMATS
) -> list[Path]:
    """One figure per curve and format in `folder`; the paths written.

    Curves are the groups named "picture @ variable=x". Of a table without any, one figure per group
    of problems shows the means of each mechanism with their intervals. Raises InvalidOption for an
    unknown format, NotSupported without Matplotlib, OutputError.
    """
    for name in formats:
        if name not in FORMATS:
            raise InvalidOption(f"formats: {name!r} is none of {', '.join(FORMATS)}")
    drawings: list[tuple[str, Any]] = [
        (slug(f"{curve.title} {curve.metric}"), curve) for curve in curves_of(table)
    ]
    if not drawings:
        drawings = [(slug(title), lines) for title, lines in groups_of(table).items()]
    if not drawings:
        return []
    canvas(1, 1)  # without Matplotlib: said before anything is made
    import matplotlib

    written = []
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from None
    settings = {
        "svg.hashsalt": "mechopt",
        "svg.fonttype": "none",  # text stays text
        "font.size": 9,
        "pdf.fonttype": 42,
    }
    with matplotlib.rc_context(settings):
        for stem, drawn in drawings:
            if isinstance(drawn, Curve):
                figure = canvas(4.4, 2.5)
                _draw(figure.add_subplot(), drawn)
            else:
                figure = canvas(6.8, 0.8 + 0.28 * len(drawn))
                _dots(figure, drawn)
            for name in formats:
                path = Path(folder) / f"{stem}.{name}"
                save(figure, path)
                written.append(path)
    return written


def _draw(axes: Any, curve: Curve) -> None:
    for line in curve.series:
        style = line.style
        x, y, low, high = zip(*line.points)
        axes.plot(
            x,
            y,
            label=line.name,
            color=COLOURS[style],
            marker=_MARKERS[style],
            linestyle=_DASHES[style],
            markersize=3.5,
            linewidth=1.2,
            # between two points nothing was computed: the last level holds until the next
            drawstyle="steps-post" if curve.metric == "improvement" else "default",
        )
        known = [isfinite(a) and isfinite(b) for a, b in zip(low, high)]
        axes.vlines(
            [at for at, drawn in zip(x, known) if drawn],
            [a for a, drawn in zip(low, known) if drawn],
            [b for b, drawn in zip(high, known) if drawn],
            color=COLOURS[style],
            linewidth=0.8,
            alpha=0.6,
        )
    axes.set_xlabel(curve.variable)
    axes.set_ylabel(_LABELS[curve.metric])
    axes.set_title(curve.title, fontsize=9)
    if curve.metric == "improvement":
        axes.set_ylim(-0.03, 1.05)
    axes.grid(alpha=0.3, linewidth=0.5)
    _label_lines(axes, curve)


def _label_lines(axes: Any, curve: Curve) -> None:
    """Each line's name at its right end, in the order of the ends, apart from one another."""
    low, high = axes.get_ylim()
    step = 0.085 * (high - low)
    ends = sorted(((line.points[-1][1], line) for line in curve.series), key=lambda end: end[0])
    place = low - step
    heights = []
    for end, _ in ends:
        place = max(place + step, end)
        heights.append(place)
    over = max(0.0, heights[-1] - high + 0.5 * step)
    for (_, line), height in zip(ends, _lowered(heights, over, step)):
        axes.annotate(
            line.name,
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=COLOURS[line.style],
            annotation_clip=False,
        )


def _lowered(heights: list[float], over: float, step: float) -> list[float]:
    """The heights with the top one lowered by `over`, and others as far as they are in its way."""
    found = list(heights)
    most = heights[-1] - over
    for place in range(len(found) - 1, -1, -1):
        found[place] = min(found[place], most)
        most = found[place] - step
    return found


def _dots(figure: Any, lines: Sequence[tuple[str, int, Mapping[str, Any]]]) -> None:
    """Means and intervals of improvement and expenditure, one row per mechanism."""
    for axes, metric in zip(figure.subplots(1, 2, sharey=True), _LABELS):
        for row, (_, style, means) in enumerate(lines):
            mean = means[metric]
            if mean is None:
                continue
            if isfinite(mean.low) and isfinite(mean.high) and mean.count > 1:
                axes.hlines(-row, mean.low, mean.high, color=COLOURS[style], linewidth=0.8)
            axes.plot(mean.mean, -row, _MARKERS[style], color=COLOURS[style], markersize=3.5)
        axes.set_yticks([-row for row in range(len(lines))], [label for label, *_ in lines])
        axes.set_xlabel(_LABELS[metric])
        axes.set_xlim(0.0, 1.05) if metric == "improvement" else axes.set_xlim(left=0.0)
        axes.grid(alpha=0.3, linewidth=0.5)
