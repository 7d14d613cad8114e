"""Sphinx extension: what was prepared from recorded results, inside the text.

- ``{{ name }}`` is filled from ``numbers.json``; a name that is not there is a warning, and so fails the build.
- ``{claim}`name``` ticks a sentence that follows from a result, and leads to the claim's words on the page of claims; a
  claim that does not hold, or is none, is a warning at the sentence's place, and so fails the build.
- numbers stay on one line with their units.
- ``result-figure`` shows a prepared figure, light or dark like the page, with its caption, its alternative text and,
  in the book, links to the data and to the code that draws it.

The book and its slides share it.
"""

import json
import os
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from carbon_midl.units import NBSP, unbroken

GENERATED = Path(__file__).absolute().parents[1] / "_generated"
logger = logging.getLogger(__name__)


def prepared(name: str) -> dict[str, Any]:
    """Read a prepared JSON file."""
    path = GENERATED / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExtensionError(f"{path}: not prepared. Run 'make book'.") from None


def fill_numbers(app: Sphinx, config: Config) -> None:
    """Give the numbers to MyST."""
    config.myst_substitutions = prepared("numbers.json")


def keep_together(app: Sphinx, doctree: nodes.document) -> None:
    """Keep numbers with their units on one line, where they are typed by hand, too, and ticks with their sentences."""
    for tick in doctree.findall(lambda node: isinstance(node, addnodes.pending_xref) and "claim-" in node["reftarget"]):
        place = tick.parent.index(tick) - 1
        if place >= 0 and isinstance(tick.parent[place], nodes.Text):
            tick.parent[place] = nodes.Text(tick.parent[place].rstrip() + NBSP)
    for text in list(doctree.findall(nodes.Text)):
        if not isinstance(text.parent, nodes.literal | nodes.literal_block | nodes.raw):
            text.parent.replace(text, nodes.Text(unbroken(str(text))))


class Claim(SphinxRole):
    """A tick behind a sentence whose claim holds."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the tick, which leads to the claim."""
        claims = prepared("claims.json")
        if self.text not in claims:
            logger.warning("no claim %r; there are %s", self.text, ", ".join(claims), location=self.get_location())
        elif not claims[self.text]:
            said = "the claim %r no longer holds; see book/claims.md for its words, and write its sentence anew"
            logger.warning(said, self.text, location=self.get_location())
        tick = addnodes.pending_xref(
            "", refdomain="std", reftype="ref", reftarget=f"claim-{self.text}", refexplicit=True, refwarn=True,
            refdoc=self.env.docname,
        )  # fmt: skip
        tick += nodes.inline("", "✓", classes=["claim"])
        return [tick], []


class ResultFigure(SphinxDirective):
    """A prepared figure: ``{result-figure} name`` with the caption as content.

    It is referred to as ``fig-name``, or by the option ``name`` where it is shown again.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        "name": directives.unchanged_required,
        "alt": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Make the figure's nodes."""
        name = self.arguments[0]
        if not (GENERATED / "figures" / f"{name}.light.svg").is_file():
            logger.warning("no prepared figure %r", name, location=self.get_location())
            return []
        for what, given in (("caption", self.content), ("alternative text (:alt:)", self.options.get("alt"))):
            if not given:
                logger.warning("figure %r has no %s", name, what, location=self.get_location())
        # The pair has a container of its own: the theme hides the caption of a figure that is itself only-light.
        pair = nodes.container(classes=["result-figure"])
        for theme in ("light", "dark"):
            uri = self.uri(f"figures/{name}.{theme}.svg")
            self.env.note_dependency(str(GENERATED / f"figures/{name}.{theme}.svg"))
            # Lazy: the one of the pair that is not shown is not loaded.
            pair += nodes.image(uri=uri, alt=self.options.get("alt", ""), classes=[f"only-{theme}"], loading="lazy")
        figure = nodes.figure("", pair)
        self.set_source_info(figure)
        self.options.setdefault("name", f"fig-{name}")
        figure += self.caption(name)
        self.add_name(figure)
        return [figure]

    def caption(self, name: str) -> nodes.caption:
        """The caption, in the book with a link to the figure's data."""
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        caption = nodes.caption("", "")
        for number, paragraph in enumerate(parsed.children):
            if number:
                caption += nodes.Text(" ")
            caption.extend(paragraph.children)
        if self.env.app.builder.name == "revealjs":
            return caption
        caption += [
            nodes.Text(" "), self.download(f"data/{name}.csv", "Data (CSV)"),
            nodes.Text(", "), self.download("code/figures.py", "code"), nodes.Text("."),
        ]  # fmt: skip
        return caption

    def uri(self, path: str) -> str:
        """Where a prepared file lies, seen from the sources."""
        return "/" + Path(os.path.relpath(GENERATED / path, self.env.srcdir)).as_posix()

    def download(self, path: str, text: str) -> addnodes.download_reference:
        """A link to a prepared file."""
        link = addnodes.download_reference(
            "", "", reftarget=self.uri(path), refdoc=self.env.docname, refdomain="", reftype="download"
        )
        link += nodes.Text(text)
        return link


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    # Comes with the table of contents and numbers nothing here; it only does not say that it is safe in parallel.
    app.setup_extension("sphinx_multitoc_numbering")
    app.extensions["sphinx_multitoc_numbering"].parallel_read_safe = True
    app.connect("config-inited", fill_numbers)
    app.connect("doctree-read", keep_together)
    app.add_role("claim", Claim())
    app.add_directive("result-figure", ResultFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
