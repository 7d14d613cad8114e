"""Make the book: what it takes from results, its pages of notebooks, then its HTML and that of its slides."""

import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from carbon_midl.book import figures
from carbon_midl.book.claims import CLAIMS
from carbon_midl.book.evidence import PAGES, Evidence, WidthStudy
from carbon_midl.book.explorer import explorer_data, explorer_page
from carbon_midl.book.numbers import book_numbers
from carbon_midl.book.tables import SHOWN_TABLES, TABLES
from carbon_midl.errors import InputError
from carbon_midl.files import replaced_directory, write_json, write_text
from carbon_midl.study.results import Results, named_rows

GENERATED = Path("book/_generated")
LINES_QUOTED = 40
"""Of a build that failed without a warning."""
_TITLE, _HEADING = re.compile(r"^# .*$", re.MULTILINE), re.compile(r"^#+ (.*)$", re.MULTILINE)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def prepare(shown_dir: Path, root: Path) -> None:
    """Make ``book/_generated`` anew from what is recorded below ``results``; what an earlier preparation left goes.

    Args:
        shown_dir: of the study that the appendix shows. Its own results are in ``results``, and each of their runs has
            a directory of its name with the executed notebook.
        root: the repository.

    Raises:
        InputError: results or notebooks are missing or unreadable; the earlier state is kept.
    """
    evidence, shown = Evidence(root), WidthStudy(shown_dir / "results")
    with replaced_directory(root / GENERATED) as out:
        _write_runs(shown.results, shown_dir, out / "runs")
        write_json(out / "numbers.json", book_numbers(evidence, shown))
        write_json(out / "claims.json", {name: bool(holds(evidence)) for name, holds in CLAIMS.items()})
        tables = {name: table(evidence) for name, table in TABLES.items()}
        tables |= {name: table(shown) for name, table in SHOWN_TABLES.items()}
        for name, table in tables.items():
            write_text(out / "tables" / f"{name}.csv", table.to_csv(index=False))
        for study, pictures in ((evidence, figures.PICTURES), (shown, figures.SHOWN_PICTURES)):
            for name, picture in pictures.items():
                data = picture.table(study)
                figures.save_pair(picture, data, out / "figures", name)
                write_text(out / "data" / f"{name}.csv", data.to_csv(index=False))
        for path in (table for page in PAGES for table in (root / page).glob("*.csv")):
            shutil.copyfile(path, out / "tables" / path.name)
        write_text(out / "code" / "figures.py", inspect.getsource(figures))
        use_kwh = evidence.uses["energy_kwh"].xs(64).loc[evidence.widths["filters"]].tolist()
        write_text(out / "explorer.html", explorer_page(root, explorer_data(evidence, use_kwh)))
        write_text(out / "reference" / "commands.md", commands_page())


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

    A picture needs an alternative text: its cell's own (``metadata.mystnb.image.alt``), or else one made from the
    heading above it. Progress bars and widgets, which would load a script, are left out by Sphinx (``_config.yml``).
    """
    try:
        content = nbformat.read(notebook, as_version=4)
    except Exception as error:  # nbformat raises whatever its JSON reader and validator raise
        raise InputError(f"{notebook}: not a readable notebook ({error}). Run the study again.") from None
    heading = ""
    for cell in content.cells:
        if cell.cell_type == "markdown":
            heading = (_HEADING.findall(cell.source) or [heading])[-1]
            cell.source = _TITLE.sub(f"# {title}", cell.source)
        elif cell.cell_type == "code":
            image = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
            image.setdefault("alt", f"Output of the run {title}, section {heading}")
    return str(nbformat.writes(content))


def commands_page() -> str:
    """Every command of ``carbon-midl`` with its options, as typer writes it in Markdown.

    Typer runs as a program of its own: the book does not know the command line.
    """
    about = ["carbon_midl.cli", "utils", "docs", "--name", "carbon-midl", "--title", "Command line"]
    typer = [sys.executable, "-X", "utf8", "-m", "typer"]
    page = subprocess.run([*typer, *about], check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
    return page.replace("\b\n", "")  # keeps a terminal from wrapping the examples


def build(root: Path, address: str = "", repository: str = "") -> Path:
    """Build ``book/_build/html``, slides included, and return its first page; a failed build leaves the earlier book.

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
    book = root / "book/_build/html"
    book.parent.mkdir(exist_ok=True)
    # This interpreter's Jupyter Book, whatever PATH says. Its function has Sphinx's `jobs`, its command has not.
    start = (
        "import os; from functools import partial; from jupyter_book import sphinx; from jupyter_book.cli import main;"
        "sphinx.build_sphinx = partial(sphinx.build_sphinx, jobs=os.cpu_count()); main.main()"
    )
    environment = os.environ | {
        "PYTHONUTF8": "1", "CARBON_MIDL_BOOK_ADDRESS": address, "CARBON_MIDL_REPOSITORY": repository,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(dir=book.parent) as staging:
        built = Path(staging) / "_build" / "html"
        _render(["-c", start, "build", str(root), "--path-output", staging], root, environment)
        # Sphinx in several processes can lose the pages of one that fails, without a word.
        doctrees = built.parent / ".doctrees"
        pages = sorted(path.relative_to(doctrees).with_suffix(".html") for path in doctrees.rglob("*.doctree"))
        if lost := [page.as_posix() for page in pages if not (built / page).is_file()]:
            raise InputError(f"The book lacks {', '.join(lost)}. Run 'jupyter-book build .', which says why.")
        sphinx = ["-m", "sphinx", "-b", "revealjs", "-d", str(Path(staging) / "slides")]
        _render([*sphinx, str(root / "book" / "slides"), str(built / "slides")], root, environment)
        shutil.rmtree(book, ignore_errors=True)
        built.rename(book)
    return book / "index.html"


def _render(command: list[str], root: Path, environment: dict[str, str]) -> None:
    """Run Python with a command of Sphinx or Jupyter Book; a warning is an error."""
    command = [sys.executable, *command, "-n", "-W", "--keep-going", "-q"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        problems = [line for line in said if "WARNING" in line or "ERROR" in line] or said[-LINES_QUOTED:]
        raise InputError("The book does not build:\n" + "\n".join(problems))
