from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.book.records import compare_recipes, read_recipes
from carbon_midl.errors import InputError
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


def test_shares_are_by_seed_and_differences_by_patient() -> None:
    narrow, wide = compare_recipes(*a_study(gain=0.05))
    assert (narrow.filters, wide.filters) == (4, 16)
    assert narrow.energy_share == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert narrow.seeds == 3
    assert narrow.patients == 30
    assert narrow.difference.estimate == pytest.approx(0.05, abs=0.005)
    assert narrow.difference.excludes_zero
    # Patients differ by far more than this interval is wide: it is paired.
    assert narrow.difference.high - narrow.difference.low < 0.02
    assert abs(wide.difference.estimate) < 0.005
    assert narrow.difference.estimate == pytest.approx(narrow.efficient.estimate - narrow.reference.estimate)


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
    (apart,) = read_recipes(tmp_path / "efficient", tmp_path / "reference")
    assert apart == read_recipes(whole)[0]


def test_a_recipe_without_runs_is_named(tmp_path: Path) -> None:
    runs, slices = a_study(gain=0.0)
    for name in ("a", "b"):
        write_results(tmp_path / name, runs[runs["recipe"] == "efficient"], slices)
    with pytest.raises(
        InputError, match="no width was trained under both recipes with one seed; there is efficient only"
    ):
        read_recipes(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError, match=r"no runs\.csv, epochs\.csv, .*; expected"):
        read_recipes(tmp_path)
