"""What the chapters say of the records beside the book's study: what their tables hold, and nothing without them."""

import json
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carbon_midl.book import claims as w
from carbon_midl.book.build import prepare
from carbon_midl.book.evidence import TRIALS, TUNING, Evidence
from carbon_midl.book.records import (
    LEAK,
    TEXTS,
    YARDSTICKS,
    home_width_text,
    leak_text,
    phantom_transfer,
    read_transfer,
    recipes_text,
    reruns_text,
    transfers,
    trials_text,
    whole_price_text,
    yardsticks_text,
)
from carbon_midl.errors import InputError
from carbon_midl.files import write_json
from tests.book.conftest import ROOT, copy_book

LIDC = ROOT / "results" / "lidc"
RECIPES = Path("results/recipes")


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.read(LIDC, ROOT)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with copies of some records, to be changed."""
    for record in (TUNING, TRIALS, LEAK, YARDSTICKS, RECIPES):
        shutil.copytree(ROOT / record, tmp_path / record)
    return tmp_path


def beside(evidence: Evidence, root: Path) -> Evidence:
    """The same study with the records of another repository."""
    return Evidence(evidence.results, evidence.systems, root)


def changed(root: Path, record: Path, **columns: Any) -> None:
    path = root / record / "runs.csv"
    pd.read_csv(path).assign(**columns).to_csv(path, index=False)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_without_records_nothing_is_claimed(evidence: Evidence, tmp_path: Path) -> None:
    alone = beside(evidence, tmp_path)
    for name, (text, without_record) in TEXTS.items():
        assert bool(text(alone)) != bool(without_record), name
    assert reruns_text(alone) == "None was made twice here."
    assert home_width_text(alone) == ""
    assert "has not been recorded" in leak_text(tmp_path)
    assert "has not been recorded" in phantom_transfer(tmp_path)


def test_networks_and_readers_stand_on_the_same_slices(evidence: Evidence) -> None:
    text = yardsticks_text(evidence)
    slices = evidence.results.slices
    four = slices[slices["readers_with_mask"] == 4]
    for width, scores in four.groupby("filters"):
        mean = scores.groupby(["patient_id", "nodule", "slice"])["dice"].mean().mean()
        assert f"U-Net, F = {width}\n  - {w.dice(mean)} (" in text
    recorded = pd.read_csv(ROOT / YARDSTICKS / "slices.csv.gz")
    assert f"is {w.dice(recorded['reader_dice'].mean())} (" in text
    assert len(recorded) == slices.groupby("run").size().iloc[0]


def test_yardsticks_of_other_patients_are_not_shown(evidence: Evidence, root: Path) -> None:
    path = root / YARDSTICKS / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split_seed": 1}))
    assert yardsticks_text(beside(evidence, root)) == ""


def test_the_price_counts_trials_and_attempts_without_a_result(evidence: Evidence) -> None:
    text = plain(whole_price_text(evidence))
    kwh, estimated = 0.0, 0
    for path in (ROOT / "results").glob("lidc*/runs.csv"):
        runs = pd.read_csv(path)
        kwh += runs["energy_whole_run_kwh"].sum()
        kwh += json.loads(path.with_name("manifest.json").read_text())["abandoned"]["energy_kwh"]
        estimated += not runs["energy_method"].str.contains("measured").any()
    assert f"took {w.energy(kwh)} before PUE" in text
    assert "(partly estimated)." in text
    assert text.count("  - estimated\n") == estimated > 0  # those that no GPU was used for


def test_the_trials_are_those_on_the_crops_of_the_study(evidence: Evidence) -> None:
    rates = pd.read_csv(ROOT / TUNING / "runs.csv").set_index("learning_rate")["val_dice"]
    assert rates.idxmax() == evidence.results.manifest["options"]["learning_rate"]
    assert all(f"- {w.dice(dice)}\n" in trials_text(evidence) for dice in rates)


def test_the_step_size_is_said_to_be_at_an_edge_only_where_it_is(evidence: Evidence, root: Path) -> None:
    assert "It is the smallest that was tried" in trials_text(evidence)
    rates = pd.read_csv(root / TUNING / "runs.csv")["learning_rate"]
    changed(root, TUNING, learning_rate=rates.replace({1e-2: 1e-4}))
    text = trials_text(beside(evidence, root))
    assert "a step size of 0.001 was the best of three" in text
    assert "may be better still" not in text


def test_the_width_at_which_the_step_size_was_chosen_is_told(evidence: Evidence, root: Path) -> None:
    assert "at F = 16, the width that then came out best" in home_width_text(evidence)
    changed(root, TUNING, filters=64)
    assert home_width_text(beside(evidence, root)) == "The step size was chosen at F = 64."
    changed(root, TUNING, learning_rate=1e-3)
    shutil.rmtree(root / TRIALS)
    assert home_width_text(beside(evidence, root)) == ""


def test_augmentation_that_helped_is_not_said_to_have_cost(evidence: Evidence, root: Path) -> None:
    assert "with them, which may not be the better way" in trials_text(evidence)
    augmented = pd.read_csv(root / TRIALS / "runs.csv")["augment"]
    changed(root, TRIALS, val_dice=augmented.map({True: 0.75, False: 0.7}))
    text = plain(trials_text(beside(evidence, root)))
    assert "changed the validation Dice by +5.0 points at F = 4" in text
    assert "better way" not in text


def test_a_training_made_twice_is_held_to_the_tolerance(evidence: Evidence, root: Path) -> None:
    text = reruns_text(evidence)
    assert "made again on a machine of the same kind" in text
    assert ": within the tolerance of 1 point" in text
    assert "made again on a CPU" in text
    changed(root, TUNING, test_dice_patients=0.7)
    assert "not within the tolerance of 1 point" in reruns_text(beside(evidence, root))


def test_the_leak_is_told_with_both_splits() -> None:
    leaky = pd.read_csv(ROOT / LEAK / "slices.csv.gz")["dice"].mean()
    runs = pd.read_csv(ROOT / TRIALS / "runs.csv")
    honest = runs[(runs["filters"] == 4) & ~runs["augment"]]["test_dice"].item()
    text = leak_text(ROOT)
    assert f"{leaky:.3f} (" in text
    assert f"{honest:.3f} (" in text
    assert json.loads((ROOT / LEAK / "manifest.json").read_text())["options"]["augment"] is False


def test_the_recorded_comparisons_of_recipes_are_told(evidence: Evidence) -> None:
    text = recipes_text(evidence)
    runs = pd.read_csv(ROOT / RECIPES / "runs.csv").pivot_table(index="filters", columns="recipe", values="energy_kwh")
    for filters, row in runs.iterrows():
        assert f"At F = {filters} the efficient recipe took" in plain(text)
        assert f"{1000 * row['reference']:#.3g} → {1000 * row['efficient']:#.3g}" in text
    assert "on phantom crops (19 test patients, 3 seeds each)" in text
    assert "*estimates*" in text
    efficient, reference = (
        pd.read_csv(part / "runs.csv").set_index(["filters", "seed"])["energy_kwh"]
        for part in (LIDC, ROOT / "results" / "lidc-reference")
    )
    for before, after in zip(reference, efficient[reference.index], strict=True):
        assert f"{1000 * before:#.3g} → {1000 * after:#.3g}" in text
    assert "One seed tells nothing about what another would change" in text


def test_a_difference_that_is_shown_is_not_called_none(evidence: Evidence, root: Path) -> None:
    path = root / RECIPES / "slices.csv.gz"
    slices = pd.read_csv(path)
    lower = (slices["dice"] - 0.2).clip(0, 1)
    slices["dice"] = slices["dice"].where(~slices["run"].str.contains("efficient"), lower)
    slices.to_csv(path, index=False)
    text = recipes_text(beside(evidence, root))
    assert "Its Dice was lower" in text
    assert "No difference" not in text


def test_measured_energies_are_not_called_estimates(evidence: Evidence, root: Path) -> None:
    changed(root, RECIPES, energy_method="measured: RAPL")
    assert "The energies are measured (measured: RAPL), on " in recipes_text(beside(evidence, root))


def test_widths_with_different_numbers_of_seeds_are_told_so(evidence: Evidence, root: Path) -> None:
    path = root / RECIPES / "runs.csv"
    runs = pd.read_csv(path)
    runs[(runs["filters"] != 16) | (runs["seed"] == 0)].to_csv(path, index=False)
    text = recipes_text(beside(evidence, root))
    assert "1 to 3 seeds each" in text
    assert "One seed tells nothing" in text


MEANS = {("real", "real"): 0.8, ("phantom", "real"): 0.6, ("real", "phantom"): 0.7, ("phantom", "phantom"): 0.7}


def crosswise(patients: int = 30, seeds: int = 2) -> pd.DataFrame:
    """Every patient is a little above or below the mean of its pair, alike for all pairs and seeds."""
    own = np.random.default_rng(0).normal(0, 0.05, patients)
    own -= own.mean()
    return pd.DataFrame(
        [
            (seed, trained_on, tested_on, f"LIDC-IDRI-{patient:04d}", 10, MEANS[trained_on, tested_on] + own[patient])
            for (trained_on, tested_on), seed, patient in product(MEANS, range(seeds), range(patients))
        ],
        columns=["seed", "trained_on", "tested_on", "patient_id", "slices", "dice"],
    )


def test_transfer_has_means_shares_and_numbers() -> None:
    found = {(one.trained_on, one.tested_on): one for one in transfers(crosswise())}
    assert set(found) == set(MEANS)
    for pair, one in found.items():
        assert one.dice.estimate == pytest.approx(MEANS[pair])
        assert one.dice.low < one.dice.estimate < one.dice.high
        assert (one.seeds, one.patients, one.slices) == (2, 30, 300)
    worse = found["phantom", "real"]
    assert worse.share.estimate == pytest.approx(0.75)
    assert worse.share.low < 0.75 < worse.share.high
    assert worse.share.high - worse.share.low < worse.dice.high - worse.dice.low, "compared on the same patients"
    assert found["real", "real"].share == (1, 1, 1)


def test_patients_with_more_slices_weigh_more() -> None:
    scores = crosswise(patients=2)
    heavy = scores["patient_id"] == "LIDC-IDRI-0001"
    scores.loc[heavy, "slices"] = 30
    scores["dice"] = np.where(heavy, 0.9, 0.1)
    assert transfers(scores)[0].dice.estimate == pytest.approx((0.9 * 30 + 0.1 * 10) / 40)


def test_what_the_phantom_is_worth_is_told_from_the_record(tmp_path: Path) -> None:
    record = tmp_path / "results" / "phantom-transfer"
    record.mkdir(parents=True)
    crosswise().to_csv(record / "scores.csv", index=False)
    write_json(record / "manifest.json", {"filters": 16, "training_patients": 90})
    text = plain(phantom_transfer(tmp_path))
    for said in ("F = 16", "30 other patients (300 slices, 2 seeds)", "0.800", "0.600", "75"):
        assert said in text


def test_a_record_of_transfer_that_lacks_something_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"scores\.csv: no such file.* Record it with: python studies/transfer\.py"):
        read_transfer(tmp_path)
    crosswise().to_csv(tmp_path / "scores.csv")
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_transfer(tmp_path)
    crosswise().drop(columns="slices").to_csv(tmp_path / "scores.csv")
    with pytest.raises(InputError, match="no column slices"):
        read_transfer(tmp_path)
    scores = crosswise()
    with pytest.raises(InputError, match="trained on phantom and tested on real"):
        transfers(scores[scores["trained_on"] == "real"])


def test_notebooks_of_another_study_are_called_that(study: tuple[Path, Path], tmp_path: Path) -> None:
    root = copy_book(tmp_path / "root")
    prepare(LIDC, study[1], root)
    shown = {path.name for path in (root / "book/_generated/runs").iterdir()}
    assert "filters-32-seed-1.ipynb" in shown
    assert "filters-64-seed-0.ipynb" not in shown
    numbers = json.loads((root / "book/_generated/numbers.json").read_text())
    assert "the notebooks of another" in numbers["runs_shown"]
    assert "phantom" not in numbers["banner"]
