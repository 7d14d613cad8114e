"""Where the built book leads to outside of itself."""

from html.parser import HTMLParser
from pathlib import Path

from carbon_midl.errors import InputError


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href") or ""
        if tag == "a" and address.startswith(("http://", "https://")):
            self.found.add(address)


def external_links(html: Path) -> dict[str, list[str]]:
    """Each address outside the book, with the pages that lead there.

    Args:
        html: the built book.

    Raises:
        InputError: there is no book.
    """
    pages = sorted(html.rglob("*.html"))
    if not pages:
        raise InputError(f"{html}: no pages there. Build the book first: make book")
    leads: dict[str, list[str]] = {}
    for page in pages:
        links = _Links()
        links.feed(page.read_text(encoding="utf-8"))
        for address in links.found:
            leads.setdefault(address, []).append(page.relative_to(html).as_posix())
    return dict(sorted(leads.items()))
