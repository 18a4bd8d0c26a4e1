"""The directives ``picture``, a figure of drawings.py as SVG for both themes, and ``run``, what an example prints.

::

    ```{picture} activation gelu
    :alt: What it shows, for readers who do not see it.
    ```
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import drawings
import matplotlib as mpl
import numpy as np
import plots
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

import fastrelu as fr
from fastrelu._catalogue import elementwise_names, required_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from sphinx.application import Sphinx

SETTINGS = {
    "svg.fonttype": "none",
    "path.simplify_threshold": 0.3,
    "font.size": 9,
    "axes.facecolor": "none",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), drawings.INK),
}


@cache
def svg(name: str, *arguments: str) -> dict[str, str]:
    """Draw a figure and return its SVG text by theme; the same call gives the same bytes."""
    with mpl.rc_context(SETTINGS | {"svg.hashsalt": name + "".join(arguments)}):
        figure = getattr(drawings, name)(*arguments)
        figure.patch.set_alpha(0)
        light = plots.svg(figure)
    return {"light": light, "dark": plots.recolored(light, drawings.DARK)}


def can_draw(name: str) -> bool:
    """Whether a function has one input and one output per element."""
    return name in elementwise_names()


def describe(name: str) -> str:
    """Say what the picture of an activation shows."""
    end = drawings.span(name)
    x = np.array([-end, -1.0, 0.0, 1.0, end])
    values = getattr(fr, name)(x, **required_arguments(name))
    points = ", ".join(f"{value:.3g} at {at:g}" for at, value in zip(x, values, strict=True))
    return f"{name} (solid) and its derivative (dashed) from {-end:g} to {end:g}: {points}."


def image(app: Sphinx, docname: str, alt: str, name: str, *arguments: str) -> str:
    """Write a figure's files and return the HTML that shows one of them."""
    folder = Path(app.outdir) / "_images"
    folder.mkdir(parents=True, exist_ok=True)
    tags = []
    for theme, text in svg(name, *arguments).items():
        file = folder / f"{'-'.join((name, *arguments))}-{theme}.svg"
        file.write_text(text, encoding="utf-8")
        source = "../" * docname.count("/") + f"_images/{file.name}?{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        tags.append(f'<img src="{source}" alt="{nodes.Text(alt).astext()}" class="only-{theme} drawn" loading="lazy">')
    return "".join(tags)


class Picture(SphinxDirective):
    """One figure."""

    required_arguments = 1
    optional_arguments = 9
    option_spec: ClassVar[dict[str, Callable[[str], Any]]] = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return its image."""
        html = image(self.env.app, self.env.docname, self.options["alt"], *self.arguments)
        self.env.note_dependency(str(Path(drawings.__file__)))
        return [nodes.raw("", f"<p>{html}</p>", format="html")]


class Run(SphinxDirective):
    """What a script of examples/ prints; with ``:source:`` the script, too."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Callable[[str], Any]]] = {"source": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Return blocks of text."""
        name = self.arguments[0]
        script = drawings.EXAMPLES / name
        self.env.note_dependency(str(script))
        printed = nodes.literal_block("", f"$ python examples/{name}\n{drawings.example(name)[0]}", language="console")
        source = nodes.literal_block("", script.read_text(encoding="utf-8"), language="python")
        return [source, printed] if "source" in self.options else [printed]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("picture", Picture)
    app.add_directive("run", Run)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
