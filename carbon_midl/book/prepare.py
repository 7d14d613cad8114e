"""Write all that the book takes from results and from LIDC-IDRI's annotations: numbers, figures, tables, notebooks."""

import csv
import inspect
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from carbon_midl.book import claims, collection, figures, published, search, selection
from carbon_midl.book import transfer as transfer_record
from carbon_midl.book.appendix import executed_notebook, write_page
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.examples import example_crops, examples_text, find_archive
from carbon_midl.book.explorer import explorer_data
from carbon_midl.book.explorer_page import explorer_page
from carbon_midl.book.labs import write_labs
from carbon_midl.book.numbers import book_numbers
from carbon_midl.book.pictures import PICTURES
from carbon_midl.book.recipes import recipes_text
from carbon_midl.book.reference import commands_page, parameters
from carbon_midl.book.tables import TABLES, Table
from carbon_midl.book.trials import home_width_text, reruns_text, trials_text
from carbon_midl.book.whole_price import own_footprint, whole_price_text
from carbon_midl.book.yardsticks import leak_text, yardsticks_text
from carbon_midl.files import write_json, write_text
from carbon_midl.lidc.statistics import Statistics, read_statistics
from carbon_midl.selection.by_width import read_widths
from carbon_midl.study.results import Results, named_rows

if TYPE_CHECKING:
    from carbon_midl.lidc.crops import CropArchive

GENERATED = Path("book/_generated")
STAGING = Path("book/_build/prepared")
FACTS = Path("book/data/training-compute.csv")


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
    evidence = Evidence.read(results_dir, root / FACTS)
    statistics = read_statistics(root / collection.RECORDED)
    record = published.read_published(root / published.RECORDED)
    searched = search.read_search(root / search.RECORDED)
    generated = root / GENERATED
    staging = root / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    try:
        shown = read_widths(shown_dir / "results")
        sentences = {
            "phantom_transfer": collection.phantom_transfer(root / transfer_record.RECORDED),
            "leak": leak_text(root),
            "home_width": home_width_text(evidence, root),
            "own_footprint": own_footprint(shown, root),
            "reruns": reruns_text(evidence, root),
            "runs_shown": claims.runs_shown(evidence.results.manifest, shown.manifest),
        }
        write_text(staging / "reference" / "commands.md", commands_page())
        write_text(staging / "tables" / "parameters.csv", as_csv(parameters(root)))
        write_labs(root / "book" / "course", staging / "labs")
        write_text(staging / "recipes.md", recipes_text(root))
        write_text(staging / "trials.md", trials_text(evidence, root))
        write_text(staging / "yardsticks.md", yardsticks_text(evidence, root))
        write_text(staging / "whole-price.md", whole_price_text(evidence, root))
        write_text(staging / "explorer.html", explorer_page(root, explorer_data(evidence)))
        _write(evidence, statistics, record, searched, sentences, find_archive(root / "data", evidence), staging)
        _write_runs(shown, shown_dir, staging / "runs")
        shutil.rmtree(generated, ignore_errors=True)
        staging.rename(generated)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(
    evidence: Evidence,
    statistics: Statistics,
    record: published.Record,
    searched: search.Recorded,
    sentences: dict[str, str],
    archive: "CropArchive | None",
    out: Path,
) -> None:
    numbers = book_numbers(evidence) | collection.collection_numbers(statistics) | sentences
    numbers |= published.published_numbers(record) | search.search_numbers(searched)
    write_json(out / "numbers.json", numbers)
    alternatives, code = {}, {}
    pictures = {name: picture(evidence) for name, picture in PICTURES.items()}
    pictures |= {name: picture(evidence) for name, picture in selection.PICTURES.items()}
    pictures |= {name: picture(statistics) for name, picture in collection.PICTURES.items()}
    pictures |= {name: picture(record) for name, picture in published.PICTURES.items()}
    pictures["search-trail"] = search.search_picture(searched)
    if archive is not None:
        pictures["crops"] = example_crops(archive)
    write_text(out / "examples.md", examples_text(archive))
    for name, made in pictures.items():
        figures.save_pair(made.draw, made.data, out / "figures", name, made.size_in)
        if made.shared:
            write_text(out / "data" / f"{name}.csv", made.data.to_csv(index=False))
        alternatives[name] = made.alt
        module = inspect.getmodule(made.draw)
        assert module is not None, "figures are drawn by functions of modules"
        code[name] = f"{module.__name__.replace('.', '-')}.py"
        write_text(out / "code" / code[name], inspect.getsource(module))
    write_json(out / "figures.json", alternatives)
    write_json(out / "code.json", code)
    card = pictures["dice-carbon"]
    figures.save_card(card.draw, card.data, out / "card.png", "How much carbon is a point of Dice worth?")
    tables = {name: table(evidence) for name, table in (TABLES | selection.TABLES).items()}
    tables |= {name: table(statistics) for name, table in collection.TABLES.items()}
    tables |= {name: table(record) for name, table in published.TABLES.items()}
    for name, printed in tables.items():
        write_text(out / "tables" / f"{name}.csv", as_csv(printed))
    write_json(out / "edition.json", {"announcement": announcement(evidence)})


def _write_runs(results: Results, runs_dir: Path, out: Path) -> None:
    digits = len(str(results.runs["filters"].max()))
    for row in named_rows(results.runs):
        page = out / f"filters-{row.filters:0{digits}d}-seed-{row.seed}.ipynb"
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
