"""Would many tiny linear programs be solved faster as one?

    python benchmarks/performance/batching.py

Direct mechanisms of random small populations: one by one, all in one HiGHS object, and as one
block-diagonal program; milliseconds of processor time per instance.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np

import mechopt as mo
from mechopt.private.direct import arrays as direct_arrays
from mechopt.private.direct.optimise import SETTINGS
from mechopt.problem.direct_terms import DirectTerms
from mechopt.solver import highs
from mechopt.solver.highs import LinearProgram

CASES = ((2, 3, 200), (5, 3, 200), (10, 3, 100), (10, 4, 30))  # users, types, instances
ROUNDS = 3


def populations(n: int, types: int, count: int) -> list[mo.Population]:
    rng = np.random.Generator(np.random.PCG64(n))
    return [
        mo.Population(
            [
                mo.Group(
                    n,
                    np.sort(rng.uniform(0.3, 1.5, types)),
                    rng.dirichlet(np.ones(types)),
                    0.4,
                    4.0,
                )
            ],
            [0.75 * n],
            provider_value=0.8 * n,
        )
        for _ in range(count)
    ]


def as_one(programs: list[LinearProgram]) -> LinearProgram:
    """The block-diagonal program."""
    columns = np.cumsum([0, *(one.columns for one in programs)])
    entries = np.cumsum([0, *(one.value.size for one in programs)])
    starts = [one.start[1:] + before for one, before in zip(programs, entries)]
    places = [one.index + before for one, before in zip(programs, columns)]
    return LinearProgram(
        cost=np.concatenate([one.cost for one in programs]),
        start=np.concatenate([[0], *starts]).astype(np.int32),
        index=np.concatenate(places).astype(np.int32),
        value=np.concatenate([one.value for one in programs]),
        row_lower=np.concatenate([one.row_lower for one in programs]),
        row_upper=np.concatenate([one.row_upper for one in programs]),
        lower=np.concatenate([one.lower for one in programs]),
        upper=np.concatenate([one.upper for one in programs]),
        maximize=True,
    )


def one_by_one(programs: list[LinearProgram]) -> float:
    return sum(highs.solve(program, **SETTINGS).objective or 0.0 for program in programs)


def in_one_session(programs: list[LinearProgram]) -> float:
    session = highs.Session(programs[0], **SETTINGS)
    total = 0.0
    for program in programs:
        session.program = program
        session._pass(program)
        total += session.solve().objective or 0.0
    return total


def in_one_program(programs: list[LinearProgram]) -> float:
    return highs.solve(as_one(programs), **SETTINGS).objective or 0.0


def whole(problems: list[mo.Population]) -> float:
    return sum(mo.solve(problem.replace(), "direct").objective for problem in problems)


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """Median processor seconds, and the answer."""
    seconds = []
    for _ in range(ROUNDS):
        began = process_time()
        answer = call()
        seconds.append(process_time() - began)
    return median(seconds), answer


def main() -> None:
    print("| users, types | `mo.solve` | HiGHS: one by one | one session | one program | gain |")
    print("|---" * 6 + "|")
    for n, types, count in CASES:
        problems = populations(n, types, count)
        programs = [direct_arrays.build(one, DirectTerms()).program for one in problems]
        everything, expected = timed(lambda problems=problems: whole(problems))
        times = []
        for route in (one_by_one, in_one_session, in_one_program):
            seconds, answer = timed(lambda route=route, programs=programs: route(programs))
            assert abs(answer - expected) <= 1e-6 * abs(expected), route.__name__
            times.append(seconds)
        gain = everything / (everything - times[0] + times[2])
        words = " | ".join(f"{1e3 * seconds / count:.2f}" for seconds in (everything, *times))
        print(f"| {n}, {types} | {words} | {gain:.2f}× |", flush=True)


if __name__ == "__main__":
    main()
