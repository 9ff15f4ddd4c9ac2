"""The explorer: its terms and answers, what the server refuses, and the page in a real browser."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mechopt as mo
from mechopt import cli
from mechopt.explorer import answers
from mechopt.explorer.page import standalone
from mechopt.explorer.server import Explorer
from mechopt.explorer.terms import PageTerms, sliders_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def instance_of(**more: Any) -> mo.Instance:
    given: dict[str, Any] = {
        "cost": [1, 2, 4, 5, 3],
        "value": 6.0,
        "capacity": 10.0,
        "thresholds": [11.0],
        "provider_value": 100.0,
        "ids": ["ana", "ben", "cleo", "dan", "<eve>"],
    }
    return mo.Instance(**{**given, **more})


# -- terms and answers ----------------------------------------------------------------------------

MOVES: list[dict[str, str]] = [
    {},
    {"budget": "0.5", "V": "50"},
    {"t1": "14", "value": "0.5"},
    {"rho": "0.5", "delta": "0.75", "eta": "0.25", "reserve": "1"},
    {"protocol": "sequential", "order": "large-first", "objective": "expenditure"},
    {"mechanism": "posted-price", "budget": "inf"},
    {"mechanism": "subsidy", "t1": "5"},
    {"right": "part", "objective": "social-cost"},
]


@pytest.mark.parametrize("kind", ["instance.json", "users.csv"])
@pytest.mark.parametrize("query", MOVES)
def test_every_state_is_reproduced_by_its_lines(
    query: dict[str, str], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / kind
    instance = instance_of(budget=30)
    if kind == "users.csv":  # it does not say thresholds, value and budget; the lines must
        rows = zip(instance.ids, instance.cost, instance.value, instance.capacity)
        lines = [",".join(map(str, row)) for row in rows]
        path.write_text("\n".join(["id,cost,value,capacity", *lines]) + "\n")
    else:
        instance.write(path)
    found = answers.answer(instance, PageTerms.read(query, instance), str(path))
    assert "error" not in found
    scope: dict[str, Any] = {}
    exec(found["python"], scope)
    assert scope["plan"].objective == pytest.approx(found["plan"]["value"])
    words = shlex.split(found["command"])
    assert words[0] == "mechopt"
    assert cli.main([*words[1:], "--format", "json", "--quiet"]) in (0, 4)
    assert json.loads(capsys.readouterr().out)["objective"] == scope["plan"].objective


def test_several_thresholds(tmp_path: Path) -> None:
    instance = mo.generate("lognormal", n=30, seed=1, levels=3)
    names = [slider.name for slider in sliders_of(instance)]
    assert {"t1", "t2", "t3"} < set(names)
    found = answers.answer(instance, PageTerms.read({"t1": "99"}, instance), "x.json")
    assert "thresholds" in found["error"]
    many = mo.generate("lognormal", n=30, seed=1, levels=8)
    assert "scale" in [slider.name for slider in sliders_of(many)]


@pytest.mark.parametrize(
    "query", [{"t1": "x"}, {"order": "up"}, {"out": "9"}, {"t1": "nan"}, {"z": "1"}, {"V": "inf"}]
)
def test_terms_that_make_no_sense_are_named(query: dict[str, str]) -> None:
    with pytest.raises(mo.InvalidOption, match=next(iter(query))):
        PageTerms.read(query, instance_of())


def test_the_replay_follows_best_replies_and_the_order() -> None:
    """K = 1, X = T: taking anybody out leaves nothing to train, so nobody has to follow."""
    instance = instance_of()
    found = answers.answer(instance, PageTerms.read({"out": "1"}, instance), "x")
    assert found["replay"]["level"] == 0
    assert found["replay"]["followers"] == 0
    assert found["replay"]["restore"]["users"]
    # two levels: once ben is out, those who stayed for the second level leave in a wave
    two = mo.Instance(cost=1, value=[2, 2, 9], capacity=4, thresholds=[2, 6], shares=[0.5, 1])
    plan = mo.solve(two, objective="expenditure")
    for user in np.flatnonzero(plan.burden > 0).tolist():
        for protocol in ("simultaneous", "sequential"):
            terms = PageTerms.read({"out": str(user), "protocol": protocol}, two)
            replay = answers.answer(two, terms, "x")["replay"]
            stays = np.array([wave < 0 for wave in _waves(two, terms)])
            assert replay["total"] == pytest.approx(plan_total(two, terms, stays))


def _waves(instance: mo.Instance, terms: PageTerms) -> list[int]:
    found = answers.answer(instance, terms, "x")["people"]
    waves = [-1] * instance.n
    for user, wave in zip(found["at"], found["wave"]):
        waves[user] = wave
    return waves


def plan_total(instance: mo.Instance, terms: PageTerms, stays: np.ndarray) -> float:
    plan = mo.solve(instance, "burdens", **terms.options())
    return float(plan.burden[stays].sum())


def test_the_posted_price_is_drawn_in_its_steps() -> None:
    instance = mo.generate("lognormal", n=40, seed=3, tightness=0.5)
    steps = answers.frontier(instance, PageTerms({}, {}))["posted"]
    rng = np.random.default_rng(1)
    ends = [data for data, _ in steps]
    for goal in rng.uniform(0.05, 1, 20) * ends[-1]:
        one = instance.replace(thresholds=[float(goal)])
        plan = mo.solve(one, "posted-price", objective="expenditure")
        place = int(np.searchsorted(ends, goal))
        assert plan.payment.sum() == pytest.approx(steps[place][1])
    assert answers.frontier(instance, PageTerms({}, {}), lambda: True) == {}


def test_a_first_answer_says_that_more_may_be_found() -> None:
    instance = mo.generate("lognormal", n=60, seed=1, levels=3, tightness=0.9, shape="accelerating")
    instance = instance.replace(provider_value=0.0)
    terms = PageTerms({}, {"protocol": "sequential"})
    first = answers.answer(instance, terms, "x", patience=0.0)
    assert first["refine"] is True
    assert first["plan"]["status"] == "feasible"
    better = answers.answer(instance, terms, "x")
    assert better["refine"] is False
    assert better["plan"]["value"] <= first["plan"]["value"]
    assert first["plan"]["bound"] <= better["plan"]["value"] * (1 + 1e-9)


# -- the server -----------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Explorer]:
    with Explorer(instance_of(), "users.json") as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(
    server: Explorer, path: str, *, method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body=body, headers=said)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    except (BrokenPipeError, ConnectionResetError):
        return 413, ""  # refused while the body was still being sent
    finally:
        connection.close()


def test_the_server_answers_who_has_the_address(server: Explorer) -> None:
    base = f"/{server.token}/"
    status, text = ask(server, base)
    assert status == 200
    assert "<eve>" not in text
    status, text = ask(server, base + "answer?budget=0.5")
    assert status == 200
    assert json.loads(text)["plan"]["status"] == "optimal"
    assert json.loads(ask(server, base + "frontier")[1])["rows"]
    assert "no term" in json.loads(ask(server, base + "answer?z=1")[1])["error"]


def test_the_server_refuses_everybody_else(server: Explorer) -> None:
    base = f"/{server.token}/"
    refused = [
        ask(server, "/"),
        ask(server, "/answer"),
        ask(server, f"/{server.token[:-1]}x/"),
        ask(server, "/%00/"),
        ask(server, base, Host="evil.example"),
        ask(server, base, Host=f"evil.example:{server.server_port}"),
        ask(server, base, Host="127.0.0.1"),
        ask(server, base + "answer", Sec_Fetch_Site="cross-site"),
        ask(server, base + "../../etc/passwd"),
        ask(server, base + "users.json"),
        ask(server, base + "answer/../answer"),
        ask(server, base + "answer?" + "x" * 20_000),
        ask(server, base, body="x" * 10),
        ask(server, base, body=b"x" * 5_000_000),
        ask(server, base + "answer", Transfer_Encoding="chunked"),
        ask(server, base + "answer", method="POST", body="{}"),
        ask(server, base + "answer", method="PUT", body="{}"),
        ask(server, base, method="OPTIONS"),
    ]
    assert all(status in (403, 404, 413, 414, 501) for status, _ in refused), refused
    assert not any("cleo" in text for _, text in refused)
    assert server.server_address[0] == "127.0.0.1"


def test_two_servers_share_neither_port_nor_token(server: Explorer) -> None:
    with Explorer(instance_of(), "x") as other:
        assert other.server_port != server.server_port
        assert other.token != server.token
        assert len(other.token) >= 32


def test_the_command_writes_a_page(tmp_path: Path) -> None:
    instance_of().write(tmp_path / "i.json")
    out = tmp_path / "page.html"
    assert cli.main(["explore", str(tmp_path / "i.json"), "--out", str(out), "--quiet"]) == 0
    assert "/*ABOUT*/" not in out.read_text()
    population = mo.generate("population-two-type", 3, seed=1)
    population.write(tmp_path / "p.json")
    assert cli.main(["explore", str(tmp_path / "p.json"), "--out", str(out), "--quiet"]) == 2


# -- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("chromium is not installed")
    assert CHROMIUM is not None, "chromium is not installed (.ci/run installs it)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            found = playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=["--no-sandbox", "--disable-gpu", "--disable-quic"],
            )
            yield found
            found.close()


def opened(browser: Any, address: str, **options: Any) -> tuple[Any, list[str], list[str]]:
    """(page, what went wrong in it, requests to anywhere else)."""
    page = browser.new_page(**options)
    wrong: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    origin = address.split("#")[0].rsplit("/", 1)[0]
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((origin, "data:")) else elsewhere.append(request.url)
        ),
    )
    page.goto(address)
    page.wait_for_selector("#people button")
    return page, wrong, elsewhere


def payments(page: Any) -> str:
    return str(page.locator("#table tbody tr:nth-child(4) td:nth-child(2)").inner_text())


def test_sliders_replay_and_keyboard(browser: Any, server: Explorer) -> None:
    page, wrong, elsewhere = opened(browser, server.address)
    assert page.locator("#people button").count() == 3
    before = payments(page)
    page.locator("#s-t1").focus()
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    page.locator("#command", has_text="--threshold 15").wait_for()
    assert payments(page) != before
    assert "t1=" in page.url
    page.wait_for_selector("#frontier circle.here")
    page.locator("#people button").nth(1).click()
    page.locator("#outcome", has_text="taken out").wait_for()
    page.locator("#restore", has_text="more data").wait_for()
    # the same state from its address, in another page
    again, wrong2, _ = opened(browser, page.url)
    again.locator("#outcome", has_text="taken out").wait_for()
    assert payments(again) == payments(page)
    again.close()
    page.keyboard.press("Escape")
    page.locator("#outcome", has_text="stays").wait_for()
    page.locator("#people button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector('#people button[data-wave="0"]')
    page.locator("#reset").click()
    page.locator("#c-protocol").select_option("sequential")
    page.locator("#command", has_text="sequential").wait_for()
    assert not wrong
    assert not wrong2
    assert not elsewhere
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_width(browser: Any, server: Explorer, scheme: str) -> None:
    page, wrong, _ = opened(
        browser, server.address, viewport={"width": 390, "height": 800}, color_scheme=scheme
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert not wrong
    page.close()


def test_a_page_without_a_server(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(standalone(instance_of(), "users.json"))
    page, wrong, elsewhere = opened(browser, path.as_uri())
    before = payments(page)
    page.locator("#s-t1").focus()
    page.keyboard.press("End")
    assert payments(page) != before
    page.locator("#people button").first.click()
    page.locator("#outcome", has_text="taken out").wait_for()
    assert "t1=" in page.url
    assert not wrong
    assert not elsewhere
    page.close()


def test_groups_know_no_price_and_contacts_are_paid() -> None:
    """The page of such a problem is none with an error; its money is that of the metrics."""
    instance = instance_of(group=list("aabbb"), group_most={"a": 9}, contact_cost=0.5)
    found = answers.answer(instance, PageTerms({}, {}), "x")
    assert found["posted"] is None
    plan = mo.solve(instance, "burdens")
    for name, metric in (("payments", "expenditure"), ("surplus", "provider_surplus")):
        assert found["plan"][name] == plan.metrics[metric]
    assert found["plan"]["welfare"] == plan.metrics["welfare"]
