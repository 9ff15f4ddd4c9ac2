"""Speed of `direct` against the textbook model, ratios in one run:
python benchmarks/direct/speed.py [closed] [pyomo] [arrays]
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np
import textbook

import mechopt as mo
from mechopt.private.direct.optimise import build_for
from mechopt.problem.direct_terms import DirectTerms
from mechopt.solver import highs

LIMIT = 90.0  # seconds for one textbook LP
SIZES = {"pyomo": [(15, 5)], "arrays": [(40, 3), (20, 4), (15, 5), (20, 5)]}


def population(n: int, m: int) -> mo.Population:
    """One group, costs 0.3 … 1.5, uniform; T = 3n/4, v = 0.4, V = 0.8 n."""
    group = mo.Group(n, np.linspace(0.3, 1.5, m), np.full(m, 1 / m), 0.4, 4.0)
    return mo.Population([group], [0.75 * n], provider_value=0.8 * n)


def timed(action):
    began = perf_counter()
    answer = action()
    return answer, perf_counter() - began


def main() -> None:
    chosen = sys.argv[1:] or ["pyomo", "arrays", "closed"]
    mo.solve(population(3, 2), "direct")  # imports
    own: dict[tuple[int, int], tuple[float, float]] = {}

    def solved(size):
        if size not in own:
            answer, seconds = timed(lambda: mo.solve(population(*size), "direct"))
            assert answer.status == "optimal", answer.reason
            own[size] = answer.objective, seconds
            _, build = timed(lambda: build_for(population(*size), DirectTerms()))
            rows = answer.details["rows"]
            print(
                f"{size}: direct {seconds:.2f} s, {rows} rows, "
                f"building {build:.3f} s = {build / seconds:.1%}",
                flush=True,
            )
        return own[size]

    if "pyomo" in chosen:
        import pyomo.environ as pyo

        for size in SIZES["pyomo"]:
            objective, mine = solved(size)
            p = population(*size)

            def textbook_pyomo(p=p):
                model = textbook.pyomo_model(p)
                solver = pyo.SolverFactory("appsi_highs")
                solver.solve(model)
                return pyo.value(model.surplus)

            value, theirs = timed(textbook_pyomo)
            print(
                f"{size}: textbook Pyomo {theirs:.1f} s, ratio {theirs / mine:.1f}x, "
                f"objectives differ by {abs(value - objective):.1e}",
                flush=True,
            )
    if "arrays" in chosen:
        for size in SIZES["arrays"]:
            objective, mine = solved(size)
            p = population(*size)
            result, theirs = timed(
                lambda p=p: highs.solve(
                    textbook.arrays(p), objective_scale=1e4, solver="simplex", time_limit=LIMIT
                )
            )
            if result.status != "optimal":
                print(f"{size}: textbook arrays unfinished after {theirs:.0f} s", flush=True)
                continue
            print(
                f"{size}: textbook arrays {theirs:.2f} s, direct/textbook {mine / theirs:.2f}, "
                f"objectives differ by {abs(result.objective - objective):.1e}",
                flush=True,
            )
    if "closed" in chosen:
        group = mo.Group(30, np.linspace(0.3, 1.5, 5), np.full(5, 0.2), 0, 4.0)
        p = mo.Population([group], [22.5], provider_value=24)
        points = [p.replace(provider_value=value) for value in range(24, 31)]
        best = min(timed(lambda one=one: mo.solve(one, "direct"))[1] for one in points)
        print(f"(30, 5): closed form {1000 * best:.0f} ms with the states ({len(p.states)})")


if __name__ == "__main__":
    main()
