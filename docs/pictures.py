"""One look for the pictures of the site, and the few drawings that several pages use.

Colours after Okabe and Ito 2008: they differ for the colour-blind and, with the hatching, in grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555"


def look() -> Any:
    """Matplotlib's pyplot, with the look of the site: SVG, no frame, small type."""
    import matplotlib.pyplot as plt
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg")
    plt.rcParams.update(
        {
            "svg.hashsalt": "mechopt",
            "svg.fonttype": "none",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.constrained_layout.use": True,
        }
    )
    return plt


def pools(
    rows: Sequence[tuple[str, Sequence[float], Sequence[bool]]],
    thresholds: Sequence[float],
    names: Sequence[str] | None = None,
) -> Any:
    """Who is in the pool, a bar per row (label, burdens, who stays), against the thresholds."""
    plt = look()
    figure, axes = plt.subplots(figsize=(6.4, 0.7 + 0.42 * len(rows)))
    for place, (_, burden, stays) in enumerate(rows):
        # those who stay first: where their bar ends is what is left
        order = [*(i for i in range(len(burden)) if stays[i])]
        order += [i for i in range(len(burden)) if not stays[i]]
        at = 0.0
        for i in order:
            here, width = bool(stays[i]), float(burden[i])
            axes.barh(
                place,
                width,
                left=at,
                height=0.62,
                color=BLUE if here else "white",
                alpha=0.85 if here else 1,
                edgecolor="white" if here else ORANGE,
                hatch="" if here else "////",
            )
            said = (names[i] if names else str(i)) if width else ""
            axes.text(
                at + width / 2,
                place,
                said,
                ha="center",
                va="center",
                color="white" if here else "black",
                bbox=None if here else {"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
            at += width
    for k, threshold in enumerate(thresholds, 1):
        axes.axvline(float(threshold), color="black", linestyle="--", linewidth=1)
        name = "T" if len(thresholds) == 1 else f"T{k}"
        axes.text(float(threshold), -0.47, f" {name}", va="center", ha="left")
    axes.set_yticks(range(len(rows)), [label for label, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.65)
    axes.set_xlabel("data (solid: stays, hatched: withdrawn)")
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    return figure
