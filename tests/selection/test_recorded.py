from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.errors import InputError
from carbon_midl.measures import PatientBootstrap, patient_dice
from carbon_midl.selection.candidates import Columns, read_candidates
from carbon_midl.selection.choice import choose
from carbon_midl.selection.criteria import Best, NonInferior
from tests.selection.made_up import write_results

BY_PATIENT = Columns(replicate="patient_id")
TESTED = Columns(performance="test_dice_patients")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Patients differ far more than widths; patients have different numbers of slices; the test has them turned round.

    Test patients are called like validation patients, so that a mix of both would be noticed.
    """
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
                    slices.append((run, width, seed, f"p{patient}", dice, "validation"))
                slices.append((run, width, seed, f"p{patient}", base + 0.05 - gain, "test"))
    write_results(
        tmp_path,
        pd.DataFrame(runs, columns=["run", "filters", "seed", "energy_kwh", "duration_s"]).assign(
            val_dice=[0.5, 0.6, 0.6, 0.7, 0.7, 0.8], test_dice_patients=0.5
        ),
        pd.DataFrame(slices, columns=["run", "filters", "seed", "patient_id", "dice", "part"]),
    )
    return tmp_path


def rewritten(study: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(study / "slices.csv.gz")).to_csv(study / "slices.csv.gz", index=False)


def test_a_study_is_paired_over_its_patients(study: Path) -> None:
    read = read_candidates(study)
    assert (read.performance_name, read.notes) == ("val_dice_patients", ())
    assert read.names == ("4", "8", "16")
    assert read.paired
    assert read.counts.tolist() == [25] * 3
    slices = pd.read_csv(study / "slices.csv.gz")
    bootstrap = PatientBootstrap.draw(patient_dice(slices[slices["part"] == "validation"]), draws=10)
    np.testing.assert_allclose(read.mean_performance, bootstrap.observed)
    np.testing.assert_allclose(read.mean_cost / read.mean_cost[0], [1, 2, 4])
    assert read.trainings.tolist() == [2] * 3
    choice = choose(read, NonInferior(0.01))
    assert (choice.chosen, choice.runner_up) == ("8", "16")


def test_the_test_is_read_only_when_named(study: Path) -> None:
    read = read_candidates(study, TESTED)
    assert choose(read, Best()).chosen == "4"
    assert choose(read_candidates(study), Best()).chosen == "16"
    assert read.paired
    (note,) = read.notes
    assert note.startswith("test_dice_patients is a test score")
    by_seed = read_candidates(study, Columns(replicate="seed"))
    assert (by_seed.performance_name, by_seed.paired, by_seed.notes) == ("val_dice", False, ())
    np.testing.assert_allclose(by_seed.mean_performance, [0.55, 0.65, 0.75])


def test_slices_that_name_no_part_are_all_test(study: Path) -> None:
    before = read_candidates(study, TESTED)
    rewritten(study, lambda slices: slices[slices["part"] == "test"].drop(columns="part"))
    np.testing.assert_array_equal(read_candidates(study, TESTED).performance, before.performance)
    read = read_candidates(study)
    assert (read.performance_name, read.paired) == ("val_dice", False)
    (note,) = read.notes
    assert note.startswith("By seed, on val_dice of runs.csv, and not by patient")
    assert "no validation slices. Run the study anew" in note
    with pytest.raises(InputError, match=r"slices\.csv\.gz: no validation slices.*--replicate seed"):
        read_candidates(study, BY_PATIENT)


def test_runs_without_validation_slices_are_left_out_and_named(study: Path) -> None:
    rewritten(study, lambda slices: slices[(slices["filters"] != 16) | (slices["part"] == "test")])
    read = read_candidates(study)
    assert read.names == ("4", "8")
    assert read.notes[1] == "Candidates without any complete row: 16."


def test_missing_tables_and_columns_are_named(study: Path) -> None:
    rewritten(study, lambda slices: slices.rename(columns={"patient_id": "patient"}))
    with pytest.raises(InputError, match=r"slices.csv.gz: no column patient_id"):
        read_candidates(study, BY_PATIENT)
    (study / "slices.csv.gz").unlink()
    with pytest.raises(InputError, match=r"no slices\.csv\.gz; expected"):
        read_candidates(study, BY_PATIENT)
