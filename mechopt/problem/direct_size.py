"""How large a direct-mechanism problem will be, known before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, inf, log10

from mechopt.errors import TooLarge
from mechopt.problem.direct_terms import DirectTerms, nothing_kept
from mechopt.problem.population import Group, Population
from mechopt.problem.states import state_count

# The dual simplex takes minutes at 150,000 rows and hours at 500,000 (2 cores, 2026).
ROW_LIMIT = 500_000
_BYTES_PER_ENTRY = 16 + 24  # HiGHS' two copies of the matrix, our triplets while building


@dataclass(frozen=True)
class Size:
    """Predicted states, cells (state, type), LP rows and columns, and memory while solving."""

    states: int
    cells: int
    rows: int
    columns: int
    megabytes: float

    def __str__(self) -> str:
        states, rows, columns = map(_counted, (self.states, self.rows, self.columns))
        memory = _counted(round(self.megabytes))
        return f"{states} states, {rows} rows, {columns} columns, about {memory} MB"


def _counted(number: int) -> str:
    """A count in digits, or as a power of ten where nobody would read them."""
    return f"{number:,}" if number < 10**15 else f"10^{int(number.bit_length() * log10(2))}"


def predict_size(population: Population, terms: DirectTerms) -> Size:
    """Upper bound on the size of the production LP (rows D1 already implies are counted too)."""
    states, levels = state_count(population), population.levels
    cells = rows = columns = 0
    for group in population.groups:
        others = _others(population, states, group)
        mine = others * group.types
        cells += mine
        segments = group.widths.size
        columns += levels * mine * (segments + terms.transfers)
        rows += levels * mine * segments  # capacity
        bounded = terms.participation == "ex-post" and not terms.transfers
        rows += levels * mine * (2 * terms.transfers + bounded)
        implied = _rights_are_implied(population, terms, group)
        rows += levels * mine * (terms.obedient and not implied)
        pairs = group.types * (group.types - 1)
        thoughtful = terms.honest_and_obedient and group.reversibility > 0
        if terms.double_deviation(group, levels):  # w, stay, withdraw
            columns += levels * others * pairs
            rows += (2 * levels + (terms.incentive == "dsic")) * others * pairs
        elif terms.incentive == "dsic":
            rows += others * 2 * (group.types - 1)
            rows += others * pairs * (thoughtful and not implied)
        if terms.levels == "exact" and terms.obedient:
            columns += levels * (levels + 1) * mine
            rows += levels * (levels + 4) * mine
    rows += states * (levels + 1 + levels * (population.budget < inf))
    columns += levels * states
    entries = 5 * rows
    return Size(states, cells, rows, columns, min(entries, 10**300) * _BYTES_PER_ENTRY / 1e6)


def _rights_are_implied(population: Population, terms: DirectTerms, group: Group) -> bool:
    """Whether D5, and under DSIC D6, follow from u ≥ 0 as a bound (or from ρ = 0)."""
    if group.reversibility == 0:
        return True
    safe = terms.participation == "ex-post" or (group.reversibility == 1 and terms.transfers)
    return nothing_kept(group, population.levels) and safe


def _others(population: Population, states: int, group: Group) -> int:
    n, m = group.size, group.types
    return states // comb(n + m - 1, m - 1) * comb(n + m - 2, m - 1)


def too_large(population: Population, terms: DirectTerms) -> bool:
    """Whether the LP would have more rows than ROW_LIMIT."""
    return predict_size(population, terms).rows > ROW_LIMIT


def refuse_if_large(population: Population, terms: DirectTerms) -> None:
    """TooLarge, saying what would fit, if the predicted rows exceed ROW_LIMIT."""
    size = predict_size(population, terms)
    if size.rows <= ROW_LIMIT:
        return
    advice = []
    types = _types_that_fit(population, terms)
    if types:
        advice.append(f"at most {types} types per group would fit")
    for change, words in (
        ({"incentive": "bic", "withdrawal_rights": "truthful"}, "incentive='bic' without D6 fits"),
        ({"withdrawal_rights": "truthful"}, "withdrawal_rights='truthful' (no D6 rows) fits"),
    ):
        other = DirectTerms(**{**terms.to_dict(), **change})
        if other != terms and predict_size(population, other).rows <= ROW_LIMIT:
            advice.append(words)
    if not any(group.value for group in population.groups):
        advice.append("the closed form (transfers, no budgets, linear costs) needs no LP")
    advice.append("merge groups with equal users, or merge neighbouring costs")
    if population.levels == 1 and population.linear and population.law is None:
        advice.append("`bracket` gives a rule and a bound at any size")
    raise TooLarge(
        f"direct: this needs {size}; the limit is {ROW_LIMIT:,} rows. " + "; ".join(advice)
    )


def _types_that_fit(population: Population, terms: DirectTerms) -> int:
    """The most types per group that fit (a count only: which to merge is the user's choice)."""
    most = max(group.types for group in population.groups)
    for types in range(most - 1, 0, -1):
        cut = [
            group.replace(
                costs=group.costs[: min(types, group.types)],
                probabilities=[1 / min(types, group.types)] * min(types, group.types),
            )
            for group in population.groups
        ]
        if predict_size(population.replace(groups=cut), terms).rows <= ROW_LIMIT:
            return types
    return 0
