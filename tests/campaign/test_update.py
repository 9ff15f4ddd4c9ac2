"""The log of a campaign and what `update` makes of it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

import mechopt as mo
from mechopt import cli
from mechopt.campaign.events import InvalidEvent, line_of
from mechopt.campaign.replay import replay
from tests.campaign import faulty_logs


def plan_of(**more: Any) -> mo.Plan:
    given: dict[str, Any] = {
        "cost": [1, 2, 4, 5],
        "value": 6,
        "capacity": 10,
        "thresholds": [11],
        "ids": ["ana", "ben", "cleo", "dan"],
        **more,
    }
    return mo.solve(mo.Instance(**given), "burdens", objective="expenditure")


def state(plan: mo.Plan, *events: Any) -> mo.Campaign:
    return replay(plan, [one if isinstance(one, str) else json.dumps(one) for one in events])


def test_a_campaign_from_start_to_go() -> None:
    plan = plan_of()
    begun = state(plan)
    assert (begun.in_hand, begun.expected, begun.go, begun.top_up) == (0, 11, False, None)
    assert len(begun.pivotal) == 4
    given = [{"id": name, "event": "gave"} for name in ("ana", "ben", "cleo", "dan")]
    full = state(plan, *given)
    found = full.to_dict()
    assert found["data"] == {
        "in_hand": 11, "committed": 0, "revocable": 11, "expected": 11, "version": 4,
    }  # fmt: skip
    assert found["threshold"]["met"]
    assert found["go"] is True
    assert found["top_up"] is None
    closed = state(plan, *given, {"event": "closed"})
    assert closed.to_dict()["data"]["committed"] == 11
    assert closed.revocable == 0
    rows = {row["name"]: row for row in closed.certificate["rows"]}
    assert Fraction(rows["data"]["left"]) >= Fraction(rows["data"]["right"]) == 11


def test_withdrawal_deletion_and_top_up() -> None:
    plan = plan_of()
    found = state(
        plan,
        {"id": "ana", "event": "gave", "time": "2026-03-01T09:00:00Z"},
        {"id": "ben", "event": "gave", "time": "2026-03-01T10:00:00Z"},
        {"id": "ben", "event": "withdrew", "time": "2026-03-02T10:00:00Z"},
    )
    (gone,) = found.to_dict()["deletions"]
    assert gone == {
        "id": "ben", "amount": 3, "reason": "withdrew all", "asked": "2026-03-02T10:00:00Z",
        "due": "2026-04-01", "version": 3,
    }  # fmt: skip
    top_up = found.top_up
    assert top_up is not None
    assert top_up.status is mo.Status.OPTIMAL
    assert top_up.missing == 3
    # dan has 3.5 of value left at a cost of 5; the rest is bought of ana at 1
    assert top_up.more.tolist() == pytest.approx([2.3, 0, 0, 0.7])
    assert top_up.extra.tolist() == pytest.approx([2.3, 0, 0, 0])
    assert mo.audit(top_up.plan.instance, top_up.plan).ok


def test_top_up_is_least() -> None:
    """Against a linear program written from the definition, 60 random pasts."""
    rng = np.random.default_rng(5)
    told = 0
    for _ in range(60):
        n = int(rng.integers(2, 6))
        instance = mo.Instance(
            cost=rng.integers(1, 9, n) / 4,
            value=rng.integers(0, 13, n) / 2,
            capacity=rng.integers(1, 13, n) / 2,
            thresholds=[float(rng.integers(1, 4 * n))],
            budget=float(rng.integers(2, 30)),
        )
        plan = mo.solve(instance, "burdens", objective="expenditure")
        if not plan.level:
            continue
        events = [
            {"id": str(i), "event": rng.choice(["gave", "gave", "withdrew", "failed"]), "key": k}
            for k, i in enumerate(rng.integers(0, n, 2 * n).tolist())
        ]
        found = state(plan, *events)
        top_up = found.top_up
        if top_up is None:
            continue
        told += 1
        inside = np.array([not (one.left or one.lost) for one in found.people])
        base = np.array([float(one.given + one.open) for one in found.people])
        promised = np.where(inside | [one.complete for one in found.people], plan.payment, 0.0)
        cost, value = instance.cost, instance.value
        left = np.maximum(value + promised - cost * base, 0.0)  # nobody is asked to make up for it
        A = [[*row, *(-np.eye(n)[i])] for i, row in enumerate(np.diag(cost))]
        least = linprog(
            [0] * n + [1] * n,
            A_ub=[*A, [0] * n + [1] * n],
            b_ub=[*left, instance.budget - promised.sum()],
            A_eq=[[1] * n + [0] * n],
            b_eq=[instance.thresholds[0] - base.sum()],
            bounds=[(0, c - b if i else 0) for c, b, i in zip(instance.capacity, base, inside)]
            + [(0, None)] * n,
        )
        assert (least.status == 0) == (top_up.plan is not None)
        if least.status == 0:
            assert top_up.extra.sum() == pytest.approx(least.fun, abs=1e-7)
            assert top_up.plan.total >= instance.thresholds[0]
            assert (top_up.plan.burden >= base - 1e-9).all()
    assert told > 15


def test_the_same_answer_whatever_the_order_of_lines() -> None:
    plan = plan_of()
    events = [
        {"id": "ana", "event": "gave", "time": "2026-03-01"},
        {"id": "ben", "event": "gave", "time": "2026-03-02"},
        {"id": "ana", "event": "withdrew", "time": "2026-03-03"},
        {"id": "ana", "event": "gave", "amount": 2, "time": "2026-03-04"},
    ]
    rng = np.random.default_rng(0)
    expected = state(plan, *events).to_dict()
    for _ in range(10):
        shuffled = state(plan, *[events[k] for k in rng.permutation(4)])
        assert {**shuffled.to_dict(), "problems": expected["problems"]} == expected
    late = state(plan, events[1], events[0])
    assert "out of order" in late.problems[0][1]


def test_what_is_odd_is_named_and_nothing_is_lost() -> None:
    plan = plan_of()
    gave = {"id": "ana", "event": "gave", "amount": 2}
    found = state(
        plan,
        gave,
        gave,
        {"id": "zoe", "event": "gave"},
        '{"id": "ana", "event": "ga',
        {"id": "ana", "event": "sang"},
        {"id": "ana", "event": "gave", "amount": -1},
        {"id": "cleo", "event": "withdrew", "amount": 1},
        {"id": "dan", "event": "paid", "amount": 3},
        "[1]",
        {"id": "ben", "event": "gave", "amount": 11},
    )
    said = dict(found.problems)
    assert "line 1" in said[2]
    assert "zoe" in said[3]
    assert "torn" in said[4]
    assert "sang" in said[5]
    assert "≥ 0" in said[6]
    assert "only 0 can be withdrawn" in said[7]
    assert "promised" in said[8]
    assert "object" in said[9]
    assert "capacity" in said[10]
    assert found.in_hand == 13
    assert found.events == 5


def test_committed_data_stay() -> None:
    plan = plan_of()
    found = state(
        plan,
        {"id": "ana", "event": "gave"},
        {"event": "closed"},
        {"id": "ana", "event": "withdrew"},
    )
    assert found.in_hand == 6
    assert not found.deletions
    assert "committed and stay" in found.problems[0][1]


def test_only_removable_data_go() -> None:
    found = state(
        plan_of(removable=["1/2", 1, 1, 1]),
        {"id": "ana", "event": "gave", "amount": 4},
        {"id": "ana", "event": "withdrew"},
    )
    assert (found.in_hand, found.committed, found.deletions[0].amount) == (2, 2, 2)


def test_payments_and_go() -> None:
    plan = plan_of(thresholds=[14], budget=4)
    assert plan.payment[0] > 0
    names = ("ana", "ben", "cleo", "dan")
    given = [{"id": name, "event": "gave"} for name in names]
    found = state(plan, *given)
    assert not found.go
    assert [row["holds"] for row in found.certificate["rows"]] == [True, True, False]
    due = {row["id"]: row["due"] for row in found.payments()}
    paid = [{"id": name, "event": "paid", "amount": amount} for name, amount in due.items()]
    assert state(plan, *given, *paid).go
    assert not state(plan, *given, *paid, {"id": "ana", "event": "paid", "amount": 3}).go


@pytest.mark.parametrize("suffix", [".jsonl", ".sqlite"])
def test_killed_writers_lose_nothing(suffix: str, tmp_path: Path) -> None:
    events, _ = faulty_logs.one(1, tmp_path, suffix, size=18)
    assert events == 18


def test_a_database_left_half_written_is_read(tmp_path: Path) -> None:
    """A writer that dies in the middle leaves a journal to be rolled back by whoever comes next."""
    log = tmp_path / "log.sqlite"
    mo.append_event(log, {"id": "ana", "event": "gave"})
    dies = (
        "import os, sqlite3, sys\n"
        "one = sqlite3.connect(sys.argv[1])\n"
        "one.execute('PRAGMA cache_size = 1')\n"
        "one.executemany('INSERT INTO log (line) VALUES (?)', [('x' * 2000,)] * 500)\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", dies, str(log)], check=False)
    assert (tmp_path / "log.sqlite-journal").exists()
    assert [json.loads(line)["id"] for line in mo.read_log(log)] == ["ana"]
    log.chmod(0o444)
    assert len(mo.read_log(log)) == 1


def test_files_and_database_mean_the_same(tmp_path: Path) -> None:
    plan = plan_of()
    events = faulty_logs.events_of(random.Random(3), 4, 30)
    for event in events:
        event["id"] = plan.instance.ids[int(event["id"][1:])].item()
    for suffix in (".jsonl", ".sqlite"):
        mo.append_event(tmp_path / f"log{suffix}", events[0])
        mo.append_events(tmp_path / f"log{suffix}", events[1:])
        with pytest.raises(InvalidEvent):
            mo.append_events(tmp_path / f"log{suffix}", [events[0], {"id": "x"}])
    one, other = (mo.update(plan, tmp_path / f"log{s}") for s in (".jsonl", ".sqlite"))
    assert one.to_dict() == other.to_dict()


def test_bad_events_are_refused_before_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for event in (
        {"id": "a", "event": "sang"},
        {"event": "gave"},
        {"id": "a", "event": "gave", "amount": float("nan")},
        {"id": "a", "event": "gave", "time": "yesterday"},
        {"id": "a", "event": "paid"},
    ):
        with pytest.raises(InvalidEvent):
            mo.append_event(path, event)
    assert not path.exists()
    with pytest.raises(mo.InvalidFile, match="no such log"):
        mo.read_log(path)
    with pytest.raises(mo.OutputError):
        mo.append_event(tmp_path / "none" / "log.jsonl", {"id": "a", "event": "gave"})


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan_of().write(tmp_path / "plan.json")
    log, base = tmp_path / "log.jsonl", ["update", str(tmp_path / "plan.json")]
    base.append(str(log))
    gave = '{"id": "ana", "event": "gave", "time": "2026-03-01"}'
    left = '{"id": "ana", "event": "withdrew", "time": "2026-03-02"}'
    names = {"--top-up": "top.json", "--deletions": "gone.json", "--payments": "pay.csv"}
    files = {option: tmp_path / name for option, name in names.items()}
    options = [text for name, path in files.items() for text in (name, str(path))]
    asked = [*base, "--append", gave, "--append", left, *options, "--quiet", "--format", "json"]
    assert cli.main(asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["in_hand"] == 0
    assert found["deletions"][0]["id"] == "ana"
    assert found["top_up"]["missing"] == 6
    assert found["go"] is False
    assert mo.read(files["--top-up"]).total == 11
    assert "ana" in files["--deletions"].read_text()
    assert files["--payments"].read_text().startswith("id,promised,paid,due")
    assert cli.main(base) == 0
    assert "NO-GO" in capsys.readouterr().out
    assert cli.main([*base, "--append", "{"]) == 2
    assert cli.main(["schema", "log-event"]) == 0


@pytest.mark.parametrize("seed", range(12))
def test_a_top_up_changes_nothing_of_what_happened(seed: int) -> None:
    """The same log under the new plan: same data, deletions, payments, also without amounts."""
    rng = random.Random(seed)
    plan = plan_of(thresholds=[14]) if seed % 2 else plan_of(unit=0.5, thresholds=[14])
    names = ["ana", "ben", "cleo", "dan"]
    events: list[dict[str, Any]] = [{"id": name, "event": "gave"} for name in names[:3]]
    events.insert(rng.randint(0, 2), {"id": "dan", "event": "failed", "amount": 0.5})
    events.append({"id": rng.choice(names[:3]), "event": "withdrew"})
    lines = [line_of(event) for event in events]
    before = replay(plan, lines)
    top_up = before.top_up
    assert top_up is not None
    if top_up.plan is None:
        return
    after = replay(top_up.plan, lines)
    assert after.in_hand == before.in_hand
    assert after.deletions == before.deletions
    assert after.spent == before.spent
    assert after.top_up is None
    assert float(after.expected - before.expected) == pytest.approx(float(top_up.more.sum()))
    later = [*lines, *(line_of({"id": n, "event": "gave", "key": 2}) for n in names)]
    assert replay(top_up.plan, later).in_hand >= after.threshold
    if not seed % 2:
        assert (top_up.plan.burden * 2 % 1 == 0).all()
