"""The chapter on recipes says what the recorded study says, and nothing where there is none."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.book.recipes import NOT_RECORDED, recipes_text

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "results" / "recipes"
LIDC = ROOT / "results" / "lidc", ROOT / "results" / "lidc-reference"


def a_record(root: Path, **tables: pd.DataFrame) -> Path:
    """The recorded comparison on phantom crops, with other tables in its place, below ``root``."""
    shutil.copytree(RECORDED, root / "results" / "recipes")
    for name, table in tables.items():
        table.to_csv(root / "results" / "recipes" / f"{name}.csv{'.gz' if name == 'slices' else ''}", index=False)
    return root


def test_the_recorded_studies_are_told() -> None:
    text = recipes_text(ROOT)
    runs = pd.read_csv(RECORDED / "runs.csv").pivot_table(index="filters", columns="recipe", values="energy_kwh")
    for filters, row in runs.iterrows():
        assert f"At F\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{filters} the efficient recipe took" in text
        assert f"{1000 * row['reference']:#.3g} → {1000 * row['efficient']:#.3g}" in text
    assert "on phantom crops (19 test patients, 3 seeds each)" in text
    assert "*estimates*" in text
    efficient, reference = (pd.read_csv(part / "runs.csv").set_index(["filters", "seed"]) for part in LIDC)
    both = reference[["energy_kwh"]].join(efficient["energy_kwh"].rename("energy_kwh_efficient"))
    for before, after in zip(both["energy_kwh"], both["energy_kwh_efficient"], strict=True):
        assert f"{1000 * before:#.3g} → {1000 * after:#.3g}" in text
    assert "One seed tells nothing about what another would change" in text


def test_no_record_is_said_to_be_none(tmp_path: Path) -> None:
    assert recipes_text(tmp_path) == NOT_RECORDED


def test_a_difference_that_is_shown_is_not_called_none(tmp_path: Path) -> None:
    slices = pd.read_csv(RECORDED / "slices.csv.gz")
    efficient = slices["run"].str.contains("efficient")
    slices["dice"] = slices["dice"].where(~efficient, slices["dice"] - 0.2).clip(0, 1)
    text = recipes_text(a_record(tmp_path, slices=slices))
    assert "Its Dice was lower" in text
    assert "No difference" not in text


def test_measured_energies_are_not_called_estimates(tmp_path: Path) -> None:
    runs = pd.read_csv(RECORDED / "runs.csv").assign(energy_method="measured: RAPL")
    assert "The energies are measured (measured: RAPL), on " in recipes_text(a_record(tmp_path, runs=runs))


@pytest.mark.parametrize("name", ["runs.csv", "slices.csv.gz", "manifest.json", "epochs.csv"])
def test_the_record_is_there_without_paths_of_a_machine(name: str) -> None:
    assert (RECORDED / name).is_file()
    if name == "manifest.json":
        assert json.loads((RECORDED / name).read_text())["crops"]["kind"] == "phantom"


def test_widths_with_different_numbers_of_seeds_are_told_so(tmp_path: Path) -> None:
    runs = pd.read_csv(RECORDED / "runs.csv")
    kept = runs[~((runs["filters"] == 16) & (runs["seed"] > 0))]
    text = recipes_text(a_record(tmp_path, runs=kept))
    assert "1 to 3 seeds each" in text
    assert "One seed tells nothing" in text
