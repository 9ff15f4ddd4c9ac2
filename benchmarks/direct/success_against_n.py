"""Success probability against n, T = 2n (known answer GT07):
python benchmarks/direct/success_against_n.py [n ...]

Costs 1/4 (probability 3/5) or 1, v = 1, no transfers: provision dies out under incentive
constraints (Mailath and Postlewaite 1990) while the first best tends to 1.
"""

from __future__ import annotations

import sys

import mechopt as mo

KNOWN = {2: 27 / 35, 3: 18 / 25, 10: 0.4514807808, 40: 0.0979765279625677}


def main() -> None:
    sizes = [int(n) for n in sys.argv[1:]] or [2, 3, 5, 10, 20, 40, 80]
    print(f"{'n':>4}{'DSIC':>12}{'BIC':>12}{'BIC known':>12}{'complete':>12}")
    for n in sizes:
        population = mo.Population([mo.Group(n, ["1/4", 1], ["3/5", "2/5"], 1, 2 * n)], [2 * n])
        options = {"objective": "improvement", "transfers": False}
        dsic = mo.solve(population, "direct", **options)
        bic = mo.solve(
            population, "direct", incentive="bic", withdrawal_rights="truthful", **options
        )
        first = mo.solve(population, "complete-information", **options)
        known = f"{KNOWN[n]:12.7f}" if n in KNOWN else f"{'':12}"
        print(
            f"{n:4}{dsic.improvement:12.7f}{bic.improvement:12.7f}{known}{first.improvement:12.7f}"
        )


if __name__ == "__main__":
    main()
