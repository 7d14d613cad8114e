"""Sphinx extension: what was prepared from recorded results, inside the text.

- ``{{ name }}`` is filled from ``numbers.json``; a name that is not there is a warning, and so fails the build.
- ``result-figure`` shows a prepared figure, light or dark like the page, with its caption, its alternative text
  (made from the data) and links to the data and to the code that draws it.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

GENERATED = "book/_generated"
logger = logging.getLogger(__name__)


def prepared(source: Path, name: str) -> dict[str, str]:
    """Read a prepared JSON file."""
    path = source / GENERATED / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExtensionError(f"{path}: not prepared. Run 'make book'.") from None


def fill_numbers(app: Sphinx, config: Config) -> None:
    """Give the numbers to MyST, and the edition's announcement to the theme."""
    source = Path(app.srcdir)
    config.myst_substitutions = prepared(source, "numbers.json")
    announcement = prepared(source, "edition.json")["announcement"]
    config.html_theme_options = {**config.html_theme_options, "announcement": announcement}


class ResultFigure(SphinxDirective):
    """A prepared figure: ``{result-figure} name`` with the caption as content.

    It is referred to as ``fig-name``, or by the option ``name`` where it is shown again.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"name": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Make the figure's nodes."""
        name = self.arguments[0]
        alternatives = prepared(Path(self.env.srcdir), "figures.json")
        if name not in alternatives:
            logger.warning(
                "no prepared figure %r; there are %s", name, ", ".join(alternatives), location=self.get_location()
            )
            return []
        if not self.content:
            logger.warning("figure %r has no caption", name, location=self.get_location())
        # The pair has a container of its own: the theme hides the caption of a figure that is itself only-light.
        pair = nodes.container(classes=["result-figure"])
        for theme in ("light", "dark"):
            uri = f"/{GENERATED}/figures/{name}.{theme}.svg"
            self.env.note_dependency(f"{self.env.srcdir}{uri}")
            # Lazy: the one of the pair that is not shown is not loaded.
            pair += nodes.image(uri=uri, alt=alternatives[name], classes=[f"only-{theme}"], loading="lazy")
        figure = nodes.figure("", pair)
        self.set_source_info(figure)
        self.options.setdefault("name", f"fig-{name}")
        figure += self.caption(name)
        self.add_name(figure)
        return [figure]

    def caption(self, name: str) -> nodes.caption:
        """The caption with a link to the figure's data."""
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        caption = nodes.caption("", "")
        for number, paragraph in enumerate(parsed.children):
            if number:
                caption += nodes.Text(" ")
            caption.extend(paragraph.children)
        if not (Path(self.env.srcdir) / GENERATED / "data" / f"{name}.csv").is_file():
            return caption
        drawn_by = prepared(Path(self.env.srcdir), "code.json")[name]
        caption += [
            nodes.Text(" "), self.download(f"data/{name}.csv", "Data (CSV)"),
            nodes.Text(", "), self.download(f"code/{drawn_by}", "code"), nodes.Text("."),
        ]  # fmt: skip
        return caption

    def download(self, path: str, text: str) -> addnodes.download_reference:
        """A link to a prepared file."""
        link = addnodes.download_reference(
            "", "", reftarget=f"/{GENERATED}/{path}", refdoc=self.env.docname, refdomain="", reftype="download"
        )
        link += nodes.Text(text)
        return link


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("config-inited", fill_numbers)
    app.add_directive("result-figure", ResultFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
