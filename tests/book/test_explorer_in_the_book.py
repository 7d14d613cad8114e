"""The explorer as a page of the built book: from a disk, without JavaScript, and as axe judges it."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.book.browsing import listen, needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_chromium]

VIOLATIONS = """async () => {
  const { violations } = await axe.run("article", { preload: false });
  return violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}"""


@pytest.fixture
def address(built: Path) -> str:
    return (built / "book" / "explorer.html").as_uri()


@pytest.fixture(params=["light", "dark"])
def page(browser: "Browser", address: str, request: pytest.FixtureRequest) -> "Iterator[Page]":
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme=request.param)
    page = context.new_page()
    said = listen(page, address.rsplit("/book/", 1)[0])
    page.goto(address + "#criterion=noninferior&grid=PL&embodied=4")
    yield page
    assert said == []
    context.close()


def test_it_works_from_a_disk_and_no_wider_than_a_phone(page: "Page") -> None:
    assert page.locator("#explorer-answer").inner_text().startswith("F\N{NO-BREAK SPACE}=")
    assert page.locator("#explorer-picture svg .explorer-chosen").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert not page.locator("figure").is_visible()


def test_axe_finds_nothing(page: "Page") -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed; it comes with the extra test")
    page.evaluate((files(axe) / "axe.min.js").read_text())
    assert page.evaluate(VIOLATIONS) == []
    page.locator("#explorer-pue").fill("0.5")
    assert page.evaluate(VIOLATIONS) == []


def test_without_javascript_there_is_the_figure(browser: "Browser", address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert not page.locator("#explorer").is_visible()
    assert page.locator("article noscript p").first.is_visible()
    images = [image for image in page.locator("figure .result-figure img").all() if image.is_visible()]
    assert len(images) == 1
    context.close()
