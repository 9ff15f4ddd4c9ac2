"""`mechopt solve`: from a file of users, or a population, to a checked plan."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from mechopt.atomic import STANDARD
from mechopt.commands import options as cli
from mechopt.commands.arguments import Option
from mechopt.commands.output import check_out, emit, note, working

_EXIT = {"optimal": 0, "null": 0, "infeasible": 3, "feasible": 4, "unknown": 4}


@dataclass(frozen=True)
class Further:
    """Options of single mechanisms; the names are those of `mechopt.solve`."""

    withdrawal: cli.Withdrawal = None
    dropout: cli.Dropout = None
    shock: cli.Shock = None
    confidence: Annotated[
        str | None,
        Option(metavar="P", help="Least probability that the threshold is still met."),
    ] = None
    price: Annotated[
        str | None, Option(metavar="MONEY", help="Evaluate this posted price, not the best.")
    ] = None
    payment: Annotated[
        str | None,
        Option(metavar="MONEY", help="Posted contract: what it pays; with --floor."),
    ] = None
    floor: Annotated[
        str | None, Option(metavar="DATA", help="Posted contract: the least to be given.")
    ] = None
    robust: Annotated[
        str | None,
        Option(help="Population: guard against every law near; total-variation or wasserstein."),
    ] = None
    radius: Annotated[
        str | None,
        Option(metavar="R", help="How near, with --robust; one or one per group."),
    ] = None
    seed: cli.Seed = None
    time_limit: cli.TimeLimit = None

    def options(self) -> dict[str, Any]:
        """What is said, as options of `mechopt.solve`."""
        dropout, shock = cli.hazards(self.dropout, self.shock)
        numbers = ("confidence", "price", "payment", "floor")
        read = {name: cli.numeric(name, getattr(self, name)) for name in numbers}
        read |= {"dropout": dropout, "shock": shock, "radius": cli.radii(self.radius)}
        return cli.given(asdict(self) | read)


@dataclass(frozen=True)
class Written:
    """Where the answer goes, and what a table of it shows."""

    out: cli.Out = None
    people: Annotated[
        bool,
        Option("--people", help="In a table of --out also the users' other columns (names, …)."),
    ] = False
    only_asked: Annotated[
        bool, Option("--only-asked", help="In a table of --out only those who are asked.")
    ] = False

    def write(self, answer: Any, **about: Any) -> None:
        """Write the answer, if a file was named."""
        if self.out is not None:
            from mechopt.files import write

            write(answer, self.out, people=self.people, only_asked=self.only_asked, **about)


def solve(
    file: cli.ProblemFile,
    aim: cli.Aim,
    terms: cli.FileTerms,
    direct: cli.Direct,
    further: Further,
    set_: Annotated[
        list[str] | None,
        Option(
            "--set",
            metavar="FIELD=X",
            help="Of every user: reversibility=0.5, or value=*2 to multiply; repeat.",
        ),
    ] = None,
    exact: Annotated[
        bool,
        Option(
            "--exact",
            help="Decimals read exactly; print the exact optimum and what proves it. With --format "
            "json the certificate for `mechopt verify`; with --out it is written beside the "
            "answer.",
        ),
    ] = False,
    *,
    written: Written,
    format: cli.FormatOption = cli.Format.TABLE,
    quiet: cli.Quiet = False,
) -> None:
    """Solve an instance (or population) and print the plan with its withdrawal check.

    Exit status: 0 answered, 2 bad input, 3 infeasible, 4 limit reached without proof.
    """
    out = written.out
    check_out(out, file)
    problem = cli.changed(terms.problem(file, exact=exact, quiet=quiet), set_)
    for implied in _outputs(out, exact=exact):
        check_out(implied)  # none is the file, or one that it names
    said = aim.options() | cli.given(asdict(direct)) | further.options()
    answer, remark = _answered(problem, aim, said, quiet=quiet)
    # A rule is evaluated, not optimised: there is no proof that could be missing.
    status = 0 if aim.mechanism == "rule" else _EXIT[answer.status]
    if remark and format is cli.Format.JSON:
        note(f"mechopt: {remark}", quiet=quiet)
    certificate = None
    if exact:
        with working("proving the answer in exact arithmetic", quiet=quiet):
            certificate = _certified(problem, answer)
    form = ".json" if format is cli.Format.JSON else ".csv"
    written.write(answer, instance_path=file, columns=cli.headings(terms.column), form=form)
    if out is not None:
        if str(out) in STANDARD:  # nothing else goes there
            raise SystemExit(status)
        note(f"mechopt: wrote {out}", quiet=quiet)
    if certificate is not None:
        _show_proof(certificate, out, format, quiet=quiet)
        raise SystemExit(_EXIT[answer.status])
    emit(_page(answer, remark, file, format))
    raise SystemExit(status)


def _answered(problem: Any, aim: cli.Aim, said: dict[str, Any], *, quiet: bool) -> tuple[Any, str]:
    """The answer, and why its objective was chosen if it was not asked for."""
    import mechopt as mo
    from mechopt.solving import default_mechanism, objective_of

    name = aim.mechanism or default_mechanism(problem)
    with working(f"solving ({_task(problem, name, aim.protocol)})", quiet=quiet):
        answer = mo.solve(problem, name, **said)
    return answer, objective_of(problem, said)[1] if answer.objective_name else ""


def _page(answer: Any, remark: str, file: Path, format: cli.Format) -> str:
    """What is printed: a plan beside the best posted price, any other answer by itself."""
    from mechopt.answer.plan import Plan

    plan = isinstance(answer, Plan)
    if format is cli.Format.JSON:
        from mechopt.files.documents import dumps

        if plan:
            return _plan_json(answer, _benchmark(answer), file)
        return dumps(answer.to_dict())
    from mechopt.commands.show import answer_text, plan_text

    return plan_text(answer, _benchmark(answer), remark) if plan else answer_text(answer, remark)


def _task(problem: Any, mechanism: str, protocol: str | None) -> str:
    """What is solved, in a few words."""
    levels = f", {problem.levels} thresholds" if problem.levels > 1 else ""
    asked = f", {protocol}" if protocol else ""
    return f"{mechanism}{asked}, {problem.n:,} users{levels}"


def _certified(problem: Any, answer: Any) -> Any:
    """The certificate of an answer; SolverError if exact arithmetic contradicts it."""
    import mechopt as mo
    from mechopt.errors import SolverError

    certificate = mo.certify(problem, answer)
    if not certificate.agrees:
        raise SolverError(f"exact arithmetic contradicts the answer: {certificate.remark}")
    return certificate


def _outputs(out: Path | None, *, exact: bool) -> list[Path]:
    """The files that are written for `--out`."""
    if out is None or str(out) in STANDARD:
        return []
    from mechopt.files.plans import side

    return [out, side(out), *([out.with_suffix(".certificate.json")] if exact else [])]


def _show_proof(certificate: Any, out: Path | None, format: cli.Format, *, quiet: bool) -> None:
    """Print the exact optimum with its proof; beside `out` the certificate."""
    from mechopt import checker
    from mechopt.files.documents import dumps

    if out is not None:
        path = out.with_suffix(".certificate.json")
        certificate.write(path)
        note(f"mechopt: wrote {path}", quiet=quiet)
    document = dict(certificate.document)
    if format is cli.Format.JSON:
        emit(dumps(document))
        return
    value = "" if certificate.optimum is None else f", {certificate.optimum}"
    decimal = "" if certificate.optimum is None else f" = {float(certificate.optimum):.12g}"
    emit(f"{certificate.status}{value}{decimal}\n")
    emit(f"data: {document['about']['reading']}\n")
    emit("".join(f"  {fact}\n" for fact in checker.verify(document)))


def _benchmark(plan: Any) -> Any:
    """The best posted price for the same aim; None if that is what was solved."""
    from mechopt.solving import posted_beside

    return None if plan.objective_name is None else posted_beside(plan)


def _plan_json(plan: Any, benchmark: Any, file: Any) -> str:
    from pathlib import Path

    from mechopt.commands.show import withdrawal_dict
    from mechopt.files import plans
    from mechopt.files.documents import dumps

    document = plans.document(plan, instance_path=file, folder=Path())
    if plan.has_answer:
        document["withdrawal"] = withdrawal_dict(plan)
    if benchmark is not None:
        document["benchmark"] = {
            "mechanism": benchmark.mechanism,
            "status": benchmark.status,
            "price": benchmark.details.get("price"),
            "metrics": benchmark.metrics,
        }
    return dumps(document)
