"""`mechopt simulate`: what a plan reaches when decisions go wrong now and then."""

from __future__ import annotations

from typing import Annotated

from mechopt.commands import options as cli
from mechopt.commands.arguments import Option
from mechopt.commands.output import Page


def simulate(
    plan: cli.PlanFile,
    terms: cli.PlanTerms,
    mistake: Annotated[
        str, Option("--mistake", metavar="P", help="Probability that a decision goes wrong.")
    ] = "0.01",
    draws: Annotated[int, Option("--draws", min=1, help="How many draws.")] = 1000,
    protocol: cli.Protocol = None,
    order: cli.Order = None,
    withdrawal: cli.Withdrawal = None,
    seed: cli.Seed = None,
    *,
    shown: cli.Shown,
) -> None:
    """Draw the withdrawal stage with mistakes and print how often each level is reached.

    Everyone means to do what the protocol's outcome says; each decision then goes wrong with
    probability --mistake. In sequence those who come later see the mistakes and answer them.
    """
    import mechopt as mo

    found = terms.plan(plan)
    own = found.protocol if found.protocol != "reassign" else "simultaneous"
    result = mo.simulate_withdrawal(
        found.instance,
        found,
        protocol or own,
        order=cli.positions(order) if order is not None else found.order,
        withdrawal=withdrawal or found.right,
        mistake=cli.numeric("mistake", mistake),
        draws=draws,
        seed=seed or 0,
    )
    low, high = result.interval
    lines = [
        f"{draws:,} draws, each decision wrong with probability {result.mistake:g}, "
        f"protocol {result.protocol}",
        f"trained (at least the first threshold): {100 * result.crossing:.4g} % of the draws "
        f"(95 %: {100 * low:.4g} to {100 * high:.4g} %)",
    ]
    for level, chance in enumerate(result.levels.tolist()):
        name = (
            "nothing reached"
            if level == 0
            else f"level {level}, share {found.instance.share_at(level):g}"
        )
        lines.append(f"  {name:<28} {100 * chance:6.2f} %")
    lines += [
        f"mean share of the improvement: {result.improvement:.4g}",
        f"mean data that stay: {result.data:,.6g} of {found.total or 0:,.6g}",
    ]
    page = Page()
    page.line("\n".join(lines))
    shown.say(result.to_dict(), page.text)
