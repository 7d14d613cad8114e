"""Write all that the book takes from results: numbers, figures, tables and the executed notebooks."""

import csv
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from carbon_midl import figures
from carbon_midl.book.appendix import executed_notebook, write_page
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.examples import example_crops, examples_text, find_archive
from carbon_midl.book.numbers import book_numbers
from carbon_midl.book.pictures import PICTURES
from carbon_midl.book.tables import TABLES, Table
from carbon_midl.files import write_json, write_text
from carbon_midl.study.tables import named_rows

if TYPE_CHECKING:
    from carbon_midl.lidc.crops import CropArchive

GENERATED = Path("book/_generated")
STAGING = Path("book/_build/prepared")
FACTS = Path("book/data/training-compute.csv")


def prepare(results_dir: Path, runs_dir: Path, root: Path) -> None:
    """Make ``book/_generated`` anew; what an earlier preparation left there goes.

    Args:
        results_dir: recorded results (``runs.csv``, ``epochs.csv``, ``slices.csv.gz``, ``manifest.json``).
        runs_dir: where each run of ``runs.csv`` has a directory of its name with its executed notebook.
        root: the repository.

    Raises:
        InputError: results or notebooks are missing or unreadable; the earlier state is kept.
    """
    evidence = Evidence.read(results_dir, root / FACTS)
    generated = root / GENERATED
    staging = root / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    try:
        _write(evidence, runs_dir, find_archive(root / "data", evidence), staging)
        shutil.rmtree(generated, ignore_errors=True)
        staging.rename(generated)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(evidence: Evidence, runs_dir: Path, archive: "CropArchive | None", out: Path) -> None:
    write_json(out / "numbers.json", book_numbers(evidence))
    alternatives = {}
    pictures = {name: picture(evidence) for name, picture in PICTURES.items()}
    if archive is not None:
        pictures["crops"] = example_crops(archive)
    write_text(out / "examples.md", examples_text(archive))
    for name, made in pictures.items():
        figures.save_pair(made.draw, made.data, out / "figures", name, made.size_in)
        if made.shared:
            write_text(out / "data" / f"{name}.csv", made.data.to_csv(index=False))
        alternatives[name] = made.alt
    write_json(out / "figures.json", alternatives)
    for name, table in TABLES.items():
        write_text(out / "tables" / f"{name}.csv", as_csv(table(evidence)))
    write_json(out / "edition.json", {"announcement": announcement(evidence)})
    digits = len(str(max(evidence.bootstrap.widths)))
    for row in named_rows(evidence.results.runs):
        page = out / "runs" / f"filters-{row.filters:0{digits}d}-seed-{row.seed}.ipynb"
        write_page(executed_notebook(runs_dir / row.run), page, row.filters, row.seed)


def as_csv(table: Table) -> str:
    """A printed table as CSV with its header row."""
    header, rows = table
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def announcement(evidence: Evidence) -> str:
    """The line above every page: said only where the images are not what a reader would expect."""
    if evidence.results.manifest["crops"]["kind"] == "phantom":
        return "Images and Dice in this edition come from <strong>phantom</strong> images with real annotation shapes."
    return ""
