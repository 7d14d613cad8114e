"""Every page in headless Chromium: silent, offline, no wider than the screen, figures light or dark like the page."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(built))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_open(browser: "Browser", address: str, built: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith((address, "data:")) else said.append(request.url))
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
