"""Memory predicted before something is built, and refused if there is not enough; its collector."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mechopt.errors import TooLarge

SHARE = 0.5  # of the machine's memory: the solver's copy of a model needs room as well
UNKNOWN_MACHINE = 4e9  # bytes, where the system does not say how much there is

# Measured with Pyomo 6.9 on models of 1,000 to 16,000 components, rounded up.
PER_COMPONENT = 600  # bytes of a variable or row with a few coefficients
PER_COEFFICIENT = 200  # bytes of a coefficient while a model is compiled or written


def limit() -> float:
    """The most that one build may take, bytes."""
    try:
        return SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_MACHINE


def refuse_beyond(what: str, size: str, needed: float, advice: str) -> None:
    """TooLarge if `needed` bytes are beyond the limit: names the size, the estimate, a way out."""
    most = limit()
    if needed > most:
        raise TooLarge(
            f"{what}: {size} would take about {needed / 1e9:,.1f} GB of memory; the limit is "
            f"{most / 1e9:,.1f} GB (half of this machine's). {advice}"
        )


# What a pause made is collected in full once this much waits: a Pyomo model is a web of cycles
# (every scalar component holds itself), and pauses hide from the collector that it is time.
# Three models of 1,000 users with four thresholds; a collection of so many takes 0.3 s.
PILE = 1_000_000  # objects


class Pile:
    """How many objects pauses have made since the last collection, and how many it left."""

    waiting = 0
    alive = 0

    @classmethod
    def look(cls) -> None:
        """Collect in full if much waits, compared with what is there (Python's rule: a quarter)."""
        if cls.waiting > max(PILE, cls.alive // 4):
            gc.collect()
            cls.waiting, cls.alive = 0, len(gc.get_objects())


@contextmanager
def paused_gc() -> Iterator[None]:
    """No garbage collection while a model is built or a file is read: half the time.

    What earlier pauses made and nobody holds any more is given back first, if it is much.
    """
    if not gc.isenabled():
        yield
        return
    Pile.look()
    gc.disable()
    before = gc.get_count()[0]
    try:
        yield
    finally:
        Pile.waiting += max(0, gc.get_count()[0] - before)
        gc.enable()
