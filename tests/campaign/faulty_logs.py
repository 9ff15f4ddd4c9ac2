"""Logs written by several processes that are killed: nothing acknowledged may be lost.

`python -m tests.campaign.faulty_logs 100` runs a hundred of them and says what came out.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mechopt as mo
from mechopt.campaign.replay import replay

WRITER = """
import json, sys
from mechopt.campaign.store import append_event
log, events = sys.argv[1], json.loads(sys.argv[2])
print("ready", flush=True)
for event in events:
    append_event(log, event)
    print(event["key"], flush=True)
"""


def plan_of(users: int) -> mo.Plan:
    instance = mo.Instance(
        cost=[1 + i % 4 for i in range(users)], value=6, capacity=10, thresholds=[2 * users],
        ids=[f"u{i}" for i in range(users)],
    )  # fmt: skip
    return mo.solve(instance, "burdens", objective="expenditure")


def events_of(rng: random.Random, users: int, count: int) -> list[dict[str, Any]]:
    found = []
    for step in range(count):
        kind = rng.choice(["gave"] * 6 + ["withdrew", "withdrew", "failed", "paid", "invited"])
        event: dict[str, Any] = {"id": f"u{rng.randrange(users)}", "event": kind, "key": step}
        if kind in ("gave", "paid") or rng.random() < 0.3:
            event["amount"] = rng.randrange(1, 12) / 4
        event["time"] = f"2026-03-01T{step // 3600:02d}:{step // 60 % 60:02d}:{step % 60:02d}Z"
        found.append(event)
    return found


def one(seed: int, folder: Path, suffix: str, size: int = 60) -> tuple[int, int]:
    """One log: (events in it, writers killed); raises AssertionError if anything was lost."""
    rng = random.Random(seed)
    plan = plan_of(6)
    events = events_of(rng, 6, size)
    log = folder / f"log{seed}{suffix}"
    shares = [events[k::3] for k in range(3)]
    killed, acknowledged = 0, set()
    while any(shares):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(log), json.dumps(share)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for share in shares
        ]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        for writer in writers:
            if rng.random() < 0.8:
                time.sleep(rng.random() * 0.02)
                killed += writer.poll() is None
                writer.send_signal(signal.SIGKILL)
        for k, writer in enumerate(writers):
            told = writer.communicate()[0].split()
            acknowledged |= {int(key) for key in told}
            # what was not acknowledged is said again, as after a crash
            done = set(told)
            shares[k] = [event for event in shares[k] if str(event["key"]) not in done]
        if suffix == ".jsonl" and rng.random() < 0.7:
            with open(log, "a") as stream:  # a torn line, as a crash of the machine leaves it
                stream.write('{"id": "u1", "event": "ga')
        if rng.random() < 0.5:
            shares[0] = [*events[:3], *shares[0]]  # a replay of what is there already
            rng.shuffle(shares[0])
    lines = mo.read_log(log)
    found, undisturbed = replay(plan, lines), replay(plan, map(json.dumps, events))
    kept = {json.loads(line)["key"] for line in lines if line.endswith("}")}
    assert acknowledged <= kept, "an acknowledged event is lost"
    assert kept == {event["key"] for event in events}
    first, second = found.to_dict(), undisturbed.to_dict()
    for document in (first, second):
        del document["problems"]
    assert first == second, "the state differs from that of the undisturbed run"
    return found.events, killed


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            one(seed, Path(folder), ".jsonl" if seed % 2 else ".sqlite") for seed in range(count)
        ]
    print(
        f"{count} logs, {sum(e for e, _ in runs)} events, {sum(k for _, k in runs)} writers killed"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
