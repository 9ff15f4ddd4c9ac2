"""Claims on many problems: running, counting, examples kept as files, findings read back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import Any

from mechopt.solving import problem_kind
from mechopt.studies.claims import CLAIMS, Case, Finding, asked_plan
from mechopt.studies.results import interval, share_interval
from mechopt.studies.running import run


def check_claims(case: Case, claims: Iterable[str] | None = None) -> list[Finding]:
    """Every claim that says something about the kind of problem and its number of thresholds."""
    found = []
    for name in CLAIMS if claims is None else claims:
        claim = CLAIMS[name]
        problem = case.problem
        if claim.kind != problem_kind(problem) or not claim.levels(problem.levels):
            continue
        began = perf_counter()
        about = (name, case.group, case.label, problem.n, problem.levels)
        try:
            verdict = claim.check(case)
        except Exception as error:  # one failing check must not end the suite
            found.append(Finding(*about, None, error=f"{type(error).__name__}: {error}"))
            continue
        seconds = perf_counter() - began
        if verdict is None:
            found.append(Finding(*about, None, seconds=seconds))
        else:
            found.append(Finding(*about, *verdict, seconds=seconds))
    return found


def run_claims(
    cases: Sequence[Case],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    examples: str | PathLike[str] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> list[Finding]:
    """All claims on all cases, in the order of the cases.

    :examples: folder for one file per claim and K, of the fewest users: a counterexample of what
        should always hold, a witness of what can happen (the instance, and the burdens as
        `.plan.json`)
    """
    began = perf_counter()
    results: dict[int, list[Finding]] = {}
    tasks = list(enumerate(cases))
    for count, (position, found) in enumerate(
        run(_numbered, tasks, _lost, jobs=jobs, scheduler=scheduler), 1
    ):
        results[position] = found
        if progress is not None:
            pace = (perf_counter() - began) / count
            progress(count, len(cases), pace * (len(cases) - count))
    findings = [finding for position in sorted(results) for finding in results[position]]
    if examples is None:
        return findings
    return _save_examples(findings, {case.label: case for case in cases}, Path(examples))


def _numbered(task: tuple[int, Case]) -> tuple[int, list[Finding]]:
    return task[0], check_claims(task[1])


def _lost(task: tuple[int, Case], why: str) -> tuple[int, list[Finding]]:
    position, case = task
    about = ("", case.group, case.label, case.problem.n, case.problem.levels)
    return position, [Finding(*about, None, error=why)]


def _save_examples(
    findings: list[Finding], cases: Mapping[str, Case], folder: Path
) -> list[Finding]:
    folder.mkdir(parents=True, exist_ok=True)
    smallest: dict[tuple[str, int], int] = {}
    for position, finding in enumerate(findings):
        if finding.claim and finding.holds is (CLAIMS[finding.claim].says == "can"):
            place = (finding.claim, finding.levels)
            best = smallest.setdefault(place, position)
            if finding.n < findings[best].n:
                smallest[place] = position
    kept = list(findings)
    for position in smallest.values():
        finding = findings[position]
        name = f"{finding.claim}-{_slug(finding.group)}-{finding.levels}.json"
        problem = cases[finding.problem].problem
        problem.write(folder / name)
        if CLAIMS[finding.claim].asked:
            asked_plan(problem).write(folder / name.replace(".json", ".plan.json"))
        kept[position] = replace(finding, file=name)
    return kept


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text).strip("-")


# -- summaries and files --------------------------------------------------------------------------


def summarise(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Per claim, group and K: how many say something, how often it holds (Wilson), by how much."""
    groups: dict[tuple[str, str, int], list[Finding]] = {}
    for finding in findings:
        place = (finding.claim, finding.group, finding.levels)
        groups.setdefault(place, []).append(finding)
    rows = []
    for (claim, group, levels), members in groups.items():
        telling = [finding for finding in members if finding.holds is not None]
        holds = sum(bool(finding.holds) for finding in telling)
        share, amount = share_interval(holds, len(telling)), interval(f.amount for f in telling)
        rows.append(
            {
                "claim": claim,
                "group": group,
                "levels": levels,
                "problems": len(members),
                "telling": len(telling),
                "holds": holds,
                "share": None if share is None else [share.mean, share.low, share.high],
                "amount": None if amount is None else [amount.mean, amount.low, amount.high],
                "largest": max((f.amount for f in telling if f.amount is not None), default=None),
                "proved": sum(finding.proved for finding in telling),
                "errors": sum(bool(finding.error) for finding in members),
                "file": next((f.file for f in members if f.file), ""),
            }
        )
    return rows


def write_findings(findings: Sequence[Finding], path: str | PathLike[str]) -> None:
    """Findings as JSON, one per line, compressed if the name ends in .gz.

    Numbers to six significant digits, seconds to milliseconds; empty fields are left out.
    """
    from mechopt.files import replacing
    from mechopt.files.documents import strict

    lines = [json.dumps(_brief(strict(asdict(_timed(it)))), ensure_ascii=False) for it in findings]
    text = "".join(f"{line}\n" for line in lines).encode()
    with replacing(path, binary=True) as stream:
        stream.write(gzip.compress(text, mtime=0) if Path(path).suffix == ".gz" else text)


def _timed(finding: Finding) -> Finding:
    return replace(finding, seconds=round(finding.seconds, 3))


def _brief(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {key: _brief(value) for key, value in entry.items() if value not in ("", {})}
    if isinstance(entry, list):
        return [_brief(value) for value in entry]
    return float(f"{entry:.6g}") if isinstance(entry, float) else entry


def read_findings(path: str | PathLike[str]) -> list[Finding]:
    """The findings in a file of `write_findings`; InvalidFile if it is something else."""
    from mechopt.errors import InvalidFile

    try:
        content = Path(path).read_bytes()
        text = gzip.decompress(content) if Path(path).suffix == ".gz" else content
        return [Finding(**json.loads(line)) for line in text.decode().splitlines()]
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise InvalidFile(f"{path}: is no file of findings ({error})") from None
