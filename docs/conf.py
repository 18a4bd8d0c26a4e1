"""The documentation: python -m sphinx -n -W --keep-going docs build/docs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent / "benchmarks")]

import fastrelu as fr

project = "fastrelu"
author = "The fastrelu developers"
copyright = author
version = release = fr.__version__

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "mathml",
    "pictures",
    "reference",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_extensions"]
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(numpy|np|collections|contextlib|typing|pathlib)\..*")]

autodoc_typehints = "none"
numpydoc_show_class_members = False
html_math_renderer = "mathml"

html_theme = "pydata_sphinx_theme"
html_title = "fastrelu"
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-light",
    "pygments_dark_style": "a11y-dark",
}


def setup(app: Sphinx) -> None:
    """Lead what links to a document at the top of the checkout to the page that includes it."""

    def inside(_: Sphinx, name: str, source: list[str]) -> None:
        up = "../" * name.count("/")
        for document in ("CONTRIBUTING", "CHANGELOG"):
            source[0] = source[0].replace(f"]({up}../{document}.md", f"]({up or './'}about/{document.lower()}.md")

    app.connect("source-read", inside)
