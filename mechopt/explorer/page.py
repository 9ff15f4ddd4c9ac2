"""The page itself: one hand-written file with the sliders' limits, and perhaps answers, put in."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np

from mechopt.explorer import answers
from mechopt.explorer.terms import (
    MECHANISMS,
    OBJECTIVES,
    ORDERS,
    PROTOCOLS,
    RIGHTS,
    PageTerms,
    sliders_of,
)
from mechopt.problem.instance import Instance

_BUDGETS, _THRESHOLDS, _VALUES = 5, 7, 3  # points of the grid of the page that needs no server
_SHOWN = 100  # people on it
_PATIENCE = 0.25  # seconds for one of its answers


def page(instance: Instance, file: str, grid: dict[str, Any] | None = None) -> str:
    """The page for an instance; with a `grid` of answers it works without a server."""
    about = {
        "file": file,
        "people": instance.n,
        "levels": instance.levels,
        "sliders": [slider.to_dict() for slider in sliders_of(instance)],
        "switches": {
            "mechanism": MECHANISMS,
            "objective": OBJECTIVES,
            "protocol": PROTOCOLS,
            "order": ORDERS,
            "right": RIGHTS,
        },
        "grid": grid,
    }
    template = files("mechopt").joinpath("data/explorer.html").read_text(encoding="utf-8")
    text = json.dumps(about, ensure_ascii=False, allow_nan=False)
    return template.replace("/*ABOUT*/null", text.replace("<", "\\u003c"))


def standalone(instance: Instance, file: str) -> str:
    """The page with answers on a grid of budgets, thresholds, values and protocols."""
    return page(instance, file, _grid(instance, file))


def _grid(instance: Instance, file: str) -> dict[str, Any]:
    from mechopt.files.documents import strict

    sliders = {slider.name: slider for slider in sliders_of(instance)}
    axes: dict[str, list[float]] = {}
    for name, count in (("budget", _BUDGETS), ("t1", _THRESHOLDS), ("scale", _THRESHOLDS)):
        if name in sliders and (name != "t1" or instance.levels == 1):
            one = sliders[name]
            points = {*np.linspace(one.low, one.high, count).round(9).tolist(), one.start}
            axes[name] = sorted(points)
    axes["value"] = [0.5, 1.0, 2.0][:_VALUES]
    protocols = ("simultaneous", "sequential")
    found = {}
    names = list(axes)
    for place in np.ndindex(*(len(axis) for axis in axes.values())):
        moved = {name: axes[name][k] for name, k in zip(names, place)}
        for protocol in protocols:
            terms = _terms(moved, protocol, sliders)
            key = ",".join([*map(str, place), protocol])
            found[key] = strict(answers.answer(instance, terms, file, _SHOWN, _PATIENCE))
    start = PageTerms({}, {})
    return {
        "axes": axes,
        "protocols": protocols,
        "answers": found,
        "frontier": strict(answers.frontier(instance, start)),
    }


def _terms(moved: dict[str, float], protocol: str, sliders: dict[str, Any]) -> PageTerms:
    kept = {name: value for name, value in moved.items() if value != sliders[name].start}
    if "budget" in kept and kept["budget"] >= sliders["budget"].high:
        kept["budget"] = float("inf")
    return PageTerms(kept, {} if protocol == "simultaneous" else {"protocol": protocol})
