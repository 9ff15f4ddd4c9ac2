"""`mechopt explain`: why a plan, or one person's part in it, is as it is."""

from __future__ import annotations

from typing import Annotated

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument
from mechopt.commands.output import Page
from mechopt.errors import InvalidOption


def explain(
    plan: cli.PlanFile,
    terms: cli.PlanTerms,
    who: Annotated[
        str | None, Argument(metavar="[ID]", help="Whose part; default the plan as a whole.")
    ] = None,
    *,
    shown: cli.Shown,
) -> None:
    """Say in sentences why somebody is asked and paid this, or what binds the plan as a whole.

    Of a direct mechanism: what it does by type, and what the budget, the probabilities of the costs
    and one more user are worth.
    """
    found = terms.answer(plan)
    if type(found).__name__ == "DirectMechanism":
        if who is not None:
            raise InvalidOption("ID: a mechanism is for all users; deploy it first (assign)")
        text = found.explain()
    else:
        text = terms.plan(plan).explain(who)
    page = Page()
    page.line(text)
    shown.say({"id": who, "sentences": text.splitlines()}, page.text)
