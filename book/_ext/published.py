"""Sphinx extension: what a book needs once it has an address: canonical links, a card for who shares it, a site map.

The address is in the environment variable ``CARBON_MIDL_BOOK_ADDRESS``; without it there is none of them, since all of
them need it in full.
"""

import os
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sphinx.application import Sphinx
from sphinx.config import Config

ADDRESS = "CARBON_MIDL_BOOK_ADDRESS"
CARD = "book/_generated/card.png"


def set_address(app: Sphinx, config: Config) -> None:
    """Tell Sphinx the address, from which it makes canonical links, and let it copy the card."""
    if address := os.environ.get(ADDRESS):
        config.html_baseurl = address.rstrip("/") + "/"
        config.html_extra_path = [*config.html_extra_path, CARD]


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Add Open Graph's tags (https://ogp.me) to a page, so that a link to it is shown with title and picture."""
    address = app.config.html_baseurl
    if not address:
        return
    tags = {
        "og:title": context.get("title") or app.config.html_title,
        "og:type": "article",
        "og:url": f"{address}{page}.html",
        "og:site_name": app.config.html_title,
        "og:image": f"{address}{Path(CARD).name}",
        "twitter:card": "summary_large_image",
    }
    lines = [f'<meta property="{name}" content="{escape(str(text))}" />' for name, text in tags.items()]
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines])


def map_site(app: Sphinx, error: Exception | None) -> None:
    """Write ``sitemap.xml`` (https://www.sitemaps.org) with every page of the book."""
    address = app.config.html_baseurl
    if error or not address or app.builder.name != "html":
        return
    sites = ElementTree.Element("urlset", xmlns="http://www.sitemaps.org/schemas/sitemap/0.9")
    for page in sorted(app.env.found_docs):
        ElementTree.SubElement(ElementTree.SubElement(sites, "url"), "loc").text = f"{address}{page}.html"
    ElementTree.ElementTree(sites).write(Path(app.outdir) / "sitemap.xml", encoding="utf-8", xml_declaration=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("config-inited", set_address)
    app.connect("html-page-context", describe)
    app.connect("build-finished", map_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
