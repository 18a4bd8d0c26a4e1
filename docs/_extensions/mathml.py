"""Formulas as MathML, which browsers typeset themselves: no script and no network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def _convert(formula: str, **options: str) -> str:
    # A name with an underscore would become a product of italic letters.
    named = re.sub(r"\\operatorname(\{\w*\\_[^{}]*\})", lambda it: r"\text" + it[1].replace(r"\_", "_"), formula)
    return str(convert(named, **options))


def _inline(self: Any, node: nodes.Element) -> None:
    self.body.append(_convert(node.astext()))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.Element) -> None:
    self.body.append(f'<div class="formula">{_convert(node.astext(), display="block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
