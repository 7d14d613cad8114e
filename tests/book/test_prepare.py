"""What is prepared for the book from results."""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from carbon_midl.book.claims import (
    energy_honesty,
    enough,
    enough_lesson,
    headline,
    judge_poster,
    macs_reading,
    poster_verdict,
    tracker_independence,
)
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.numbers import book_numbers
from carbon_midl.book.prepare import prepare
from carbon_midl.errors import InputError
from carbon_midl.measures import Interval
from tests.book.conftest import ROOT, copy_book
from tests.book.synthetic import DICE, SEEDS, WIDTHS, make_study

CHAPTERS = sorted((ROOT / "book").glob("*.md"))
FACTS = ROOT / "book" / "data" / "training-compute.csv"


def used_names() -> set[str]:
    return {name for chapter in CHAPTERS for name in re.findall(r"\{\{ (\w+) \}\}", chapter.read_text())}


def test_the_text_uses_every_number_and_no_other(prepared: Path) -> None:
    numbers = json.loads((prepared / "book/_generated/numbers.json").read_text())
    assert used_names() == set(numbers)


def test_the_chapters_use_every_figure_and_table(prepared: Path) -> None:
    reference = sorted((ROOT / "book" / "reference").glob("*.md"))
    text = "".join(chapter.read_text() for chapter in (*CHAPTERS, *reference))
    figures = json.loads((prepared / "book/_generated/figures.json").read_text())
    assert set(re.findall(r"\{result-figure\} (\S+)", text)) == set(figures)
    tables = {path.name for path in (prepared / "book/_generated/tables").iterdir()}
    assert set(re.findall(r":file: (?:\.\./)?_generated/tables/(\S+)", text)) == tables


def test_every_chapter_is_in_the_table_of_contents() -> None:
    listed = re.findall(r"(?:file|root): (book/\w+)$", (ROOT / "_toc.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == [f"book/{chapter.stem}" for chapter in CHAPTERS]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("growth", ["AlexNet", "AlphaGo Zero", "Training compute (FLOP)"]),
        ("unet", ["8 F filters", "copy and append"]),
        ("dice-carbon", [*(f"F = {width}" for width in WIDTHS), "Test Dice"]),
        ("learning", [*(f"F = {width}" for width in WIDTHS), "Best validation Dice so far"]),
        ("selection-price", [*(f"F = {width}" for width in WIDTHS)]),
        ("dice-size", ["readers", "Area of the nodule in the slice"]),
        ("choice-probability", ["best Dice", "PePR", "Share of draws in which the width is chosen"]),
        ("choice-by-grid", ["marginal price", "Grid and its carbon intensity (g/kWh, average of 2024)"]),
        ("policies", ["screened halving", "DermaMNIST", "Energy of the search, share of the full sweep's"]),
        ("lidc-sizes", ["Nodules", "Diameter (mm)", "30+"]),
        ("lidc-ratings", ["malignancy", "internal structure", "Share of readings"]),
        ("lidc-outlines", ["slice 1", "slice 6"]),
        ("lidc-agreement", ["under 6 mm", "on a slice both outlined", "over the whole nodule"]),
        ("lidc-leak", ["split by slice", "split by patient", "two readers, mean"]),
    ],
)
def test_figures_come_light_and_dark_with_their_labels(prepared: Path, name: str, labels: list[str]) -> None:
    light, dark = (
        (prepared / f"book/_generated/figures/{name}.{theme}.svg").read_text() for theme in ("light", "dark")
    )
    assert light != dark
    for text in (light, dark):
        assert all(f"<!-- {label} -->" in text for label in labels)
        assert "<text" not in text  # a reader's fonts do not matter


def test_equal_results_prepare_equal_files(study: tuple[Path, Path], prepared: Path, tmp_path: Path) -> None:
    root = copy_book(tmp_path / "again")
    prepare(*study, root)
    for path in sorted((prepared / "book/_generated").rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (root / path.relative_to(prepared)).read_bytes(), path.name


def test_what_an_earlier_preparation_left_goes(study: tuple[Path, Path], tmp_path: Path) -> None:
    root = copy_book(tmp_path / "root")
    stale = root / "book/_generated/runs/filters-99-seed-0.ipynb"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    prepare(*study, root)
    pages = sorted(path.name for path in stale.parent.iterdir())
    assert pages == [f"filters-{width:02d}-seed-{seed}.ipynb" for width in WIDTHS for seed in SEEDS]


def test_a_failed_preparation_keeps_the_earlier_one(study: tuple[Path, Path], prepared: Path, tmp_path: Path) -> None:
    root = copy_book(tmp_path / "root")
    prepare(*study, root)
    before = {path: path.stat().st_mtime_ns for path in (root / "book/_generated").rglob("*")}
    runs = tmp_path / "runs"
    shutil.copytree(study[1], runs)
    (runs / "filters-32-seed-1" / "notebook.ipynb").unlink()
    with pytest.raises(InputError, match="filters-32-seed-1"):
        prepare(runs / "results", runs, root)
    assert before == {path: path.stat().st_mtime_ns for path in (root / "book/_generated").rglob("*")}


def test_pages_of_runs_have_their_own_title_and_nothing_that_needs_a_network(prepared: Path) -> None:
    page = nbformat.read(prepared / "book/_generated/runs/filters-08-seed-1.ipynb", as_version=4)
    assert page.cells[0].source.startswith("# F = 8, seed 1\n")
    assert "widgets" not in page.metadata
    outputs = [output for cell in page.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [list(output.data) for output in outputs] == [["image/png", "text/plain"]]
    assert (
        page.cells[-1].metadata["mystnb"]["image"]["alt"]
        == "Output of the run F = 8, seed 1, section Example segmentations"
    )


@pytest.mark.parametrize("name", ["runs.csv", "epochs.csv", "slices.csv.gz", "manifest.json"])
def test_results_that_lack_a_file_are_refused_by_its_name(study: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    shutil.copytree(study[0], tmp_path / "results")
    (tmp_path / "results" / name).unlink()
    with pytest.raises(InputError, match=name):
        prepare(tmp_path / "results", study[1], copy_book(tmp_path / "root"))


def test_results_that_lack_a_column_or_mix_recipes_are_refused(study: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(study[0], tmp_path / "results")
    path = tmp_path / "results" / "runs.csv"
    runs = pd.read_csv(path)
    runs.drop(columns="energy_kwh").to_csv(path, index=False)
    with pytest.raises(InputError, match="energy_kwh"):
        Evidence.read(path.parent, FACTS)
    runs.assign(recipe=["reference", "efficient"] * (len(runs) // 2)).to_csv(path, index=False)
    with pytest.raises(InputError, match="efficient, reference"):
        Evidence.read(path.parent, FACTS)


@pytest.mark.parametrize(
    ("gain", "verdict", "reason"),
    [
        (Interval(-0.02, -0.03, -0.01), "Agrees, and goes further", "no Dice at all"),
        (Interval(0.001, -0.001, 0.003), "Agrees, and goes further", "at least 5,000 %"),
        (Interval(0.01, -0.01, 0.03), "Undecided", "at least 500 %"),
        (Interval(0.005, 0.004, 0.006), "Agrees, and goes further", "(2,500 to 3,750 %)"),
        (Interval(0.01, 0.005, 0.015), "Agrees", "(1,000 to 3,000 %)"),
        (Interval(0.2, 0.15, 0.3), "Disagrees about the price", "75.0 % more carbon (50.0 to 100 %)"),
    ],
)
def test_the_verdict_on_the_poster_follows_the_interval(gain: Interval, verdict: str, reason: str) -> None:
    found, because = judge_poster(1500.0, gain)
    assert found == verdict
    assert reason in because


@pytest.mark.parametrize(
    ("energy", "words"),
    [(0.5, "less energy"), (2.0, "more slowly"), (9.0, "about as fast"), (20.0, "grows faster")],
)
def test_the_reading_of_energy_against_arithmetic_follows_both(energy: float, words: str) -> None:
    assert words in macs_reading(10.0, energy)


def test_the_verdict_names_how_many_it_rests_on(study: tuple[Path, Path]) -> None:
    assert "14 test patients, 2 seeds a width" in poster_verdict(Evidence.read(study[0], FACTS))


def test_carbon_that_falls_with_width_is_no_verdict_on_the_poster(study: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(study[0], tmp_path / "results")
    runs = pd.read_csv(tmp_path / "results" / "runs.csv")
    runs["carbon_g"] = 1 / runs["filters"]
    runs.to_csv(tmp_path / "results" / "runs.csv", index=False)
    assert poster_verdict(Evidence.read(tmp_path / "results", FACTS)).startswith("**Cannot be compared.**")


def test_numbers_are_those_of_the_results(study: tuple[Path, Path]) -> None:
    runs = pd.read_csv(study[0] / "runs.csv")
    numbers = {
        key: text.replace("\N{NO-BREAK SPACE}", " ")
        for key, text in book_numbers(Evidence.read(study[0], FACTS)).items()
    }
    ratio = runs[runs["filters"] == 32]["carbon_g"].mean() / runs[runs["filters"] == 4]["carbon_g"].mean()
    assert numbers["carbon_ratio"] == f"{ratio:.1f} times"
    assert (
        numbers["total_energy"] == f"{(runs['energy_whole_run_kwh'].sum() + 1e-4) * 1e3:.2f} Wh"
    )  # and one abandoned attempt
    assert numbers["cheapest_dice"].startswith(f"{runs[runs['filters'] == 4]['test_dice_patients'].mean():.3f} (")
    assert numbers["growth_factor"] == "726,000-fold"
    assert "estimates, not measurements" in numbers["energy_honesty"]


def test_real_images_are_not_called_phantoms(tmp_path: Path) -> None:
    results, runs = make_study(tmp_path / "study", DICE, kind="lidc")
    root = copy_book(tmp_path / "root")
    prepare(results, runs, root)
    numbers = json.loads((root / "book/_generated/numbers.json").read_text())
    assert "phantom" not in numbers["banner"] + numbers["caveat"]
    assert json.loads((root / "book/_generated/edition.json").read_text())["announcement"] == ""


def test_the_configuration_keeps_the_network_out() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert config["only_build_toc_files"] is True
    assert config["execute"]["execute_notebooks"] == "off"
    assert not {"sphinx_thebe", "sphinx.ext.intersphinx", "sphinx.ext.mathjax"} & set(
        config["sphinx"]["config"]["extensions"]
    )


def test_the_share_of_the_gpu_is_told_only_where_there_is_one() -> None:
    runs = pd.DataFrame(
        {
            "energy_method": ["measured: RAPL; estimated: W per GB"],
            "energy_kwh": [1.0],
            "energy_gpu_kwh": [float("nan")],
        }
    )
    assert "GPU" not in energy_honesty(runs)
    runs = runs.assign(energy_method="estimated: TDP × utilisation; measured: NVML energy counter", energy_gpu_kwh=0.8)
    assert "80.0 % of them is the GPU's" in energy_honesty(runs)


def test_what_two_instruments_share_follows_what_was_read() -> None:
    mixed = pd.Series(["estimated: TDP × utilisation; measured: NVML energy counter"])
    assert "both ask the GPU's own driver" in tracker_independence(mixed)
    measured = pd.Series(["measured: RAPL; measured: NVML energy counter"])
    assert "They read the same hardware" in tracker_independence(measured)


@pytest.mark.parametrize(
    ("dice", "best", "could", "lesson"),
    [
        ({4: 0.4, 8: 0.5, 16: 0.6, 32: 0.7}, 32, "32", "another"),
        ({4: 0.5, 8: 0.7, 16: 0.6, 32: 0.4}, 8, "8", "neither"),
        ({4: 0.7, 8: 0.4, 16: 0.5, 32: 0.6}, 4, "4", "another"),
        ({4: 0.4, 8: 0.7, 16: 0.7, 32: 0.4}, 16, "8 and 16", "as good"),
        ({4: 0.65, 8: 0.65, 16: 0.65, 32: 0.65}, 16, "4, 8, 16 and 32", "as good"),
    ],
)
def test_the_cheapest_of_those_that_could_be_best_is_enough(
    tmp_path: Path, dice: dict[int, float], best: int, could: str, lesson: str
) -> None:
    results, _ = make_study(tmp_path, dice)
    evidence = Evidence.read(results, FACTS)
    text = enough(evidence)
    assert text.startswith(f"F = {best} has the highest mean Dice. At 95 %, F = {could} could be the best")
    assert text.endswith(f"the cheapest of these is F = {could.split(maxsplit=1)[0].rstrip(',')}.")
    assert lesson in enough_lesson(evidence)


@pytest.mark.parametrize(
    ("dearest", "said"),
    [
        (0.7, "More carbon, more Dice."),
        (0.4, "More carbon, less Dice."),
        (0.5, "More carbon, and no more Dice is shown."),
    ],
)
def test_the_headline_follows_from_the_widths_at_the_ends(tmp_path: Path, dearest: float, said: str) -> None:
    results, _ = make_study(tmp_path, {4: 0.5, 8: 0.5, 16: 0.5, 32: dearest})
    assert headline(Evidence.read(results, FACTS)) == said
