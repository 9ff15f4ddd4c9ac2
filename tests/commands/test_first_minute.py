"""The first minute: what the first command loads, and that its output is JSON and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import mechopt as mo
from mechopt import cli
from mechopt.files import write

EXAMPLE = str(Path(mo.__file__).parent / "data" / "example.json")
HEAVY = (
    "pyomo",
    "highspy",
    "scipy",
    "pandas",
    "pyarrow",
    "rich",
    "matplotlib",
    "pydantic",
    "typer",
)
OURS = 72  # modules of the package, of about 270


def test_a_small_solve_loads_nothing_heavy() -> None:
    """0.45 s where importing NumPy takes 0.15: all that is loaded counts."""
    code = (
        "import sys; from mechopt import cli; "
        f"assert cli.main(['solve', {EXAMPLE!r}, '--quiet']) == 0; "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); "
        "print(sum(name.startswith('mechopt') for name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    heavy, ours = done.stderr.splitlines()[-2:]
    assert heavy == "[]"
    assert int(ours) <= OURS


def words_of(*words: str) -> str:
    """What is said of a wrong command line."""
    done = subprocess.run(
        [sys.executable, "-m", "mechopt", *words], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("slove",), "did you mean 'solve'?"),
        (("solve", "a.csv", "--treshold", "4"), "solve: there is no option '--treshold'; did you "),
        (("solve",), "solve: FILE is missing: mechopt solve FILE"),
        (("export-model", "a.json"), "export-model: --out is missing"),
        (("solve", "a.csv", "b.csv"), "'b.csv' is one word too many"),
        (("solve", "a.csv", "--format", "xml"), "--format: 'xml' is not known. Choose from: table"),
        (("solve", "a.csv", "--seed", "x"), "--seed: expected a whole number, got 'x'"),
        (("solve", "a.csv", "--time-limit=-3"), "--time-limit: must be ≥ 0, got -3"),
        (("solve", "a.csv", "--time-limit"), "--time-limit: needs a value"),
        (("solve", "a.csv", "--quiet=yes"), "--quiet: takes no value, got 'yes'"),
    ],
)
def test_a_wrong_command_line_is_answered_in_a_line(words: tuple[str, ...], said: str) -> None:
    assert said in words_of(*words)


def test_words_are_read_in_any_order_and_spelling() -> None:
    from mechopt.commands import arguments, compare, options, solve
    from mechopt.commands.solve import Further, Written

    written = ["--threshold=-1e3", "a.csv", "--threshold", "2", "-oplan.csv", "--deterministic"]
    read = arguments.parse("solve", solve.solve, written)
    assert read == {
        "file": Path("a.csv"),
        "aim": options.Aim(),
        "terms": options.FileTerms(threshold=["-1e3", "2"]),
        "direct": options.Direct(randomized=False),
        "further": Further(),
        "written": Written(out=Path("plan.csv")),
    }
    several = arguments.parse("compare", compare.compare, ["a", "--draws", "3", "--", "--b", "-"])
    assert several["files"] == [Path("a"), Path("--b"), Path("-")]
    assert several["draws"] == 3


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    group = mo.Group(size=2, costs=[1, 2], probabilities=[0.5, 0.5], value=1, capacity=10)
    write(mo.Population([group], thresholds=[1.25]), folder / "population.json")
    two = mo.Instance(
        cost=[1, 2, 4], value=6, capacity=10, thresholds=[8, 11], shares=[0.6, 1], ids=list("abc")
    )
    write(two, folder / "two.json")
    mo.solve(two, "burdens").write(folder / "plan.json")
    return folder


COMMANDS = {
    "solve": ("solve", "two.json"),
    "solve in sequence": ("solve", "two.json", "--protocol", "sequential"),
    "solve for a population": ("solve", "population.json", "--objective", "improvement"),
    "certify": ("solve", "two.json", "--exact"),
    "check": ("check", "plan.json"),
    "compare": ("compare", "two.json", "--mechanism", "burdens", "--mechanism", "subsidy"),
    "export-model": ("export-model", "two.json", "--mechanism", "burdens-levels", "--out", "m.lp"),
    "models": ("models",),
    "one model": ("models", "burdens"),
}


EACH = """
import json, os, sys
from mechopt import cli
for name, words in json.loads(sys.argv[1]).items():
    for place, end in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{name}.{end}", os.O_WRONLY | os.O_CREAT), place)
    status = cli.main([*words, "--format", "json"])
    assert status == 0, (name, status)
    sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def printed(files: Path) -> Path:
    """The folder of what every command prints, NAME.out and NAME.err."""
    words = [sys.executable, "-c", EACH, json.dumps(COMMANDS)]
    subprocess.run(words, cwd=files, timeout=120, check=True)
    return files


@pytest.mark.parametrize("command", COMMANDS)
def test_standard_output_is_json_and_nothing_else(command: str, printed: Path) -> None:
    """In a process of their own: what a library prints on its first use would show."""
    json.loads((printed / f"{command}.out").read_text())
    assert "Traceback" not in (printed / f"{command}.err").read_text()


def test_schemas_are_json(files: Path) -> None:
    for kind in ((), ("plan",)):
        done = subprocess.run(
            [sys.executable, "-m", "mechopt", "schema", *kind],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert json.loads(done.stdout)
    assert done.stderr == ""


def test_a_shell_completes_commands() -> None:
    words = {"_MECHOPT_COMPLETE": "complete_bash", "COMP_WORDS": "mechopt so", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from mechopt.cli import main; main()"],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["solve"], done.stderr
    words |= {"COMP_WORDS": "mechopt solve a.csv --format ", "COMP_CWORD": "4"}
    done = subprocess.run(
        [sys.executable, "-m", "mechopt"],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["table", "json"], done.stderr


@pytest.mark.parametrize("command", cli.EXAMPLES)
def test_help_ends_in_examples(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    said = capfd.readouterr().out
    for line in cli.EXAMPLES[command]:
        assert line in " ".join(said.split())
        assert shlex.split(line)[1] in cli.COMMANDS


def on_terminal(code: str) -> tuple[str, str]:
    """(what the terminal shows of stderr, standard output) of a Python program."""
    reader, writer = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, text=True
        ) as process:
            os.close(writer)
            shown = b""
            with contextlib.suppress(OSError):  # Linux: the other end is closed
                while piece := os.read(reader, 4096):
                    shown += piece
            assert process.stdout is not None
            printed = process.stdout.read()
            assert process.wait(60) == 0, shown
    finally:
        os.close(reader)
    return shown.decode(), printed


@pytest.mark.parametrize("quiet", [False, True])
def test_a_long_solve_says_on_the_terminal_what_it_does(quiet: bool, files: Path) -> None:
    """One line on stderr that goes away again; standard output stays JSON."""
    words = ["solve", str(files / "two.json"), "--protocol", "sequential", "--format", "json"]
    code = (
        "import time, mechopt as mo; from mechopt import cli; from mechopt.commands import output; "
        "output.PATIENCE = 0.05; solve = mo.solve; "
        "mo.solve = lambda *a, **o: (time.sleep(0.3), solve(*a, **o))[1]; "
        f"raise SystemExit(cli.main({words + ['--quiet'] * quiet!r}))"
    )
    shown, printed = on_terminal(code)
    line = "solving (burdens, sequential, 3 users, 2 thresholds): 0 s so far"
    assert (line in shown) is not quiet
    assert quiet or "so far\r\x1b[Kmechopt: no provider value" in shown  # wiped when it is done
    assert json.loads(printed)["kind"] == "plan"


def test_a_short_solve_and_a_pipe_see_no_progress(files: Path) -> None:
    words = ["solve", str(files / "two.json"), "--format", "json"]
    shown, _ = on_terminal(f"from mechopt import cli; raise SystemExit(cli.main({words!r}))")
    assert "so far" not in shown
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from mechopt.commands import output; import time; output.PATIENCE = 0.01\n"
            "with output.working('x', quiet=False): time.sleep(0.1)",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_without_docstrings_there_is_a_sentence(files: Path) -> None:
    """PYTHONOPTIMIZE=2: Pyomo cannot be imported then, and help would be empty."""
    code = (
        "import mechopt as mo\n"
        f"plan = mo.read({str(files / 'two.json')!r})\n"
        "assert mo.solve(plan).objective is not None\n"  # what needs no Pyomo works
        "for ask in (lambda: mo.export_model(plan, 'burdens', 'm.lp'),\n"
        "            lambda: mo.solve(plan, protocol='sequential')):\n"
        "    try: ask()\n"
        "    except mo.NotSupported as error: print(error)\n"
        "    else: raise SystemExit('solved')"
    )
    for words in (["-m", "mechopt", "models"], ["-c", code]):
        done = subprocess.run(
            [sys.executable, "-OO", *words], capture_output=True, text=True, timeout=60, cwd=files
        )
        assert "Traceback" not in done.stderr
        assert "PYTHONOPTIMIZE=2" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--threshold", "-5"), "--threshold: must be > 0 and finite, got -5"),
        (
            ("--threshold", "5", "--share", "0.5", "--threshold", "0", "--share", "1"),
            "--threshold (number 2): must be > 0 and finite, got 0",
        ),
        (
            ("--threshold", "5", "--threshold", "6"),
            "--share: missing; 2 thresholds need as many shares",
        ),
        (("--threshold", "5", "--share", "2"), "--share: must lie in (0, 1], got 2"),
        (("--threshold", "5", "--budget", "-1"), "--budget: must be ≥ 0 (money), got -1"),
        (
            ("--threshold", "5", "--provider-value", "-1"),
            "--provider-value: must be ≥ 0 (money) and finite, got -1",
        ),
    ],
)
def test_a_wrong_option_is_blamed_and_not_the_file(
    option: tuple[str, ...],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "users.csv").write_text("id,cost,capacity,value\na,1,10,5\n", encoding="utf-8")
    instance = {"schema_version": 1, "kind": "instance", "improvement": {"thresholds": [3]}}
    users = {"cost": [1], "value": [5], "capacity": [10]}
    (tmp_path / "i.json").write_text(json.dumps({**instance, "users": users}), encoding="utf-8")
    for name in ("users.csv", "i.json"):
        assert cli.main(["solve", str(tmp_path / name), *option]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines == [f"mechopt: {said}"]


@pytest.mark.parametrize("width", [40, 50, 80, None])
def test_pages_keep_to_the_width_of_the_terminal(width: int | None) -> None:
    """Piped, they have 80 columns, or as many as COLUMNS says; table cells are never cut."""
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    for words in (("solve", EXAMPLE), ("check", "--help"), ("--help",), ("compare", EXAMPLE)):
        if width == 40 and words[0] == "compare":
            continue  # its words alone are wider: mechanism, protocol and one metric
        done = subprocess.run(
            [sys.executable, "-m", "mechopt", *words],
            env={**environment, **({"COLUMNS": str(width)} if width else {})},
            capture_output=True,
            text=True,
            timeout=60,
        )
        lines = [line for line in done.stdout.splitlines() if not line.startswith("  mechopt ")]
        assert lines
        assert max(map(len, lines)) <= (width or 80), (words, max(lines, key=len))


@pytest.mark.parametrize("width", [20, 40, 80])
def test_narrow_tables_wrap_words_and_cut_no_number(width: int) -> None:
    from mechopt.commands.output import Page

    page = Page(width)
    rows = [("threshold (level 1 of 2 reached)", "1,000", "-133.25"), ("data", "123,456", "0")]
    page.table(("", "burdens", "price"), rows)
    text = page.text()
    assert "…" not in text
    for number in ("1,000", "-133.25", "123,456"):
        assert number in text
    assert max(map(len, text.splitlines())) <= max(width, 12 + 1 + 7 + 1 + 7)
