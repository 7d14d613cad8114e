from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.errors import InputError
from carbon_midl.selection.choice import choose
from carbon_midl.selection.noninferiority import NonInferior
from carbon_midl.selection.patients import PatientBootstrap, patient_dice
from carbon_midl.selection.reading import Columns, read_candidates

BY_PATIENT = Columns(replicate="patient_id")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Patients differ far more than widths; patients have different numbers of slices."""
    generator = np.random.default_rng(0)
    ease = generator.uniform(0.4, 0.8, 25)
    runs, slices = [], []
    for width, gain in ((4, 0.0), (8, 0.03), (16, 0.031)):
        for seed in (0, 1):
            run = f"filters-{width}-seed-{seed}"
            runs.append((run, width, seed, width / 100, 60.0))
            for patient, base in enumerate(ease):
                for _ in range(1 + patient % 3):
                    dice = base + gain + generator.normal(0, 0.004)
                    slices.append((run, width, seed, f"p{patient}", dice))
    pd.DataFrame(runs, columns=["run", "filters", "seed", "energy_kwh", "duration_s"]).assign(
        test_dice_patients=0.5
    ).to_csv(tmp_path / "runs.csv", index=False)
    pd.DataFrame(slices, columns=["run", "filters", "seed", "patient_id", "dice"]).to_csv(
        tmp_path / "slices.csv.gz", index=False
    )
    return tmp_path


def test_a_study_is_paired_over_its_patients(study: Path) -> None:
    read = read_candidates(study, BY_PATIENT)
    assert read.names == ("4", "8", "16")
    assert read.paired
    assert read.counts.tolist() == [25] * 3
    bootstrap = PatientBootstrap.draw(patient_dice(pd.read_csv(study / "slices.csv.gz")), draws=10)
    np.testing.assert_allclose(read.mean_performance, bootstrap.observed)
    np.testing.assert_allclose(read.mean_cost / read.mean_cost[0], [1, 2, 4])
    assert read.trainings is not None
    assert read.trainings.counts.tolist() == [2] * 3
    choice = choose(read, NonInferior(0.01))
    assert (choice.chosen, choice.runner_up) == ("8", "16")
    assert "t over 25 shared patients and 2 trainings" in choice.reason


def test_missing_tables_and_columns_are_named(study: Path) -> None:
    slices = pd.read_csv(study / "slices.csv.gz")
    slices.rename(columns={"patient_id": "patient"}).to_csv(study / "slices.csv.gz", index=False)
    with pytest.raises(
        InputError, match=r"slices.csv.gz: no column 'patient_id' for the patient; did you mean 'patient'"
    ):
        read_candidates(study, BY_PATIENT)
    (study / "slices.csv.gz").unlink()
    with pytest.raises(InputError, match=r"slices\.csv\.gz: no such file"):
        read_candidates(study, BY_PATIENT)
