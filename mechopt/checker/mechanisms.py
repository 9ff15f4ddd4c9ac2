"""Private costs: the design problem D1–D6 as linear rows, and weak duality as the proof."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import factorial, prod
from typing import Any

from .data import ONE, ZERO, Aim, Levels, User, flag, number, numbers, require, total
from .laws import around, at, by_state, compositions, joint, mixed

MOST_ROWS = 20_000  # more are not certified
State = tuple[int, ...]  # how many users report each type; types are numbered group after group
Terms = dict[Any, Fraction]  # a linear expression: variable -> coefficient
Row = tuple[str, Terms, bool, Fraction]  # name, expression ≥ right side (True: =), right side


def plus(*parts: tuple[Fraction | int, Terms]) -> Terms:
    """Σ factor · expression."""
    added: Terms = {}
    for factor, terms in parts:
        for variable, coefficient in terms.items():
            added[variable] = added.get(variable, ZERO) + factor * coefficient
    return added


def named(variable: Any) -> str:
    """A variable as certificates spell it: "y 1 (2, 0) 0 0"."""
    return " ".join(map(str, variable))


class MechanismProblem:
    """Variables: ("p", k, ω) run probability of level k; ("y", k, ω, j, s) burden of a user of
    type j on segment s of his curve and ("t", k, ω, j) payment, both times p; all ≥ 0; and
    ("a", k, ω, j) access times p, where a user of type j can be excluded; and
    ("m", k, ω, true, told), free: what a user of type `true` who reports `told` gets at best,
    staying or leaving (D6). In state ω the reported types have the counts ω.
    """

    def __init__(self, problem: dict[str, Any], terms: dict[str, Any]) -> None:
        self.levels = levels = Levels(problem)
        self.ks = range(1, levels.K + 1)
        limit = problem["expected_budget"]
        self.expected_budget = None if limit is None else number(limit)
        self.incentive, self.participation = terms["incentive"], terms["participation"]
        self.rights, self.loss = terms["withdrawal_rights"], terms["levels"]
        self.transfers, self.randomized = flag(terms["transfers"]), flag(terms["randomized"])
        self.payment_factor = number(terms["payment_factor"])
        require(self.incentive in ("dsic", "bic", "none"), "incentive?")
        require(self.participation in ("ex-post", "interim"), "participation?")
        if self.rights != "truthful":
            flag(self.rights)
        require(self.loss in ("safe", "exact"), "levels?")
        self.user: list[User] = []  # by type, as are group, size and chance
        self.group: list[int] = []
        self.size: list[int] = []
        self.chance: list[Fraction] = []
        for g, data in enumerate(problem["groups"]):
            costs, law = data["costs"], numbers(data["probabilities"])
            require(len(costs) == len(law) > 0 and all(f > 0 for f in law), "a group's types")
            require(total(law) == 1, "probabilities do not sum to 1")
            require(type(data["size"]) is int and 0 < data["size"] <= 100_000, "a group's size")
            self.user += [User(data, cost) for cost in costs]
            self.group += [g] * len(law)
            self.size += [data["size"]] * len(law)
            self.chance += law
        self.types = range(len(self.user))
        self.barred = [u.eta > 0 and u.value > 0 for u in self.user]
        worth = (u.value * n * f for u, n, f, barred
                 in zip(self.user, self.size, self.chance, self.barred) if not barred)  # fmt: skip
        self.aim = Aim(levels, total(worth), terms)
        self.target = number(terms["target"]) if self.aim.minimised else None
        sizes = [data["size"] for data in problem["groups"]]
        self.within_reach(sizes)
        parts = [compositions(size, self.group.count(g)) for g, size in enumerate(sizes)]
        self.states: list[State] = [sum(state, ()) for state in product(*parts)]
        self.sizes = sizes
        self.law = {w: self.probability(w, self.chance) for w in self.states}
        if problem.get("law") is not None:
            self.law = joint(problem["law"], self.states, self.probability)
        self.ball = around(self, problem, terms) if terms.get("robust") is not None else None
        self.held: dict[str, Fraction] = {}  # right sides of rows that are expectations
        if self.target is not None:
            self.held["target"] = self.target
        if self.transfers and self.expected_budget is not None:
            self.held["D2 expected budget"] = -self.expected_budget
        self.rows = self.constraints("safe")
        self.loosest = self.rows if self.loss == "safe" else self.constraints("loosest")

    def within_reach(self, sizes: list[int]) -> None:
        """Refused before anything is written down: what a few bytes can ask for without end."""
        types = [self.group.count(g) for g in range(len(sizes))]
        states, digits = 1, 0
        for g, (size, m) in enumerate(zip(sizes, types)):
            for more in range(1, m):
                states = states * (size + more) // more
                require(states <= MOST_ROWS, "more states than can be checked one by one")
            law = [self.chance[j] for j in self.types if self.group[j] == g]
            digits += size * max(f.numerator.bit_length() + f.denominator.bit_length() for f in law)
        require(states * digits <= 20_000 * MOST_ROWS, "probabilities with too many digits")
        rows, segments = states, max(len(user.slopes) for user in self.user)
        for size, m in zip(sizes, types):
            cells = states * m * size // (size + m - 1)  # states with a user of the type
            rows += len(self.ks) * cells * (3 * (m - 1) + 3 + segments)
        require(rows <= 2 * MOST_ROWS, "more rows than can be checked one by one")

    def probability(self, state: State, chance: list[Fraction]) -> Fraction:
        """Multinomial, group by group, for users who draw independently."""
        require(len(chance) == len(state), "a law for every type")
        ways = prod(map(factorial, self.sizes)) // prod(map(factorial, state))
        return ways * prod((f**c for f, c in zip(chance, state)), start=ONE)

    def facing(self, w: State, j: int) -> Fraction:
        """Probability of state ω for a user who knows that his own type is j."""
        return self.law[w] * w[j] / (self.size[j] * self.chance[j])

    def cells(self) -> list[tuple[State, int]]:
        """Every state with every type somebody has in it."""
        return [(w, j) for w in self.states for j in self.types if w[j] > 0]

    # -- what a user of type `true` gets who reports `told`, at level k in state ω, times p -----

    def effort(self, k: int, w: State, told: int) -> Terms:
        """p g(x/p), the burden weighted by the slopes of the cost curve."""
        return {("y", k, w, told, s): slope for s, slope in enumerate(self.user[told].slopes)}

    def access(self, k: int, w: State, j: int) -> Any:
        return ("a", k, w, j) if self.barred[j] else ("p", k, w)

    def stay(self, k: int, w: State, true: int, told: int) -> Terms:
        """v b_k a + t − θ g, with a = p for who cannot be excluded."""
        user = self.user[true]
        paid = {("t", k, w, told): ONE} if self.transfers else {}
        enjoyed = {self.access(k, w, told): user.value * self.levels.b[k]}
        return plus((1, enjoyed), (1, paid), (-user.theta, self.effort(k, w, told)))

    def leave(self, k: int, w: State, true: int, told: int, loss: str) -> Terms:
        """(1 − η) v b_m p − (1 − ρ) θ g, m the level left after withdrawing: at most k − 1 ("safe":
        what satisfies this row satisfies the exact one), at least 0 ("loosest": the converse)."""
        user, b = self.user[true], self.levels.b
        left = b[k] if user.delta == 0 else b[k - 1] if loss == "safe" else b[0]
        sunk = (1 - user.rho) * user.theta
        kept = (1 - user.eta) * user.value * left
        return plus((1, {("p", k, w): kept}), (-sunk, self.effort(k, w, told)))

    # -- every constraint, named ----------------------------------------------------------------

    def constraints(self, loss: str) -> list[Row]:
        rows: list[Row] = []

        def add(name: str, terms: Terms, right: Fraction = ZERO, *, equal: bool = False) -> None:
            rows.append((name, {v: a for v, a in terms.items() if a}, equal, right))

        budget = self.levels.budget if self.transfers else None
        for w in self.states:
            present = [j for j in self.types if w[j]]
            for k in self.ks:
                run = {("p", k, w): ONE}
                given = {("y", k, w, j, s): Fraction(w[j])
                         for j in present for s in range(len(self.user[j].slopes))}  # fmt: skip
                add(f"D1 {k} {w}", plus((1, given), (-self.levels.T[k - 1], run)), equal=True)
                if budget is not None:
                    paid = {("t", k, w, j): Fraction(w[j]) for j in present}
                    add(f"D2 budget {k} {w}", plus((budget, run), (-1, paid)))
            add(f"D2 lottery {w}", {("p", k, w): -ONE for k in self.ks}, -ONE)
        for k, (w, j) in product(self.ks, self.cells()):
            for s, (width, _) in enumerate(self.user[j].curve.pieces):
                add(f"D2 width {k} {w} {j} {s}", {("p", k, w): width, ("y", k, w, j, s): -ONE})
            if self.transfers and budget is None:
                most = {("p", k, w): self.most_paid(k, j), ("t", k, w, j): -ONE}
                add(f"D2 null {k} {w} {j}", most)
            if self.barred[j]:
                reach, ran, eta = self.access(k, w, j), ("p", k, w), self.user[j].eta
                add(f"F14 most {k} {w} {j}", {ran: ONE, reach: -ONE})
                add(f"F14 least {k} {w} {j}", {reach: ONE, ran: eta - 1})
            stay = self.stay(k, w, j, j)
            if self.participation == "ex-post":
                add(f"D4 {k} {w} {j}", stay)
            if self.rights is not False:
                add(f"D5 {k} {w} {j}", plus((1, stay), (-1, self.leave(k, w, j, j, loss))))
        for j in self.types if self.participation == "interim" else ():
            mine = product(self.ks, (w for w in self.states if w[j]))
            add(f"D4 {j}", plus(*((self.facing(w, j), self.stay(k, w, j, j)) for k, w in mine)))
        for of, right in self.held.items() if self.ball is None else ():
            add(of, self.expected(of), right)
        if self.incentive != "none":
            for true, told in product(self.types, self.types):
                if true != told and self.group[true] == self.group[told]:
                    self.incentives(true, told, loss, add)
        return rows

    def most_paid(self, k: int, j: int) -> Fraction:
        """t̄: a stated multiple of the value and of the dearest cost in the group, so that t ≤ t̄ p
        keeps null outcomes free of payments."""
        curves = (self.user[i].curve for i in self.types if self.group[i] == self.group[j])
        dearest = max(curve.cost(min(curve.capacity, self.levels.T[k - 1])) for curve in curves)
        return self.payment_factor * (self.user[j].value + dearest)

    def incentives(self, true: int, told: int, loss: str, add: Any) -> None:
        """(D3) and (D6): truth is at least as good as `told`, with or without leaving after it."""
        name, expected = f"{true} {told}", []
        for w in self.states:
            if w[true] == 0:
                continue
            moved = tuple(c - (j == true) + (j == told) for j, c in enumerate(w))
            truth = plus(*((1, self.stay(k, w, true, true)) for k in self.ks))
            stays = [self.stay(k, moved, true, told) for k in self.ks]
            leaves = [self.leave(k, moved, true, told, loss) for k in self.ks]
            lies = [plus(*((1, one) for one in stays))]
            if self.rights is True and (self.incentive == "bic" or self.levels.K > 1):
                best = [{("m", k, moved, true, told): ONE} for k in self.ks]
                for k, one, stay, leave in zip(self.ks, best, stays, leaves):
                    add(f"D6 stay {k} {moved} {name}", plus((1, one), (-1, stay)))
                    add(f"D6 leave {k} {moved} {name}", plus((1, one), (-1, leave)))
                lies = [plus(*((1, one) for one in best))]
            elif self.rights is True:
                lies.append(leaves[0])
            gains = [plus((1, truth), (-1, lie)) for lie in lies]
            expected.append((self.facing(w, true), gains[0]))
            if self.incentive == "dsic":
                for tag, gain in zip(("D3", "D6"), gains):
                    add(f"{tag} {w} {name}", gain)
        if self.incentive == "bic":
            add(f"D3 {name}", plus(*expected))

    def improvement(self, law: Any = None) -> Terms:
        """E[B(X)]."""
        law = law or self.law
        return {("p", k, w): law[w] * self.levels.b[k] for k in self.ks for w in self.states}

    def maximised(self, law: Any = None) -> Terms:
        """The objective; costs with a minus sign."""
        if self.aim.objective == "improvement":
            return self.improvement(law)
        minus, law = [], law or self.law
        for k, (w, j) in product(self.ks, self.cells()):
            weight = -law[w] * w[j]
            if self.aim.objective == "welfare" and self.barred[j]:
                enjoyed = self.user[j].value * self.levels.b[k]
                minus.append((-weight, {self.access(k, w, j): enjoyed}))
            if self.aim.counts_cost:
                minus.append((weight * self.user[j].theta, self.effort(k, w, j)))
            elif self.transfers:
                minus.append((weight, {("t", k, w, j): ONE}))
        gain = ZERO if self.aim.minimised else self.aim.gain
        return plus((gain, self.improvement(law)), *minus)

    def expected(self, of: str, law: Any = None) -> Terms:
        """The objective, or the left side of a row in `held`, under a law of the states."""
        if of == "objective":
            return self.maximised(law)
        if of == "target":
            return self.improvement(law)
        cells, law = product(self.ks, self.cells()), law or self.law
        return {("t", k, w, j): -law[w] * w[j] for k, (w, j) in cells}

    # -- the answer and the bound ---------------------------------------------------------------

    def value(self, answer: dict[str, Any]) -> Fraction:
        """The objective of an answer (variable -> number, 0 if left out) that holds every row."""
        known = {named(v): v for _, terms, _, _ in self.rows for v in terms}
        claimed = None
        if self.ball is not None:
            answer, claimed = dict(answer), number(answer["guarantee"])
            del answer["guarantee"]
        require(answer.keys() <= known.keys(), "a variable that is none")
        z = {v: number(answer.get(name, 0)) for name, v in known.items()}
        for v, amount in z.items():
            require(v[0] == "m" or amount >= 0, f"(D2) {named(v)} is negative")
            require(v[0] != "p" or self.randomized or amount in (0, 1), "a lottery, though none is")
        for k, (w, j) in product(self.ks, self.cells()):
            left = False  # a dearer segment is used only when the cheaper ones are full
            for s, (width, _) in enumerate(self.user[j].curve.pieces):
                used = z["y", k, w, j, s]
                require(not (left and used), "a dear segment is used before a cheap one")
                left = left or used < width * z["p", k, w]
        for name, terms, equal, right in self.rows:
            slack = at(terms, z) - right
            require(slack == 0 if equal else slack >= 0, f"({name}) does not hold")
        if self.ball is not None and claimed is not None:
            for of, least in self.held.items():
                self.ball.guaranteed(by_state(self, z, of), least)
            self.ball.guaranteed(by_state(self, z), -claimed if self.aim.minimised else claimed)
            return claimed
        reached = at(self.maximised(), z)
        return -reached if self.aim.minimised else reached

    def is_null(self, answer: dict[str, Any]) -> bool:
        """A mechanism is an answer, even one that never runs."""
        return False

    def also(self, answer: dict[str, Any] | None, proof: dict[str, Any]) -> dict[str, Any]:
        return {} if self.ball is None else {"guaranteed": len(self.ball.boxes)}

    def bound(self, proof: dict[str, Any]) -> Fraction | None:
        """What no mechanism can beat; None: there is none."""
        limit = self.limit(proof, {})
        return -limit if self.aim.minimised and limit is not None else limit

    def limit(self, node: dict[str, Any], fixed: Terms) -> Fraction | None:
        """Upper bound on what is maximised over all mechanisms; None: there are none.

        Multipliers π (≥ 0 on inequalities) add the rows up to: objective ≤ −Σ π · right side, if
        no variable keeps a coefficient that could make it larger. A node may also split by
        whether a level is run in a state (deterministic mechanisms).
        """
        if "state" in node:
            require(not self.randomized, "a split although lotteries are allowed")
            p = ("p", node["level"], self.states[node["state"]])
            require(node["level"] in self.ks and p not in fixed, "a split that is none")
            sides = (("zero", ZERO), ("one", ONE))
            parts = [self.limit(node[side], {**fixed, p: value}) for side, value in sides]
            return max((part for part in parts if part is not None), default=None)
        require(node["shows"] in ("bound", "unreachable"), "a node shows a bound or unreachability")
        bound, rows = ZERO, {row[0]: row for row in self.loosest}
        left = dict(self.maximised()) if node["shows"] == "bound" else {}
        if self.ball is not None:
            left, right = mixed(self, node)
            bound -= right
        for name, text in node["multipliers"].items():
            _, terms, equal, right = rows[name]
            weight = number(text)
            require(equal or weight >= 0, f"a negative multiplier of {name}")
            bound -= weight * right
            for variable, coefficient in terms.items():
                left[variable] = left.get(variable, ZERO) + weight * coefficient
        for variable, rest in left.items():
            if variable in fixed:
                bound += rest * fixed[variable]
            else:
                settled = rest == 0 or (rest < 0 and variable[0] != "m")
                require(settled, f"{named(variable)} is not accounted for by the multipliers")
        require(node["shows"] == "bound" or bound < 0, "the multipliers do not exclude an answer")
        return bound if node["shows"] == "bound" else None
