"""Sphinx extension: what a book needs once it is published.

Every page says in its foot what it is: version, date, authors, licence and how to cite; its head says the same to
reference managers (``citation_*``) and search engines (JSON-LD), from ``CITATION.cff``.

With an address, in the environment variable ``CARBON_MIDL_BOOK_ADDRESS``, it has canonical links, a site map, and a
card for who shares a page; all of them need it in full. With a repository, in ``CARBON_MIDL_REPOSITORY`` as
``OWNER/NAME`` on GitHub, its labs open on Binder: ``.binder`` says what Binder installs, and writes the labs as
notebooks into ``labs``.
"""

import datetime
import json
import os
import re
from html import escape
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx
from sphinx.config import Config

LABS = "book/course/lab-"
_NOTEBOOK = re.compile(r"^\{download\}`.*/(lab-[a-z-]+\.ipynb)>`$", re.MULTILINE)


def configure(app: Sphinx, config: Config) -> None:
    """Tell Sphinx and its extensions the address and the repository; pages are read again when that is another one."""
    config.lab_repository = os.environ.get("CARBON_MIDL_REPOSITORY", "")
    if address := os.environ.get("CARBON_MIDL_BOOK_ADDRESS"):
        config.html_baseurl = config.ogp_site_url = address.rstrip("/") + "/"
        config.ogp_type, config.ogp_image, config.ogp_social_cards = "article", "_static/card.png", {"enable": False}
        config.sitemap_url_scheme, config.sitemap_excludes = "{link}", ["search.html"]


def cite(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put the citation into the page's head and foot."""
    citation = yaml.safe_load((Path(app.srcdir) / "CITATION.cff").read_text(encoding="utf-8"))
    authors, today = [author["name"] for author in citation["authors"]], datetime.datetime.now(datetime.UTC).date()
    fields = [("citation_title", citation["title"]), ("citation_publication_date", f"{today:%Y/%m/%d}")]
    fields += [("citation_author", author) for author in authors]
    about = {
        "@context": "https://schema.org", "@type": "ScholarlyArticle", "name": citation["title"],
        "author": [{"@type": "Organization", "name": author} for author in authors], "dateModified": str(today),
        "version": citation["version"], "license": "https://creativecommons.org/licenses/by/4.0/",
    }  # fmt: skip
    context["metatags"] = context.get("metatags", "") + "".join(
        f'<meta name="{name}" content="{escape(value)}" />' for name, value in fields
    )
    context["metatags"] += f'<script type="application/ld+json">{json.dumps(about)}</script>'
    # On the page itself its address is "#".
    how = f'<a href="{context["pathto"]("book/reproduce").rstrip("#")}#citing">how to cite</a>'
    context["theme_extra_footer"] = (
        f"Version {citation['version']}, built on {today} · {', '.join(authors)} · text CC BY 4.0, code MIT · {how}"
    )


def offer_binder(app: Sphinx, page: str, source: list[str]) -> None:
    """Put a link to Binder beside that to a lab's notebook."""
    repository = app.config.lab_repository
    if repository and page.startswith(LABS):
        # https://mybinder.readthedocs.io/en/latest/howto/user_interface.html
        binder = rf"https://mybinder.org/v2/gh/{repository}/HEAD?labpath=labs/\1"
        source[0] = _NOTEBOOK.sub(rf"\g<0> · [Open it on Binder]({binder}), without installing anything", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    if os.environ.get("CARBON_MIDL_BOOK_ADDRESS"):
        app.setup_extension("sphinx_sitemap")
        app.setup_extension("sphinxext.opengraph")
    app.add_config_value("lab_repository", "", "env", str)
    app.connect("config-inited", configure, priority=100)
    app.connect("source-read", offer_binder)
    app.connect("html-page-context", cite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
