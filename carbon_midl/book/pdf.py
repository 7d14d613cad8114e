"""The paper part of the built book as one PDF, printed by Chromium from the pages that readers see."""

import io
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from carbon_midl.errors import InputError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def print_paper(root: Path, html: Path) -> bytes:
    """Print first page, chapters of the study and references of the book in ``html``, each an entry in the outline.

    Raises:
        InputError: there is no built book, no Chromium, or it does not print a page.
    """
    from pypdf import PdfReader, PdfWriter

    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise InputError(f"pdf: no {', '.join(BROWSERS)} found. Install one of them, such as 'apt install chromium'.")
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    study = next(part["chapters"] for part in contents["parts"] if part["caption"] == "The study")
    writer, paper = PdfWriter(), io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}"]
        for chapter in [contents["root"], *(entry["file"] for entry in study), "book/references"]:
            page, printed = html / f"{chapter}.html", Path(folder) / f"{Path(chapter).name}.pdf"
            if not page.is_file():
                raise InputError(f"{page}: no such page. Build the book first: make book")
            command = [browser, *options, f"--print-to-pdf={printed}", page.resolve().as_uri()]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if not printed.is_file():
                raise InputError(
                    f"{page}: {browser} did not print it: {done.stderr.strip()[-200:] or 'no reason given'}"
                )
            described = PdfReader(printed).metadata
            title = ((described and described.title) or chapter).partition(" — ")[0]
            writer.append(printed, outline_item=title, import_outline=False)
    writer.write(paper)
    return paper.getvalue()
