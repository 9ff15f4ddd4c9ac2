"""What comes out: a plan (burden and payment per user) with its status, bound and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from types import MappingProxyType
from typing import Any

import numpy as np

from mechopt import arrays, doors, tolerances
from mechopt.answer.common import Answer, headline
from mechopt.arrays import ExactArray, FloatArray
from mechopt.errors import InvalidPlan
from mechopt.problem.arguments import Reader
from mechopt.problem.instance import Instance
from mechopt.status import Status


@dataclass(frozen=True, eq=False)
class Plan(Answer):
    """Burdens and payments for one instance (A1–A6), and how they came about. Frozen.

    :burden: x_i, data, shape (n,); None unless there is an answer
    :payment: t_i, money, shape (n,), paid to those who stay if training happens
    :objective, bound: money, data share or cost, by `objective_name`; for maximisation
        objective ≤ bound, for minimisation objective ≥ bound; None if there is none
    :reason: why the outcome is null or infeasible, in words; `shortfall` has the numbers
    :failure_bonus: f ≥ 0, money, promised to each stayer if training does not happen (fact F6)
    :unconditional: payments are made whether or not training happens (posted price, contract)
    :right: "whole" or "part", what users may withdraw (docs: rights)
    :details: what else the mechanism found (prices, duals, equilibrium remarks)
    """

    instance: Instance = field(repr=False)
    status: Status
    burden: FloatArray | None = field(default=None, repr=False)
    payment: FloatArray | None = field(default=None, repr=False)
    objective: float | None = None
    bound: float | None = None
    mechanism: str = "given"
    objective_name: str | None = None
    protocol: str = "simultaneous"
    order: Any = "small-first"
    failure_bonus: float = 0.0
    unconditional: bool = False
    reserve: float = 0.0
    right: str = "whole"
    reason: str = ""
    shortfall: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    solver: str = ""
    seconds: float = 0.0
    seed: int = 0
    notes: tuple[str, ...] = ()  # what reading it from a file assumed, one sentence each
    _given: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for array in (self.burden, self.payment):
            if array is not None:
                arrays.freeze(array)

    @classmethod
    def from_arrays(
        cls,
        instance: Instance,
        burden: Any,
        payment: Any = 0,
        *,
        failure_bonus: Any = 0,
        protocol: str = "simultaneous",
        order: Any = "small-first",
        mechanism: str = "given",
        **fields: Any,
    ) -> Plan:
        """Anybody's plan, to be audited and checked. `burden` (n,) data, `payment` (n,) money.

        Raises InvalidPlan on a wrong length, NaN, infinite or negative entries; burdens above
        capacity are accepted here (`audit` reports them).
        """
        read = Reader(InvalidPlan)
        given = {"burden": burden, "payment": payment, "failure_bonus": failure_bonus}
        given = {name: read.own(name, raw) for name, raw in given.items()}
        columns = {
            name: _column(read, instance, name, given[name]) for name in ("burden", "payment")
        }
        bonus = read.number("failure_bonus", given["failure_bonus"], "≥ 0", "money")
        read.stop()
        return cls(
            instance=instance,
            status=fields.pop("status", Status.UNKNOWN),
            burden=columns["burden"],
            payment=columns["payment"],
            mechanism=mechanism,
            protocol=protocol,
            order=order,
            failure_bonus=bonus,
            _given=given,
            **fields,
        )

    @classmethod
    def null(cls, instance: Instance, **fields: Any) -> Plan:
        """The null outcome: x = 0, t = 0 (A6)."""
        zero = arrays.freeze(np.zeros(instance.n))
        fields = {"status": Status.NULL, "objective": 0.0, "bound": 0.0, **fields}
        return cls(instance=instance, burden=zero, payment=zero, **fields)

    @property
    def dropout(self) -> Mapping[str, Any] | None:
        """The drop-outs the plan was made for: hazard, shock, confidence, level; None if none."""
        found = self.details.get("dropout")
        return found if isinstance(found, Mapping) else None

    # -- derived --------------------------------------------------------------------------------

    @property
    def has_answer(self) -> bool:
        """Whether burdens and payments are there to be acted on."""
        return self.burden is not None

    @cached_property
    def total(self) -> float | None:
        """X = Σ x_i, data, correctly rounded."""
        return None if self.burden is None else arrays.exact_sum(self.burden)

    @cached_property
    def level(self) -> int | None:
        """Level reached if everyone stays: thresholds ≤ X (exactly, or to tolerance for floats).

        A plan made for drop-outs counts as reaching the level it aims at, and no more.
        """
        if self.total is None:
            return None
        aim = self.instance.levels if self.dropout is None else self.dropout.get("level")
        most = self.instance.levels if aim is None else int(aim)
        if self.is_exact:
            total = self.exact("burden").sum()
            reached = sum(total >= threshold for threshold in self.instance.exact("thresholds"))
            return min(int(reached), most)
        within = self.instance.thresholds * (1 - tolerances.DATA)
        return min(int(np.searchsorted(within, self.total, side="right")), most)

    @property
    def share(self) -> float | None:
        """B(X), the share of the full improvement reached if everyone stays."""
        return None if self.level is None else self.instance.share_at(self.level)

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the model, with everyone staying; empty without an answer.

        `stable` maps each protocol to {"stable": bool, "margin": money}, None where that is too
        large to decide; `participation` is the
        share of users with positive burden who stay under the plan's protocol (0 if none is asked).
        """
        if self.burden is None:
            return MappingProxyType({})
        return MappingProxyType(doors.plan_metrics(self))

    def withdrawal(self, protocol: str | None = None) -> doors.WithdrawalReport:
        """`check_withdrawal` of this plan on its own instance, kept: the same check is asked often.

        `protocol` defaults to the plan's own; the sequential order is the plan's order.
        """
        protocol = protocol or self.protocol
        kept: dict[str, doors.WithdrawalReport] = self.__dict__.setdefault("_reports", {})
        if protocol not in kept:
            kept[protocol] = doors.plan_withdrawal(self, protocol)
        return kept[protocol]

    def explain(self, id: Any = None) -> str:
        """Why this person is asked and paid this, in sentences with numbers; or the plan's why.

        Without an id: what binds, and what one more unit of threshold, budget or capacity would
        change (found by solving again). Raises InvalidOption if nobody has that id.
        """
        return doors.explain(self, id)

    # -- exact view -----------------------------------------------------------------------------

    @cached_property
    def is_exact(self) -> bool:
        """Whether instance, burdens and payments were all given as exact numbers."""
        return (
            bool(self._given)
            and self.instance.is_exact
            and all(
                arrays.is_exact(raw) or (isinstance(raw, float) and raw == 0)
                for raw in self._given.values()
            )
        )

    def exact(self, column: str) -> ExactArray:
        """`burden` or `payment` as Fractions, shape (n,); `failure_bonus` as shape ()."""
        raw = self._given.get(column, getattr(self, column))
        exact = arrays.to_exact(raw)
        return exact if column == "failure_bonus" else np.broadcast_to(exact, (self.instance.n,))

    # -- words and files ------------------------------------------------------------------------

    def summary(self) -> str:
        """The plan in plain language."""
        said = f"{headline(self)}\n{self.reason}".rstrip()
        if self.burden is None:
            return said
        asked = int((self.burden > 0).sum())
        return (
            f"{said}\n{asked:,} of {self.instance.n:,} users give {self.total:.6g} data (share "
            f"{self.share:.6g}) and are paid {self.metrics['expenditure']:.6g}"
        )

    def to_frame(self, *, people: bool = False, library: str | None = None) -> Any:
        """id, burden, payment, cost, utility, stays as a data frame, one row per user.

        `library`: "pandas", "polars" or "pyarrow"; default the first that is installed. `people`:
        with the other columns of the users' table.
        """
        return doors.plan_frame(self, people, library)

    def plot(self, axes: Any = None) -> Any:
        """Burdens and payments over costs, by value, the pivotal ringed: Matplotlib axes."""
        return doors.plot(self, axes)

    def to_dict(self) -> dict[str, Any]:
        """JSON values, kind `plan`, with the instance inside."""
        return doors.plan_document(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], instance: Instance | None = None) -> Plan:
        """The plan described by `to_dict`'s format; InvalidPlan, InvalidFile on anything else."""
        return doors.plan_of_document(data, instance)

    def write(
        self, path: str | PathLike[str], *, people: bool = False, only_asked: bool = False
    ) -> None:
        """Write as .json, .csv, .parquet or .xlsx; what is read back passes the same audit.

        Beside a .csv or .xlsx goes `<name>.json`, which says what the plan is for and how it was
        made. `people`: with the other columns of the users' table; `only_asked`: without those of
        whom nothing is asked (tables only).
        """
        doors.write(self, path, people=people, only_asked=only_asked)


def _column(read: Reader, instance: Instance, name: str, raw: Any) -> FloatArray:
    n = instance.n
    column = read.floats(name, raw)
    if column is None:
        if not read.faulty(name):
            read.fault(name, "missing")
        return np.zeros(n)
    if column.ndim == 1 and column.size != n:
        read.fault(name, f"has {column.size} entries, but the instance has {n} users")
        return np.zeros(n)
    unit = "data" if name == "burden" else "money"
    who = (lambda row: f" ({instance.name(row)})") if column.ndim else None
    read.check(name, np.atleast_1d(column), "≥ 0", unit, who=who)
    return arrays.freeze(np.broadcast_to(column, (n,)).copy())
