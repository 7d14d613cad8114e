"""The paper part of the built book as one PDF, printed by Chromium from the pages that readers see."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from carbon_midl.errors import InputError
from carbon_midl.files import replaced

PAPER_PART = "The study"
LAST = "book/references"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE_S = 120


def paper_chapters(root: Path) -> list[str]:
    """The chapters of the paper as ``_toc.yml`` names them: first page, the part of the study, references."""
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    part = next(part for part in contents["parts"] if part["caption"] == PAPER_PART)
    return [contents["root"], *(chapter["file"] for chapter in part["chapters"]), LAST]


def print_paper(root: Path, html: Path, out: Path) -> int:
    """Print the paper's chapters into ``out``, each with an entry in the outline; returns the number of pages.

    Args:
        root: the repository.
        html: the built book.
        out: the PDF, replaced when all is printed.

    Raises:
        InputError: there is no built book, no Chromium, or it does not print a page.
    """
    from pypdf import PdfReader, PdfWriter

    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise InputError(f"pdf: no {', '.join(BROWSERS)} found. Install one of them, such as 'apt install chromium'.")
    writer = PdfWriter()
    with tempfile.TemporaryDirectory() as folder:
        for chapter in paper_chapters(root):
            page, printed = html / f"{chapter}.html", Path(folder) / f"{Path(chapter).name}.pdf"
            if not page.is_file():
                raise InputError(f"{page}: no such page. Build the book first: make book")
            _print(browser, page, printed, Path(folder) / "profile")
            chapter_pages = PdfReader(printed)
            described = chapter_pages.metadata
            title = ((described and described.title) or chapter).partition(" — ")[0]
            first = len(writer.pages)
            writer.append(chapter_pages, import_outline=False)
            writer.add_outline_item(title=title, page_number=first)
    writer.add_metadata({"/Title": "Carbon footprint driven model selection for medical imaging"})
    writer.compress_identical_objects()
    with replaced(out) as temporary:
        writer.write(temporary)
    return len(writer.pages)


def _print(browser: str, page: Path, out: Path, profile: Path) -> None:
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={profile}",
        f"--print-to-pdf={out}", page.resolve().as_uri(),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{page}: {browser} did not print it within {_PATIENCE_S} s. Try again.") from None
    if done.returncode or not out.is_file():
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise InputError(f"{page}: {browser} did not print it and said {said[0]!r}.")
