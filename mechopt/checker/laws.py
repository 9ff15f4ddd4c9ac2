"""Laws of costs beyond independent draws from known probabilities: correlated, or in a ball.

Robust: every group draws from one law f of its own, at most `radius` from the estimate. E_f of the
states' values is a polynomial in f. On a simplex of laws no value of it is below the least of its
Bernstein coefficients (what is expected if each user draws from one of the corners).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, pairwise, permutations, product
from math import lcm
from typing import Any

from .data import ONE, ZERO, number, numbers, require, total

State = tuple[int, ...]
Values = dict[State, Fraction]
Corner = tuple[Fraction, ...]
Weights = tuple[int, ...]
Table = dict[State, int]
Box = tuple[tuple[Corner, ...], ...]  # corners of the laws considered, group by group
MOST_BOXES = 4000
MOST_TYPES = 6  # of a group: a ball of six types has some hundred simplices


def compositions(count: int, parts: int) -> list[State]:
    """All ways to give `count` users one of `parts` types."""
    if parts == 1:
        return [(count,)]
    firsts = range(count + 1)
    return [(one, *rest) for one in firsts for rest in compositions(count - one, parts - 1)]


def at(terms: dict[Any, Fraction], z: dict[Any, Fraction]) -> Fraction:
    return total(a * z[v] for v, a in terms.items())


def joint(data: dict[str, Any], states: list[State], independent: Any) -> Values:
    """Probabilities of the states by worlds (in each, independent draws) or by a table."""
    weights = numbers(data["probabilities"])
    require(min(weights, default=ZERO) >= 0, "a negative probability")
    if "counts" in data:
        rows = [tuple(row) for row in data["counts"]]
        require(set(rows) <= set(states) and len(set(rows)) == len(rows), "a table's states")
        table = dict(zip(rows, weights))
        law = {w: table.get(w, ZERO) for w in states}
    else:
        worlds = [[f for one in world for f in numbers(one)] for world in data["worlds"]]
        require(all(f >= 0 for world in worlds for f in world), "a negative probability")
        law = {w: total(a * independent(w, world) for a, world in zip(weights, worlds))
               for w in states}  # fmt: skip
    require(total(law.values()) == 1, "the law's probabilities do not sum to 1")
    return law


class Ball:
    """The laws f of each group with ½ Σ |f − f̂| ≤ radius, or Σ gap · |F − F̂| ≤ radius."""

    def __init__(self, terms: dict[str, Any], groups: list[tuple[Corner, Corner]]) -> None:
        """`groups`: (f̂, costs per data unit) of each."""
        distances = ("total-variation", "wasserstein")
        require(terms["robust"] in distances, "robust?")
        self.near = terms["robust"] == distances[0]
        self.groups, self.radius = groups, numbers(terms["radius"])
        require(len(self.radius) == len(groups) and min(self.radius) >= 0, "a radius per group")
        rising = all(low < high for _, cost in groups for low, high in pairwise(cost))
        require(rising, "costs must increase")
        self.boxes: list[Box] = [()]
        for g in range(len(groups)):
            parts = self.parts(g)
            require(len(self.boxes) * len(parts) <= MOST_BOXES, "a ball of too many simplices")
            self.boxes = [(*box, part) for box in self.boxes for part in parts]

    def holds(self, g: int, law: Corner) -> bool:
        center, cost = self.groups[g]
        require(len(law) == len(center), "a law for every type")
        moved = [f - f0 for f, f0 in zip(law, center)]
        if min(law) < 0 or sum(law) != 1:
            return False
        if self.near:
            return total(map(abs, moved)) <= 2 * self.radius[g]
        gaps = [high - low for low, high in pairwise(cost)]
        cumulated = [total(moved[: k + 1]) for k in range(len(gaps))]
        return total(a * abs(c) for a, c in zip(gaps, cumulated)) <= self.radius[g]

    def parts(self, g: int) -> list[tuple[Corner, ...]]:
        """The ball of a group as simplices: the simplex of all laws, cut side by side."""
        center, cost = self.groups[g]
        m, r = len(center), self.radius[g]
        if m == 1 or r == 0:
            return [(center,)]
        require(m <= MOST_TYPES, f"robust: groups of up to {MOST_TYPES} types")
        if self.near:
            sides = [[ONE * (k in some) for k in range(m)]
                     for size in range(1, m) for some in combinations(range(m), size)]  # fmt: skip
        else:
            gaps = [high - low for low, high in pairwise(cost)]
            signs = [[a * s for a, s in zip(gaps, one)] for one in product((1, -1), repeat=m - 1)]
            sides = [[total(one[k:]) for k in range(m)] for one in signs]
        corners = [tuple(ONE * (k == j) for k in range(m)) for j in range(m)]
        tight = [{k for k in range(m) if k != j} for j in range(m)]  # sides a corner lies on
        for place, one in enumerate(sides, m):
            most = r + total(a * f for a, f in zip(one, center))
            corners, tight = _cut(corners, tight, one, most, place)
        faces = [frozenset(v for v, on in enumerate(tight) if side in on)
                 for side in range(m + len(sides))]  # fmt: skip
        whole = frozenset(range(len(corners)))
        return [tuple(corners[v] for v in some) for some in _simplices(whole, faces)]

    def guaranteed(self, values: Values, claimed: Fraction) -> None:
        """Refuted unless E_f[values] ≥ claimed for every law of the ball."""
        open_, looked = list(self.boxes), 0
        while open_:
            box, looked = open_.pop(), looked + 1
            require(looked <= MOST_BOXES, "the guarantee is not shown")
            if least(values, box) < claimed:
                require(min(at_corners(values, box)) >= claimed, "a law of the ball brings less")
                open_ += halves(values, box)


def least(values: Values, box: Box) -> Fraction:
    """The least that is expected if every user draws from one of her group's corners, all ways."""
    table, parts, unit = _integers(values, box)
    return min(one for _, one in _drawn(table, parts)) * unit


def at_corners(values: Values, box: Box) -> list[Fraction]:
    """Expected values if all users of a group draw from the same corner, all ways."""
    table, parts, unit = _integers(values, box)
    return [one * unit for _, one in _drawn(table, parts, same=True)]


def halves(values: Values, box: Box) -> list[Box]:
    """Parts of the box one of which holds a least value: a face, if moving users to it never brings
    more; two faces, if coefficients bend down between them; else halves along the edge where they
    bend upwards most (along an edge where they do not none is below both ends)."""
    table, parts, _ = _integers(values, box)
    found, bent, first = dict(_drawn(table, parts)), [], 0
    for g, part in enumerate(box):
        corners, rise, fall = range(len(part)), {}, {}
        for v, w in permutations(corners, 2):
            a, b = first + v, first + w
            if all(one >= found[_moved(c, b, a)] for c, one in found.items() if c[b]):
                return [_with(box, g, [k for k in corners if k != w])]
            bends = [found[c] - 2 * found[_moved(c, a, b)] + found[_moved(c, a, b, 2)]
                     for c in found if c[a] > 1]  # fmt: skip
            rise[v, w], fall[v, w] = max(bends, default=0), min(bends, default=0)
            bent.append((rise[v, w], g, v, w))
        near = {0}
        for _ in corners:
            near |= {w for v, w in rise if v in near and rise[v, w] > 0}
        sides = [[k for k in corners if (k in near) == joined] for joined in (True, False)]
        if sides[1]:
            # Along p - q, laws of the two sides, the second derivative is the sum of p q bends
            # between them less half of those of p p and of q q inside.
            inside = sum(
                max(0, *(-fall[v, w] for v, w in permutations(one, 2)), 0) for one in sides
            )
            if 2 * max(rise[v, w] for v, w in product(*sides)) <= -inside:
                return [_with(box, g, side) for side in sides]
        first += len(part)
    rise_most, g, v, w = max(bent, default=(0, 0, 0, 0))
    require(rise_most > 0, "a law of the ball brings less")
    middle = tuple((a + b) / 2 for a, b in zip(box[g][v], box[g][w]))
    ends = [tuple(middle if k == out else law for k, law in enumerate(box[g])) for out in (v, w)]
    return [(*box[:g], end, *box[g + 1 :]) for end in ends]


def _with(box: Box, g: int, corners: list[int]) -> Box:
    """The face of the box whose group g draws from these corners alone."""
    return (*box[:g], tuple(box[g][k] for k in corners), *box[g + 1 :])


def _moved(c: State, v: int, w: int, users: int = 1) -> State:
    """The same with `users` who draw from corner w instead of v."""
    return tuple(one - users * (k == v) + users * (k == w) for k, one in enumerate(c))


def _integers(values: Values, box: Box) -> tuple[Table, list[list[Weights]], Fraction]:
    """Values and corners as multiples of one number each, and what a product of them is worth:
    sums of integers need no common divisors."""
    unit, parts, first = lcm(*(value.denominator for value in values.values())), [], 0
    table = {w: int(value * unit) for w, value in values.items()}
    for part in box:
        grain = lcm(*(f.denominator for law in part for f in law))
        users = sum(next(iter(table))[first : first + len(part[0])])
        parts.append([tuple(int(f * grain) for f in law) for law in part])
        unit, first = unit * grain**users, first + len(part[0])
    return table, parts, Fraction(1, unit)


def _drawn(
    table: Table, parts: list[list[Weights]], *, same: bool = False
) -> Iterator[tuple[State, int]]:
    """(users by corner, what is expected of the table then), all ways, or all of a group alike."""
    if not parts:
        yield from table.items()
        return
    corners, m = parts[0], len(parts[0][0])

    def draw(left: Table, first: int, last: int, by: State) -> Iterator[tuple[State, int]]:
        if sum(next(iter(left))[:m]) == 0:
            rest = {w[m:]: v for w, v in left.items()}
            yield from ((by + more, one) for more, one in _drawn(rest, parts[1:], same=same))
            return
        for v in range(first, last):
            drawn = tuple(c + (k == v) for k, c in enumerate(by))
            yield from draw(one_drawn(left, corners[v]), v, v + 1 if same else last, drawn)

    yield from draw(table, 0, len(corners), (0,) * len(corners))


def one_drawn(table: Table, law: Weights) -> Table:
    """What is expected when one more user of the first group draws from the law."""
    found: Table = {}
    for w, value in table.items():
        for k, f in enumerate(law):
            if w[k]:
                rest = (*w[:k], w[k] - 1, *w[k + 1 :])
                found[rest] = found.get(rest, 0) + f * value
    return found


def _cut(
    corners: list[Corner], tight: list[set[int]], side: list[Fraction], most: Fraction, name: int
) -> tuple[list[Corner], list[set[int]]]:
    """Corners of a polytope cut by side · f ≤ most: those inside, and where edges cross it.

    An edge joins two corners if no third lies on all sides that both lie on.
    """
    over = [total(a * f for a, f in zip(side, corner)) - most for corner in corners]
    kept = [v for v, far in enumerate(over) if far <= 0]
    found = [corners[v] for v in kept]
    on = [tight[v] | ({name} if over[v] == 0 else set()) for v in kept]
    for v, w in product(
        (v for v in kept if over[v] < 0), (w for w, far in enumerate(over) if far > 0)
    ):
        both = tight[v] & tight[w]
        if not any(both <= one for u, one in enumerate(tight) if u not in (v, w)):
            step = over[v] / (over[v] - over[w])
            found.append(tuple(a + step * (b - a) for a, b in zip(corners[v], corners[w])))
            on.append(both | {name})
    return found, on


def _simplices(face: frozenset[int], sides: list[frozenset[int]]) -> list[tuple[int, ...]]:
    """A face as simplices: its first corner with those of the facets that it does not lie on."""
    if len(face) == 1:
        return [tuple(face)]
    parts = {face & side for side in sides} - {face, frozenset()}
    facets = [part for part in parts if not any(part < other for other in parts)]
    apex = min(face)
    return [(apex, *rest) for facet in sorted(facets, key=sorted) if apex not in facet
            for rest in _simplices(facet, sides)]  # fmt: skip


def around(problem: Any, data: dict[str, Any], terms: dict[str, Any]) -> Ball:
    """The laws a robust mechanism is held against: users' rows must contain no probabilities."""
    plain = (problem.incentive, problem.participation) == ("dsic", "ex-post")
    require(plain, "robust: DSIC, ex-post")
    require(data.get("law") is None, "robust: independent types")
    own = [[j for j in problem.types if problem.group[j] == g] for g in range(len(problem.sizes))]
    users = problem.user
    return Ball(
        terms,
        [
            (
                tuple(problem.chance[j] for j in mine),
                tuple(users[j].theta * users[j].slopes[0] for j in mine),
            )
            for mine in own
        ],
    )


def by_state(problem: Any, z: dict[Any, Fraction], of: str = "objective") -> Values:
    """What each state brings of the objective, or of a row that is an expectation."""
    found = dict.fromkeys(problem.states, ZERO)
    for v, rate in problem.expected(of, dict.fromkeys(problem.states, ONE)).items():
        found[v[2]] += rate * z[v]
    return found


def under(problem: Any, laws: list[Corner]) -> Values:
    """Probabilities of the states if the groups draw from these laws."""
    flat = [f for law in laws for f in law]
    return {w: problem.probability(w, flat) for w in problem.states}


def mixed(problem: Any, node: dict[str, Any]) -> tuple[dict[Any, Fraction], Fraction]:
    """What the rows of laws of the ball add up to, and their right sides.

    Of the objective: its mean over laws, at least the worst. Of a target or an expected budget,
    which hold under every law: any sum with weights ≥ 0.
    """
    found: dict[Any, Fraction] = {}
    means, right = ZERO, ZERO
    for one in node["laws"]:
        laws, weight = [tuple(numbers(f)) for f in one["laws"]], number(one["weight"])
        of = one.get("of", "objective")
        require(weight >= 0, "a negative weight")
        groups = range(len(problem.ball.groups))
        inside = len(laws) == len(groups) and all(map(problem.ball.holds, groups, laws))
        require(inside, "a law outside of the ball")
        if of == "objective":
            means += weight
        else:
            right += weight * problem.held[of]
        for variable, rate in problem.expected(of, under(problem, laws)).items():
            found[variable] = found.get(variable, ZERO) + weight * rate
    wanted = ONE if node["shows"] == "bound" else ZERO
    require(means == wanted, f"the laws' weights do not sum to {wanted}")
    return found, right
