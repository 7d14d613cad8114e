"""Sphinx extension: ``quiz``, a question with answers to choose from and a reason for each, without a script.

The content is the question, then a definition list: the answers, each with its reason. That of the right one begins
with "Right". Radio buttons and a fold are what keyboards and screen readers know; ``book.css`` shows the reason for the
answer that is chosen.
"""

from itertools import chain

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)


def html(text: str) -> nodes.raw:
    """A piece of HTML."""
    return nodes.raw("", text, format="html")


class Quiz(SphinxDirective):
    """A multiple-choice question."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make radio buttons, and a fold with the reasons."""
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        reasons = list(parsed.findall(nodes.definition))
        if len(parsed) != 2 or sum(reason.astext().startswith("Right") for reason in reasons) != 1:
            said = "a quiz is a question and a list of answers; one of their reasons begins with 'Right'"
            logger.warning(said, location=self.get_location())
            return []
        button = f'<input type="radio" name="quiz-{self.env.new_serialno("quiz")}"> '
        answers = [
            [html(f"<label>{button}"), nodes.inline("", "", *term.children), html("</label>")]
            for term in parsed.findall(nodes.term)
        ]
        return [
            html('<fieldset class="quiz"><legend>'), nodes.inline("", "", *parsed[0].children), html("</legend>"),
            *chain(*answers),
            html('<details><summary>Check</summary><div role="status"><p>Choose an answer first.</p>'),
            *(nodes.container("", *reason.children, classes=["reason"]) for reason in reasons),
            html("</div></details></fieldset>"),
        ]  # fmt: skip


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_directive("quiz", Quiz)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
