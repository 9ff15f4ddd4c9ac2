"""Check the claims of benchmarks/claims on the problems of a specification.

    python benchmarks/claims/run.py smoke.json OUT
    python benchmarks/claims/run.py default.json OUT --data contributions.csv --jobs 2

Writes OUT/findings.jsonl.gz (one line per claim and problem), OUT/summary.json (per claim and K)
and OUT/examples/ (counterexamples and witnesses, which `mechopt solve` and `mechopt check` open).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from mechopt import __version__
from mechopt.studies.claim_cases import cases, read_spec
from mechopt.studies.claim_runs import run_claims, summarise, write_findings
from mechopt.studies.claims import CLAIMS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, help="contributions.csv, for real capacities")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    spec = arguments.spec
    if not spec.exists():
        spec = Path(__file__).parent / spec
    began = perf_counter()
    problems = cases(read_spec(spec), capacities=arguments.data, seed=arguments.seed)
    findings = run_claims(
        problems, jobs=arguments.jobs, examples=arguments.out / "examples", progress=_progress
    )
    seconds = perf_counter() - began
    write_findings(findings, arguments.out / "findings.jsonl.gz")
    summary = {
        "version": __version__,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "spec": spec.name,
        "seed": arguments.seed,
        "jobs": arguments.jobs,
        "problems": len(problems),
        "seconds": round(seconds, 1),
        "claims": summarise([replace(finding, group="") for finding in findings]),
    }
    text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
    (arguments.out / "summary.json").write_text(text, encoding="utf-8")
    for name, claim in CLAIMS.items():
        told = [f for f in findings if f.claim == name and f.holds is not None]
        holds = sum(bool(f.holds) for f in told)
        print(f"{name:<26} holds on {holds:>4} of {len(told):>4}: {claim.statement}")
    print(
        f"{len(problems)} problems, {seconds:.1f} s; errors: {sum(bool(f.error) for f in findings)}"
    )
    return 0


def _progress(done: int, whole: int, left: float) -> None:
    if done == whole or done % max(1, whole // 20) == 0:
        print(f"{done} of {whole} problems, about {left:.0f} s left", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
