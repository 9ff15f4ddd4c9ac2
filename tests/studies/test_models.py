"""The catalogue says the truth: sheet, code, LP file and optimum of every formulation agree."""

from __future__ import annotations

import json
import re
import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

import mechopt as mo
from mechopt import registry, tolerances
from mechopt.cli import main
from mechopt.errors import InvalidFile, InvalidOption
from mechopt.solver import highs
from mechopt.studies import catalogue
from mechopt.studies.models import formulation_of, tag_of
from tests.conftest import ROOT
from tests.oracles import oracle_certificate as oracle

NAMES = catalogue.names()
# Mechanisms that evaluate something given: there is no problem of the provider to write down.
NOT_OPTIMISED = ("rule",)
# State probabilities are computed in floating point: what a file's decimals say may be off by it.
ROUNDING = Fraction(1, 10**12)


@pytest.fixture(scope="module", params=NAMES)
def entry(request: pytest.FixtureRequest) -> catalogue.Entry:
    return catalogue.entry(request.param)


@pytest.fixture(scope="module")
def program(entry: catalogue.Entry) -> oracle.Program:
    return oracle.read_program(entry.lp)


@pytest.fixture(scope="module")
def exported(entry: catalogue.Entry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(entry.name) / "model.lp"
    mo.export_model(entry.problem, entry.name, path, **entry.model_options)
    return path


def margin_of(entry: catalogue.Entry) -> Fraction:
    """What an optimum may be off by: rounding, or the margin that makes "<" a "≤" (stated)."""
    return Fraction(entry.optimum.get("margin", ROUNDING))


def tolerance_of(entry: catalogue.Entry) -> float:
    return max(1e-8, float(margin_of(entry)))


def point_of(entry: catalogue.Entry) -> dict[str, Fraction]:
    return {name: Fraction(text) for name, text in entry.optimum["solution"].items()}


# -- the catalogue is complete ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_formulation_has_a_whole_folder(name: str) -> None:
    folder = catalogue.place() / name
    needed = ["README.md", "model.lp", "optimum.json"]
    missing = [file for file in needed if not (folder / file).is_file()]
    assert not missing, (
        f"registry.FORMULATIONS has {name!r}, but models/{name}/ lacks {', '.join(missing)}; "
        "models/README.md says how to add a model"
    )
    assert catalogue.entry(name).problem is not None


@pytest.mark.parametrize("mechanism", registry.MECHANISMS)
def test_every_mechanism_has_a_formulation(mechanism: str) -> None:
    name = formulation_of(mechanism, {})
    if mechanism in NOT_OPTIMISED:
        assert name not in registry.FORMULATIONS
        return
    assert name in registry.FORMULATIONS, (
        f"mechanism {mechanism!r} has no formulation {name!r} in registry.FORMULATIONS and no "
        f"folder models/{name}/; models/README.md says how to add a model"
    )


def test_nothing_else_is_in_the_catalogue() -> None:
    folders = {path.name for path in catalogue.place().iterdir() if path.is_dir()}
    assert folders == set(NAMES)
    assert not list(catalogue.place().rglob("*.py"))
    allowed = {"README.md", "model.lp", "optimum.json", "plan.json", *catalogue.PROBLEM_FILES}
    files = {path.name for path in catalogue.place().rglob("*") if path.is_file()}
    assert files <= allowed


def test_a_formulation_without_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.FORMULATIONS, "auction", "mechopt.formulations.burdens:build")
    with pytest.raises(InvalidFile, match=r"models/auction: .* lacks README.md, optimum.json"):
        catalogue.entry("auction")


def test_the_list_names_every_model_with_its_question() -> None:
    text = (catalogue.place() / "README.md").read_text("utf-8")
    for name in NAMES:
        assert f"| [{name}]({name}/README.md) | {catalogue.entry(name).question} |" in text, (
            f"models/README.md does not list {name} with the question of its sheet"
        )


def test_the_package_carries_every_file() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert settings["package-dir"]["mechopt.sheets"] == "models"
    assert "mechopt.sheets" in settings["packages"]
    patterns = settings["package-data"]["mechopt.sheets"]
    carried = {path for pattern in patterns for path in (ROOT / "models").glob(pattern)}
    assert carried == {path for path in (ROOT / "models").rglob("*") if path.is_file()}


# -- the sheet -------------------------------------------------------------------------------------


def test_sheet_and_model_have_the_same_tags(entry: catalogue.Entry) -> None:
    rows = entry.model().component_objects((pyo.Var, pyo.Constraint, pyo.Objective))
    # components without a row are left out because others imply them
    in_model = {tag_of(component) for component in rows if len(component)} - {None}
    assert entry.tags == in_model, (
        f"models/{entry.name}/README.md and {registry.FORMULATIONS[entry.name]} differ: "
        f"only in the sheet {sorted(entry.tags - in_model)}, "
        f"only in the code {sorted(in_model - entry.tags)}"
    )


def test_sheet_explains_every_equation(entry: catalogue.Entry) -> None:
    for tag in entry.tags:
        assert f"**({tag})" in entry.sheet, f"no paragraph begins with **({tag})"


def test_sheet_has_all_its_parts(entry: catalogue.Entry) -> None:
    headings = re.findall(r"^## (.*)$", entry.sheet, re.MULTILINE)
    assert headings == [
        "Sets and data",
        "Variables",
        "Model",
        "What it assumes",
        "The sample",
        "Source",
    ]
    assert entry.sheet.startswith("# ")
    assert entry.question.endswith("?")
    assert str(entry.value) in entry.sheet
    module = registry.FORMULATIONS[entry.name].partition(":")[0].replace(".", "/")
    assert f"`{module}.py`" in entry.sheet
    assert "arXiv 2605.07419" in entry.sheet


def test_sheet_math_renders_on_github(entry: catalogue.Entry) -> None:
    """Markdown eats backslashes before punctuation; a display is a paragraph of its own."""
    lines = entry.sheet.splitlines()
    for number, line in enumerate(lines):
        for spoilt in (r"\,", r"\;", r"\!", r"\{", r"\}", r"\\", r"\_", r"\|"):
            assert spoilt not in line, f"line {number + 1}: {spoilt}"
        assert line.count("$") % 2 == 0, f"line {number + 1}: a formula is not closed"
        if "$$" in line:
            assert re.fullmatch(r"\$\$ .* \$\$", line), f"line {number + 1}"
            assert lines[number - 1] == lines[number + 1] == "", f"line {number + 1}"
        assert line.count("{") == line.count("}"), f"line {number + 1}"
        assert line.count(r"\left") == line.count(r"\right"), f"line {number + 1}"
        if line and not line.startswith("|"):
            assert not lines[number - 1].startswith("|"), f"line {number + 1} joins the table"
        if line.startswith("|") and "$" in line:
            inside = "".join(re.findall(r"\$([^$]*)\$", line))
            assert "|" not in inside, f"line {number + 1}: a bar inside a formula ends the cell"


# -- the LP file -----------------------------------------------------------------------------------


def test_lp_is_what_the_code_exports_today(program: oracle.Program, exported: Path) -> None:
    assert not oracle.differences(oracle.read_program(exported), program)


def test_export_is_the_same_byte_for_byte(
    entry: catalogue.Entry, exported: Path, tmp_path: Path
) -> None:
    again = tmp_path / "model.lp"
    mo.export_model(entry.problem, entry.name, again, **entry.model_options)
    assert again.read_bytes() == exported.read_bytes()


def test_mps_is_the_same_model(
    entry: catalogue.Entry, program: oracle.Program, tmp_path: Path
) -> None:
    path = tmp_path / "model.mps"
    mo.export_model(entry.problem, entry.name, path, **entry.model_options)
    assert not oracle.differences(oracle.read_program(path), program)
    assert by_highs(path) == pytest.approx(float(entry.value), abs=1e-6, rel=1e-6)


def test_labels_lead_back_to_component_and_user(
    entry: catalogue.Entry, program: oracle.Program, exported: Path
) -> None:
    names = json.loads(exported.with_name("model.lp.labels.json").read_text("utf-8"))["names"]
    assert {*program.rows, *program.columns} <= set(names)
    model = entry.model()
    for written, label in names.items():
        component = model.component(label["component"])
        assert component is not None, written
        if "index" in label:
            index = label["index"]
            assert (tuple(index) if isinstance(index, list) else index) in component
        if "user" in label:
            first = label["index"][0] if isinstance(label["index"], list) else label["index"]
            assert label["user"] == entry.problem.ids[first]


def test_labels_name_users_and_explain_the_states_of_a_population(tmp_path: Path) -> None:
    burdens, direct = catalogue.entry("burdens"), catalogue.entry("direct-dsic")
    for one in (burdens, direct):
        mo.export_model(one.problem, one.name, tmp_path / f"{one.name}.lp", **one.model_options)
    labels = json.loads((tmp_path / "burdens.lp.labels.json").read_text("utf-8"))
    assert labels["names"]["give(3_0)"]["user"] == "dan"
    assert labels["names"]["c_u_obedience(3)_"]["user"] == "dan"
    assert "user" not in labels["names"]["reach(1)"]
    legend = json.loads((tmp_path / "direct-dsic.lp.labels.json").read_text("utf-8"))
    assert legend["types"] == ["type 1 (cost 1)", "type 2 (cost 2)"]
    assert [state["counts"] for state in legend["states"]] == [[0, 2], [1, 1], [2, 0]]
    assert [state["probability"] for state in legend["states"]] == pytest.approx([0.25, 0.5, 0.25])
    assert legend["others"] == [[[1, 0], [2, 1]]]  # facing dear or cheap, reporting cheap or dear


# -- the optimum -----------------------------------------------------------------------------------


def test_the_stated_point_is_feasible_and_has_the_stated_value(
    entry: catalogue.Entry, program: oracle.Program
) -> None:
    point = point_of(entry)
    assert not oracle.violations(program, point, margin_of(entry))
    assert abs(oracle.objective(program, point) - entry.value) <= margin_of(entry)


def test_the_certificate_proves_that_nothing_is_better(
    entry: catalogue.Entry, program: oracle.Program
) -> None:
    certificate = entry.optimum["certificate"]
    assert len(certificate["method"]) > 80, "say in words how the value was derived"
    assert not oracle.refutations(program, entry.value, certificate["cases"], margin_of(entry))


def test_a_better_value_would_be_refuted(entry: catalogue.Entry, program: oracle.Program) -> None:
    better = entry.value - program.sign * Fraction(1, 1000)
    # the certificate proves a bound of `value`: it must not "prove" that less is out of reach
    worse = entry.value + program.sign * Fraction(1, 1000)
    cases = entry.optimum["certificate"]["cases"]
    assert not oracle.refutations(program, better, cases, margin_of(entry))
    assert oracle.refutations(program, worse, cases, margin_of(entry))


def test_duals_certify_the_lp(entry: catalogue.Entry, program: oracle.Program) -> None:
    """With the integer columns at their optimal values, HiGHS' duals bound the LP by its value."""
    point = point_of(entry)
    fixed = {
        name: int(point.get(name, Fraction(0)))
        for name, column in program.columns.items()
        if column.integer
    }
    duals = oracle.lp_duals(oracle.fix(program, fixed))
    bound = oracle.dual_bound(oracle.fix(program, fixed), duals, slack=1e-9)
    assert float(bound) == pytest.approx(float(entry.value), rel=1e-7, abs=tolerance_of(entry))


def by_highs(path: Path) -> float:
    import highspy

    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", 0.0)
    assert solver.readModel(str(path)) == highspy.HighsStatus.kOk
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(solver.getInfo().objective_function_value)


def by_scip(path: Path) -> float:
    import pyscipopt

    solver = pyscipopt.Model()
    solver.hideOutput()
    solver.readProblem(str(path))
    solver.optimize()
    assert solver.getStatus() == "optimal"
    return float(solver.getObjVal())


@pytest.mark.parametrize("solver", [by_highs, by_scip])
def test_two_unrelated_solvers_reach_it_from_the_file(entry: catalogue.Entry, solver: Any) -> None:
    assert solver(entry.lp) == pytest.approx(float(entry.value), rel=1e-6, abs=1e-6)


def answer_problem(entry: catalogue.Entry, answer: Any) -> Any:
    """The problem an answer is of: deterministic mechanisms may treat users individually."""
    return entry.problem if isinstance(answer, mo.Plan) else answer.population


def test_the_package_reaches_it(entry: catalogue.Entry) -> None:
    solution = highs.solve_model(entry.model(), objective_scale=1e4)
    assert solution.status is mo.Status.OPTIMAL
    assert solution.objective == pytest.approx(
        float(entry.value), rel=1e-8, abs=tolerance_of(entry)
    )
    mechanism = entry.optimum.get("mechanism")
    if mechanism is not None:
        options = entry.optimum.get("solve_options", entry.optimum["options"])
        answer = mo.solve(entry.problem, mechanism, **options)
        assert answer.status == "optimal"
        assert mo.audit(answer_problem(entry, answer), answer).ok
        assert answer.objective == pytest.approx(
            float(entry.value), rel=1e-8, abs=tolerance_of(entry)
        )


def test_the_stated_withdrawal_check_is_what_the_check_says(entry: catalogue.Entry) -> None:
    if not isinstance(entry.problem, mo.Instance):
        assert "withdrawal" not in entry.optimum  # D5, in the model itself
        return
    stated, plan = entry.optimum["withdrawal"], entry.optimum["plan"]
    exact = mo.Plan.from_arrays(entry.problem, plan["burden"], plan["payment"])
    protocol = {key: stated[key] for key in ("protocol", "order") if key in stated}
    report = mo.check_withdrawal(entry.problem, exact, **protocol)
    assert report.stable == stated["stable"]
    assert Fraction(report.margin) == Fraction(stated["margin"])


def test_every_equation_binds_in_the_sample(
    entry: catalogue.Entry, program: oracle.Program, exported: Path
) -> None:
    """Some row of each tag holds with equality (some column is at its upper bound)."""
    labels = json.loads(exported.with_name("model.lp.labels.json").read_text("utf-8"))["names"]
    point = point_of(entry)
    binding = {
        labels[name]["tag"]
        for name, row in program.rows.items()
        if _meets(oracle.activity(row, point), row.lower, row.upper)
    }
    binding |= {
        labels[name]["tag"]
        for name, column in program.columns.items()
        if _meets(point.get(name, Fraction(0)), column.upper)
        or (column.upper == float("inf") and _meets(point.get(name, Fraction(0)), column.lower))
    }
    objective = {tag_of(next(entry.model().component_objects(pyo.Objective)))}
    slack = entry.optimum.get("slack", {})
    assert all(len(reason) > 20 for reason in slack.values()), "say why it cannot bind"
    assert entry.tags - objective - binding == set(slack)


def _meets(value: Fraction, *ends: Any) -> bool:
    return any(abs(float(value) - float(end)) <= tolerances.SOLVER * max(1, value) for end in ends)


def test_other_questions_about_the_sample_have_the_stated_answers(entry: catalogue.Entry) -> None:
    for other in entry.optimum.get("also", []):
        options = {**entry.model_options, **other["options"]}
        solution = highs.solve_model(mo.build_model(entry.problem, entry.name, **options))
        if other["value"] is None:
            assert solution.status is mo.Status.INFEASIBLE
        else:
            assert solution.objective == pytest.approx(float(Fraction(other["value"])), abs=1e-7)


# -- the command line ------------------------------------------------------------------------------


def test_command_lists_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in NAMES)
    assert main(["models", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == list(NAMES)


def test_command_prints_a_sheet_and_solves_its_sample(
    entry: catalogue.Entry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", entry.name]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(entry.sheet)
    assert f"certified: {entry.value}" in printed
    assert main(["models", entry.name, "--format", "json"]) == 0
    solved = json.loads(capsys.readouterr().out)["solved"]
    assert solved["objective"] == pytest.approx(
        float(entry.value), rel=1e-8, abs=tolerance_of(entry)
    )


EXPORTED = {
    "direct-dsic": ["--mechanism", "direct"],
    "direct-bic": ["--mechanism", "direct-bic"],
    "direct-obedient": ["--mechanism", "direct", "--incentive", "bic"],
    "direct-deterministic": ["--mechanism", "direct", "--deterministic"],
    "withdrawal-equilibrium": ["--level", "1", "--goal", "best"],
}


def test_command_exports_the_users_own_problem(entry: catalogue.Entry, tmp_path: Path) -> None:
    """The sample as a user's file: the same rows and columns by name, for every model."""
    file = next(entry.folder / name for name in catalogue.PROBLEM_FILES if _there(entry, name))
    arguments = ["--mechanism", entry.name, *EXPORTED.get(entry.name, [])]
    if _there(entry, "plan.json"):
        arguments += ["--plan", str(entry.folder / "plan.json")]
    options = entry.optimum["options"]
    arguments += [
        text
        for key in ("objective", "protocol", "order", "target", "participation")
        if key in options
        for text in (f"--{key}", str(options[key]))
    ]
    if options.get("transfers") is False:
        arguments.append("--no-transfers")
    for suffix in (".lp", ".mps"):
        out = tmp_path / f"mine{suffix}"
        assert main(["export-model", str(file), "--out", str(out), *arguments]) == 0
        mine, committed = oracle.read_program(out), oracle.read_program(entry.lp)
        assert set(mine.columns) == set(committed.columns)
        assert set(mine.rows) == set(committed.rows)
        assert out.with_name(out.name + ".labels.json").is_file()


def _there(entry: catalogue.Entry, name: str) -> bool:
    return (entry.folder / name).is_file()


def test_export_says_what_is_missing_or_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instance = str(catalogue.place() / "burdens" / "instance.json")
    population = str(catalogue.place() / "direct-dsic" / "population.json")
    out = ["--out", str(tmp_path / "m.lp")]
    for arguments, message in (
        ([instance, "--mechanism", "blocking-coalition"], "needs the option 'plan'"),
        ([instance, "--mechanism", "direct-bic"], "must be of kind population, got instance"),
        ([population, "--mechanism", "burdens"], "must be of kind instance, got population"),
        ([instance, "--level", "1"], "takes no option 'level'"),
    ):
        assert main(["export-model", *arguments, *out]) == 2
        assert message in capsys.readouterr().err
        assert not list(tmp_path.iterdir())


def test_command_names_the_nearest_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "burden"]) == 2
    assert "did you mean 'burdens'" in capsys.readouterr().err


def test_write_makes_the_committed_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.copytree(catalogue.place(), tmp_path / "models")
    committed = (tmp_path / "models" / "burdens" / "model.lp").read_text("utf-8")
    (tmp_path / "models" / "burdens" / "model.lp").unlink()
    monkeypatch.setattr(catalogue, "place", lambda: tmp_path / "models")
    catalogue.main(["write", "burdens"])
    assert (tmp_path / "models" / "burdens" / "model.lp").read_text("utf-8") == committed
    with pytest.raises(InvalidOption, match="usage"):
        catalogue.main(["burdens"])


# -- the checker itself ----------------------------------------------------------------------------


def test_checker_refuses_holes_and_false_bounds() -> None:
    column = oracle.Column(Fraction(0), Fraction(1), True)
    row = oracle.Row(-np.inf, Fraction(1), {"a": Fraction(2), "b": Fraction(2)})
    program = oracle.Program(
        -1,
        Fraction(0),
        {"a": Fraction(3), "b": Fraction(1)},
        {"r": row},
        {"a": column, "b": column},
    )  # max 3a + b, 2a + 2b ≤ 1, binary: only (0, 0)
    cut = [
        {"fixed": {"a": 0, "b": 0}, "multipliers": {}},
        {"fixed": {"a": 0, "b": 1}, "infeasible": True, "multipliers": {"r": "-1"}},
        {"fixed": {"a": 1}, "infeasible": True, "multipliers": {"r": "-1"}},
    ]
    assert not oracle.refutations(program, Fraction(0), cut)
    assert "cover" in oracle.refutations(program, Fraction(0), cut[:2])[0]
    lie = [*cut[:2], {"fixed": {"a": 1}, "multipliers": {"r": "1"}}]
    assert "proves only" in oracle.refutations(program, Fraction(0), lie)[0]
    feasible = [{"fixed": {"a": 0}, "infeasible": True, "multipliers": {"r": "-1"}}, cut[2]]
    assert "not proved infeasible" in oracle.refutations(program, Fraction(0), feasible)[0]
    assert oracle.violations(program, {"a": Fraction(1, 2)}) == ["a = 1/2 is not an integer"]
    assert oracle.violations(program, {"a": Fraction(1)}) == ["row r does not hold: 2"]
    assert oracle.violations(program, {"c": Fraction(1)}) == ["c is no column"]


@pytest.mark.parametrize("capacity", [1e-12, 1e15])
def test_numbers_that_mean_something_else_to_a_solver(tmp_path: Path, capacity: float) -> None:
    instance = mo.Instance([1, 2], 6, [capacity, 10.0], [8])
    written = mo.export_model(instance, "burdens", tmp_path / "m.lp")
    assert f"{capacity:g}" in written.warning
    assert "other units" in written.warning
    assert not mo.export_model(instance.replace(capacity=10), "burdens", tmp_path / "n.lp").warning
