"""Make the book: what it takes from results, its pages of notebooks, then its HTML and its PDF."""

import inspect
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import yaml

from carbon_midl.book import figures
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.explorer import explorer_data, explorer_page
from carbon_midl.book.numbers import book_numbers
from carbon_midl.book.pictures import PICTURES, Picture, crops
from carbon_midl.book.records import TEXTS
from carbon_midl.book.reference import commands_page, parameters
from carbon_midl.book.tables import TABLES, as_csv
from carbon_midl.errors import InputError
from carbon_midl.files import write_json, write_text
from carbon_midl.selection.by_width import read_widths
from carbon_midl.study.results import Results, named_rows

GENERATED = Path("book/_generated")
STAGING = Path("book/_build/prepared")
BUILT = Path("book/_build")
LINES_QUOTED = 40
"""Of a build that failed without a warning."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDGET = "application/vnd.jupyter.widget-view+json"
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SOLUTION = re.compile(r"^:::\{dropdown\} Solution.*?^:::$", re.MULTILINE | re.DOTALL)
_TO_ANSWER = "```python\n# your answer\n```"
_DOWNLOAD = re.compile(r"^\{download\}.*\n\n", re.MULTILINE)
_FENCE = re.compile(r"^:{3,}.*$\n?", re.MULTILINE)
_CHECK = """\
from carbon_midl.study.parameters import refuse_undeclared_parameters

refuse_undeclared_parameters()  # a lab has none; papermill would only warn"""
_ROLE = re.compile(r"\{(?:doc|ref|numref|cite:p|download)\}`([^`<]*?)(?: ?<[^`>]*>)?`")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def prepare(results_dir: Path, shown_dir: Path, root: Path) -> None:
    """Make ``book/_generated`` anew; what an earlier preparation left there goes.

    Args:
        results_dir: recorded results (``runs.csv``, ``epochs.csv``, ``slices.csv.gz``, ``manifest.json``) that the book
            speaks of.
        shown_dir: of the study whose executed notebooks are shown. Its own results are in ``results``; each of their
            runs has a directory of its name. It may be another study: notebooks on CT hold pixels of CT.
        root: the repository.

    Raises:
        InputError: results or notebooks are missing or unreadable; the earlier state is kept.
    """
    evidence, shown = Evidence.read(results_dir, root), read_widths(shown_dir / "results")
    generated, staging = root / GENERATED, root / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    try:
        _write_runs(shown, shown_dir, staging / "runs")
        write_json(staging / "numbers.json", book_numbers(evidence, shown))
        for name, table in TABLES.items():
            write_text(staging / "tables" / f"{name}.csv", as_csv(table(evidence)))
        for name, (text, without_record) in TEXTS.items():
            write_text(staging / f"{name}.md", text(evidence) or f"{without_record}\n")
        _write_figures(evidence, staging)
        write_text(staging / "explorer.html", explorer_page(root, explorer_data(evidence)))
        write_json(staging / "edition.json", {"announcement": announcement(evidence)})
        write_text(staging / "reference" / "commands.md", commands_page())
        write_text(staging / "tables" / "parameters.csv", as_csv(parameters(root)))
        write_labs(root / "book" / "course", staging / "labs")
        shutil.rmtree(generated, ignore_errors=True)
        staging.rename(generated)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_figures(evidence: Evidence, out: Path) -> None:
    """Write each figure light and dark, its data, its alternative text, and the code that draws it."""
    pictures: dict[str, Picture] = {name: picture(evidence) for name, picture in PICTURES.items()}
    if evidence.archive is not None:
        pictures["crops"] = crops(evidence.archive)
    code = f"{figures.__name__.replace('.', '-')}.py"
    write_text(out / "code" / code, inspect.getsource(figures))
    for name, picture in pictures.items():
        figures.save_pair(picture.draw, picture.data, out / "figures", name, picture.size_in)
        if picture.shared:
            write_text(out / "data" / f"{name}.csv", picture.data.to_csv(index=False))
    write_json(out / "figures.json", {name: picture.alt for name, picture in pictures.items()})
    write_json(out / "code.json", dict.fromkeys(pictures, code))
    card = pictures["dice-carbon"]
    figures.save_card(card.draw, card.data, out / "card.png", "How much carbon is a point of Dice worth?")


def announcement(evidence: Evidence) -> str:
    """The line above every page: said only where the images are not what a reader would expect."""
    if evidence.is_phantom:
        return "Images and Dice in this edition come from <strong>phantom</strong> images with real annotation shapes."
    return ""


def _write_runs(shown: Results, runs_dir: Path, out: Path) -> None:
    digits = len(str(shown.runs["filters"].max()))
    for row in named_rows(shown.runs):
        found = sorted((runs_dir / row.run).glob("*.ipynb"))
        if len(found) != 1:
            raise InputError(
                f"{runs_dir / row.run}: {len(found)} notebooks; expected the run's executed notebook. Run the study "
                "again."
            )
        page = out / f"filters-{row.filters:0{digits}d}-seed-{row.seed}.ipynb"
        write_text(page, run_page(found[0], f"F = {row.filters}, seed {row.seed}"))


def run_page(notebook: Path, title: str) -> str:
    """An executed notebook under another title, made fit for an offline book.

    Widgets would load a script from the network, progress bars are noise on paper, and a picture needs an alternative
    text: its cell's own (``metadata.mystnb.image.alt``), or else one made from the heading above it.
    """
    try:
        content = nbformat.read(notebook, as_version=4)
    except Exception as error:  # nbformat raises whatever its JSON reader and validator raise
        raise InputError(f"{notebook}: not a readable notebook ({error}). Run the study again.") from None
    content.metadata.pop("widgets", None)
    heading, titled = "", False
    for cell in content.cells:
        if cell.cell_type == "markdown":
            lines = cell.source.splitlines()
            for number, line in enumerate(lines):
                if line.startswith("#"):
                    heading = line.lstrip("#").strip()
                    if line.startswith("# "):
                        lines[number] = f"## {heading}" if titled else f"# {title}"
                        titled = True
            cell.source = "\n".join(lines)
        elif cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _is_shown(output)]
            image = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
            image.setdefault("alt", f"Output of the run {title}{f', section {heading}' if heading else ''}")
    if not titled:
        content.cells.insert(0, nbformat.v4.new_markdown_cell(f"# {title}"))
    return str(nbformat.writes(content))


def _is_shown(output: dict[str, Any]) -> bool:
    if output["output_type"] == "stream":
        return bool(output["name"] == "stdout")
    data = output.get("data", {})
    return WIDGET not in data and "<script" not in str(data.get("text/html", ""))


def lab_notebook(text: str) -> str:
    """A lab's page as a notebook without outputs: its Python in cells, a cell for each answer, its links as words.

    Behind the title is a cell that refuses parameters of papermill.
    """
    cells = []
    for number, piece in enumerate(_PYTHON.split(_SOLUTION.sub(_TO_ANSWER, _DOWNLOAD.sub("", text)))):
        # What is split on comes at every second place.
        if number % 2:
            cells.append(nbformat.v4.new_code_cell(piece.rstrip("\n")))
        elif prose := _ROLE.sub(r"*\1*", _FENCE.sub("", piece)).strip():
            cells.append(nbformat.v4.new_markdown_cell(prose))
    cells.insert(1, nbformat.v4.new_code_cell(_CHECK, metadata={"jupyter": {"source_hidden": True}}))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same each time
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return str(nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})))


def write_labs(course: Path, out: Path) -> None:
    """Write each ``lab-*.md`` of ``course`` as a notebook into ``out``."""
    for page in sorted(course.glob("lab-*.md")):
        write_text(out / f"{page.stem}.ipynb", lab_notebook(page.read_text(encoding="utf-8")))


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
            problems = [line for line in said if "WARNING" in line or "ERROR" in line] or said[-LINES_QUOTED:]
            raise InputError("The book does not build:\n" + "\n".join(problems))
        shutil.rmtree(book, ignore_errors=True)
        built.rename(book)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return book / "index.html"


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
