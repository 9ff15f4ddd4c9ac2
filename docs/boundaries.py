"""The figure of docs/sequential.md: the boundaries of F13 in a designed plan of 300 users.

python docs/boundaries.py docs/boundaries.svg
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np

import mechopt as mo

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "mechopt"
import matplotlib.pyplot as plt  # noqa: E402  (after the backend)


def boundaries(instance: mo.Instance, plan: mo.Plan) -> tuple[np.ndarray, np.ndarray]:
    """(data counted from the last mover (m + 1,), boundaries (m + 1, K)) of the fluid picture.

    Boundary k falls by x_j if q_j is at most the jump of its block; boundaries that meet merge.
    """
    order = np.array(plan.order)[::-1]
    order = order[plan.burden[order] > 0]
    cost = instance.cost_of(plan.burden)
    q = (instance.reversibility * cost - plan.payment) / instance.value
    steps = np.diff(np.append(0.0, instance.shares))
    at = instance.thresholds.copy()
    block = np.arange(at.size)  # boundaries with the same number have merged
    found = [at.copy()]
    for user in order.tolist():
        jump = np.bincount(block, weights=steps, minlength=at.size)[block]
        at = np.where(q[user] <= jump + 1e-9, at - plan.burden[user], at)
        for level in range(at.size - 1, 0, -1):
            if at[level] <= at[level - 1] and block[level] != block[level - 1]:
                block[block == block[level - 1]] = block[level]
                at = np.where(block == block[level], at[level], at)
        found.append(at.copy())
    return np.append(0.0, np.cumsum(plan.burden[order])), np.array(found)


def main() -> None:
    instance = mo.generate("lognormal", 300, tightness=1.05, levels=3, shape=2, seed=0)
    plan = mo.solve(
        instance,
        "burdens",
        objective="expenditure",
        protocol="sequential",
        order="designed",
        time_limit=20,
    )
    data, lines = boundaries(instance, plan)
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot(data, instance.thresholds[-1] - data, color="black", lw=1, ls=":", label="all stay")
    for level in range(instance.levels, 0, -1):
        axes.plot(data, lines[:, level - 1], lw=1.6, label=f"level {level} is still reached from")
    axes.set_xlabel("data of the movers counted from the last")
    axes.set_ylabel("data left by those before")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()
