"""The table of worked example 3 (docs: model):
python benchmarks/direct/worked_example_3.py

Two users, costs 1 or 2 with probability 1/2 each, v = 1, T = 5/4, no transfers.
"""

from __future__ import annotations

import mechopt as mo

NO_RIGHTS = {"participation": "interim", "withdrawal_rights": False}
ROWS = [
    ("complete information", "complete-information", 1, {}, 0.75),
    ("DSIC, ex-post", "direct", 1, {}, 0.625),
    ("DSIC, ex-post, deterministic", "direct", 1, {"randomized": False}, 0.5),
    ("BIC, ex-post", "direct", 1, {"incentive": "bic"}, 0.75),
    ("BIC, interim, no rights", "direct", 1, {"incentive": "bic", **NO_RIGHTS}, 0.8),
    ("BIC, interim, rights, rho = 1", "direct", 1, {"incentive": "bic"}, 0.75),
    ("BIC, interim, rights, rho = 1/2", "direct", 0.5, {"incentive": "bic"}, 0.8),
]


def main() -> None:
    print(f"{'terms':34}{'success':>9}{'expected':>10}  audit")
    for name, mechanism, rho, options, expected in ROWS:
        population = mo.Population([mo.Group(2, [1, 2], [0.5, 0.5], 1, 10, rho)], ["5/4"])
        if "interim, rights" in name:
            options = {**options, "participation": "interim"}
        answer = mo.solve(
            population, mechanism, objective="improvement", transfers=False, **options
        )
        verdict = "passed" if mo.audit(population, answer).ok else "FAILED"
        print(f"{name:34}{answer.improvement:9.6f}{expected:10.4g}  {verdict}")


if __name__ == "__main__":
    main()
