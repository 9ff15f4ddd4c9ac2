"""`mechopt calibrate`, `calibrate-population`: problems from real data, saying what was assumed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mechopt.commands import options as cli
from mechopt.commands.arguments import Argument, Option
from mechopt.commands.output import check_out, emit

if TYPE_CHECKING:
    from mechopt.problem.population import Population


@dataclass(frozen=True)
class CurveSteps:
    """A learning curve whose steps are the thresholds."""

    learning_curve: Annotated[
        Path | None,
        Option(metavar="CSV", help="task, model, loss_<size>: thresholds from this curve."),
    ] = None
    task: Annotated[str, Option(help="Task of the learning curve.")] = "flan"
    model: Annotated[str | None, Option(help="Model; default the median of all.")] = None
    per_unit: Annotated[float, Option(help="Examples in one data unit.")] = 1.0

    def steps(self, shares: list[float] | None) -> Any:
        """The curve's steps at these shares of its gain; None without a curve."""
        from mechopt.cases.calibration import read_learning_curve
        from mechopt.problem.improvement_curves import step_curve_from_losses

        if self.learning_curve is None:
            return None
        sizes, losses = read_learning_curve(self.learning_curve, self.task, self.model)
        named: dict[str, Any] = {} if shares is None else {"shares": shares}
        return step_curve_from_losses(sizes, losses, per_unit=self.per_unit, **named)


@dataclass(frozen=True)
class Drawn:
    """What is drawn; the names are those of `instance_from_capacities`."""

    never_sell: Annotated[float | None, Option(help="Share of people; default 0.11.")] = None
    cost_log_sd: Annotated[float | None, Option(help="Spread of costs; default 1.")] = None
    provider_value: Annotated[float | None, Option(help="Default: 20 per person.")] = None
    budget: Annotated[float | None, Option(help="Cap on the payments.")] = None
    seed: cli.Seed = None


def calibrate(
    file: Annotated[
        Path, Argument(metavar="FILE", help="CSV: contributor, units and perhaps source.")
    ],
    source: Annotated[str | None, Option(help="Which source's rows to take.")] = None,
    share_of_total: Annotated[
        list[float] | None,
        Option("--share-of-total", help="Threshold as a share of all units; repeat."),
    ] = None,
    threshold: cli.Thresholds = None,
    share: cli.Shares = None,
    *,
    curve: CurveSteps,
    drawn: Drawn,
    out: cli.Out = None,
) -> None:
    """Build an instance from what people gave; costs and values are drawn, and it says how.

    With --learning-curve, --share names the shares of its gain that are the steps. The
    assumptions are printed; the instance goes to --out.
    """
    from mechopt.cases import calibration
    from mechopt.errors import InvalidOption
    from mechopt.files import write

    if out is None:
        raise InvalidOption("--out: say where the instance goes (a .json file)")
    check_out(out, file, curve.learning_curve)
    ids, units = calibration.read_capacities(file, source)
    shares = cli.numerics("share", share)
    steps = curve.steps(shares)
    made = calibration.instance_from_capacities(
        units,
        share_of_total=share_of_total or None,
        thresholds=cli.numerics("threshold", threshold),
        shares=shares if steps is None else None,
        curve=steps,
        ids=ids,
        source=source or file.name,
        **{"seed": 0, **cli.given(asdict(drawn))},
    )
    write(made.instance, out)
    emit("".join(f"assumed: {line}\n" for line in made.assumptions))


@dataclass(frozen=True)
class Everybody:
    """What holds for every group; the names are those of `Population.from_samples`."""

    size: Annotated[int, Option(help="Users per group.")]
    capacity: Annotated[float, Option(help="Most data a user can give.")]
    types: Annotated[int, Option(help="Types per group.")] = 5
    rule: Annotated[str, Option(help="A type's cost: mean or upper end of its part.")] = "mean"
    value: Annotated[float, Option(help="A user's benefit, money.")] = 0.0
    reversibility: Annotated[float, Option(help="Share of the cost recovered.")] = 1.0


def calibrate_population(
    file: Annotated[
        Path, Argument(metavar="FILE", help="CSV: cost of each person asked, perhaps group.")
    ],
    everybody: Everybody,
    threshold: cli.Thresholds = None,
    share: cli.Shares = None,
    provider_value: cli.ProviderValue = None,
    budget: cli.Budget = None,
    confidence: Annotated[float, Option(help="Of the radii printed.")] = 0.95,
    out: cli.Out = None,
) -> None:
    """Build a population from a survey of costs: types, their law, and how far it may be off.

    The radii are those to give to `solve --robust`. The population goes to --out.
    """
    from mechopt.cases.calibration import read_survey
    from mechopt.errors import InvalidOption
    from mechopt.files import write
    from mechopt.problem.population import Population

    if out is None:
        raise InvalidOption("--out: say where the population goes (a .json file)")
    if not threshold:
        raise InvalidOption("--threshold: say how much data is to be reached")
    check_out(out)
    costs, groups = read_survey(file)
    chosen = {
        "provider_value": cli.numeric("provider-value", provider_value),
        "budget": cli.numeric("budget", budget),
    }
    made = Population.from_samples(
        costs,
        group=groups,
        **asdict(everybody),
        thresholds=cli.numerics("threshold", threshold),
        shares=cli.numerics("share", share),
        **cli.given(chosen),
    )
    lines = [made.summary(), *_radii(made, groups, confidence)]
    write(made, out)
    emit("".join(f"{line}\n" for line in lines))


def _radii(made: Population, groups: list[str] | None, confidence: float) -> Iterator[str]:
    """How far each group's law may be off, all groups together with this confidence."""
    assert made.estimates is not None
    labels = dict.fromkeys(groups) if groups is not None else [None]
    for label, estimate in zip(labels, made.estimates):
        each = 1 - (1 - confidence) / len(made.estimates)
        near, cost = (estimate.radius(each, distance=d) for d in ("total-variation", "wasserstein"))
        yield (
            f"{'' if label is None else f'{label}: '}{estimate.observations} people asked; a cost "
            f"lies {estimate.shift:.4g} from its type's on average, at most {estimate.worst:.4g}; "
            f"radius at {confidence:.0%} confidence: total-variation {near:.4g}, "
            f"wasserstein {cost:.4g}"
        )
