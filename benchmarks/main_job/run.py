"""The main job at scale: selection against the plain LP, checks and the whole command.

    python benchmarks/main_job/run.py [--quick]

Prints one table. Times are medians; ratios are taken within this run. The plain LP is the model a
user would write in Pyomo (burden and payment per user) solved through appsi_highs.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

import mechopt as mo


def instance_of(n: int, seed: int = 0) -> mo.Instance:
    """Lognormal costs, values and capacities; threshold at 80 % of what is given unpaid."""
    rng = np.random.Generator(np.random.PCG64(seed))
    cost, value, capacity = (rng.lognormal(0, 1, n) for _ in range(3))
    free = np.minimum(capacity, value / cost).sum()
    return mo.Instance(cost, value, capacity, [1.2 * free], provider_value=1e9)


def plain_pyomo(instance: mo.Instance) -> float:
    """The 2n-variable LP as one would write it, through appsi_highs; returns the expenditure."""
    import pyomo.environ as pyo

    model = pyo.ConcreteModel()
    users = range(instance.n)
    model.x = pyo.Var(users, bounds=lambda _, i: (0, float(instance.capacity[i])))
    model.t = pyo.Var(users, domain=pyo.NonNegativeReals)
    model.total = pyo.Constraint(
        expr=sum(model.x[i] for i in users) >= float(instance.thresholds[0])
    )
    model.part = pyo.Constraint(
        users,
        rule=lambda m, i: float(instance.value[i]) + m.t[i] >= float(instance.cost[i]) * m.x[i],
    )
    model.goal = pyo.Objective(expr=sum(model.t[i] for i in users))
    pyo.SolverFactory("appsi_highs").solve(model)
    return float(pyo.value(model.goal))


def timed(function, repeat: int) -> tuple[float, object]:
    """Median seconds over `repeat` calls, and the last answer."""
    times, answer = [], None
    for _ in range(repeat):
        began = perf_counter()
        answer = function()
        times.append(perf_counter() - began)
    return median(times), answer


def peak_of(code: str) -> float:
    """Peak resident memory of a Python process running `code`, MB."""
    # VmHWM, because ru_maxrss of a child starts at what its parent had.
    script = code + "\nprint([l.split()[1] for l in open('/proc/self/status') if 'VmHWM' in l][0])"
    out = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    return float(out.stdout.split()[-1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="n = 10^5 instead of 10^6")
    big = 10**5 if parser.parse_args().quick else 10**6
    print(f"Python {platform.python_version()}, {platform.machine()}, n = {big:,}\n")
    print("| what | n | seconds | note |\n|---|---|---|---|")

    small = instance_of(10**4)
    fast, plan = timed(lambda: mo.solve(small, objective="expenditure"), 9)
    slow, value = timed(lambda: plain_pyomo(small), 1)
    assert abs(plan.objective - value) <= 1e-6 * value
    print(f"| burdens, selection | 10,000 | {fast:.4f} | expenditure {plan.objective:.6f} |")
    print(
        f"| the same LP, plain Pyomo + appsi_highs | 10,000 | {slow:.2f} | "
        f"same optimum; {slow / fast:,.0f}× the time |"
    )

    large = instance_of(big)
    seconds, plan = timed(lambda: mo.solve(large, objective="expenditure"), 5)
    print(f"| burdens, expenditure | {big:,} | {seconds:.3f} | {plan.status}, gap {plan.gap:.0e} |")
    seconds, _ = timed(lambda: mo.solve(large, objective="social-cost", transfers=True), 5)
    print(f"| burdens, social cost | {big:,} | {seconds:.3f} | |")
    capped = large.replace(budget=1.2 * plan.objective)
    seconds, answer = timed(lambda: mo.solve(capped, objective="social-cost"), 3)
    print(f"| burdens, social cost, binding budget | {big:,} | {seconds:.3f} | {answer.status} |")
    seconds, _ = timed(lambda: mo.solve(large, "posted-price", objective="expenditure"), 3)
    print(f"| posted price | {big:,} | {seconds:.3f} | |")
    for protocol in ("simultaneous", "sequential"):
        seconds, report = timed(lambda p=protocol: mo.check_withdrawal(large, plan, protocol=p), 5)
        print(f"| check, {protocol} | {big:,} | {seconds:.3f} | stable: {report.stable} |")

    build = (
        "import sys; sys.path.insert(0, 'benchmarks/main_job'); import run; import mechopt as mo; "
        f"import mechopt.known.burdens.solve; i = run.instance_of({big}); "
    )
    before = peak_of("import numpy, mechopt.known.burdens.solve")
    after = peak_of(build + "p = mo.solve(i, objective='expenditure')")
    print(
        f"| peak memory, instance and solve | {big:,} | | {after - before:.0f} MB beyond imports |"
    )

    with tempfile.TemporaryDirectory() as folder:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from mechopt.files import csv_tables

        columns = {"id": np.arange(big).astype(str)}
        columns |= {name: getattr(large, name) for name in ("cost", "value", "capacity")}
        pq.write_table(pa.table(columns), Path(folder) / "users.parquet")
        with (Path(folder) / "users.csv").open("w") as stream:
            csv_tables.write(stream, columns)
        for kind in ("parquet", "csv"):
            words = ["solve", f"users.{kind}", "--threshold", repr(float(large.thresholds[0]))]
            words += ["--out", f"plan.{kind}"]
            code = "import os; from mechopt import cli; "
            code += f"os.chdir({folder!r}); cli.main({words!r})"
            seconds, peak = timed(lambda code=code: peak_of(code), 3)
            size = (Path(folder) / f"users.{kind}").stat().st_size / 1e6
            print(
                f"| `mechopt {' '.join(words[:2])} --out plan.{kind}` | {big:,} | {seconds:.2f} | "
                f"{size:.0f} MB file, {peak:.0f} MB of memory |"
            )


if __name__ == "__main__":
    main()
