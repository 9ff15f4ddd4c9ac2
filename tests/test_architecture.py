"""The house: every import points down, in the order of docs/architecture.md, without exception.

Imports inside functions and those for type checkers count too. What is named in a string
("module:function") may point up only from the doors, from `mechopt/__init__.py` and the registry.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import mechopt
from mechopt import registry

ROOT = Path(mechopt.__file__).parent
GROUND = {"errors", "status", "arrays", "tolerances", "memory", "atomic", "draws", "words", "doors"}
FOLDERS = (
    "checker",
    "problem",
    "answer",
    "solver",
    "dropouts",
    "withdrawal",
    "formulations",
    "exact",
    "audits",
    "known",
    "private",
    "certificates",
    "registry",  # with `solving`: every mechanism by name
    "cases",
    "files",
    "campaign",
    "studies",
    "explorer",
    "commands",
    "cli",
)
MAY_NAME = {
    "mechopt",
    "mechopt.doors",
    "mechopt.registry",
    "mechopt.formulations",
    "mechopt.files",
    "mechopt.cli",
}
MOST_LINES = 450  # of a module
MOST_MODULES = 20  # in a folder
MOST_LOOSE = 14  # at the root
MOST_CODE = 60  # lines of a function, its docstring not counted; "(Long because …)" gives a reason
MOST_ARGUMENTS = 6  # of a function, but for options that a user says one by one
# The game as plain arrays, one to a symbol of the model; and what the steps of one search turn on.
IN_SYMBOLS = {
    *("from_arrays", "sequential_outcome", "sequential_everyone_stays", "simultaneous_slack"),
    *("payment_needed", "best_prices", "plan_at"),
}


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ["mechopt", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def floor(module: str) -> int:
    """How high a module lies: 0 for the ground, else its folder's place."""
    first = module.split(".")[1] if "." in module else ""
    if first in GROUND:
        return 0
    first = {"solving": "registry", "": "cli", "__main__": "cli"}.get(first, first)
    return 1 + FOLDERS.index(first)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(parsed(path)))


@cache
def imported(path: Path) -> set[str]:
    return imported_by(nodes(path))


def imported_by(tree: Iterable[ast.AST]) -> set[str]:
    known, found = modules(), set()
    for node in tree:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for name in node.names:
                full = f"{node.module}.{name.name}"
                found.add(full if full in known else node.module)
    return {name for name in found if name in known}


def test_every_import_points_down() -> None:
    known = modules()
    upward = [
        f"{module} imports {target}"
        for module, path in known.items()
        for target in imported(path)
        if module not in ("mechopt", "mechopt.doors", "mechopt.__main__")
        and target not in ("mechopt", module)
        and floor(target) > floor(module)
    ]
    assert not upward, "\n".join(upward)


def test_only_doors_and_registers_name_functions_in_strings() -> None:
    pattern = re.compile(r'"mechopt\.[\w.]+:\w+"')
    others = [
        module
        for module, path in modules().items()
        if module not in MAY_NAME and pattern.search(path.read_text())
    ]
    assert not others


def test_the_checker_stands_alone() -> None:
    for path in (ROOT / "checker").glob("*.py"):
        for node in nodes(path):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert node.module is not None
                assert not node.module.startswith(("mechopt", "numpy")), path


def test_every_folder_says_what_lives_there() -> None:
    silent = [
        path.parent.name
        for path in ROOT.rglob("__init__.py")
        if not (ast.get_docstring(parsed(path)) or "").strip()
    ]
    assert not silent


def test_every_folder_is_packaged() -> None:
    """An installed wheel has every folder: setuptools' list is kept by hand (models/ is mapped)."""
    settings = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert set(settings["packages"]) == folders | {"mechopt.sheets"}


def test_modules_and_folders_are_small_enough_to_know() -> None:
    long = [
        f"{module}: {lines} lines"
        for module, path in modules().items()
        if (lines := len(path.read_text().splitlines())) > MOST_LINES
    ]
    assert not long, "split by subject: " + ", ".join(long)
    members: dict[Path, list[str]] = {}
    for path in modules().values():
        members.setdefault(path.parent, []).append(path.name)
    full = [
        f"{folder.name}: {len(names)} modules"
        for folder, names in members.items()
        if len(names) > (MOST_LOOSE if folder == ROOT else MOST_MODULES)
    ]
    assert not full, "give part of it a folder: " + ", ".join(full)


def test_no_circle_of_imports() -> None:
    """Imports for type checkers alone do not count; `doors` and the registers' strings do not."""
    known = modules()
    imports = {module: running(path) - {module} for module, path in known.items()}
    reached = {module: reachable(module, imports) for module in known}
    circles = {
        frozenset({module} | {other for other in reached[module] if module in reached[other]})
        for module in known
    }
    assert not [sorted(circle) for circle in circles if len(circle) > 1]


def running(path: Path) -> set[str]:
    """What a module imports when it runs, its functions included."""
    hidden: set[ast.AST] = set()
    for node in nodes(path):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            hidden.update(inner for part in node.body for inner in ast.walk(part))
    return imported_by(node for node in nodes(path) if node not in hidden)


def reachable(module: str, imports: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [module]
    while todo:
        for target in imports[todo.pop()] - found:
            found.add(target)
            todo.append(target)
    return found


def functions() -> Iterator[tuple[str, str, ast.FunctionDef]]:
    """(module, where, function) of every function and method."""
    for module, path in modules().items():
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef):
                yield module, f"{module}: {node.name}, line {node.lineno}", node


def test_functions_are_short_or_say_why_not() -> None:
    long = []
    for _, where, function in functions():
        docstring = ast.get_docstring(function) or ""
        lines = (function.end_lineno or 0) - function.lineno + 1
        if docstring:
            lines -= (function.body[0].end_lineno or 0) - function.body[0].lineno + 1
        if lines > MOST_CODE and "(Long because" not in docstring:
            long.append(f"{where}: {lines} lines")
    assert not long, "split, or say why in the docstring: " + ", ".join(long)


def test_what_travels_together_is_one_object() -> None:
    """A user says options one by one: of public names, mechanisms, models, families, commands."""
    said = ("commands.", "formulations.", "cases.generators", "cases.population_families")
    registered = {place for kinds in registry.MECHANISMS.values() for place in kinds.values()}
    crowded = []
    for module, where, function in functions():
        arguments = function.args
        number = sum(map(len, (arguments.posonlyargs, arguments.args, arguments.kwonlyargs)))
        number -= bool(arguments.args) and arguments.args[0].arg in ("self", "cls")
        public = function.name in ("__init__", *mechopt.__all__, *IN_SYMBOLS, "from_samples")
        public |= (module, function.name) == ("mechopt.files", "write")
        public |= f"{module}:{function.name}" in registered
        public |= module.removeprefix("mechopt.").startswith(said)
        if not public and number > MOST_ARGUMENTS:
            crowded.append(f"{where}: {number} arguments")
    assert not crowded, "hand on an object: " + ", ".join(crowded)


def test_tolerances_have_names() -> None:
    """Nothing as small as a tolerance stands bare in a function; coefficients of a series may."""
    bare = []
    for module, path in modules().items():
        if module in ("mechopt.draws",) or module.startswith("mechopt.checker"):
            continue
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef):
                bare += [
                    f"{module}, line {one.lineno}: {one.value}"
                    for one in ast.walk(node)
                    if isinstance(one, ast.Constant)
                    and isinstance(one.value, float)
                    and 0 < one.value < 1e-4
                ]
    assert not bare, "name it in tolerances.py, or beside what it is for: " + ", ".join(bare)


def test_a_class_has_a_name_of_its_own() -> None:
    """One word, one thing; the checker stands alone, a schema is called as what it describes."""
    found: dict[str, set[str]] = {}
    for module, path in modules().items():
        if not module.startswith(("mechopt.checker", "mechopt.files.schema")):
            for node in nodes(path):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, set()).add(module)
    again = {name: sorted(where) for name, where in found.items() if len(where) > 1}
    assert not again, again
