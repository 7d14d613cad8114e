"""What the chapters say of the study recorded in ``results/lidc``, against its tables."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.book import wording as w
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.prepare import FACTS, prepare
from carbon_midl.book.trials import NOT_RECORDED as NO_TRIALS
from carbon_midl.book.trials import trials_text
from carbon_midl.book.whole_price import whole_price_text
from carbon_midl.book.yardsticks import NOT_RECORDED as NO_YARDSTICKS
from carbon_midl.book.yardsticks import yardsticks_text
from tests.book.conftest import ROOT, copy_book


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.read(ROOT / "results" / "lidc", ROOT / FACTS)


def test_networks_and_readers_stand_on_the_same_slices(evidence: Evidence) -> None:
    text = yardsticks_text(evidence, ROOT)
    slices = evidence.results.slices
    four = slices[slices["readers_with_mask"] == 4]
    for width, scores in four.groupby("filters"):
        mean = scores.groupby(["patient_id", "nodule", "slice"])["dice"].mean().mean()
        assert f"U-Net, F = {width}\n  - {w.dice(mean)} (" in text
    recorded = pd.read_csv(ROOT / "results/lidc-yardsticks/slices.csv.gz")
    assert f"is {w.dice(recorded['reader_dice'].mean())} (" in text
    assert len(recorded) == slices.groupby("run").size().iloc[0]


def test_the_price_counts_trials_and_attempts_without_a_result(evidence: Evidence) -> None:
    text = whole_price_text(evidence, ROOT).replace("\N{NO-BREAK SPACE}", " ")
    kwh, estimated = 0.0, 0
    for path in (ROOT / "results").glob("lidc*/runs.csv"):
        runs = pd.read_csv(path)
        kwh += runs["energy_whole_run_kwh"].sum()
        kwh += json.loads(path.with_name("manifest.json").read_text())["abandoned"]["energy_kwh"]
        estimated += not runs["energy_method"].str.contains("measured").any()
    assert f"took {w.energy(kwh)} before PUE" in text
    assert "(partly estimated)." in text
    assert text.count("  - estimated\n") == estimated > 0  # those that no GPU was used for


def test_the_trials_are_those_on_the_crops_of_the_study(evidence: Evidence, tmp_path: Path) -> None:
    text = trials_text(evidence, ROOT)
    rates = pd.read_csv(ROOT / "results/lidc-tuning/runs.csv").set_index("learning_rate")["val_dice"]
    assert rates.idxmax() == evidence.results.manifest["options"]["learning_rate"]
    assert all(f"- {w.dice(dice)}\n" in text for dice in rates)
    assert "It is the smallest that was tried" in text
    assert trials_text(evidence, tmp_path) == NO_TRIALS


def test_yardsticks_of_other_patients_are_not_shown(evidence: Evidence, tmp_path: Path) -> None:
    assert yardsticks_text(evidence, tmp_path) == NO_YARDSTICKS
    shutil.copytree(ROOT / "results/lidc-yardsticks", tmp_path / "results/lidc-yardsticks")
    path = tmp_path / "results/lidc-yardsticks/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split_seed": 1}))
    assert yardsticks_text(evidence, tmp_path) == NO_YARDSTICKS


def test_notebooks_of_another_study_are_called_that(study: tuple[Path, Path], tmp_path: Path) -> None:
    root = copy_book(tmp_path / "root")
    prepare(ROOT / "results" / "lidc", study[1], root)
    shown = {path.name for path in (root / "book/_generated/runs").iterdir()}
    assert "filters-32-seed-1.ipynb" in shown
    assert "filters-64-seed-0.ipynb" not in shown
    numbers = json.loads((root / "book/_generated/numbers.json").read_text())
    assert "the notebooks of another" in numbers["runs_shown"]
    assert "phantom" not in numbers["banner"]
