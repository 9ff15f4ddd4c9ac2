"""Certificates as a third party has them: text that the checker reads, true or forged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import mechopt as mo
from mechopt import checker


def certified(problem: Any, answer: Any, *, agrees: bool = True) -> mo.Certificate:
    """The certificate, checked as text; it `agrees` with the answer unless it need not."""
    certificate = mo.certify(problem, answer)
    assert checker.verify(json.loads(json.dumps(dict(certificate.document))))
    assert certificate.agrees or not agrees, certificate.remark
    return certificate


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the seal of what it now says."""
    return {**document, "seal": checker.seal_of(document)}


def forged(
    document: Any, change: Callable[[Any], object] = lambda other: None, **answer: Any
) -> dict[str, Any]:
    """A copy changed, or with another `answer`, sealed anew."""
    other = json.loads(json.dumps(dict(document)))
    change(other)
    if answer:
        other["answer"].update(answer)
    return sealed(other)
