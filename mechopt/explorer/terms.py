"""The terms that can be moved, their place in the address of the page, and what they stand for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

from mechopt import arrays
from mechopt.errors import InvalidOption
from mechopt.problem.instance import Instance

MECHANISMS = ("burdens", "posted-price", "subsidy", "floor-and-burdens", "complete-information")
PROTOCOLS = ("simultaneous", "sequential", "none")
ORDERS = ("small-first", "large-first", "cost")
RIGHTS = ("whole", "part")
OBJECTIVES = ("", "provider-surplus", "welfare", "expenditure", "social-cost", "improvement")
_SHARES = {"rho": "reversibility", "delta": "removable", "eta": "exclusion"}
_SWITCHES = {
    "mechanism": MECHANISMS,
    "protocol": PROTOCOLS,
    "order": ORDERS,
    "right": RIGHTS,
    "objective": OBJECTIVES,
}
MOST_THRESHOLDS = 5  # that have a slider of their own; more are moved together
PATIENCE = 2.0  # seconds for an answer that takes a search …
HURRY = 0.03  # … and for the first one, while a slider moves


@dataclass(frozen=True)
class Slider:
    """One slider: from `low` to `high` in `step`, at `start`; `free`: its top means no limit."""

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float
    free: bool = False

    def to_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


def sliders_of(instance: Instance) -> list[Slider]:
    """The sliders for an instance, standing where its file has them."""
    all_cost = arrays.exact_sum(instance.cost_of(instance.capacity))
    all_data = arrays.exact_sum(instance.capacity)
    worth = max(instance.provider_value, arrays.exact_sum(instance.value), all_cost)
    money = _nice(all_cost)
    budget = min(instance.budget, money)
    found = [Slider("budget", "budget", 0.0, money, money / 400, budget, free=True)]
    thresholds = instance.thresholds.tolist()
    if len(thresholds) <= MOST_THRESHOLDS:
        top = _nice(max(1.2 * thresholds[-1], min(all_data, 3 * thresholds[-1])))
        for k, threshold in enumerate(thresholds):
            name = "threshold" if len(thresholds) == 1 else f"threshold {k + 1}"
            found.append(Slider(f"t{k + 1}", name, top / 400, top, top / 400, threshold))
    else:
        found.append(Slider("scale", "all thresholds ×", 0.1, 2.0, 0.01, 1.0))
    found.append(Slider("value", "users' values ×", 0.0, 3.0, 0.05, 1.0))
    for name, field in _SHARES.items():
        label = {"rho": "reversibility ρ", "delta": "removable δ", "eta": "exclusion η"}[name]
        start = float(np.mean(getattr(instance, field)))
        found.append(Slider(name, label, 0.0, 1.0, 0.05, start))
    most = _nice(0.25 * thresholds[-1])
    found.append(Slider("reserve", "reserve", 0.0, most, most / 100, 0.0))
    top = _nice(2 * worth) if worth > 0 else 1.0
    found.append(Slider("V", "provider's value", 0.0, top, top / 400, instance.provider_value))
    return found


def _nice(number: float) -> float:
    """A round number not below `number`."""
    if number <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(number))
    return float(next(power * f for f in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if power * f >= number))


@dataclass(frozen=True)
class PageTerms:
    """What the address says: `moved` sliders, and switches that are not at their default."""

    moved: Mapping[str, float]
    switches: Mapping[str, str]
    out: tuple[int, ...] = ()

    @classmethod
    def read(cls, query: Mapping[str, str], instance: Instance) -> PageTerms:
        """From the query of an address. Raises InvalidOption naming what is wrong."""
        known = {slider.name: slider for slider in sliders_of(instance)}
        moved: dict[str, float] = {}
        switches: dict[str, str] = {}
        out: tuple[int, ...] = ()
        for name, text in query.items():
            if name in known:
                moved[name] = _number(name, text, known[name].free)
            elif name in _SWITCHES:
                if text not in _SWITCHES[name]:
                    raise InvalidOption(f"{name}: {text[:40]!r} is not known")
                switches[name] = text
            elif name == "out":
                out = _users(text, instance.n)
            else:
                raise InvalidOption(f"{name[:40]!r} is no term of this page")
        return cls(moved, switches, out)

    # -- what they stand for ---------------------------------------------------------------------

    def changes(self, instance: Instance) -> dict[str, Any]:
        """The arguments of `Instance.replace`."""
        found: dict[str, Any] = {}
        moved = self.moved
        if "budget" in moved:
            found["budget"] = None if moved["budget"] == inf else moved["budget"]
        thresholds = instance.thresholds.tolist()
        if any(name.startswith("t") for name in moved):
            found["thresholds"] = [moved.get(f"t{k + 1}", t) for k, t in enumerate(thresholds)]
        if "scale" in moved:
            found["thresholds"] = [moved["scale"] * t for t in thresholds]
        if "value" in moved:
            found["value"] = moved["value"] * instance.value
        for name, field in _SHARES.items():
            if name in moved:
                found[field] = moved[name]
        if "V" in moved:
            found["provider_value"] = moved["V"]
        return found

    def apply(self, instance: Instance) -> Instance:
        """The instance with these terms. Raises InvalidInstance."""
        changes = self.changes(instance)
        return instance.replace(**changes) if changes else instance

    @property
    def mechanism(self) -> str:
        return self.switches.get("mechanism", "burdens")

    def options(self) -> dict[str, Any]:
        """The options of `solve`."""
        found: dict[str, Any] = {}
        if self.switches.get("objective"):
            found["objective"] = self.switches["objective"]
        if self.mechanism not in ("burdens", "floor-and-burdens"):
            return found
        for name in ("protocol", "order"):
            if name in self.switches:
                found[name] = self.switches[name]
        if self.mechanism == "burdens":
            if self.switches.get("right", "whole") != "whole":
                found["withdrawal"] = self.switches["right"]
            if self.moved.get("reserve"):
                found["reserve"] = self.moved["reserve"]
        return found

    # -- as lines to be copied ---------------------------------------------------------------------

    def command(self, file: str, instance: Instance) -> str:
        """The `mechopt solve` line that gives the same plan."""
        words = ["mechopt", "solve", file]
        changes = {**_beside(file, instance), **self.changes(instance)}
        for name, value in changes.items():
            if name == "budget":
                words += ["--budget", "inf" if value is None else _spell(value)]
            elif name == "thresholds":
                words += [w for t in value for w in ("--threshold", _spell(t))]
            elif name == "provider_value":
                words += ["--provider-value", _spell(value)]
            elif name == "value":
                words += ["--set", f"value=*{_spell(self.moved['value'])}"]
            else:
                words += ["--set", f"{name}={_spell(value)}"]
        if "thresholds" in changes and instance.levels > 1:
            words += [w for b in instance.shares.tolist() for w in ("--share", _spell(b))]
        if self.mechanism != "burdens":
            words += ["--mechanism", self.mechanism]
        for name, value in self.options().items():
            words += [f"--{name}", value if isinstance(value, str) else _spell(value)]
        return shlex.join(words)

    def python(self, file: str, instance: Instance) -> str:
        """The lines of Python that give the same plan."""
        said = "".join(f", {name}={value!r}" for name, value in _beside(file, instance).items())
        if said and instance.levels > 1:
            said += f", shares={instance.shares.tolist()!r}"
        lines = ["import mechopt as mo", f"instance = mo.read({file!r}{said})"]
        changes = {
            name: f"{_spell(self.moved['value'])} * instance.value" if name == "value" else value
            for name, value in self.changes(instance).items()
        }
        if changes:
            said = ", ".join(
                f"{name}={value if name == 'value' else repr(value)}"
                for name, value in changes.items()
            )
            lines.append(f"instance = instance.replace({said})")
        options = "".join(f", {name}={value!r}" for name, value in self.options().items())
        lines.append(f"plan = mo.solve(instance, {self.mechanism!r}{options})")
        return "\n".join(lines)


def _beside(file: str, instance: Instance) -> dict[str, Any]:
    """What a table of users does not say itself and was given when the page was opened."""
    if file.lower().removesuffix(".gz").endswith(".json"):
        return {}
    found: dict[str, Any] = {"thresholds": instance.thresholds.tolist()}
    if instance.provider_value:
        found["provider_value"] = instance.provider_value
    if isfinite(instance.budget):
        found["budget"] = instance.budget
    return found


def _number(name: str, text: str, free: bool) -> float:
    try:
        value = float(text) if len(text) < 40 else float("nan")
    except ValueError:
        value = float("nan")
    if not (value >= 0 and (isfinite(value) or free)):
        raise InvalidOption(f"{name}: must be a number ≥ 0, got {text[:40]!r}")
    return value


def _users(text: str, n: int) -> tuple[int, ...]:
    try:
        users = {int(part) for part in text.split(",") if part}
    except ValueError:
        users = {-1}
    if users and not (min(users) >= 0 and max(users) < n):
        raise InvalidOption(f"out: expected positions of users, 0 to {n - 1}, got {text[:40]!r}")
    return tuple(sorted(users))


def _spell(number: float) -> str:
    return repr(float(number)).removesuffix(".0")
