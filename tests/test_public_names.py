"""The public names: all of them shown, nothing else, and known to type checkers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mechopt as mo


def test_dir_shows_the_public_names_and_nothing_else() -> None:
    assert dir(mo) == sorted(mo.__all__)
    assert not {"Any", "TYPE_CHECKING", "import_module", "annotations"} & set(dir(mo))
    for name in mo.__all__:
        assert getattr(mo, name) is not None


def test_a_type_checker_knows_every_public_name(tmp_path: Path) -> None:
    uses = "\n".join(f"reveal_type(mo.{name})" for name in mo.__all__)
    program = f"""
import mechopt as mo

instance = mo.Instance(cost=[1, 2, 4], value=6, capacity=10, thresholds=[8])
plan = mo.Plan.from_arrays(instance, burden=[6, 2, 0])
stays: bool = mo.check_withdrawal(instance, plan).stable
holds: bool = mo.audit(instance, plan).ok
group = mo.Group(size=2, costs=[1, 2], probabilities=[0.5, 0.5], value=1, capacity=10)
population = mo.Population([group], thresholds=[1.25])
interval: mo.Bracket = mo.bracket(population)
words: str = interval.summary() + plan.summary()
rows: int = len(mo.compare([instance], ["burdens"]))
{uses}
"""
    path = tmp_path / "uses.py"
    path.write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(mo.__file__).parents[1],
    )
    faults = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert not [line for line in faults if "uses.py" in line], done.stdout
    known = [line for line in done.stdout.splitlines() if "Revealed type" in line]
    assert len(known) == len(mo.__all__)
    assert not [line for line in known if line.endswith('"Any"')]
