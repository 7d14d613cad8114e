"""What stands beside the book's study, as the chapters read it."""

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE, Evidence
from carbon_midl.errors import InputError
from carbon_midl.study.results import named_rows, read_results
from studies.comparisons import everything, recipes, yardsticks
from studies.transfer import summarise
from tests.book.conftest import ROOT
from tests.selection.made_up import write_results


def a_study(gain: float, patients: int = 30, seeds: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two widths under both recipes; `efficient` needs a third of the energy and is better by `gain` at F = 4."""
    generator = np.random.default_rng(0)
    difficulty = generator.uniform(0.2, 0.6, patients)
    runs, slices = [], []
    for filters in (4, 16):
        for seed in range(seeds):
            for recipe, factor in (("reference", 3.0), ("efficient", 1.0)):
                run = f"{recipe}-{filters}-{seed}"
                kwh = factor * (1 + 0.1 * seed) * filters
                runs.append((run, filters, seed, recipe, kwh, kwh * 500, kwh * 10, "estimated: half TDP"))
                better = gain if recipe == "efficient" and filters == 4 else 0.0
                dice = 1 - difficulty + better + generator.normal(0, 0.005, patients)
                slices += [(run, filters, seed, f"p{n}", value) for n, value in enumerate(dice)]
    columns = ["run", "filters", "seed", "recipe", "energy_kwh", "carbon_g", "duration_s", "energy_method"]
    return pd.DataFrame(runs, columns=columns), pd.DataFrame(
        slices, columns=["run", "filters", "seed", "patient_id", "dice"]
    )


def test_shares_are_by_seed_and_differences_by_patient(tmp_path: Path) -> None:
    write_results(tmp_path / "both", *a_study(gain=0.05))
    narrow, wide = named_rows(recipes(read_results(tmp_path / "both")))
    assert (narrow.filters, narrow.seeds, narrow.patients, wide.filters) == (4, 3, 30, 16)
    assert (narrow.share, narrow.share_low, narrow.share_high) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert narrow.difference == pytest.approx(0.05, abs=0.005)
    # Patients differ by far more than this interval is wide: it is paired.
    assert 0 < narrow.difference_low < narrow.difference_high < narrow.difference_low + 0.02
    assert abs(wide.difference) < 0.005
    assert narrow.difference == pytest.approx(narrow.efficient_dice - narrow.reference_dice)


def test_two_studies_with_a_recipe_each_are_compared_where_they_meet(tmp_path: Path) -> None:
    runs, slices = a_study(gain=0.05)
    whole = tmp_path / "both"
    for directory, kept in (
        (whole, runs),
        (tmp_path / "efficient", runs[runs["recipe"] == "efficient"]),
        (tmp_path / "reference", runs[(runs["recipe"] == "reference") & (runs["filters"] == 4)]),
    ):
        # In a study of its own, a run is named without its recipe.
        names = {run: run if directory == whole else run.partition("-")[2] for run in kept["run"]}
        scored = slices[slices["run"].isin(names)]
        write_results(directory, *(table.assign(run=table["run"].map(names)) for table in (kept, scored)))
    apart = recipes(*(read_results(tmp_path / name) for name in ("efficient", "reference")))
    pd.testing.assert_frame_equal(apart, recipes(read_results(whole))[:1])


def test_a_recipe_without_runs_is_named(tmp_path: Path) -> None:
    runs, slices = a_study(gain=0.0)
    for name in ("a", "b"):
        write_results(tmp_path / name, runs[runs["recipe"] == "efficient"], slices)
    with pytest.raises(
        InputError, match="no width was trained under both recipes with one seed; there is efficient only"
    ):
        recipes(read_results(tmp_path / "a"), read_results(tmp_path / "b"))


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
    found = {(row.trained_on, row.tested_on): row for row in named_rows(summarise(crosswise()))}
    assert {pair: row.dice for pair, row in found.items()} == pytest.approx(MEANS)
    for row in found.values():
        assert row.dice_low < row.dice < row.dice_high
        assert (row.seeds, row.patients, row.slices) == (2, 30, 300)
    worse = found["phantom", "real"]
    assert worse.share == pytest.approx(0.75)
    assert worse.share_low < 0.75 < worse.share_high
    assert worse.share_high - worse.share_low < worse.dice_high - worse.dice_low, "compared on the same patients"
    own = found["real", "real"]
    assert (own.share, own.share_low, own.share_high) == (1, 1, 1)


def test_patients_with_more_slices_weigh_more() -> None:
    scores = crosswise(patients=2)
    heavy = scores["patient_id"] == "LIDC-IDRI-0001"
    scores.loc[heavy, "slices"] = 30
    scores["dice"] = np.where(heavy, 0.9, 0.1)
    assert summarise(scores)["dice"].iloc[0] == pytest.approx((0.9 * 30 + 0.1 * 10) / 40)


def test_a_transfer_without_a_side_is_refused() -> None:
    scores = crosswise()
    with pytest.raises(InputError, match="trained on phantom and tested on real"):
        summarise(scores[scores["trained_on"] == "real"])


def test_networks_and_readers_stand_on_the_same_slices(evidence: Evidence) -> None:
    slices, table = evidence.results.slices, evidence.answer.yardsticks.set_index("who")
    for width, scores in slices[slices["readers_with_mask"] == 4].groupby("filters"):
        mean = scores.groupby(["patient_id", "nodule", "slice"])["dice"].mean().mean()
        assert table["four"][f"U-Net, F = {width}"] == pytest.approx(mean, abs=1e-5)
    assert table["every_n"]["Threshold"] == slices.groupby("run").size().iloc[0]


def test_yardsticks_of_other_patients_are_refused(evidence: Evidence, tmp_path: Path) -> None:
    path = Path(shutil.copytree(ROOT / "results/lidc-yardsticks", tmp_path / "yardsticks")) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split_seed": 1}))
    with pytest.raises(InputError, match=r"another split or target.*python studies/yardsticks\.py data/lidc"):
        yardsticks(evidence.results, path.parent)


def test_the_price_counts_trials_and_attempts_without_a_result(evidence: Evidence) -> None:
    kwh = 0.0
    for path in (ROOT / "results").glob("lidc*/runs.csv"):
        manifest = json.loads(path.with_name("manifest.json").read_text())
        if manifest["crops"]["slices"] == evidence.manifest["crops"]["slices"]:
            kwh += pd.read_csv(path)["energy_whole_run_kwh"].sum() + manifest["abandoned"]["energy_kwh"]
    table = everything(ROOT, evidence.results)
    assert table["energy_kwh"].sum() == pytest.approx(kwh)
    assert (table["carbon_g"] / table["energy_kwh"]).to_numpy() == pytest.approx(1.58 * 445)
    assert set(evidence.answer.everything["known"]) == {"estimated", "partly estimated"}


def test_the_leak_compares_one_training_under_both_splits(evidence: Evidence) -> None:
    leak, trials = ROOT / "results/lidc-leak", ROOT / "results/lidc-trials"
    leaky, runs = pd.read_csv(leak / "slices.csv.gz")["dice"].mean(), pd.read_csv(trials / "runs.csv")
    honest = runs[(runs["filters"] == 4) & ~runs["augment"]]["test_dice"].item()
    assert [evidence.leak[split].estimate for split in (BY_SLICE, BY_PATIENT)] == pytest.approx([leaky, honest])
    assert json.loads((leak / "manifest.json").read_text())["options"]["augment"] is False
