"""Every page in headless Chromium: silent, offline, no wider than the screen, figures light or dark like the page."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.book.browsing import listen, needs_chromium, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_chromium]


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with served(built) as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_open(browser: "Browser", address: str, built: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    said = listen(page, address)
    names = [path.relative_to(built).as_posix() for path in sorted((built / "book").rglob("*.html"))]
    shown = 0
    for name in names:
        page.goto(address + name)
        assert said == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        for figure in page.locator("figure:has(.result-figure)").all():
            visible = [
                image.get_attribute("class") or "" for image in figure.locator("img").all() if image.is_visible()
            ]
            assert len(visible) == 1, name
            assert f"only-{scheme}" in visible[0]
            assert figure.locator("figcaption").is_visible()
            shown += 1
    assert shown >= 7
    context.close()


def test_the_first_page_leads_to_the_book(browser: "Browser", address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.wait_for_url("**/book/index.html")
    assert "Carbon footprint driven model selection" in page.locator("article h1").first.inner_text()
    page.close()


def test_pages_open_without_a_server(browser: "Browser", built: Path) -> None:
    page = browser.new_page()
    page.goto((built / "book" / "results.html").as_uri())
    assert page.locator(".result-figure img.only-light").first.evaluate("image => image.naturalWidth") > 0
    page.close()
