"""A linear program written entry by entry, where arrays would only hide it."""

from __future__ import annotations

import numpy as np

from mechopt.solver import highs


class Builder:
    """Rows and columns come back as their numbers; entries are added in any order."""

    def __init__(self) -> None:
        self.cost: list[float] = []
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.integer: list[bool] = []
        self.row_lower: list[float] = []
        self.row_upper: list[float] = []
        self.entries: dict[tuple[int, int], float] = {}

    def row(self, lower: float, upper: float) -> int:
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        return len(self.row_lower) - 1

    def bound(self, row: int, lower: float, upper: float) -> None:
        self.row_lower[row], self.row_upper[row] = lower, upper

    def column(self, cost: float, lower: float, upper: float, *, whole: bool = False) -> int:
        self.cost.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        self.integer.append(whole)
        return len(self.cost) - 1

    def entry(self, row: int, column: int, value: float) -> None:
        if value:
            place = row, column
            self.entries[place] = self.entries.get(place, 0.0) + value

    def program(self, offset: float = 0.0) -> highs.LinearProgram:
        entries = sorted(self.entries.items())
        row, column = np.array([place for place, _ in entries]).reshape(-1, 2).T
        value = np.array([entry for _, entry in entries])
        start = np.searchsorted(row, np.arange(len(self.row_lower) + 1)).astype(np.int32)
        return highs.LinearProgram(
            cost=np.array(self.cost),
            offset=offset,
            start=start,
            index=column.astype(np.int32),
            value=value,
            row_lower=np.array(self.row_lower),
            row_upper=np.array(self.row_upper),
            lower=np.array(self.lower),
            upper=np.array(self.upper),
            integer=np.array(self.integer),
        )
