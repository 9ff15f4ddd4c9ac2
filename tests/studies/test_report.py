"""Report and figures: self-contained, every number from rows on the page, honest roundings."""

from __future__ import annotations

import re
from math import inf

import pytest

import mechopt as mo
from mechopt.errors import InvalidFile, InvalidOption
from mechopt.studies import charts
from mechopt.studies.claim_cases import cases
from mechopt.studies.claim_runs import run_claims, write_findings
from mechopt.studies.claims import CLAIMS
from mechopt.studies.figures import write_figures
from mechopt.studies.report_html import curves_of, report_html, short_names, styles_of, write_report
from mechopt.studies.results import Table
from tests.pages import Page


@pytest.fixture(scope="module")
def table() -> Table:
    problems = {f"uniform & <co>/{seed}": mo.generate("uniform", 8, seed=seed) for seed in range(3)}
    points = {
        f"Few users @ n={n}/{seed}": mo.generate("uniform", n, seed=seed)
        for n in (4, 8)
        for seed in range(3)
    }
    return mo.compare(
        {**problems, **points}, ["posted-price", "burdens", "burdens:transfers=false"]
    )


@pytest.fixture(scope="module")
def findings() -> list:
    spec = {"families": ["uniform"], "n": 6, "levels": [1, 2], "tightness": [0.5], "draws": 2}
    return run_claims(cases({"instances": [spec]}))


def test_page_is_whole_self_contained_and_its_links_lead_somewhere(table, findings) -> None:
    text = report_html({"a.parquet": table}, {"f.jsonl": findings})
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert all(link.startswith("#") for link in page.links)
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert "http" not in text
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert "uniform &amp; &lt;co&gt;" in text
    assert "<co>" not in text


def test_means_on_the_page_are_means_of_the_rows_on_the_page(table) -> None:
    text = report_html({"a.parquet": table}, {})
    group = [row for row in table if row["group"] == "uniform & <co>"]
    one = [row["expenditure"] for row in group if row["mechanism"] == "posted-price"][::2]
    shown = charts.number(sum(one) / 3)
    line = text[text.index("<td>posted-price</td>") :]
    place = re.search(r'href="#([\w-]+)">3</a>', line)
    assert place is not None
    assert shown in line[: line.index("</tr>")]
    rows = text[text.index(f'<details id="{place[1]}">') :]
    rows = rows[: rows.index("</details>")]
    assert rows.count("uniform &amp; &lt;co&gt;/") == 3
    for value in one:
        assert f"<td>{charts.number(value)}</td>" in rows


def test_claims_on_the_page_say_how_often(findings) -> None:
    text = report_html({}, {"f.jsonl": findings})
    present = {finding.claim for finding in findings}
    for name in present:
        told = [f for f in findings if f.claim == name and f.holds is not None]
        holds = sum(bool(f.holds) for f in told)
        assert CLAIMS[name].statement.replace(">", "&gt;") in text
        assert f'-rows">{holds} of {len(told)}</a>' in text


def test_failed_rows_are_shown() -> None:
    instance = mo.generate("uniform", 3)
    bad = mo.compare([instance], ["posted-price:price=-1", "subsidy"], ["simultaneous"])
    text = report_html({"a.parquet": bad}, {})
    assert "1 failed" in text
    assert "price: must be" in text


def test_files_are_read_and_written(tmp_path, table, findings) -> None:
    table.write(tmp_path / "a.parquet")
    write_findings(findings, tmp_path / "f.jsonl")
    write_report([tmp_path / "a.parquet", tmp_path / "f.jsonl"], tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(InvalidFile, match=r"\.parquet.*\.jsonl"):
        write_report([tmp_path / "r.html"], tmp_path / "r2.html")
    assert not (tmp_path / "r2.html").exists()


def test_figures_are_written_in_each_format_and_reproducible(tmp_path, table) -> None:
    curves = curves_of(table)
    assert {(curve.title, curve.variable, curve.metric) for curve in curves} == {
        ("Few users", "n", "improvement"),
        ("Few users", "n", "expenditure"),
    }
    for line in curves[0].series:
        assert [point[0] for point in line.points] == [4, 8]
    first = write_figures(table, tmp_path / "one")
    second = write_figures(table, tmp_path / "two")
    assert {path.suffix for path in first} == {".png", ".pdf", ".svg"}
    assert len(first) == 6
    for one, two in zip(first, second):
        assert one.read_bytes() == two.read_bytes()
    with pytest.raises(InvalidOption, match="'jpg'"):
        write_figures(table, tmp_path, ["jpg"])
    assert write_figures(Table(()), tmp_path) == []


def test_names_keep_only_what_tells_mechanisms_apart() -> None:
    asked = [
        "burdens:objective=improvement,transfers=false",
        "direct:objective=improvement",
        "direct:objective=improvement,incentive=bic",
    ]
    assert list(short_names(asked).values()) == [
        "burdens (transfers false)",
        "direct",
        "direct (incentive bic)",
    ]
    styles = styles_of(asked)
    assert len(set(styles.values())) == 3
    assert styles[asked[0]] == styles_of(["burdens"])["burdens"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 7, [0, 2, 4, 6, 8]),
        (-3, 4, [-4, -2, 0, 2, 4]),
        (5, 5, [5, 6, 7, 8, 9, 10]),
        (0, 12_345, [0, 2500, 5000, 7500, 10_000, 12_500]),
    ],
)
def test_ticks_are_round_and_enclose_the_range(low, high, expected) -> None:
    assert charts.ticks(low, high) == expected


def test_shares_are_not_rounded_to_certainty() -> None:
    assert charts.percent(732 / 735) == "99.6 %"
    assert charts.percent(0.99999) == "99.9 %"
    assert charts.percent(1) == "100 %"
    assert charts.percent(0) == "0 %"
    assert charts.percent(1e-6) == "0.1 %"


def test_charts_stay_inside_their_box() -> None:
    line = charts.Series("a", 0, ((1, 0.5, -inf, inf), (2, 0.9, 0.2, 1.6)))
    drawn = charts.line_chart([line], "n", "share", ceiling=1.0)
    for _, y in re.findall(r'[cx][xy]?1?="([\d.-]+)" [cy]y?1?="([\d.-]+)"', drawn):
        assert 0 <= float(y) <= charts.HEIGHT
    dots = [charts.Dot("a", 1, 2.0, -1.0, 5.0), charts.Dot("b", 2, 0.0, 0.0, 0.0)]
    assert charts.dot_chart(dots, "money").count('class="mark') == 2
