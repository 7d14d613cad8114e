"""axe on every page, light and dark: nothing serious or critical, and nothing at all in the explorer."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.book.browsing import needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_chromium]

VIOLATIONS = """async ({ part, impacts }) => {
  const { violations } = await axe.run(part, { preload: false, resultTypes: ["violations"] });
  return violations
    .filter(({ impact }) => impacts.includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html).join(" ")}`);
}"""
SERIOUS = ["serious", "critical"]


def pages(built: Path) -> list[Path]:
    """All pages; of the executed notebooks, which are alike, the first. `test_slides` looks at the slides."""
    found = [path for path in sorted((built / "book").rglob("*.html")) if "_generated" not in path.parts]
    return found + sorted((built / "book" / "_generated").rglob("*.html"))[:1]


def axe_script() -> str:
    axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed; it comes with the extra test")
    return (files(axe) / "axe.min.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: "Browser", built: Path, scheme: str) -> None:
    script = axe_script()
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    found = {}
    for path in pages(built):
        page.goto(path.as_uri())
        page.evaluate(script)
        if violations := page.evaluate(VIOLATIONS, {"part": "html", "impacts": SERIOUS}):
            found[path.relative_to(built).as_posix()] = violations
    assert found == {}
    page.goto((built / "book" / "explorer.html").as_uri() + "#criterion=noninferior&grid=PL&embodied=4")
    page.evaluate(script)
    for pue in ("1.2", "0.5"):
        page.locator("#explorer-pue").fill(pue)
        assert page.evaluate(VIOLATIONS, {"part": "article", "impacts": ["minor", "moderate", *SERIOUS]}) == []
    context.close()
