"""Shared fixtures: where the real data are (missing data fail, never skip)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples on every machine: a red build is a change, not luck. Searching for new ones is
# the job of the long runs in benchmarks/.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# A shell's background jobs ignore Ctrl-C, and so would the processes that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["COLUMNS"] = "100"  # pages are as wide as this says; where nothing does, 80

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data: a clone without them passes over what reads them, CI does not."""
    folder = SHARED / "data"
    if not folder.is_dir() and not os.environ.get("CI"):
        pytest.skip(f"needs the real data in {folder}")
    assert folder.is_dir(), f"the real data are missing: expected them in {folder}"
    return folder


@pytest.fixture
def worked() -> Any:
    from tests.problems import worked

    return worked()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, default=80, help="mutated files to try (fixed seed)")
