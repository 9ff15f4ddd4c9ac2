"""Oracle for plans in practice (docs: practice): every plan of a finite set, in fractions.

Shares no code with mechopt. With whole units there are finitely many burdens per user; payments are
the least that (A3) and (W1) allow, rounded up to steps.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import ceil


class Problem:
    """The data of one instance as plain fractions; see `best`."""

    def __init__(self, data):
        self.d = data
        self.n = len(data["cost"])
        self.T, self.b = data["thresholds"], [Fraction(0), *data["shares"]]

    def cost(self, i, x):
        money, left = Fraction(0), x
        for width, slope in zip(self.d["widths"][i], self.d["slopes"][i]):
            step = min(width, left)
            money += self.d["cost"][i] * slope * step
            left -= step
        return money

    def allowed(self, i):
        fixed = self.d["fixed"][i]
        if fixed is not None:
            return [fixed]
        unit, least = self.d["unit"][i], self.d["least"][i]
        most = sum(self.d["widths"][i])
        found, x = [] if self.d["required"][i] else [Fraction(0)], unit
        while x <= most:
            if x >= least:
                found.append(x)
            x += unit
        return found

    def level(self, total):
        return sum(total >= t for t in self.T)

    def payments(self, x, level, rights):
        """Least payments in steps; rights: "withdrawal", "participation", "cost"."""
        total, paid = sum(x), []
        for i, give in enumerate(x):
            cost, v = self.cost(i, give), self.d["value"][i]
            need = max(Fraction(0), cost - v * self.b[level])
            if rights == "withdrawal" and give > 0:
                after = self.level(total - self.d["removable"][i] * give)
                kept = v * (self.b[level] - self.b[after])
                need = max(need, self.d["reversibility"][i] * cost - kept)
            if rights == "cost":
                need = cost
            step = self.d["step"]
            paid.append(ceil(need / step) * step if step else need)
        return paid

    def groups_hold(self, x):
        costs = [self.cost(i, give) for i, give in enumerate(x)]
        for label, (kind, low, high) in self.d["groups"].items():
            mine = [i for i in range(self.n) if self.d["group"][i] == label]
            amount = sum(x[i] for i in mine)
            if kind == "share":
                amount, low, high = (
                    sum(costs[i] for i in mine),
                    *(None if side is None else side * sum(costs) for side in (low, high)),
                )
            if (low is not None and amount < low) or (high is not None and amount > high):
                return False
        return True

    def plans(self, *, rights="withdrawal", reserve=0, transfers=True):
        """(level, spent with contacts, social cost, contacts) of every plan that holds."""
        for x in product(*map(self.allowed, range(self.n))):
            level = self.level(sum(x))
            if level == 0 or sum(x) < self.T[level - 1] + reserve or not self.groups_hold(x):
                continue
            paid = self.payments(x, level, rights)
            if not transfers and any(paid):
                continue
            contact = sum(k for k, give in zip(self.d["contact"], x) if give > 0)
            spent = sum(paid) + contact
            if self.d["budget"] is not None and spent > self.d["budget"]:
                continue
            yield level, spent, sum(self.cost(i, g) for i, g in enumerate(x)), contact

    def best(self, objective, lowest, **options):
        """The best value of an objective; None if no plan reaches what is asked for."""
        minimised = objective in ("expenditure", "social-cost")
        values = [] if minimised else [Fraction(0)]
        for outcome in self.plans(**options):
            values += self.worth(objective, lowest, *outcome)
        return min(values, default=None) if minimised else max(values)

    def worth(self, objective, lowest, level, spent, cost, contact):
        """[the objective of an outcome]; [] if it misses the level that must be reached."""
        V, everyone, share = self.d["provider_value"], sum(self.d["value"]), self.b[level]
        if objective in ("expenditure", "social-cost") and level < lowest:
            return []
        return [
            {
                "provider-surplus": V * share - spent,
                "welfare": (V + everyone) * share - cost - contact,
                "expenditure": spent,
                "social-cost": cost,
                "improvement": share,
            }[objective]
        ]
