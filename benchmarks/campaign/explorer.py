"""How long the explorer takes to answer a slider: every mechanism, protocol, order and right.

    python benchmarks/campaign/explorer.py 1000 100000

One row per combination and number of people and thresholds: the slowest and the median of the
moves below, in milliseconds of processor time on the server's side (what a slider waits for on a
machine with nothing else to do), and the status of the answers. A number with a comma, 100000,6,
takes every sixth move.
"""

from __future__ import annotations

import sys
from itertools import product
from time import process_time
from typing import Any

import mechopt as mo
import mechopt.known.sequential.solve
from mechopt.explorer import answers
from mechopt.explorer.terms import (
    HURRY,
    MECHANISMS,
    ORDERS,
    PROTOCOLS,
    RIGHTS,
    PageTerms,
    sliders_of,
)

GOAL = {1000: 50.0, 100_000: 300.0}
PLACES = (0.05, 0.35, 0.8)  # of each slider's range


def switches() -> list[dict[str, str]]:
    """What can be chosen on the page, each once."""
    found: list[dict[str, str]] = [{"mechanism": m} for m in MECHANISMS if m != "burdens"]
    for protocol, order, right in product(PROTOCOLS, ORDERS, RIGHTS):
        if protocol != "sequential" and order != ORDERS[0]:
            continue
        found.append({"protocol": protocol, "order": order, "right": right})
    return found


def moves(instance: mo.Instance) -> list[dict[str, str]]:
    """One slider away from where the file has them, at several places."""
    found: list[dict[str, str]] = [{}]
    for slider in sliders_of(instance):
        for place in PLACES:
            at = slider.low + place * (slider.high - slider.low)
            found.append({slider.name: repr(at)})
    return found


def timed(instance: mo.Instance, chosen: dict[str, str], every: int) -> dict[str, Any]:
    """Times of all moves under the switches chosen."""
    times, said, worst = [], {}, {}
    for move in moves(instance)[::every]:
        try:
            terms = PageTerms.read({**move, **chosen}, instance)
        except mo.MechoptError:
            continue
        began = process_time()
        found = answers.answer(instance, terms, "x.json", patience=HURRY)
        times.append(1000 * (process_time() - began))
        status = "refused" if "error" in found else found["plan"]["status"]
        said[status] = said.get(status, 0) + 1
        if times[-1] == max(times):
            worst = move
    times.sort()
    return {"median": times[len(times) // 2], "slowest": times[-1], "at": worst, "said": said}


def main() -> None:
    for word in sys.argv[1:] or ["1000", "100000"]:
        n, every = map(int, [*word.split(","), "1"][:2])
        for levels, more, worth in (
            (1, {"tightness": 0.6}, float(n)),
            (3, {"tightness": 0.6}, float(n)),
            (3, {"tightness": 0.9, "shape": "accelerating"}, 0.0),
        ):
            instance = mo.generate("lognormal", n=n, seed=1, levels=levels, **more)
            instance = instance.replace(provider_value=worth)
            for protocol in PROTOCOLS:  # modules are loaded, as they are when the server starts
                answers.answer(instance, PageTerms({}, {"protocol": protocol}), "x", patience=HURRY)
            for chosen in switches():
                row = timed(instance, chosen, every)
                late = "LATE" if row["slowest"] > GOAL.get(n, 300.0) else ""
                name = " ".join([*chosen.values(), str(more.get("shape", ""))])
                print(
                    f"n={n} K={levels} {name:40} median {row['median']:7.1f} "
                    f"slowest {row['slowest']:7.1f} ms {late:4} at {row['at']} {row['said']}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
