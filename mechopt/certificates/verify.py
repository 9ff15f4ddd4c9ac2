"""A checker for mechopt's certificates: one file, Python's standard library, exact fractions.

    python verify.py CERTIFICATE.json

It trusts nothing but the problem's data inside the certificate. From these it writes down every
constraint anew, puts the answer in (it must satisfy all of them), and uses the prices (dual
multipliers) to bound what *any* answer could reach. If answer and bound meet, the answer is
optimal, whoever found it and however. There is no rounding: numbers are integers or "p/q".

Symbols and tags are those of FORMULATION: A1–A6 for known costs, D1–D6 for private costs, W1 and
F3 for the withdrawal stage.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from fractions import Fraction
from itertools import pairwise, product
from math import factorial, prod
from typing import Any

Row = tuple[str, dict[Any, Fraction], bool, Fraction]  # name, coefficients, is equality, right side
ZERO, ONE = Fraction(0), Fraction(1)
_NUMBER = re.compile(r"-?\d+(/0*[1-9]\d*)?", re.ASCII)
_DIGITS = 1_000_000  # longest number accepted; Python's own limit of 4,300 is too low here


class Refuted(Exception):
    """The certificate does not prove what it claims; the message says why."""


def require(holds: bool, why: str) -> None:
    if not holds:
        raise Refuted(why)


def number(text: Any) -> Fraction:
    """An integer or a string "p/q"; nothing else is a number here."""
    if isinstance(text, (int, Fraction)) and not isinstance(text, bool):
        return Fraction(text)
    require(isinstance(text, str) and bool(_NUMBER.fullmatch(text)), f"{text!r:.60} is no fraction")
    return Fraction(text)


def numbers(texts: Any) -> list[Fraction]:
    require(isinstance(texts, list), "expected a list of fractions")
    return [number(text) for text in texts]


def seal_of(document: dict[str, Any]) -> str:
    """SHA-256 of everything but the seal: shows accidents; a forger can recompute it."""
    rest = {key: value for key, value in document.items() if key != "seal"}
    return hashlib.sha256(
        json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def verify(document: dict[str, Any]) -> list[str]:
    """The facts the certificate proves, in words. Raises Refuted if it proves less than it says."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(_DIGITS)
    try:
        require(document["kind"] == "certificate", "this is no certificate")
        require(document["schema_version"] == 1, "an unknown version of the format")
        require(document["seal"] == seal_of(document), "the seal is broken: the file was changed")
        kind = document["problem"]["kind"]
        require(kind in ("instance", "population"), "an unknown kind of problem")
        return verify_plan(document) if kind == "instance" else verify_mechanism(document)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Refuted(f"malformed: {type(error).__name__}: {error}") from None
    except RecursionError:
        raise Refuted("malformed: nested too deeply") from None
    finally:
        sys.set_int_max_str_digits(limit)


# -- what both kinds of problem share -------------------------------------------------------------


class Curve:
    """C(x) = θ g(x), g given by segments; data → money."""

    def __init__(self, cost: Fraction, widths: list[Fraction], slopes: list[Fraction]) -> None:
        require(cost > 0 and len(widths) == len(slopes) > 0, "a cost curve without cost or segment")
        require(min(widths) >= 0 and slopes[0] > 0, "a segment of negative width or slope")
        require(slopes == sorted(slopes), "slopes decrease")
        self.pieces = [(width, cost * slope) for width, slope in zip(widths, slopes)]
        self.capacity = sum(widths, ZERO)

    def cost(self, x: Fraction) -> Fraction:
        spent = ZERO
        for width, rate in self.pieces:
            spent, x = spent + rate * min(x, width), x - min(x, width)
        return spent

    def inverse(self, money: Fraction) -> Fraction:
        """The largest x with C(x) ≤ money."""
        x = ZERO
        for width, rate in self.pieces:
            step = min(width, money / rate)
            x, money = x + step, money - rate * step
        return x


class Levels:
    """Thresholds T_k, shares b_k (b_0 = 0), the provider's value V and budget (None: no limit)."""

    def __init__(self, problem: dict[str, Any]) -> None:
        self.T = numbers(problem["thresholds"])
        self.b = [ZERO, *numbers(problem["shares"])]
        require(len(self.b) == len(self.T) + 1 > 1, "as many shares as thresholds are needed")
        require(self.T[0] > 0 and self.b[-1] <= 1, "a threshold or share out of range")
        require(all(a < c for a, c in zip(self.T, self.T[1:])), "thresholds must increase")
        require(all(a < c for a, c in zip(self.b, self.b[1:])), "shares must increase")
        self.V = number(problem["provider_value"])
        budget = problem["budget"]
        self.budget = None if budget is None else number(budget)
        require(self.V >= 0 and (self.budget is None or self.budget >= 0), "a negative value")

    def level(self, total: Fraction) -> int:
        """Number of thresholds reached."""
        return sum(total >= threshold for threshold in self.T)


# -- known costs: a plan --------------------------------------------------------------------------


class User:
    """θ and segments, v, ρ, δ."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.curve = Curve(number(data["cost"]), numbers(data["widths"]), numbers(data["slopes"]))
        self.value = number(data["value"])
        self.rho, self.delta = number(data["reversibility"]), number(data["removable"])
        require(self.value >= 0 and 0 <= self.rho <= 1 and 0 <= self.delta <= 1, "a user's data")


Offer = tuple[Fraction, Fraction, Fraction]  # burden x, cost C(x), payment needed


class Provider:
    """The provider's problem A1–A6 with known costs."""

    MINIMISED = ("expenditure", "social-cost")

    def __init__(self, problem: dict[str, Any], terms: dict[str, Any]) -> None:
        self.levels = levels = Levels(problem)
        self.users = [User(data) for data in problem["users"]]
        self.mechanism, self.objective = terms["mechanism"], terms["objective"]
        self.protocol, self.order = terms["protocol"], terms["order"]
        self.transfers, self.reserve = terms["transfers"], number(terms["reserve"])
        require(self.mechanism in ("burdens", "subsidy", "complete-information"), "mechanism?")
        objectives = ("provider-surplus", "welfare", "improvement", *self.MINIMISED)
        require(self.objective in objectives, "objective?")
        require(self.protocol in ("simultaneous", "sequential", "none"), "protocol?")
        require(self.transfers in (True, False), "transfers?")
        require(self.reserve >= 0, "a negative reserve")
        require(self.reserve == 0 or len(levels.T) == 1, "a reserve goes with one threshold only")
        self.exactly = self.protocol == "simultaneous"  # X = T_k + R without loss, see offers()
        self.counts_cost = self.objective in ("social-cost", "welfare")
        # the lowest level that counts as an answer
        self.lowest = 1
        if self.objective in self.MINIMISED:
            target = levels.b[-1] if terms["target"] is None else number(terms["target"])
            self.lowest = sum(share < target for share in levels.b)

    def amount(self, level: int) -> Fraction:
        return self.levels.T[level - 1] + self.reserve

    def offers(self, user: User, level: int, low: Fraction, high: Fraction) -> list[Offer]:
        """Corners of (burden, cost, payment needed) over low ≤ x ≤ high if `level` is reached.

        Between neighbouring corners cost and need are linear; where the need jumps, both limits
        are listed. So the least of cost, payment and −x, in any mix, is found at a corner.
        The need holds in every answer that reaches the level: participation (A3), and what the
        withdrawal right adds. Simultaneous: X = T_k + R without loss (F8: lowering burdens
        lowers costs and what remains if somebody leaves), so W1 says ρ C − t ≤ v (b_k − b_m), m
        the level of X − δ x. Sequential: whoever leaves nothing behind by leaving (δ = 0) must
        be paid ρ C; for others nothing is asked, so this is a bound only.
        """
        b, curve = self.levels.b, user.curve
        gain = user.value * b[level]
        cuts = {low, high, curve.inverse(gain)}
        edge = ZERO
        for width, _ in curve.pieces:
            edge += width
            cuts.add(edge)
        rights = {"simultaneous": range(level + 1), "sequential": range(level, level + 1)}
        for m in rights.get(self.protocol, ()):  # where W1 takes over, or jumps
            loss = user.value * (b[level] - b[m])
            if user.rho > 0:
                cuts.add(curve.inverse(loss / user.rho))
            if user.rho < 1:
                cuts.add(curve.inverse((gain - loss) / (1 - user.rho)))
            if user.delta > 0 and m > 0:
                cuts.add((self.amount(level) - self.levels.T[m - 1]) / user.delta)

        def offer(x: Fraction, inside: Fraction) -> Offer:
            cost = curve.cost(x)
            if self.mechanism == "subsidy":
                return x, cost, cost
            need = max(ZERO, cost - gain)
            if self.protocol == "simultaneous":
                m = min(level, self.levels.level(self.amount(level) - user.delta * inside))
                need = max(need, user.rho * cost - user.value * (b[level] - b[m]))
            elif self.protocol == "sequential" and user.delta == 0:
                need = max(need, user.rho * cost)
            return x, cost, need

        corners = sorted(x for x in cuts if low <= x <= high)
        found = [offer(corners[0], corners[0])]
        for x, y in pairwise(corners):
            found += [offer(x, (x + y) / 2), offer(y, (x + y) / 2)]
        return [one for one in found if self.transfers or one[2] == 0]

    def least(self, level: int, node: dict[str, Any], boxes: dict[int, Any]) -> Fraction | None:
        """Lower bound on payments (or cost) over all answers at `level`; None: there are none.

        For any prices λ, μ ≥ 0 of data and of budget (λ of any sign where X = T_k + R),
            λ (T_k + R) − μ β + Σ_i min over x of [what is minimised + μ need − λ x]
        is at most what any answer costs. With nothing minimised, a positive sum shows that there
        is no answer at all. A node may also split the range of one user's burden in two.
        """
        if "cut" in node:
            user, cut = node["user"], number(node["cut"])
            require(isinstance(user, int) and 0 <= user < len(self.users), "split of whom?")
            low, high = boxes.get(user, (ZERO, self.users[user].curve.capacity))
            require(low <= cut <= high, "a split outside the range")
            parts = [
                self.least(level, node["below"], {**boxes, user: (low, cut)}),
                self.least(level, node["above"], {**boxes, user: (cut, high)}),
            ]
            return min((part for part in parts if part is not None), default=None)
        data_price, budget_price = number(node["data_price"]), number(node["budget_price"])
        require(self.exactly or data_price >= 0, "a negative price of data")
        require(budget_price >= 0, "a negative price of the budget")
        require(node["shows"] in ("bound", "unreachable"), "a node shows a bound or unreachability")
        minimise = node["shows"] == "bound"
        weight = ONE if minimise and self.counts_cost else ZERO
        pay_weight = budget_price + (ONE if minimise and not self.counts_cost else ZERO)
        total = data_price * self.amount(level)
        if self.levels.budget is not None:
            total -= budget_price * self.levels.budget
        else:
            require(budget_price == 0, "a budget price without a budget")
        for i, user in enumerate(self.users):
            low, high = boxes.get(i, (ZERO, user.curve.capacity))
            corners = self.offers(user, level, low, high)
            if not corners:
                return None  # nothing he may give goes without payment
            total += min(
                weight * cost + pay_weight * need - data_price * x for x, cost, need in corners
            )
        if minimise:
            return total
        require(total > 0, "the prices do not show that the level is out of reach")
        return None

    def worth(self, level: int, spent: Fraction) -> Fraction:
        """The objective at a level, given payments (or cost)."""
        if self.objective in self.MINIMISED:
            return spent
        if self.objective == "improvement":
            return self.levels.b[level]
        gain = self.levels.V
        if self.objective == "welfare":
            gain += sum((user.value for user in self.users), ZERO)
        return gain * self.levels.b[level] - spent

    def check(self, answer: dict[str, Any]) -> tuple[int, Fraction, dict[str, bool] | None]:
        """(level, what the objective counts, withdrawal verdicts) of an answer that holds A1–A6."""
        levels, level = self.levels, answer["level"]
        x, t = numbers(answer["burden"]), numbers(answer["payment"])
        require(len(x) == len(t) == len(self.users), "one burden and payment per user")
        require(min(*x, *t) >= 0, "(A2) a negative burden or payment")
        require(isinstance(level, int) and 0 <= level <= len(levels.T), "no such level")
        if level == 0:
            require(not any(x) and not any(t), "(A6) the null outcome asks or pays something")
            return 0, ZERO, None
        require(sum(x) >= self.amount(level), "(A1) the threshold is missed")
        require(levels.level(sum(x, ZERO)) == level, "the level is not the one reached")
        for i, (user, given, paid) in enumerate(zip(self.users, x, t)):
            require(given <= user.curve.capacity, f"(A2) user {i} gives more than he can")
            gain = ZERO if self.mechanism == "subsidy" else user.value * levels.b[level]
            require(gain + paid >= user.curve.cost(given), f"(A3) user {i} loses by taking part")
        spent = sum(t, ZERO)
        require(levels.budget is None or spent <= levels.budget, "(A4) the budget is exceeded")
        require(self.transfers or spent == 0, "there are payments although transfers are off")
        stays = {
            "simultaneous": all_stay(levels, self.users, x, t),
            "sequential": all_stay_in_turn(levels, self.users, x, t, self.order),
        }
        require(stays.get(self.protocol, True), f"(A5) somebody leaves, {self.protocol}")
        if self.counts_cost:
            spent = sum((u.curve.cost(given) for u, given in zip(self.users, x)), ZERO)
        return level, spent, stays


def burdens_at_risk(users: list[User], x: list[Fraction], t: list[Fraction]) -> list[Fraction]:
    """r_i = ρ_i C_i(x_i) − t_i."""
    return [user.rho * user.curve.cost(given) - paid for user, given, paid in zip(users, x, t)]


def all_stay(levels: Levels, users: list[User], x: list[Fraction], t: list[Fraction]) -> bool:
    """(W1) Nobody gains by leaving alone, by definition."""
    total = sum(x, ZERO)
    b, share = levels.b, levels.b[levels.level(total)]
    return share > 0 and all(
        user.value * (share - b[levels.level(total - user.delta * given)]) >= r
        for user, given, r in zip(users, x, burdens_at_risk(users, x, t))
        if given > 0
    )


def all_stay_in_turn(
    levels: Levels, users: list[User], x: list[Fraction], t: list[Fraction], order: Any
) -> bool:
    """Whether everyone stays in the subgame-perfect outcome (F3), an indifferent user staying.

    `after[i](s)`: the level finally reached if those before i leave s behind, a step function:
    the totals at which it changes, and the level from there on.
    """
    places = list(range(len(users)))
    if order == "small-first":
        places.sort(key=lambda i: x[i])
    elif order == "large-first":
        places.sort(key=lambda i: -x[i])
    else:
        require(sorted(order) == places, "the order is no permutation of the users")
        places = order
    places = [i for i in places if x[i] > 0]
    r, b = burdens_at_risk(users, x, t), levels.b

    def stays(i: int, high: int, low: int) -> bool:
        """Whether i prefers staying with level `high` to leaving with level `low`."""
        return users[i].value * b[high] - (r[i] if high else ZERO) >= users[i].value * b[low]

    steps = [(ZERO, 0), *((threshold, k + 1) for k, threshold in enumerate(levels.T))]
    after = [steps]
    for i in reversed(places):
        kept = (1 - users[i].delta) * x[i]
        starts = {max(ZERO, s - shift) for s, _ in steps for shift in (x[i], kept)}
        new: list[tuple[Fraction, int]] = []
        for start in sorted(starts):
            high, low = at(steps, start + x[i]), at(steps, start + kept)
            final = high if stays(i, high, low) else low
            if not new or new[-1][1] != final:
                new.append((start, final))
        steps = new
        after.append(steps)
    after.reverse()
    total = ZERO
    for step, i in enumerate(places):
        kept = (1 - users[i].delta) * x[i]
        if not stays(i, at(after[step + 1], total + x[i]), at(after[step + 1], total + kept)):
            return False
        total += x[i]
    return levels.level(total) > 0


def at(steps: list[tuple[Fraction, int]], total: Fraction) -> int:
    """Value of a step function."""
    low, high = 0, len(steps)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if steps[middle][0] <= total else (low, middle)
    return steps[low][1]


def verify_plan(document: dict[str, Any]) -> list[str]:
    """The facts about a plan; Refuted otherwise."""
    terms, claim, proof = document["terms"], document["claim"], document["proof"]
    provider = Provider(document["problem"], terms)
    levels, objective, status = provider.levels, provider.objective, claim["status"]
    top = len(levels.T)
    answer = document["answer"]
    level, spent, stays = (0, ZERO, None) if answer is None else provider.check(answer)
    require(claim["withdrawal"] == stays, "the withdrawal verdict is another")
    facts = [] if answer is None else ["the answer satisfies A1–A6 exactly"]
    if stays is not None:
        facts += [f"everyone stays, {name}: {verdict}" for name, verdict in stays.items()]
    first = level + 1 if objective == "improvement" else max(1, provider.lowest)
    reach = {k: provider.least(k, proof[str(k)], {}) for k in range(first, top + 1)}
    values = [provider.worth(k, least) for k, least in reach.items() if least is not None]
    reached = provider.worth(level, spent)
    if objective in provider.MINIMISED:
        possible = bool(values) or provider.lowest == 0
        limit = ZERO if provider.lowest == 0 else min(values, default=ZERO)
    else:
        possible = bool(values) or level > 0
        limit = max([*values, reached if objective == "improvement" else ZERO])
    if status == "infeasible":
        require(answer is None and terms["target"] is not None, "infeasible without a target?")
        require(objective in provider.MINIMISED and not possible, "an answer is not excluded")
        return ["no answer reaches the target"]
    if status == "unknown":
        require(answer is None and number(claim["bound"]) == limit, "the bound is another")
        return [f"{objective}: any answer has at least {limit}; whether there is one is open"]
    require(answer is not None, "no answer")
    require(number(claim["optimum"]) == reached, "the objective of the answer is another")
    if status == "null":
        require(level == 0 and limit == 0, "something better than nothing is not excluded")
        require(
            objective not in provider.MINIMISED or provider.lowest == 0 or not possible,
            "an answer is not excluded",
        )
        return [*facts, "no answer is better than the null outcome"]
    require(number(claim["bound"]) == limit, "the bound is another")
    minimised = objective in provider.MINIMISED
    require(not minimised or level >= provider.lowest, "the target is missed")
    better = "at least" if minimised else "at most"
    facts.append(f"{objective} {reached} is reached; any answer has {better} {limit}")
    if objective == "improvement" and claim["payments"] is not None:
        least = provider.least(level, proof[str(level)], {})
        require(least == spent == number(claim["payments"]), "the payments are not the least")
        facts.append(f"no answer with this improvement pays less than {spent}")
    require(status in ("optimal", "feasible"), "an unknown status")
    require(status == "feasible" or limit == reached, "answer and bound do not meet")
    return facts


# -- private costs: a direct mechanism ------------------------------------------------------------

State = tuple[int, ...]  # how many users report each type; types are numbered group after group
Terms = dict[Any, Fraction]  # a linear expression: variable -> coefficient


def plus(*parts: tuple[Fraction | int, Terms]) -> Terms:
    """Σ factor · expression."""
    total: Terms = {}
    for factor, terms in parts:
        for variable, coefficient in terms.items():
            total[variable] = total.get(variable, ZERO) + factor * coefficient
    return total


class Design:
    """The design problem D1–D6 as linear rows "Σ coefficients · variables ≥ (or =) right side".

    Variables: ("p", k, ω) run probability of level k; ("y", k, ω, j, s) burden of a user of type
    j on segment s and ("t", k, ω, j) payment, both times p; all ≥ 0. ("m", k, ω, true, told),
    free: what a user of type `true` who reports `told` gets at best, staying or leaving (D6).
    """

    MINIMISED = ("expenditure", "social-cost")

    def __init__(self, problem: dict[str, Any], terms: dict[str, Any]) -> None:
        self.levels = levels = Levels(problem)
        self.K = len(levels.T)
        limit = problem["expected_budget"]
        self.expected_budget = None if limit is None else number(limit)
        self.objective, self.incentive = terms["objective"], terms["incentive"]
        self.participation, self.rights = terms["participation"], terms["withdrawal_rights"]
        self.transfers, self.randomized = terms["transfers"], terms["randomized"]
        self.payment_factor = number(terms["payment_factor"])
        target = terms["target"]
        self.target = None if target is None else number(target)
        objectives = ("provider-surplus", "welfare", "improvement", *self.MINIMISED)
        require(self.objective in objectives, "objective?")
        require(self.incentive in ("dsic", "bic", "none"), "incentive?")
        require(self.participation in ("ex-post", "interim"), "participation?")
        require(self.rights in (True, False, "truthful"), "withdrawal rights?")
        require({self.transfers, self.randomized} <= {True, False}, "transfers? randomized?")
        self.group: list[int] = []
        self.size: list[int] = []
        self.curve: list[Curve] = []
        self.slopes: list[list[Fraction]] = []
        self.theta: list[Fraction] = []
        self.chance: list[Fraction] = []
        self.value: list[Fraction] = []
        self.rho: list[Fraction] = []
        self.delta: list[Fraction] = []
        for g, data in enumerate(problem["groups"]):
            costs, law = numbers(data["costs"]), numbers(data["probabilities"])
            require(len(costs) == len(law) > 0 and all(f > 0 for f in law), "a group's types")
            require(sum(law, ZERO) == 1, "probabilities do not sum to 1")
            require(isinstance(data["size"], int) and data["size"] > 0, "a group's size")
            for cost, chance in zip(costs, law):
                self.group.append(g)
                self.size.append(data["size"])
                self.theta.append(cost)
                self.chance.append(chance)
                self.curve.append(Curve(cost, numbers(data["widths"]), numbers(data["slopes"])))
                self.slopes.append(numbers(data["slopes"]))
                self.value.append(number(data["value"]))
                self.rho.append(number(data["reversibility"]))
                self.delta.append(number(data["removable"]))
        require(min(self.value, default=ZERO) >= 0, "a negative value")
        require(all(0 <= one <= 1 for one in self.rho + self.delta), "a share out of range")
        self.types = range(len(self.theta))
        sizes = [data["size"] for data in problem["groups"]]
        parts = [compositions(size, self.group.count(g)) for g, size in enumerate(sizes)]
        self.states: list[State] = [sum(state, ()) for state in product(*parts)]
        self.law = {w: self.probability(w, sizes) for w in self.states}

    def probability(self, state: State, sizes: list[int]) -> Fraction:
        """Multinomial, group by group."""
        ways = prod(map(factorial, sizes)) // prod(map(factorial, state))
        return ways * prod((f**c for f, c in zip(self.chance, state)), start=ONE)

    def facing(self, w: State, j: int) -> Fraction:
        """Probability of state ω for a user who knows that his own type is j."""
        return self.law[w] * w[j] / (self.size[j] * self.chance[j])

    def cells(self) -> list[tuple[State, int]]:
        """Every state with every type somebody has in it."""
        return [(w, j) for w in self.states for j in self.types if w[j] > 0]

    def pairs(self) -> list[tuple[int, int]]:
        """(true type, reported type)."""
        return [
            (a, c)
            for a in self.types
            for c in self.types
            if a != c and self.group[a] == self.group[c]
        ]

    def most_paid(self, k: int, j: int) -> Fraction:
        """t̄: a stated multiple of the value and of the dearest cost in the group, so that t ≤ t̄ p
        keeps null outcomes free of payments."""
        dearest = max(
            self.curve[i].cost(min(self.curve[i].capacity, self.levels.T[k - 1]))
            for i in self.types
            if self.group[i] == self.group[j]
        )
        return self.payment_factor * (self.value[j] + dearest)

    # what a user of type `true` gets who reports `told`, at level k in state ω, times p

    def effort(self, k: int, w: State, told: int) -> Terms:
        """p g(x/p), the burden weighted by the slopes of the cost curve."""
        return {("y", k, w, told, s): slope for s, slope in enumerate(self.slopes[told])}

    def stay(self, k: int, w: State, true: int, told: int) -> Terms:
        """v b_k p + t − θ g."""
        paid = {("t", k, w, told): ONE} if self.transfers else {}
        enjoyed = {("p", k, w): self.value[true] * self.levels.b[k]}
        return plus((1, enjoyed), (1, paid), (-self.theta[true], self.effort(k, w, told)))

    def leave(self, k: int, w: State, true: int, told: int) -> Terms:
        """What is left after withdrawing from level k, at most: v b_{k−1} p − (1 − ρ) θ g."""
        left = self.levels.b[k] if self.delta[true] == 0 else self.levels.b[k - 1]
        sunk = (1 - self.rho[true]) * self.theta[true]
        return plus((1, {("p", k, w): self.value[true] * left}), (-sunk, self.effort(k, w, told)))

    def rows(self) -> list[Row]:
        """Every constraint, named."""
        ks, rows = range(1, self.K + 1), []

        def add(name: str, terms: Terms, right: Fraction = ZERO, *, equal: bool = False) -> None:
            rows.append((name, {v: a for v, a in terms.items() if a}, equal, right))

        for w in self.states:
            for k in ks:
                run = {("p", k, w): ONE}
                given = {
                    ("y", k, w, j, s): Fraction(w[j])
                    for j in self.types
                    if w[j]
                    for s in range(len(self.slopes[j]))
                }
                add(f"D1 {k} {w}", plus((1, given), (-self.levels.T[k - 1], run)), equal=True)
                if self.transfers and self.levels.budget is not None:
                    paid = {("t", k, w, j): Fraction(w[j]) for j in self.types if w[j]}
                    add(f"D2 budget {k} {w}", plus((self.levels.budget, run), (-1, paid)))
            add(f"D2 lottery {w}", {("p", k, w): -ONE for k in ks}, -ONE)
        for k, (w, j) in product(ks, self.cells()):
            for s, (width, _) in enumerate(self.curve[j].pieces):
                add(f"D2 width {k} {w} {j} {s}", {("p", k, w): width, ("y", k, w, j, s): -ONE})
            if self.transfers and self.levels.budget is None:
                most = {("p", k, w): self.most_paid(k, j), ("t", k, w, j): -ONE}
                add(f"D2 null {k} {w} {j}", most)
            if self.participation == "ex-post":
                add(f"D4 {k} {w} {j}", self.stay(k, w, j, j))
            if self.rights is not False:
                add(
                    f"D5 {k} {w} {j}",
                    plus((1, self.stay(k, w, j, j)), (-1, self.leave(k, w, j, j))),
                )
        if self.participation == "interim":
            for j in self.types:
                add(
                    f"D4 {j}",
                    plus(
                        *(
                            (self.facing(w, j), self.stay(k, w, j, j))
                            for w in self.states
                            if w[j]
                            for k in ks
                        )
                    ),
                )
        if self.transfers and self.expected_budget is not None:
            spent = {("t", k, w, j): -self.law[w] * w[j] for k in ks for w, j in self.cells()}
            add("D2 expected budget", spent, -self.expected_budget)
        if self.target is not None:
            add("target", self.improvement(), self.target)
        if self.incentive != "none":
            for true, told in self.pairs():
                self.incentives(true, told, add)
        return rows

    def incentives(self, true: int, told: int, add: Any) -> None:
        """(D3) and (D6): truth is at least as good as `told`, with or without leaving after it."""
        ks, gains = range(1, self.K + 1), []
        name = f"{true} {told}"
        for w in self.states:
            if w[true] == 0:
                continue
            moved = self.moved(w, true, told)
            truth = plus(*((1, self.stay(k, w, true, true)) for k in ks))
            lies = [plus(*((1, self.stay(k, moved, true, told)) for k in ks))]
            if self.rights is True and (self.incentive == "bic" or self.K > 1):
                best = [("m", k, moved, true, told) for k in ks]
                for k, one in zip(ks, best):
                    for what in (self.stay, self.leave):
                        add(
                            f"D6 {what.__name__} {k} {moved} {name}",
                            plus((1, {one: ONE}), (-1, what(k, moved, true, told))),
                        )
                lies = [{one: ONE for one in best}]
            elif self.rights is True:
                lies.append(self.leave(1, moved, true, told))
            gains.append((w, [plus((1, truth), (-1, lie)) for lie in lies]))
        if self.incentive == "bic":
            add(f"D3 {name}", plus(*((self.facing(w, true), gain[0]) for w, gain in gains)))
            return
        for w, gain in gains:
            for tag, terms in zip(("D3", "D6"), gain):
                add(f"{tag} {w} {name}", terms)

    @staticmethod
    def moved(w: State, true: int, told: int) -> State:
        """The state after one user of type `true` reports `told`."""
        return tuple(c - (j == true) + (j == told) for j, c in enumerate(w))

    def improvement(self) -> Terms:
        """E[B(X)]."""
        ks = range(1, self.K + 1)
        return {("p", k, w): self.law[w] * self.levels.b[k] for k in ks for w in self.states}

    def maximised(self) -> Terms:
        """The objective; costs with a minus sign."""
        ks = range(1, self.K + 1)
        if self.objective == "improvement":
            return self.improvement()
        if self.objective in ("welfare", "social-cost"):
            minus = [
                (-self.law[w] * w[j] * self.theta[j], self.effort(k, w, j))
                for k in ks
                for w, j in self.cells()
            ]
        elif self.transfers:
            minus = [
                (-self.law[w] * w[j], {("t", k, w, j): ONE}) for k in ks for w, j in self.cells()
            ]
        else:
            minus = []
        gain = ZERO if self.objective in self.MINIMISED else self.levels.V
        if self.objective == "welfare":
            everyone = zip(self.value, self.size, self.chance)
            gain += sum((v * n * f for v, n, f in everyone), ZERO)
        return plus((gain, self.improvement()), *minus)

    # -- the answer and the bound ---------------------------------------------------------------

    def values(self, answer: dict[str, Any]) -> Terms:
        """The answer as values of the variables; segments are filled in order."""
        require([tuple(w) for w in answer["states"]] == self.states, "these are not the states")
        z: Terms = {}
        for row, w in enumerate(self.states):
            for k in range(1, self.K + 1):
                p = number(answer["run"][row][k - 1])
                x = numbers(answer["burden"][row][k - 1])
                t = numbers(answer["payment"][row][k - 1])
                require(len(x) == len(t) == len(self.types), "one burden and payment per type")
                require(min(p, *x, *t) >= 0, "(D2) a negative number")
                require(p > 0 or not any(x + t), "(A6) a null outcome asks or pays something")
                require(self.transfers or not any(t), "payments although transfers are off")
                require(self.randomized or p in (0, 1), "a lottery in a deterministic mechanism")
                z["p", k, w] = p
                for j in self.types:
                    require(w[j] > 0 or not (x[j] or t[j]), "somebody absent gives or is paid")
                    z["t", k, w, j] = t[j]
                    left = x[j]
                    for s, (width, _) in enumerate(self.curve[j].pieces):
                        z["y", k, w, j, s] = min(left, width * p)
                        left -= z["y", k, w, j, s]
                    require(left == 0, "(D2) somebody gives more than he can")
        if self.rights is True and self.incentive != "none":
            for k, w, (true, told) in product(range(1, self.K + 1), self.states, self.pairs()):
                if w[told]:
                    ways = self.stay(k, w, true, told), self.leave(k, w, true, told)
                    z["m", k, w, true, told] = max(total(way, z) for way in ways)
        return z

    def limit(self, rows: list[Row], node: dict[str, Any], fixed: Terms) -> Fraction | None:
        """Upper bound on the objective over all mechanisms; None: there are none.

        Multipliers π (≥ 0 on inequalities) add the rows up to: objective ≤ −Σ π · right side, if
        no variable keeps a coefficient that could make it larger. A node may also split by
        whether a level is run in a state (deterministic mechanisms).
        """
        if "state" in node:
            require(not self.randomized, "a split although lotteries are allowed")
            p = ("p", node["level"], self.states[node["state"]])
            require(1 <= node["level"] <= self.K and p not in fixed, "a split that is none")
            parts = [
                self.limit(rows, node[side], {**fixed, p: at_})
                for side, at_ in (("zero", ZERO), ("one", ONE))
            ]
            return max((part for part in parts if part is not None), default=None)
        require(node["shows"] in ("bound", "unreachable"), "a node shows a bound or unreachability")
        left = dict(self.maximised()) if node["shows"] == "bound" else {}
        bound, named = ZERO, {row[0]: row for row in rows}
        for name, text in node["multipliers"].items():
            _, terms, equal, right = named[name]
            weight = number(text)
            require(equal or weight >= 0, f"a negative multiplier of {name}")
            bound -= weight * right
            for variable, coefficient in terms.items():
                left[variable] = left.get(variable, ZERO) + weight * coefficient
        for variable, rest in left.items():
            if variable in fixed:
                bound += rest * fixed[variable]
            else:
                require(
                    rest == 0 or (rest < 0 and variable[0] != "m"),
                    f"{variable} is not accounted for by the multipliers",
                )
        if node["shows"] == "bound":
            return bound
        require(bound < 0, "the multipliers do not exclude an answer")
        return None


def total(terms: Terms, z: Terms) -> Fraction:
    return sum((a * z[v] for v, a in terms.items()), ZERO)


def compositions(count: int, parts: int) -> list[State]:
    """All ways to give `count` users one of `parts` types."""
    if parts == 1:
        return [(count,)]
    return [
        (first, *rest)
        for first in range(count + 1)
        for rest in compositions(count - first, parts - 1)
    ]


def verify_mechanism(document: dict[str, Any]) -> list[str]:
    """The facts about a direct mechanism; Refuted otherwise."""
    claim, answer = document["claim"], document["answer"]
    design = Design(document["problem"], document["terms"])
    rows = design.rows()
    limit = design.limit(rows, document["proof"], {})
    if claim["status"] == "infeasible":
        require(limit is None and answer is None, "a mechanism is not excluded")
        return ["no mechanism reaches the target"]
    if limit is None or answer is None:
        raise Refuted("there is no answer, or it is excluded")
    z = design.values(answer)
    for name, terms, equal, right in rows:
        slack = total(terms, z) - right
        require(slack == 0 if equal else slack >= 0, f"({name}) does not hold")
    sign = -1 if design.objective in design.MINIMISED else 1
    reached = sign * total(design.maximised(), z)
    require(number(claim["optimum"]) == reached, "the objective of the answer is another")
    require(number(claim["bound"]) == sign * limit, "the bound is another")
    require(claim["status"] in ("optimal", "feasible"), "an unknown status")
    require(claim["status"] == "feasible" or sign * limit == reached, "they do not meet")
    better = "at most" if sign > 0 else "at least"
    return [
        f"the answer satisfies all {len(rows)} rows (D1–D6) exactly",
        f"{design.objective} {reached} is reached; any mechanism has {better} {sign * limit}",
    ]


def main(arguments: list[str]) -> int:
    """Exit status 0: verified; 1: refuted; 2: not readable."""
    if len(arguments) != 1:
        print("usage: verify.py CERTIFICATE.json", file=sys.stderr)
        return 2
    try:
        with open(arguments[0], encoding="utf-8") as stream:
            document = json.load(stream)
    except (OSError, ValueError, RecursionError) as error:
        print(f"cannot read {arguments[0]}: {error}", file=sys.stderr)
        return 2
    try:
        facts = verify(document)
    except Refuted as why:
        print(f"REFUTED: {why}")
        return 1
    print("verified: " + "; ".join(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
