"""Build the book's HTML with Jupyter Book, warnings as errors."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from carbon_midl.book.prepare import GENERATED
from carbon_midl.errors import InputError

BUILT = Path("book/_build")
SAID = 40
"""Lines quoted of a build that failed without a warning."""
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def build(root: Path, address: str = "", repository: str = "") -> Path:
    """Build ``book/_build/html`` from scratch and return its first page; a failed build leaves the earlier book.

    Args:
        root: the repository, with ``_config.yml``, ``_toc.yml`` and a prepared ``book/_generated``.
        address: where it will be published, for its site map, canonical links and cards; empty for nowhere.
        repository: ``OWNER/NAME`` on GitHub, from which its labs can be opened on Binder; empty for none.

    Raises:
        InputError: the repository is none, nothing was prepared, or the build warned or failed; the message holds what
            Jupyter Book said.
    """
    if repository and not _REPOSITORY.fullmatch(repository):
        raise InputError(f"repository: found {repository!r}, expected OWNER/NAME as on GitHub.")
    root = root.absolute()
    if not (root / GENERATED / "numbers.json").is_file():
        raise InputError(
            f"{root / GENERATED}: not prepared. Run 'make book', which records the study and prepares the book."
        )
    staging, book = root / BUILT / "next", root / BUILT / "html"
    shutil.rmtree(staging, ignore_errors=True)
    start = "from jupyter_book.cli.main import main; main()"  # this interpreter's Jupyter Book, whatever PATH says
    options = ["--path-output", str(staging), "-n", "-W", "--keep-going", "-q"]
    command = [sys.executable, "-c", start, "build", str(root), *options]
    told = {"CARBON_MIDL_BOOK_ADDRESS": address, "CARBON_MIDL_REPOSITORY": repository}
    environment = os.environ | {"PYTHONUTF8": "1"} | told
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment, check=False)
    built = staging / "_build" / "html"
    try:
        if done.returncode or not (built / "index.html").is_file():
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            problems = [line for line in said if "WARNING" in line or "ERROR" in line] or said[-SAID:]
            raise InputError("The book does not build:\n" + "\n".join(problems))
        shutil.rmtree(book, ignore_errors=True)
        built.rename(book)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return book / "index.html"
