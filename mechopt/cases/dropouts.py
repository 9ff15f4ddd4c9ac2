"""How many people leave, by group: the figures behind the family "withdrawal-shock".

NHS England, National Data Opt-out: 2.77 % of the population before, 4.97 % after June 2021 (women
3.0 to 5.5, men 2.5 to 4.4, people of 40 to 49 2.9 to 6.0), i.e. a shock that multiplies the rate by
1.8. How often a shock comes is not known: requests to leave The Stack v2 came to 40 in five months
and then to 1,060 in six days, so a shock in a campaign of 90 days is taken to have probability 0.1.
The rate of a group within an age is the product of its two factors, an assumption.
"""

from __future__ import annotations

from typing import Any

BASE, AFTER = 0.0277, 0.0497
SHOCK_PROBABILITY = 0.1
_BEFORE_AFTER = {"women": (0.030, 0.055), "men": (0.025, 0.044)}
_FORTIES = (0.029, 0.060)


def withdrawal_shock() -> dict[str, Any]:
    """`dropout` (label -> hazard) and `shock` for `crossing` and `solve`, of that family.

    Hazards are probabilities in [0, 1] by group; the shock is (probability, label -> factor). After
    NHS England's data opt-outs of 2021 (docs/campaign.md). Raises nothing.
    """
    before: dict[str, float] = {}
    factor: dict[str, float] = {}
    for label, (low, high) in _BEFORE_AFTER.items():
        older = f"{label} 40-49"
        before[label], factor[label] = low, high / low
        before[older] = round(low * _FORTIES[0] / BASE, 6)
        factor[older] = high * (_FORTIES[1] / AFTER) / before[older]
    return {"dropout": before, "shock": (SHOCK_PROBABILITY, factor)}
