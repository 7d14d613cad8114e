"""What is prepared for the book from results."""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from carbon_midl.book.build import prepare
from carbon_midl.book.evidence import Evidence, WidthStudy
from carbon_midl.book.numbers import book_numbers
from carbon_midl.errors import InputError
from tests.book.conftest import ROOT, copy_book
from tests.book.synthetic import SEEDS, WIDTHS, make_study

CHAPTERS = sorted((ROOT / "book").glob("*.md"))


def test_the_chapters_use_every_number_figure_and_table_and_no_other(prepared: Path) -> None:
    pages = (*CHAPTERS, ROOT / "book" / "course" / "handout.md")
    names = {name for page in pages for name in re.findall(r"\{\{ (\w+) \}\}", page.read_text())}
    assert names == set(json.loads((prepared / "book/_generated/numbers.json").read_text()))
    reference = sorted((ROOT / "book" / "reference").glob("*.md"))
    text = "".join(chapter.read_text() for chapter in (*CHAPTERS, *reference))
    figures = {path.name.split(".")[0] for path in (prepared / "book/_generated/figures").iterdir()}
    assert set(re.findall(r"\{result-figure\} (\S+)", text)) == figures
    tables = {path.name for path in (prepared / "book/_generated/tables").iterdir()}
    assert set(re.findall(r":file: (?:\.\./)?_generated/tables/(\S+)", text)) == tables


def test_every_chapter_is_in_the_table_of_contents() -> None:
    listed = re.findall(r"(?:file|root): (book/\w+)$", (ROOT / "_toc.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == [f"book/{chapter.stem}" for chapter in CHAPTERS]


def test_figures_come_light_and_dark_with_their_labels(prepared: Path) -> None:
    figures = prepared / "book/_generated/figures"
    for light in figures.glob("*.light.svg"):
        texts = [light.read_text(), light.with_name(light.name.replace("light", "dark")).read_text()]
        assert texts[0] != texts[1]
        assert not any("<text" in text for text in texts)  # a reader's fonts do not matter
    for name, labels in {
        "shown-dice-carbon": [*(f"F = {width}" for width in WIDTHS), "Test Dice"],
        "movers": ["grid: Norway to Poland", "the same again", "Carbon, times (log scale)"],
        "choice-probability": ["PePR", "marginal price", "Share of draws in which the width is chosen"],
    }.items():
        text = (figures / f"{name}.dark.svg").read_text()
        assert all(f"<!-- {label} -->" in text for label in labels)


@pytest.fixture(scope="module")
def again(study: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another copy of the book, prepared from the same study over what an earlier preparation left."""
    root = copy_book(tmp_path_factory.mktemp("again") / "root")
    stale = root / "book/_generated/runs/filters-99-seed-0.ipynb"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    prepare(study[1], root)
    return root / "book/_generated"


def test_labels_are_nine_pixels_high_where_a_phone_shows_328(prepared: Path) -> None:
    for path in (prepared / "book/_generated/figures").glob("*.svg"):
        svg = path.read_text()
        shown = 328 / float(re.findall(r'viewBox="0 0 (\S+)', svg)[0])
        for label, scale, glyphs in re.findall(r"<!-- (.*?) -->\s*<g [^>]*scale\((\S+)(.*?)</g>", svg, re.DOTALL):
            smallest = min([1.0, *map(float, re.findall(r"<use[^>]*scale\(([\d.]+)\)", glyphs))])  # as exponents are
            assert 100 * float(scale) * smallest * shown >= 9, f"{path.name}: {label}"


def test_equal_results_prepare_equal_files_and_no_other(prepared: Path, again: Path) -> None:
    files = [path.relative_to(again) for path in sorted(again.rglob("*")) if path.is_file()]
    first = prepared / "book/_generated"
    made = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert files == [path for path in made if path.parts[0] != "labs"]  # which building adds
    for path in files:
        assert (again / path).read_bytes() == (first / path).read_bytes(), path
    pages = sorted(path.name for path in (again / "runs").iterdir())
    assert pages == [f"filters-{width:02d}-seed-{seed}.ipynb" for width in WIDTHS for seed in SEEDS]


def test_a_failed_preparation_keeps_the_earlier_one(study: tuple[Path, Path], again: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*")}
    runs = tmp_path / "runs"
    shutil.copytree(study[1], runs)
    (runs / "filters-32-seed-1" / "notebook.ipynb").unlink()
    with pytest.raises(InputError, match="filters-32-seed-1"):
        prepare(runs, again.parents[1])
    assert before == {path: path.stat().st_mtime_ns for path in again.rglob("*")}


def test_pages_of_runs_have_their_own_title_and_alternative_texts(prepared: Path) -> None:
    page = nbformat.read(prepared / "book/_generated/runs/filters-08-seed-1.ipynb", as_version=4)
    assert page.cells[0].source.startswith("# F = 8, seed 1\n")
    alt = page.cells[-1].metadata["mystnb"]["image"]["alt"]
    assert alt == "Output of the run F = 8, seed 1, section Example segmentations"


def test_results_that_mix_recipes_are_refused(study: tuple[Path, Path], tmp_path: Path) -> None:
    path = Path(shutil.copytree(study[0], tmp_path / "results")) / "runs.csv"
    pd.read_csv(path).assign(recipe=["reference", "efficient"] * 4).to_csv(path, index=False)
    with pytest.raises(InputError, match="efficient, reference"):
        WidthStudy(path.parent)


def test_numbers_are_those_of_the_results(study: tuple[Path, Path], prepared: Path) -> None:
    recorded = ROOT / "results" / "lidc"
    runs = pd.read_csv(recorded / "runs.csv")
    abandoned = json.loads((recorded / "manifest.json").read_text())["abandoned"]
    text = (prepared / "book/_generated/numbers.json").read_text()
    numbers = {name: value.replace("\N{NO-BREAK SPACE}", " ") for name, value in json.loads(text).items()}
    carbon_g, dice = (runs.groupby("filters")[name].mean() for name in ("carbon_g", "test_dice_patients"))
    assert numbers["carbon_ratio"] == f"{carbon_g[64] / carbon_g[4]:.2f} times"
    assert numbers["total_energy"] == f"{runs['energy_whole_run_kwh'].sum() + abandoned['energy_kwh']:.3f} kWh"
    assert numbers["gain_to_best"].startswith(f"{100 * (dice[16] - dice[4]):.1f} points (")
    more, better = carbon_g[16] / carbon_g[4] - 1, dice[16] / dice[4] - 1
    assert numbers["price_to_best"] == f"{100 * more / (100 * better):.0f} %"
    assert numbers["growth_factor"] == "726,000-fold"
    shown = pd.read_csv(study[0] / "runs.csv")
    assert numbers["shown_energy"] == f"{1e3 * shown['energy_whole_run_kwh'].sum():.2f} Wh"
    assert (numbers["shown_images"], numbers["shown_known"]) == ("phantoms", "estimated")


def test_a_study_with_one_run_a_width_has_all_its_numbers(evidence: Evidence, tmp_path: Path) -> None:
    results, _ = make_study(tmp_path)
    for name in ("runs.csv", "epochs.csv", "slices.csv.gz"):
        rows = pd.read_csv(results / name)
        rows[rows["seed"] == 0].to_csv(results / name, index=False)
    numbers = book_numbers(evidence, WidthStudy(results))
    assert numbers["shown_n"] == "14 test patients, 1 seed a width"
    assert all(numbers.values())
