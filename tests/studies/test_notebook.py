"""Frames in and out, what a notebook shows, and pictures."""

from __future__ import annotations

from typing import Any

import pytest

import mechopt as mo
from mechopt.files.frames import LIBRARIES

DATA = {
    "id": ["ana", "bo", "cy"],
    "Unit cost": [1, 2, 4],
    "value": [6, 6, 6],
    "capacity": [10.0, 10.0, 10.0],
    "mail": ["a@x", "b@x", None],
}
HEADINGS = {"cost": "unit cost"}


def frame(library: str) -> Any:
    if library == "pyarrow":
        import pyarrow

        return pyarrow.table(DATA)
    return pytest.importorskip(library).DataFrame(DATA)


@pytest.mark.parametrize("library", LIBRARIES)
def test_frames_in_and_out(library: str) -> None:
    made = mo.Instance.from_frame(frame(library), thresholds=[8], columns=HEADINGS)
    assert made == mo.Instance([1, 2, 4], 6, 10, [8], ids=["ana", "bo", "cy"])
    assert made.exact("cost").tolist() == [1, 2, 4]
    assert list(made.others) == ["mail"]
    plan = mo.solve(made, "burdens", objective="social-cost")
    assert plan.burden is not None
    found = plan.to_frame(library=library, people=True)
    assert type(found).__module__.split(".")[0] == library
    assert list(found["burden"].to_pylist() if library == "pyarrow" else found["burden"]) == (
        plan.burden.tolist()
    )
    assert "mail" in (found.column_names if library == "pyarrow" else found.columns)


def test_frames_by_the_arrow_stream_index_and_faults() -> None:
    import pandas as pd
    import polars as pl

    class Stream:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pl.DataFrame(DATA).__arrow_c_stream__(requested_schema)

    made = mo.Instance.from_frame(Stream(), [8], columns=HEADINGS)
    assert made.ids.tolist() == ["ana", "bo", "cy"]
    labelled = pd.DataFrame({"cost": [1.0, None], "capacity": 1}, index=["x", "y"])
    with pytest.raises(mo.InvalidInstance, match=r"cost\[1\] \(id 'y'\): must be ≥ 0"):
        mo.Instance.from_frame(labelled, [1])
    made = mo.Instance.from_frame(labelled.fillna(2.0), [1])
    assert made.ids.tolist() == ["x", "y"]
    assert "no column 'value'" in made.notes[0]
    with pytest.raises(mo.InvalidInstance, match=r"column 'cost' is missing.*columns="):
        mo.Instance.from_frame(pd.DataFrame({"price": [1]}), [1])
    with pytest.raises(mo.InvalidOption, match="expected a pandas, polars or Arrow frame"):
        mo.Instance.from_frame(3, [1])
    with pytest.raises(mo.InvalidOption, match="library"):
        mo.solve(made, "burdens", objective="expenditure").to_frame(library="xlwings")


def test_everything_shows_in_a_notebook_and_is_drawn() -> None:
    instance = mo.Instance([1, 2, 4], 6, 10, [8], ids=["<b>", "bo", "cy"], provider_value=50)
    plan = mo.solve(instance, "burdens")
    group = mo.Group(2, [1, 2], [0.5, 0.5], value=1, capacity=10)
    mechanism = mo.solve(mo.Population([group], [1.25]), "direct", objective="improvement")
    frontier = mo.frontier(instance, values=[0, 10], objective="expenditure")
    table = mo.compare({"a": instance}, ["burdens"], ["simultaneous"])
    report = plan.withdrawal()
    bad = mo.Plan.from_arrays(instance, [10, 10, 10]).withdrawal()
    for thing in (instance, plan, mechanism, frontier, table, report, bad):
        page = thing._repr_html_()
        assert page.startswith("<div>")
        assert "<b>" not in page
    assert "<table>" in plan._repr_html_()
    for thing in (plan, mechanism, report, bad):
        axes = thing.plot()
        assert axes.get_xlabel()
        assert axes.figure is not None
        assert thing.plot(axes) is axes
    null = mo.solve(instance.replace(thresholds=[1000]), "burdens", objective="expenditure")
    if not null.has_answer:
        with pytest.raises(mo.InvalidPlan, match="nothing to draw"):
            null.plot()
    assert len(frontier.to_frame()) == 2
    assert len(table.to_frame("polars")) == 1
