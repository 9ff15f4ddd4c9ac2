"""A page per model of the catalogue, made from its sheet when the site is built."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "reference" / "sheets"
_ROW = re.compile(r"^\$\$ (.*?) \\tag\{([^}]*)\} \$\$$", re.MULTILINE | re.DOTALL)
_PAGE = re.compile(r"\bdocs/([\w/-]+\.md)")
_FACT = re.compile(r"\bF(\d+)\b(?![^{\n]*\})")  # not in a formula's \tag{F14}


def page(folder: Path) -> str:
    """The page of one model: the sheet, its certified optimum and its files."""
    sheet = (folder / "README.md").read_text("utf-8")
    title, rest = sheet.split("\n", 1)
    # a formula's tag stands beside it: MathML has no numbered equations
    rest = _ROW.sub(r"$$ \1 \\qquad \\text{(\2)} $$", rest)
    rest = _FACT.sub(r"[F\1](f\1)", _PAGE.sub(r"[](../../\1)", rest))
    optimum = json.loads((folder / "optimum.json").read_text("utf-8"))
    home = f"../../../models/{folder.name}"
    files = "\n".join(
        f"- {{download}}`{file.name} <{home}/{file.name}>`"
        for file in sorted(folder.iterdir())
        if file.suffix in (".json", ".lp")
    )
    return f"""(model-{folder.name})=
{title}

*Model `{folder.name}` of the catalogue; certified optimum of its sample: **{optimum["value"]}**.*
{rest}
## Files

{files}

`mechopt models {folder.name}` prints this sheet;
`mechopt export-model PROBLEM --mechanism {folder.name} …` writes the model of your own problem.
"""


def write() -> None:
    """Write every page whose text has changed, and remove those whose model is gone."""
    PAGES.mkdir(exist_ok=True)
    wanted = {
        f"{folder.name}.md": page(folder)
        for folder in sorted((ROOT / "models").iterdir())
        if (folder / "optimum.json").exists()
    }
    for old in PAGES.glob("*.md"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        place = PAGES / name
        if not place.exists() or place.read_text("utf-8") != text:
            place.write_text(text, "utf-8")
