"""Sphinx's configuration of the slides, which ``carbon-midl book build`` makes after the book, into its ``slides``.

They take numbers, figures and claims from where the book does, and refer to its pages by the book's inventory.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1] / "_ext"))

root_doc = "lesson-1"
language = "en"
extensions = ["myst_parser", "sphinx.ext.intersphinx", "sphinx_revealjs", "recorded_results"]
myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
intersphinx_disabled_reftypes: list[str] = []  # pages may be named, too
html_favicon = "../_static/logo.svg"
html_use_index, html_domain_indices, html_copy_source = False, False, False
# Of what comes with the package, these slides load Reveal.js and its view for speakers.
exclude_patterns = ["revealjs/css", "revealjs/dist/theme", "revealjs/plugin/[!n]*"]
exclude_patterns += ["**/*.esm.*", "**/*.map", "**/*.html"]
revealjs_html_theme, revealjs_style_theme, revealjs_static_path = "revealjs-simple", "slides.css", ["slides.css"]
revealjs_notes_from_comments = True
revealjs_script_plugins = [{"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"}]
# On a phone the slides are narrow, and scroll.
revealjs_script_conf = (
    "{width: innerWidth < 600 ? 480 : 1280, height: innerWidth < 600 ? 853 : 720, hash: true, center: false,"
    " scrollActivationWidth: 599}"
)


def setup(app: Any) -> None:
    """Let the slides refer to the book that they are built into."""
    app.config.intersphinx_mapping = {"book": ("..", str(app.outdir.parent / "objects.inv"))}
