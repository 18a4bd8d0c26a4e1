"""The built site: every public name has a page, pictures are small, and a browser finds nothing to complain about.

``pytest docs/test_site.py`` after ``python -m sphinx -nW --keep-going docs build/docs``. It needs Chromium, in
``$CHROMIUM`` or on the path.
"""

from __future__ import annotations

import http.server
import os
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright
from sphinx.util.inventory import InventoryFile

import fastrelu as fr
from fastrelu import diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Request

SITE = Path(__file__).parents[1] / "build" / "docs"
PUBLIC = {
    "fastrelu": vars(fr)["__all__"],
    "fastrelu.ufuncs": fr.ufuncs.__all__,
    "fastrelu.ufuncs.accurate": fr.ufuncs.accurate.__all__,
    "fastrelu.diagnostics": diagnostics.__all__,
    "fastrelu.optim": fr.optim.__all__,
    "fastrelu.nn": [name for name, value in vars(fr.nn).items() if isinstance(value, type)],
    "fastrelu.nn.init": fr.nn.init.__all__,
    "fastrelu.nn.utils": fr.nn.utils.__all__,
}
# One page of each kind.
PAGES = (
    "index.html",
    "ten-minutes.html",
    "guides/training.html",
    "guides/choosing.html",
    "reference/index.html",
    "reference/command-line.html",
    "generated/functions.html",
    "generated/fastrelu.gelu.html",
    "generated/fastrelu.nn.HuberLoss.html",
    "generated/fastrelu.cross_entropy.html",
    "benchmarks.html",
    "conventions.html",
    "about/contributing.html",
)


def test_every_public_name_has_a_page() -> None:
    """The index of the site, which other sites link by, has all names."""
    with (SITE / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", "{}{}".format)
    shown = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    missing = {f"{module}.{name}" for module, names in PUBLIC.items() for name in names if name[0] != "_"} - shown
    assert not missing, f"without a page: {', '.join(sorted(missing))}"


def test_names_in_formulas() -> None:
    """A name is one word, not a product of letters."""
    broken = [
        page.name for page in SITE.glob("generated/*.html") if "<mi>&#x0005F;" in page.read_text(encoding="utf-8")
    ]
    assert not broken


def test_pictures_are_small() -> None:
    """All pictures of the site together stay below a megabyte."""
    assert 0 < sum(picture.stat().st_size for picture in SITE.glob("_images/*")) < 1_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser without a window; no page of the site may need a network."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "install Chromium (apt-get install chromium), or name it in CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that does not report."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Return where the site is served: the search loads pages, which a browser refuses for files."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """Return a page whose errors, and whose requests beyond the site, fail the test."""
    context = browser.new_context(base_url=address, color_scheme=request.param, viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda it: None if leaving(it) else complaints.append(f"not loaded: {it.url}"))
    page.on("request", lambda made: None if made.url.startswith(address) else complaints.append(f"needs {made.url}"))
    yield page
    context.close()
    assert not complaints


def leaving(request: Request) -> bool:
    """Whether a request ended because the page was left before."""
    return request.failure == "net::ERR_ABORTED"


@pytest.mark.parametrize("name", PAGES)
def test_pages_load(page: Page, name: str) -> None:
    """A page has its title, all pictures of its theme, and nothing beyond its edge, wide or narrow."""
    page.goto(name)
    expect(page.locator("h1").first).to_be_visible()
    for picture in page.locator("article img:visible").all():
        picture.scroll_into_view_if_needed()
        assert picture.get_attribute("alt")
        page.wait_for_function("picture => picture.complete", arg=picture.element_handle())
        assert picture.evaluate("picture => picture.naturalWidth") > 0
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # All of them in one call of the browser: a page may have a thousand.
        beyond = page.locator("dt.sig:visible, dt.sig span:visible, .bd-toc-nav code:visible").evaluate_all(
            "(texts, width) => texts.filter(text => text.getBoundingClientRect().right > width)"
            ".map(text => text.innerText)",
            width,
        )
        assert not beyond


def test_formulas(page: Page) -> None:
    """The formula is typeset by the browser: its fraction is higher than a line."""
    page.goto("generated/fastrelu.gelu.html")
    fraction = page.locator(".formula mfrac").first
    box: Any = fraction.bounding_box()
    assert box["height"] > 25


def test_navigation(page: Page) -> None:
    """From the landing page to a function, by links alone."""
    page.goto("index.html")
    page.get_by_role("link", name="Reference").first.click()
    page.get_by_role("link", name="Functions").first.click()
    page.locator(".gallery a", has_text="relu6").click()
    expect(page.locator("h1").first).to_contain_text("relu6")


def test_search(page: Page) -> None:
    """Searching for a name finds its page."""
    page.goto("search.html?q=leaky_relu_backward")
    expect(page.locator("#search-results li a").first).to_be_visible()
    found = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.href)")
    assert any("fastrelu.leaky_relu.html" in link for link in found)
