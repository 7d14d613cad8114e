"""Every page in headless Chromium: silent, offline, no wider than the screen, figures light or dark like the page."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.book.browsing import listen, needs_chromium, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Request

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_chromium]

# With the theme's icons, 1.8 MB that a browser keeps.
LANDING_BYTES, PAGE_BYTES = 3_000_000, 5_000_000


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with served(built) as found:
        yield found


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
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
        # Of the course no page is longer than ten screens of a small phone.
        assert width > 360 or "course/" not in name or page.evaluate("document.documentElement.scrollHeight") <= 6400, (
            name
        )
        for figure in page.locator("figure:has(.result-figure)").all():
            # Pictures are loaded when a reader comes near.
            figure.scroll_into_view_if_needed()
            page.wait_for_function(
                "figure => [...figure.querySelectorAll('img')].some(image => image.naturalWidth && image.offsetWidth)",
                arg=figure.element_handle(),
            )
            visible = [image for image in figure.locator("img").all() if image.is_visible()]
            assert len(visible) == 1, name
            assert f"only-{scheme}" in (visible[0].get_attribute("class") or "")
            assert figure.locator("figcaption").is_visible()
            shown += 1
    assert shown >= 7
    context.close()


def note_file(asked: set[str], request: "Request") -> None:
    asked.add(request.url.partition("?")[0])


def test_pages_are_light(browser: "Browser", address: str, built: Path) -> None:
    for name in (path.relative_to(built).as_posix() for path in sorted((built / "book").rglob("*.html"))):
        page = browser.new_page()
        asked: set[str] = set()
        page.on("request", partial(note_file, asked))
        page.goto(address + name)
        files = [built / url.removeprefix(address) for url in asked if url.startswith(address)]
        weight = sum(file.stat().st_size for file in files)
        assert weight < (LANDING_BYTES if name == "book/index.html" else PAGE_BYTES), name
        page.close()


def test_the_first_page_leads_to_the_book_and_pages_open_without_a_server(browser: "Browser", built: Path) -> None:
    page = browser.new_page()
    page.goto((built / "index.html").as_uri())
    page.wait_for_url("**/book/index.html")
    assert "Carbon footprint driven model selection" in page.locator("article h1").first.inner_text()
    page.goto((built / "book" / "results.html").as_uri())
    assert page.locator(".result-figure img.only-light").first.evaluate("image => image.naturalWidth") > 0
    page.goto((built / "book" / "explorer.html").as_uri() + "#criterion=noninferior&grid=PL&embodied=4")
    assert page.locator("#explorer-answer").inner_text().startswith("F\N{NO-BREAK SPACE}=")
    assert page.locator("#explorer-picture svg .explorer-chosen").count() == 1
    assert not page.locator("article figure").is_visible()
    page.close()


def test_without_javascript_the_explorer_is_a_figure(browser: "Browser", built: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((built / "book" / "explorer.html").as_uri())
    assert not page.locator("#explorer").is_visible()
    assert page.locator("article noscript p").first.is_visible()
    images = [image for image in page.locator("figure .result-figure img").all() if image.is_visible()]
    assert len(images) == 1
    context.close()
