"""A checker of mechopt's certificates: Python's standard library, exact fractions, no solver.

    python -m mechopt.checker CERTIFICATE.json
    python -m checker CERTIFICATE.json            # this folder alone, copied anywhere

It trusts nothing but the problem's data inside the certificate. From these it writes down every
constraint anew, puts the answer in (it must satisfy all of them), and bounds what *any* answer
could reach. If answer and bound meet, the answer is optimal, whoever found it and however.

To be read in this order: `claims` (what is claimed and how it is judged), then `plans`
(known costs: A1–A6 and prices as a proof; `practice`, where not every burden may be asked),
`withdrawal` (who stays; `zones`, where users decide in turn; `rights`, where other rights are
granted), `posted` (all offers one by one) or `mechanisms` (private costs: D1–D6 and weak duality;
`laws`, where costs are correlated or their law is known only up to a ball); `data` has numbers and
curves.
Tags are those of the formulation.
"""

from .claims import seal_of, verify
from .data import Refuted

__all__ = ["Refuted", "seal_of", "verify"]
