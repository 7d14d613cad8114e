"""The chapter on recipes says what the recorded study says, and nothing where there is none."""

import json
from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.book.recipes import NOT_RECORDED, recipes_text

RECORDED = Path(__file__).parents[2] / "results" / "recipes"


def test_the_recorded_study_is_told() -> None:
    text = recipes_text(RECORDED)
    runs = pd.read_csv(RECORDED / "runs.csv").pivot_table(index="filters", columns="recipe", values="energy_kwh")
    for filters, row in runs.iterrows():
        assert f"At F\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{filters} the efficient recipe took" in text
        assert f"{1000 * row['reference']:.3g} → {1000 * row['efficient']:.3g}" in text
    assert "on phantom crops (19 test patients, 3 seeds each)" in text
    assert "*estimates*" in text


def test_no_record_is_said_to_be_none(tmp_path: Path) -> None:
    assert recipes_text(tmp_path / "nothing") == NOT_RECORDED


def test_a_difference_that_is_shown_is_not_called_none(tmp_path: Path) -> None:
    for name in ("runs.csv", "manifest.json"):
        (tmp_path / name).write_bytes((RECORDED / name).read_bytes())
    slices = pd.read_csv(RECORDED / "slices.csv.gz")
    efficient = slices["run"].str.contains("efficient")
    slices["dice"] = slices["dice"].where(~efficient, slices["dice"] - 0.2).clip(0, 1)
    slices.to_csv(tmp_path / "slices.csv.gz", index=False)
    text = recipes_text(tmp_path)
    assert "Its Dice was lower" in text
    assert "No difference" not in text


def test_measured_energies_are_not_called_estimates(tmp_path: Path) -> None:
    for name in ("slices.csv.gz", "manifest.json"):
        (tmp_path / name).write_bytes((RECORDED / name).read_bytes())
    runs = pd.read_csv(RECORDED / "runs.csv").assign(energy_method="measured: RAPL")
    runs.to_csv(tmp_path / "runs.csv", index=False)
    assert "The energies are measured (measured: RAPL), on " in recipes_text(tmp_path)


@pytest.mark.parametrize("name", ["runs.csv", "slices.csv.gz", "manifest.json", "epochs.csv"])
def test_the_record_is_there_without_paths_of_a_machine(name: str) -> None:
    assert (RECORDED / name).is_file()
    if name == "manifest.json":
        assert json.loads((RECORDED / name).read_text())["crops"]["kind"] == "phantom"
