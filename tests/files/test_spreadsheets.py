"""What real spreadsheets look like: read and said, or refused with row and remedy."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt import cli
from tests.files.test_bad_input import refused

PLAIN = "id,cost,value,capacity\nana,1,6,10\nbo,2.5,6,10\ncy,4,6,10\n"
SEMI = PLAIN.replace(",", ";").replace("2.5", "2,5")


def same(found: mo.Instance) -> bool:
    """Whether these are the users of PLAIN."""
    return (
        found.ids.tolist() == ["ana", "bo", "cy"]
        and found.cost.tolist() == [1, 2.5, 4]
        and found.value.tolist() == [6, 6, 6]
        and found.capacity.tolist() == [10, 10, 10]
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAIN, ""),
        (PLAIN.replace("\n", "\r\n"), ""),
        (PLAIN.replace("\n", "\r"), ""),
        ("\ufeff" + PLAIN, ""),
        (PLAIN.encode("utf-16"), "UTF-16"),
        (PLAIN.encode("utf-16-le"), "UTF-16"),
        (gzip.compress(PLAIN.encode(), mtime=0), ""),
        (PLAIN.replace(",", ";"), "separated by semicolons"),
        (SEMI, "decimal commas, such as 2,5"),
        (PLAIN.replace(",", "\t"), "separated by tabs"),
        (PLAIN.replace(",", "|"), "separated by bars"),
        ("sep=;\n" + PLAIN.replace(",", ";"), "separated by semicolons"),
        (PLAIN.replace("id,cost", " ID , Cost "), ""),
        (PLAIN.replace("\n", "\n\n"), ""),
        (PLAIN.replace("4,6,10\n", "4,6,10\n,,,\n,,,\n"), ""),
        (PLAIN.replace("\n", ",\n"), ""),
        (PLAIN.replace("ana,1", "' ana',1".replace("'", '"')), ""),
        (PLAIN.replace("2.5", '"2,5"'), "decimal commas"),
        (PLAIN.replace("ana,1,", "ana, 1 ,"), ""),
        ("# exported on Monday\n" + PLAIN, ""),
        (PLAIN.replace("2.5", "25e-1"), ""),
        (PLAIN.replace("2.5", "5/2"), ""),
    ],
)
def test_the_same_users_however_they_are_saved(content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = mo.read(path, thresholds=8)
    assert same(found)
    assert said in " ".join(found.notes)
    assert bool(found.notes) == bool(said)


def test_windows_names_and_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    text = "E-Mail;id;Notes;cost;value;capacity\nx@y;Zoë;=1+1;1;2;3\nu@v;007;;1;2;3\n"
    path.write_bytes(text.encode("cp1252"))
    found = mo.read(path, thresholds=1)
    assert found.ids.tolist() == ["Zoë", "007"]
    assert found.others["E-Mail"].tolist() == ["x@y", "u@v"]
    assert any("Windows-1252" in note for note in found.notes)
    assert any("carried along: E-Mail, Notes" in note for note in found.notes)
    assert found.replace(budget=1).others["Notes"].tolist() == ["=1+1", ""]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("2.5", '"1,234"', "row 2 (line 3): cost '1,234' is ambiguous: write 1234 or 1.234"),
        ("2.5", '"1,234.5"', "'1,234.5' has thousands separators; write 1234.5"),
        ("2.5", '"1.234,5"', "'1.234,5' has thousands separators; write 1234.5"),
        ("2.5", "1 234", "row 2 (line 3): cost '1 234' has thousands separators; write 1234"),
        ("2.5", "1'234.5", "has thousands separators; write 1234.5"),
        ("2.5", "$2.50", "'$2.50' has a currency sign; write 2.50"),
        ("2.5", "2.50 €", "has a currency sign; write 2.50"),
        ("2.5", "EUR 2.5", "has a currency sign; write 2.5"),
        ("2.5", '"$1,234.50"', "has a currency sign; write 1234.50"),
        ("2.5", "50%", "'50%' is a percentage; write 0.5"),
        ("2.5", "#DIV/0!", "is a spreadsheet error; mend its formula"),
        ("2.5", "#N/A", "is a spreadsheet error"),
        ("2.5", "n/a", "is no number; fill it in, or delete the row"),
        ("2.5", "−2.5", "begins with a dash that is no minus sign; write -2.5"),
        ("2.5", "(2.5)", "is in parentheses; write -2.5"),
        ("2.5", "", "row 2 (line 3): cost is empty; fill it in, or delete the row"),
        ("cy,", "Total:,", "row 3 (line 4): 'Total:' looks like the sum of the rows above"),
        ("id,", "Annotators 2026,,,\n\nid,", "looks like a title: delete what is above the names"),
        ("2.5", "1_0", "'1_0' is not a number"),
        ("2.5", "２", "is not a number"),
        ("2.5", "TRUE", "'TRUE' is not a number"),
        ("cy,4", 'cy,"4,5"', "row 3 (line 4): cost '4,5' has a decimal comma; write 4.5"),
        ("bo,", "ana,", "row 2 (line 3): id: 'ana' is also the id of row 1"),
        ("bo,", ",", "row 2 (line 3): id: is empty"),
        (",10\nbo", "\nbo", "row 1 (line 2): the row has 3 cells, but the header has 4"),
        ("id,", "name,", "it has 'name'; if one of these is meant, say so: --column id=name"),
        ("value", "Value (EUR)", "did you mean 'value'?"),
        ("capacity", "capcity", "column 'capcity' is not known; did you mean 'capacity'?"),
        ("cost,value", "cost,cost", "column 'cost' occurs twice"),
        ("10\nbo", "10,7\nbo", "row 1 (line 2): the row has 5 cells, but the header has 4"),
        ("2.5", "1" * 2000, "a number of 2000 characters is too long"),
        ("2.5", "1e61", "must be at most 1e+60; choose a larger unit"),
        ("bo", "b" * 201, "id has 201 characters; at most 200 fit"),
        ("2.5", '"2.5', "is not CSV"),
    ],
)
def test_faults_name_the_row_and_the_remedy(
    old: str, new: str, expected: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "users.csv"
    assert old in PLAIN
    path.write_text(PLAIN.replace(old, new, 1), encoding="utf-8")
    command = ["solve", str(path), "--threshold", "8", "--out", str(tmp_path / "plan.csv")]
    lines = refused([*command, "--quiet"], capfd, tmp_path)
    assert any(expected in line for line in lines), lines
    assert len("\n".join(lines)) < 2500


def test_mixed_decimal_signs_are_no_guess(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("id;cost;value;capacity\na;0,5;1;1.5\n")
    with pytest.raises(mo.InvalidInput, match=r"row 1 \(line 2\): capacity '1.5' has a point"):
        mo.read(path, thresholds=1)
    path.write_text("id;cost;value;capacity\na;0,5;1;1,234\n")  # commas are decimal in this file
    assert mo.read(path, thresholds=1).capacity.tolist() == [1.234]
    path.write_text("id;cost;value;capacity\na;5;1;1,234\n")
    with pytest.raises(mo.InvalidInput, match="ambiguous"):
        mo.read(path, thresholds=1)


def test_other_headings_and_no_value(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "users.csv"
    path.write_text("Name,Unit cost,Items,City\nana,1,10,Rome\nbo,2,10,Oslo\n")
    named = ["--column", "id=name", "--column", "cost=unit cost", "--column", "capacity=items"]
    out = tmp_path / "plan.csv"
    command = ["solve", str(path), *named, "--threshold", "8", "--out", str(out), "--people"]
    assert cli.main(command) == 0
    said = capfd.readouterr().err
    assert "no column 'value': every value is taken as 0" in said
    assert "carried along: City" in said
    assert out.read_text().splitlines()[0] == "id,burden,payment,cost,utility,stays,City"
    assert "Rome" in out.read_text()
    assert cli.main(["check", str(out)]) == 0  # the file beside it says what it is for
    again = mo.read(
        path, columns={"id": "name", "cost": "unit cost", "capacity": "items"}, thresholds=8
    )
    assert again.capacity.tolist() == [10, 10]
    capfd.readouterr()
    assert refused(["solve", str(path), "--column", "cst=x"], capfd, tmp_path)
    assert (
        "has no column 'prize'"
        in refused(["solve", str(path), "--column", "cost=prize"], capfd, tmp_path)[0]
    )


# -- plans ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".xlsx", ".parquet", ".json", ".json.gz"])
def test_a_plan_can_be_checked_alone(
    suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("id,cost,value,capacity,e-mail\n" + "".join(
        f"{'=' if i == 3 else ''}u{i:03},{1 + i / 7},1,1.1,x@y\n" for i in range(20)
    ))  # fmt: skip
    out = tmp_path / f"plan{suffix}"
    options = ["--threshold", "3", "--threshold", "7.7", "--share", "0.5", "--share", "1"]
    more = ["--protocol", "sequential", "--order", "large-first", "--out", str(out)]
    assert cli.main(["solve", str(users), *options, *more]) in (0, 4)
    plan = mo.read(out)
    assert (plan.mechanism, plan.protocol, plan.order) == ("burdens", "sequential", "large-first")
    assert plan.instance.thresholds.tolist() == [3, 7.7]
    assert mo.audit(plan.instance, plan).ok
    assert plan.total >= 7.7
    assert cli.main(["check", str(out)]) == 0
    capfd.readouterr()


def test_what_a_spreadsheet_does_to_a_plan(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ids without their zeros, the file beside it lost: said, with what to do."""
    users, out = tmp_path / "users.csv", tmp_path / "plan.csv"
    users.write_text("id,cost,value,capacity\n007,1.15,1,20\n08,3,1,20\n")
    assert (
        cli.main(["solve", str(users), "--threshold", "7", "--unit", "7", "--out", str(out)]) == 0
    )
    assert ",8.05," in out.read_text()  # 7 · 1.15, without the rounding of its last digits
    out.write_text(out.read_text().replace("\n007", "\n7").replace("\n08", "\n8"))
    capfd.readouterr()
    assert cli.main(["check", str(out)]) == 2
    assert "2 ids lost the zeros they begin with, such as '7', which was '007'" in (
        capfd.readouterr().err
    )
    (tmp_path / "plan.csv.json").unlink()
    assert cli.main(["check", str(out)]) == 2
    assert "plan.csv.json, which was written beside it and is not there" in capfd.readouterr().err


def test_missing_columns_are_named_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("Kunden-ID,Stück Kosten\n1,2\n")
    assert cli.main(["solve", str(users), "--threshold", "1"]) == 2
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 2
    assert "columns 'id', 'cost', 'capacity' are missing; expected id" in said[0]
    assert "it has 'Kunden-ID', 'Stück Kosten'" in said[1]


def test_a_large_plan_names_its_table(tmp_path: Path) -> None:
    users = tmp_path / "users.csv"
    users.write_text("id,price,value,capacity\n" + "".join(f"u{i},1,1,1\n" for i in range(1500)))
    out = tmp_path / "plan.csv"
    named = ["--column", "cost=price", "--threshold", "700", "--out", str(out), "--quiet"]
    assert cli.main(["solve", str(users), *named]) == 0
    assert "u77" not in (tmp_path / "plan.csv.json").read_text()
    assert mo.read(out).instance.n == 1500


def test_a_list_of_those_who_are_asked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    instance = mo.Instance(
        cost=[1, 2, 4], value=6, capacity=10, thresholds=[8], ids=["ana", "bo", "cy"]
    )
    plan = mo.solve(instance, "burdens", objective="social-cost")
    plan.write(tmp_path / "plan.csv", only_asked=True)
    assert len((tmp_path / "plan.csv").read_text().splitlines()) == 1 + int((plan.burden > 0).sum())
    again = mo.read(tmp_path / "plan.csv")
    assert again.burden.tolist() == plan.burden.tolist()
    left = int((plan.burden == 0).sum())
    who = ", ".join(np.array(["ana", "bo", "cy"])[plan.burden == 0])
    said = f"{left} of 3 users are not in the plan: nothing is asked of them ({who})"
    assert again.notes == (said,)
    assert cli.main(["check", str(tmp_path / "plan.csv")]) == 0
    assert f"{left} of 3 users are not in the plan" in capfd.readouterr().err


def test_a_burden_changed_by_hand(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    instance = mo.Instance(
        cost=[1, 2, 4], value=6, capacity=10, thresholds=[8], ids=["ana", "bo", "cy"]
    )
    mo.solve(instance, "burdens", objective="social-cost", transfers=False).write(
        tmp_path / "plan.csv"
    )
    text = (tmp_path / "plan.csv").read_text()
    assert "\nbo,2.0,0.0,4.0," in text
    (tmp_path / "plan.csv").write_text(text.replace("\nbo,2.0,", "\nbo,1.0,"))
    assert cli.main(["check", str(tmp_path / "plan.csv")]) == 3
    printed = capfd.readouterr()
    assert "1 burden was changed by hand (bo)" in printed.err
    assert "7 of 8 data: 1 short of the first threshold" in printed.out
    words = " ".join(printed.out.split())
    assert "to restore it: bo (asked for 1 of at most 10) can give 1 more for no payment" in words
    rows = [row for row in text.splitlines() if not row.startswith("bo,")]
    (tmp_path / "plan.csv").write_text("\n".join(rows) + "\n")
    assert cli.main(["check", str(tmp_path / "plan.csv")]) == 3
    printed = capfd.readouterr()
    assert "1 of 3 users are not in the plan: nothing is asked of them (bo)" in printed.err
    assert "to restore it: bo (asked for 0 of at most 10)" in " ".join(printed.out.split())


def test_xlsx_cells(tmp_path: Path) -> None:
    import datetime

    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "empty"
    sheet = book.create_sheet("people")
    sheet.append([None, None])
    sheet.append(["ID", "Cost", "value", "capacity", "mail"])
    sheet.append([7, 1.5, "2", 3, "x@y"])
    sheet["A3"].number_format = "0000"
    sheet.append([None, None, None])
    sheet.append(["b", 1, 2, 3, None])
    book.create_sheet("notes").append(["x"])
    path = tmp_path / "users.xlsx"
    book.save(path)
    found = mo.read(path, thresholds=1)
    assert found.ids.tolist() == ["0007", "b"]
    assert found.cost.tolist() == [1.5, 1]
    assert found.others["mail"].tolist() == ["x@y", ""]
    assert "sheet 'people' is read, the first of 2" in found.notes
    for cell, why in (
        (True, "is TRUE, no number"),
        (datetime.date(2026, 1, 2), "is a date"),
        ("1,234", "ambiguous"),
        (None, "is empty"),
    ):
        sheet["B3"] = cell
        book.save(path)
        with pytest.raises(mo.InvalidInput, match=rf"row 1 \(line 3\): cost.*{why}"):
            mo.read(path, thresholds=1)
    path.write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(mo.InvalidInput, match="is not a spreadsheet, or damaged"):
        mo.read(path, thresholds=1)


def test_formulas_are_never_executed(tmp_path: Path) -> None:
    names = ["=1", "+1", "-1", "@x", "\nx=1", "＝1", "'=1", "\tx"]
    instance = mo.Instance(cost=1, value=1, capacity=1, thresholds=[4], ids=names)
    plan = mo.solve(instance, "burdens", objective="expenditure")
    plan.write(tmp_path / "plan.csv")
    text = (tmp_path / "plan.csv").read_text()
    assert not any(mark in text for mark in (",=", "\n=", "\n＝", "\n+", "\n@"))
    assert mo.read(tmp_path / "plan.csv").instance.ids.tolist() == names


# -- standard input and output, and files that must not be lost -----------------------------------


def test_standard_input_and_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = mo.Instance(cost=[1, 2], value=6, capacity=10, thresholds=[8])
    instance.write(tmp_path / "i.json")
    for content, options in (
        (PLAIN.encode(), ["--threshold", "8"]),
        ((tmp_path / "i.json").read_bytes(), []),
        (gzip.compress(PLAIN.encode(), mtime=0), ["--threshold", "8"]),
    ):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert cli.main(["solve", "-", *options, "--out", "-"]) == 0
        said = capfd.readouterr().out
        assert said.startswith("id,burden,payment,cost,utility,stays\n")
        (tmp_path / "plan.csv").write_text(said)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert cli.main(["solve", "-", *options, "--out", "-", "--format", "json"]) == 0
        (tmp_path / "plan.json").write_text(capfd.readouterr().out)
        assert mo.read(tmp_path / "plan.json").level == 1


def test_an_input_is_never_overwritten(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    users = tmp_path / "users.csv"
    users.write_text(PLAIN)
    (tmp_path / "link.csv").symlink_to(users)
    (tmp_path / "plan.csv.json").hardlink_to(users)
    instance = tmp_path / "q.json"
    instance.write_text(
        '{"schema_version": 1, "kind": "instance", "improvement": {"thresholds": [8]},'
        ' "users": "users.csv"}'
    )
    (tmp_path / "q.certificate.json").symlink_to(instance)
    table = ["solve", str(users), "--threshold", "8", "--quiet"]
    for command, name in (
        ([*table, "--out", str(users)], "users.csv"),
        ([*table, "--out", str(tmp_path / "link.csv")], "link.csv"),
        ([*table, "--out", str(tmp_path / "plan.csv")], "plan.csv.json"),
        (["solve", str(instance), "--quiet", "--out", str(users)], "users.csv"),
        (["solve", str(instance), "--out", str(instance)], "q.json"),
        (
            ["solve", str(instance), "--quiet", "--exact", "--out", str(tmp_path / "q.csv")],
            "q.certificate.json",
        ),
    ):
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        assert cli.main(command) == 2
        said = capfd.readouterr().err
        assert "is an input of this call; choose another name" in said
        assert name in said
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# -- rounding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet", ".xlsx"])
def test_a_written_plan_neither_misses_the_threshold_nor_breaks_the_budget(
    suffix: str, tmp_path: Path
) -> None:
    from decimal import Decimal
    from fractions import Fraction

    random = np.random.default_rng(3)
    path = tmp_path / f"plan{suffix}"
    for _ in range(12):
        n = int(random.integers(2, 9))
        cost, capacity = random.lognormal(size=n), random.lognormal(size=n)
        threshold = float(capacity.sum() * random.uniform(0.2, 0.9))
        given: dict[str, Any] = {"cost": cost, "value": 0.3, "capacity": capacity}
        free = mo.Instance(**given, thresholds=[threshold])
        first = mo.solve(free, "burdens", objective="expenditure")
        if not first.has_answer:
            continue
        budget = first.metrics["expenditure"]
        plan = mo.solve(free.replace(budget=budget), "burdens", objective="social-cost")
        if not plan.has_answer or not plan.level:
            continue
        plan.write(path)
        again = mo.read(path)
        assert again.level == plan.level
        assert mo.audit(again.instance, again).ok
        for total, limit, sign in (
            (again.burden, threshold, 1),
            (again.payment, budget, -1),
        ):
            digits = sum((Decimal(repr(x)) for x in total.tolist()), Decimal(0))
            binary = sum(map(Fraction, total.tolist()))
            assert sign * (digits - Decimal(repr(limit))) >= 0
            assert sign * (binary - Fraction(limit)) >= 0


def test_names_sizes_and_places_that_cannot_be(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many columns or digits, a deleted folder, long names and names that are not UTF-8."""
    path = tmp_path / "users.csv"
    path.write_text(f"id,cost,capacity{''.join(f',c{i}' for i in range(20_000))}\na,1,1\n")
    assert "has 20,003 columns" in refused(["solve", str(path)], capfd, tmp_path)[0]
    (tmp_path / "i.json").write_text(
        '{"schema_version": 1, "kind": "instance", "improvement": {"thresholds": ['
        + "1" * 20_000
        + '.5]}, "users": {"cost": [1], "value": [1], "capacity": [1]}}'
    )
    lines = refused(["solve", str(tmp_path / "i.json"), "--exact"], capfd, tmp_path)
    assert "a number of 20002 characters is too long" in lines[0]
    mo.Instance(1, 1, 1, [0.5]).write(tmp_path / "ok.json")
    command = ["solve", str(tmp_path / "ok.json"), "--quiet", "--out"]
    assert "too long" in refused([*command, str(tmp_path / f"{'x' * 250}.csv")], capfd, tmp_path)[0]
    odd = tmp_path / "\udcff.csv"
    assert cli.main([*command, str(odd)]) == 0
    assert mo.read(odd).level == 1
    capfd.readouterr()
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "cannot write plan.csv" in refused([*command, "plan.csv"], capfd, tmp_path)[0]
    assert cli.main([*command, "-"]) == 0
    assert capfd.readouterr().out.startswith("id,burden")
    group = mo.Group(2, [1, 2], [0.5, 0.5], value=1, capacity=1)
    with pytest.raises(mo.TooLarge, match=r"10\^\d+ states"):
        mo.solve(mo.Population([group] * 2000, [100]), "direct", objective="improvement")


def test_a_plan_that_lists_nobody_asks_nobody(tmp_path: Path) -> None:
    instance = mo.Instance(cost=[1, 2], value=[2, 3], capacity=[3, 4], thresholds=[3])
    table = tmp_path / "plan.csv"
    mo.solve(instance).write(table)  # and a side file that says what it is for
    table.write_text("id,burden,payment,cost\n")
    plan = mo.read(table)
    assert isinstance(plan, mo.Plan)
    assert plan.burden is not None
    assert not plan.burden.any()
