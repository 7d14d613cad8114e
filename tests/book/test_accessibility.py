"""axe on every page, light and dark: nothing serious or critical; every picture says what is seen."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.book.browsing import needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_chromium]

VIOLATIONS = """async () => {
  const { violations } = await axe.run(document, { preload: false, resultTypes: ["violations"] });
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html).join(" ")}`);
}"""


def pages(built: Path) -> list[Path]:
    """All pages; of the executed notebooks, which are alike, the first."""
    found = [path for path in sorted((built / "book").rglob("*.html")) if "_generated" not in path.parts]
    return found + sorted((built / "book" / "_generated").rglob("*.html"))[:1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: "Browser", built: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed; it comes with the extra test")
    script = (files(axe) / "axe.min.js").read_text()
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    found = {}
    for path in pages(built):
        page.goto(path.as_uri())
        page.evaluate(script)
        if violations := page.evaluate(VIOLATIONS):
            found[path.relative_to(built).as_posix()] = violations
    context.close()
    assert found == {}


def test_every_picture_says_what_is_seen(browser: "Browser", built: Path) -> None:
    page = browser.new_page()
    for path in pages(built):
        page.goto(path.as_uri())
        texts = [image.get_attribute("alt") for image in page.locator("article img").all()]
        assert all(text and len(text) > 15 for text in texts), (path.name, texts)
    page.close()
