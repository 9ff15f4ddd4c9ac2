"""A direct mechanism in plain language: what it does, and which constraints hold it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mechopt import tolerances
from mechopt.answer.common import headline
from mechopt.private.regret import gains

if TYPE_CHECKING:
    from mechopt.answer.mechanism import DirectMechanism

_INCENTIVES = {
    "dsic": "truthful reports are dominant (DSIC)",
    "bic": "truthful reports are best in expectation (BIC)",
    "none": "costs are observed (complete information)",
}
_SHOWN = 8  # binding constraints quoted


def summary(mechanism: DirectMechanism) -> str:
    """A page of text, lines separated by newlines."""
    terms, population = mechanism.terms, mechanism.population
    lines = [
        headline(mechanism),
        f"{population.n} users; {_INCENTIVES[terms.incentive]}; {terms.participation} "
        f"participation; {_rights(mechanism)}",
    ]
    if mechanism.reason:
        lines.append(mechanism.reason)
    if not mechanism.has_answer:
        return "\n".join(lines)
    lines += [_what_it_does(mechanism), *_by_type(mechanism)]
    if mechanism.plans is not None:
        lines.append(
            f"draws from {len(mechanism.plans)} plans, whose places users of a type get at random; "
            "everybody stays because of what a withdrawal would set off, small-first"
        )
    if terms.robust is not None and "worst" in mechanism.details:
        lines.append(_guarantee(mechanism))
    if mechanism.details.get("payment_bound_binds"):
        lines.append("the bound on payments binds: rare runs pay as much as is allowed")
    held = binding(mechanism)
    if held:
        lines.append("binding: " + "; ".join(held[:_SHOWN]))
        if len(held) > _SHOWN:
            lines[-1] += f"; and {len(held) - _SHOWN} more"
    return "\n".join(lines)


def _guarantee(mechanism: DirectMechanism) -> str:
    terms, details = mechanism.terms, mechanism.details
    laws = "; ".join(", ".join(f"{chance:.4g}" for chance in law) for law in details["worst"])
    text = (
        f"guaranteed against every law within {terms.robust} "
        f"{', '.join(f'{one:g}' for one in terms.radius or ())}; the worst has probabilities {laws}"
    )
    if details.get("nominal_guarantees") is not None and details.get("nominal") is not None:
        text += (
            f"; the nominal optimum is {details['nominal']:.6g} and guarantees "
            f"{details['nominal_guarantees']:.6g}"
        )
    return text


def _rights(mechanism: DirectMechanism) -> str:
    terms = mechanism.terms
    if terms.honest_and_obedient:
        return "everybody may withdraw, also after misreporting"
    return "truthful users may withdraw" if terms.obedient else "no withdrawal rights"


def _what_it_does(mechanism: DirectMechanism) -> str:
    metrics = mechanism.metrics
    run = mechanism.run_probability
    space = mechanism.population.states
    always = float(space.probability[run >= 1].sum())
    sometimes = float(space.probability[(run > 0) & (run < 1)].sum())
    text = f"runs with probability {float(space.probability @ run):.4g}: for sure in {always:.1%}"
    if sometimes > 0:
        text += f" of states, by lottery in {sometimes:.1%}"
    else:
        text += " of states"
    text += (
        f"; pays {metrics['expenditure']:.4g} and collects {metrics['data']:.4g} data "
        "in expectation; nothing is collected or paid otherwise"
    )
    return text


def _by_type(mechanism: DirectMechanism) -> list[str]:
    curves = mechanism.interim
    money = max(group.value for group in mechanism.population.groups) + curves.payment.max()
    rent, paid = (
        np.where(np.abs(one) <= tolerances.REACH * money, 0.0, one)
        for one in (curves.utility, curves.payment)
    )
    return [
        f"  {mechanism.population.type_name(j)}: runs {curves.run[j]:.1%}, gives "
        f"{curves.burden[j]:.4g}, is paid {paid[j]:.4g}, rent {rent[j]:.4g}"
        for j in range(curves.run.size)
    ]


def binding(mechanism: DirectMechanism) -> list[str]:
    """Which types are indifferent to which report or to taking part, in expectation."""
    population, curves = mechanism.population, mechanism.interim
    values = [group.value for group in population.groups]
    _, _, payment = mechanism._answer()
    room = tolerances.SOLVER * max(1.0, *values, float(payment.max(initial=0.0)))
    held: list[str] = []
    for g, others in enumerate(population.states.others):
        first = population.first_type[g]
        for true in range(population.groups[g].types):
            name = population.type_name(first + true)
            if curves.run[first + true] <= 0:
                continue
            for told in range(population.groups[g].types):
                if true == told or mechanism.terms.incentive == "none":
                    continue
                pair = others.state[:, true], others.state[:, told]
                gain = float(
                    others.given(true) @ gains(mechanism, first + true, first + told, pair)
                )
                if abs(gain) <= room:
                    held.append(f"a user of {name} is indifferent to reporting type {told + 1}")
            if abs(curves.utility[first + true]) <= room:
                held.append(f"a user of {name} is indifferent to taking part")
    return held
