"""What a certificate claims, and the one way every kind of it is judged."""

from __future__ import annotations

import hashlib
import json
import sys
from fractions import Fraction
from typing import Any

from .data import ZERO, Refuted, number, require
from .mechanisms import MechanismProblem
from .posted import PostedProblem
from .practice import plan_problem

_DIGITS = 100_000  # longest number accepted; Python's own limit of 4,300 is too low here


def seal_of(document: dict[str, Any]) -> str:
    """SHA-256 of everything but the seal: shows accidents; a forger can recompute it."""
    rest = {key: value for key, value in document.items() if key != "seal"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def verify(document: dict[str, Any]) -> list[str]:
    """The facts the certificate proves, in words. Raises Refuted if it proves less than it says."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(_DIGITS)
    try:
        require(document["kind"] == "certificate", "this is no certificate")
        require(document["schema_version"] == 1, "an unknown version of the format")
        require(document["seal"] == seal_of(document), "the seal is broken: the file was changed")
        return judge(document)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Refuted(f"malformed: {type(error).__name__}: {error}") from None
    except RecursionError:
        raise Refuted("malformed: nested too deeply") from None
    finally:
        sys.set_int_max_str_digits(limit)


def problem_of(data: dict[str, Any], terms: dict[str, Any]) -> Any:
    """The problem that the data and the terms pose."""
    require(data["kind"] in ("instance", "population"), "an unknown kind of problem")
    if data["kind"] == "population":
        return MechanismProblem(data, terms)
    posted = terms["mechanism"].startswith("posted-")
    return (PostedProblem if posted else plan_problem)(data, terms)


def judge(document: dict[str, Any]) -> list[str]:
    """Value of the answer (it must satisfy every constraint), bound on any answer; do they prove
    the claim?

        optimal     value = bound             feasible    a value and a bound, maybe with a gap
        infeasible  nothing is allowed        unknown     a bound only
        null        nothing beats, or reaches more than, the null outcome (worth 0)
    """
    claim, answer, proof = document["claim"], document["answer"], document["proof"]
    problem = problem_of(document["problem"], document["terms"])
    value = None if answer is None else problem.value(answer)
    bound = problem.bound(proof)
    status, objective = claim["status"], problem.aim.objective
    proved = {
        "optimal": value is not None and value == bound,
        "feasible": value is not None and bound is not None,
        "null": answer is not None and problem.is_null(answer) and value == bound in (ZERO, None),
        "infeasible": answer is None and bound is None,
        "unknown": answer is None and bound is not None,
    }
    require(proved[status], f"not {status}: value {value}, bound {bound}")
    if status == "null":
        value = bound = ZERO
    same(claim["optimum"], value, "the objective of the answer is another")
    same(claim["bound"], bound, "the bound is another")
    also = problem.also(answer, proof)
    require(claim["also"] == also, f"what is claimed besides is not what holds: {also}")
    facts = [] if answer is None else ["the answer satisfies every constraint exactly"]
    better = "at least" if problem.aim.minimised else "at most"
    facts += {
        "infeasible": ["no answer reaches the target"],
        "unknown": [f"{objective}: any answer has {better} {bound}; whether there is one is open"],
        "null": ["no answer is better than the null outcome"],
    }.get(status, [f"{objective} {value} is reached; any answer has {better} {bound}"])
    facts += [f"everyone stays, {name}: {holds}" for name, holds in also.get("stays", {}).items()]
    if "guaranteed" in also:
        facts.append("this holds against every law of costs in the ball")
    facts += getattr(problem, "remarks", [])
    if "offers" in also:
        facts.append(f"offers compared: {also['offers']}")
    if "least_payments" in also:
        facts.append(f"none with this improvement pays less than {also['least_payments']}")
    return facts


def same(claimed: Any, found: Fraction | None, why: str) -> None:
    require(claimed is None if found is None else claimed is not None, why)
    require(found is None or number(claimed) == found, why)
