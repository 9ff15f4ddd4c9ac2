"""The commands generate, calibrate, compare and report, through the command line's entry."""

from __future__ import annotations

import json

import pytest

import mechopt as mo
from mechopt.cli import main


def test_generate_lists_families_and_writes_problems(tmp_path, capsys) -> None:
    assert main(["generate"]) == 0
    assert capsys.readouterr().out.count("\n") == len(
        mo.families("instance") | mo.families("population")
    )
    assert main(["generate", "pareto", "--n", "4", "--seed", "3", "--set", "tail=3"]) == 0
    out = tmp_path / "p.json"
    out.write_text(capsys.readouterr().out)
    assert mo.read(out) == mo.generate("pareto", 4, seed=3, tail=3)
    assert main(["generate", "population-groups", "--n", "5", "--out", str(out)]) == 0
    assert mo.read(out) == mo.generate("population-groups", 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "lognorml"], "'lognormal'"),
        (["generate", "lognormal", "--n", "0"], "n: must be"),
        (["generate", "lognormal", "--set", "x"], "name=value"),
        (["compare"], "nothing to compare"),
        (["compare", "--family", "uniform", "--mechanism", "burden"], "'burdens'"),
        (["compare", "--family", "uniform", "--out", "x.csv"], ".parquet"),
        (["compare", "none.json"], "none.json"),
        (["report", "none.parquet"], "none.parquet"),
        (["calibrate", "none.csv", "--share-of-total", "0.5", "--out", "i.json"], "none.csv"),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    arguments, message, capsys, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert not any(tmp_path.iterdir())


def test_compare_prints_a_table_keeps_rows_and_resumes(tmp_path, capsys) -> None:
    mo.generate("uniform", 6).write(tmp_path / "one.json")
    out = tmp_path / "r.parquet"
    asked = ["compare", str(tmp_path / "one.json"), "--family", "two-type:n=6", "--draws", "3"]
    assert main([*asked, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    family = captured.out.partition("\ntwo-type:n=6\n")[2].splitlines()
    assert family[0].split()[:3] == ["mechanism", "protocol", "rows"]
    assert ["burdens", "sequential", "3"] in [line.split()[:3] for line in family]
    assert "24 of 24 rows" in captured.err
    assert main([*asked, "--out", str(out)]) == 2
    assert "has results already" in capsys.readouterr().err
    assert main([*asked, "--out", str(out), "--resume", "--quiet", "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["rows"]) == 24
    assert captured.err == ""
    page = tmp_path / "page.html"
    assert main(["report", str(out), "-o", str(page), "--figures", str(tmp_path / "f")]) == 0
    assert "two-type:n=6" in page.read_text(encoding="utf-8")


def test_real_capacities_to_a_plan_and_its_check(tmp_path, capsys, shared_data) -> None:
    """The worked path: files of capacities and of a learning curve, instance, plan, check."""
    instance, plan = tmp_path / "prism.json", tmp_path / "plan.json"
    asked = ["calibrate", str(shared_data / "contributions.csv")]
    asked += ["--source", "prism_rated_responses", "--seed", "1", "--out", str(instance)]
    assert main([*asked, "--share-of-total", "0.5"]) == 0
    assert capsys.readouterr().out.count("assumed: ") == 7
    assert main(["solve", str(instance), "--out", str(plan), "--format", "json"]) == 0
    solved = json.loads(capsys.readouterr().out)
    assert solved["status"] == "optimal"
    # the first look of the data sheet: about 6,200 by the cheapest price, 700 to 1,000 by burdens
    assert 700 <= solved["metrics"]["expenditure"] <= 1000
    assert 5500 <= solved["benchmark"]["metrics"]["expenditure"] <= 6500
    assert main(["check", str(plan)]) == 0
    curve = ["--learning-curve", str(shared_data / "finetune_learning_curves.csv")]
    assert main([*asked, *curve, "--share", "0.5", "--share", "0.7"]) == 0
    capsys.readouterr()
    assert main(["solve", str(instance), "--out", str(plan), "--quiet"]) == 0
    assert main(["check", str(plan)]) == 0
    assert mo.read(instance).shares.tolist() == [0.5, 0.7]


def test_quarter_of_prism_needs_no_payment(shared_data) -> None:
    _, units = mo.read_capacities(shared_data / "contributions.csv", "prism_rated_responses")
    made = mo.instance_from_capacities(units, share_of_total=0.25, seed=1)
    plan = mo.solve(made.instance, "burdens")
    assert plan.metrics["improvement"] == 1
    assert plan.metrics["expenditure"] == pytest.approx(0, abs=1e-9)


def test_the_price_of_safety_by_command_with_hazards_in_a_column(tmp_path, capsys) -> None:
    people = tmp_path / "people.csv"
    people.write_text("id,cost,value,capacity,lost\na,1,6,10,0.03\nb,1.5,5,10,0.02\nc,2,5,9,0.05\n")
    asked = ["frontier", str(people), "--threshold", "12", "--over", "confidence"]
    asked += ["--values", "0.9,0.99", "--format", "json"]
    assert main([*asked, "--dropout", "lost", "--shock", "0.1,2"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["confidence"] for row in rows] == [0.9, 0.99]
    instance = mo.read(people, thresholds=[12])
    for row in rows:
        plan = mo.solve(
            instance, objective="expenditure", confidence=row["confidence"],
            dropout=[0.03, 0.02, 0.05], shock=(0.1, 2),
        )  # fmt: skip
        assert row["objective"] == pytest.approx(plan.objective, abs=1e-5)
    assert rows[0]["objective"] < rows[1]["objective"]
    assert main([*asked, "--dropout", "lots"]) == 2
    assert "columns that came with the people: lost" in capsys.readouterr().err
