"""Sphinx extension: labs that open on Binder, once the book's repository is known.

It is in the environment variable ``CARBON_MIDL_REPOSITORY``, as ``OWNER/NAME`` on GitHub. ``.binder`` says what Binder
installs, and writes the labs as notebooks into ``labs``.
"""

import os
import re

from sphinx.application import Sphinx
from sphinx.config import Config

REPOSITORY = "CARBON_MIDL_REPOSITORY"
LABS = "book/course/lab-"
_NOTEBOOK = re.compile(r"^\{download\}`.*/(lab-[a-z-]+\.ipynb)>`$", re.MULTILINE)


def set_repository(app: Sphinx, config: Config) -> None:
    """Tell Sphinx the repository, so that pages are read again when it is another one."""
    config.lab_repository = os.environ.get(REPOSITORY, "")


def offer(app: Sphinx, page: str, source: list[str]) -> None:
    """Put a link to Binder beside that to a lab's notebook."""
    repository = app.config.lab_repository
    if repository and page.startswith(LABS):
        # https://mybinder.readthedocs.io/en/latest/howto/user_interface.html
        binder = rf"https://mybinder.org/v2/gh/{repository}/HEAD?labpath=labs/\1"
        source[0] = _NOTEBOOK.sub(rf"\g<0> · [Open it on Binder]({binder}), without installing anything", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_config_value("lab_repository", "", "env", str)
    app.connect("config-inited", set_repository)
    app.connect("source-read", offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
