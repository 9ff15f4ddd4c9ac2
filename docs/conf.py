"""The documentation site: `python -m sphinx -W -b html docs docs/_build`, without the internet."""

from __future__ import annotations

import os
import sys
from html import escape
from pathlib import Path

import latex2mathml.converter
from docutils import nodes
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import sheets  # noqa: E402

from mechopt import __version__ as release  # noqa: E402

project = "mechopt"
author = "The mechopt authors"
version = release
copyright = "2026, the mechopt authors"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3
nb_execution_mode = "auto"  # pages with code cells run on every build; a failing cell fails it
nb_execution_timeout = 60
nb_execution_raise_on_error = False
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables and links in what a cell says
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), str(ROOT / "docs")]
)  # pages draw with `pictures`

autodoc_typehints = "none"  # signatures carry them already
autodoc_member_order = "bysource"
autosummary_generate = True

html_theme = "furo"
html_title = f"mechopt {release}"
html_static_path = ["_static"]
html_favicon = "_static/mark.svg"
html_css_files = ["site.css"]
html_extra_path: list[str] = []
html_show_sphinx = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def _mathml(node: nodes.Element, display: str) -> str:
    text = node.astext()
    return f'<span class="math {display}" title="{escape(text, quote=True)}">' + (
        latex2mathml.converter.convert(text, display=display) + "</span>"
    )


def _inline(translator, node) -> None:  # type: ignore[no-untyped-def]
    translator.body.append(_mathml(node, "inline"))
    raise nodes.SkipNode


def _block(translator, node) -> None:  # type: ignore[no-untyped-def]
    translator.body.append(f'<div class="formula">{_mathml(node, "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Formulas as MathML, which browsers show themselves: no script, no fonts from elsewhere."""
    sheets.write()
    app.registry.html_inline_math_renderers["mathml"] = (_inline, None)
    app.registry.html_block_math_renderers["mathml"] = (_block, None)


html_math_renderer = "mathml"
