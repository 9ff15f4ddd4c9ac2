"""The documentation page runs as it stands."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "withdrawal.md"


def test_every_output_on_the_page_is_what_is_printed() -> None:
    text = PAGE.read_text(encoding="utf-8").replace("\n```", "\n\n```")
    examples = doctest.DocTestParser().get_doctest(text, {}, "withdrawal", str(PAGE), 0)
    assert len(examples.examples) > 20
    result = doctest.DocTestRunner().run(examples)
    assert result.failed == 0
