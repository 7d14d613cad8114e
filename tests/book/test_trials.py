"""What the chapter on the experiment says of trials and of trainings that were made twice, on made-up records."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carbon_midl.book.evidence import Evidence
from carbon_midl.book.prepare import FACTS
from carbon_midl.book.trials import home_width_text, reruns_text, trials_text
from carbon_midl.book.yardsticks import leak_text
from tests.book.conftest import ROOT

TUNING, TRIALS, LEAK = (Path("results") / name for name in ("lidc-tuning", "lidc-trials", "lidc-leak"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with copies of the records, to be changed."""
    for record in (TUNING, TRIALS, LEAK):
        shutil.copytree(ROOT / record, tmp_path / record)
    return tmp_path


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.read(ROOT / "results" / "lidc", ROOT / FACTS)


def changed(root: Path, record: Path, **columns: Any) -> None:
    path = root / record / "runs.csv"
    pd.read_csv(path).assign(**columns).to_csv(path, index=False)


def test_the_step_size_is_said_to_be_at_an_edge_only_where_it_is(evidence: Evidence, root: Path) -> None:
    assert "It is the smallest that was tried" in trials_text(evidence, root)
    rates = pd.read_csv(root / TUNING / "runs.csv")["learning_rate"]
    changed(root, TUNING, learning_rate=rates.replace({1e-2: 1e-4}))
    text = trials_text(evidence, root)
    assert "a step size of 0.001 was the best of three" in text
    assert "may be better still" not in text


def test_the_width_at_which_the_step_size_was_chosen_is_told(evidence: Evidence, root: Path) -> None:
    assert "at F = 16, the width that then came out best" in home_width_text(evidence, root)
    changed(root, TUNING, filters=64)
    assert home_width_text(evidence, root) == "The step size was chosen at F = 64."
    changed(root, TUNING, learning_rate=1e-3)
    shutil.rmtree(root / TRIALS)
    assert home_width_text(evidence, root) == ""


def test_augmentation_that_helped_is_not_said_to_have_cost(evidence: Evidence, root: Path) -> None:
    assert "with them, which may not be the better way" in trials_text(evidence, root)
    augmented = pd.read_csv(root / TRIALS / "runs.csv")["augment"]
    changed(root, TRIALS, val_dice=augmented.map({True: 0.75, False: 0.7}))
    text = trials_text(evidence, root).replace("\N{NO-BREAK SPACE}", " ")
    assert "changed the validation Dice by +5.0 points at F = 4" in text
    assert "better way" not in text


def test_a_training_made_twice_is_held_to_the_tolerance(evidence: Evidence, root: Path) -> None:
    text = reruns_text(evidence, root)
    assert "made again on a machine of the same kind" in text
    assert ": within the tolerance of 1 point" in text
    assert "made again on a CPU" in text
    changed(root, TUNING, test_dice_patients=0.7)
    assert "not within the tolerance of 1 point" in reruns_text(evidence, root)


def test_without_records_nothing_is_claimed(evidence: Evidence, tmp_path: Path) -> None:
    assert reruns_text(evidence, tmp_path) == "None was made twice here."
    assert "has not been recorded" in leak_text(tmp_path)


def test_the_leak_is_told_with_both_splits(root: Path) -> None:
    leaky = pd.read_csv(root / LEAK / "slices.csv.gz")["dice"].mean()
    runs = pd.read_csv(root / TRIALS / "runs.csv")
    honest = runs[(runs["filters"] == 4) & ~runs["augment"]]["test_dice"].item()
    text = leak_text(root)
    assert f"{leaky:.3f} (" in text
    assert f"{honest:.3f} (" in text
    assert json.loads((root / LEAK / "manifest.json").read_text())["options"]["augment"] is False
