"""Sphinx extension: what a book needs once it has an address: canonical links, a card for who shares it, a site map.

The address is in the environment variable ``CARBON_MIDL_BOOK_ADDRESS``; without it there is none of them, since all of
them need it in full.
"""

import os

from sphinx.application import Sphinx
from sphinx.config import Config

CARD = "book/_generated/card.png"


def set_address(app: Sphinx, config: Config) -> None:
    """Tell Sphinx and its extensions the address, and let it copy the card."""
    config.html_baseurl = os.environ["CARBON_MIDL_BOOK_ADDRESS"].rstrip("/") + "/"
    config.html_extra_path = [*config.html_extra_path, CARD]
    config.sitemap_url_scheme, config.sitemap_excludes = "{link}", ["search.html"]
    config.ogp_site_url, config.ogp_type, config.ogp_image = config.html_baseurl, "article", "card.png"
    config.ogp_social_cards = {"enable": False}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    if os.environ.get("CARBON_MIDL_BOOK_ADDRESS"):
        app.setup_extension("sphinx_sitemap")
        app.setup_extension("sphinxext.opengraph")
        app.connect("config-inited", set_address, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
