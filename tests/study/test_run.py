from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from carbon_midl.errors import InputError
from carbon_midl.files import is_locked, locked
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.notebook import Experiment, TrainingPaused, free_directory, open_experiment
from carbon_midl.study.run import _statements, fingerprint, prepare_run, read_result, training_fingerprint
from carbon_midl.training.checkpoint import Progress, save_checkpoint
from carbon_midl.training.fit import begin
from carbon_midl.training.options import RunOptions

QUICK = RunOptions(filters=2, depth=2, epochs=1)


def test_the_fingerprint_follows_options_and_crops(discs: CropArchive) -> None:
    first = fingerprint(QUICK, discs)
    assert fingerprint(QUICK.model_copy(), discs) == first
    assert fingerprint(QUICK.model_copy(update={"seed": 1}), discs)["options"] != first["options"]
    assert first["crops"] == discs.fingerprint[:12]


@pytest.mark.slow
def test_a_finished_run_and_one_of_other_options_are_not_written_over(discs: CropArchive, tmp_path: Path) -> None:
    training = begin(QUICK)
    wanted = training_fingerprint(QUICK, discs)
    save_checkpoint(tmp_path / "checkpoint.safetensors", wanted, Progress(), training.model, training.optimiser)
    assert prepare_run(tmp_path, QUICK, discs).checkpoint == tmp_path / "checkpoint.safetensors"
    limited = QUICK.model_copy(update={"budget_g": 5.0})  # which changes no step of the training
    assert prepare_run(tmp_path, limited, discs).checkpoint is not None
    with pytest.raises(InputError, match=r"holds an unfinished run \(checkpoint\.safetensors\) with other options"):
        prepare_run(tmp_path, QUICK.model_copy(update={"epochs": 2}), discs)
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "result.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds a finished run \(result\.json\)"):
        prepare_run(tmp_path / "done", QUICK, discs)


def test_a_second_run_of_the_same_name_gets_a_directory_of_its_own(tmp_path: Path) -> None:
    first = free_directory(tmp_path, QUICK)
    assert first == tmp_path / "filters-2-seed-0"
    first.mkdir()
    assert free_directory(tmp_path, QUICK) == first  # interrupted: taken up again
    (first / "result.json").write_text("{}")
    assert free_directory(tmp_path, QUICK) == tmp_path / "filters-2-seed-0-2"


def test_a_run_is_written_by_one_process_which_may_open_it_again(discs: CropArchive, tmp_path: Path) -> None:
    with locked(tmp_path / ".lock"), pytest.raises(InputError, match="another process is making this run"):
        prepare_run(tmp_path, QUICK, discs)
    first = prepare_run(tmp_path, QUICK, discs)
    again = prepare_run(tmp_path, QUICK, discs)
    assert first.lock is again.lock
    assert is_locked(tmp_path / ".lock")
    del first, again
    assert not is_locked(tmp_path / ".lock")


def test_explaining_and_moving_code_leaves_its_fingerprint() -> None:
    before = """
from carbon_midl.lidc.crops import CropArchive
LIMIT = 0.5
def scale(values: list) -> list:
    return [value * LIMIT for value in values]
"""
    after = """
'What the module is for.'
from carbon_midl.data import CropArchive
def scale(
    values: list,  # in kWh
) -> list:
    'Half of each value.'
    return [value * LIMIT for value in values]
LIMIT = .5
"""
    assert set(_statements(before)) == set(_statements(after))
    for old, new in (("0.5", "0.25"), ("value * LIMIT", "LIMIT + value"), ("CropArchive", "CropArchive as Crops")):
        assert set(_statements(before)) != set(_statements(before.replace(old, new)))


def opened(discs: CropArchive, output: Path, until: int = 5) -> Experiment:
    """A training of four epochs that pauses after epoch ``until``."""

    def pause(experiment: Experiment) -> None:
        if len(pd.read_csv(output / "epochs.csv")) >= until:
            raise TrainingPaused

    experiment = open_experiment(
        crops=str(discs.path), output=str(output), carbontracker=False,
        filters=2, depth=2, epochs=4, batch_size=8, learning_rate=1e-2,
    )  # fmt: skip
    experiment.after_epoch = pause
    return experiment


@pytest.mark.slow
def test_a_paused_training_ends_like_one_that_was_not(discs: CropArchive, tmp_path: Path) -> None:
    whole, paused = tmp_path / "whole", tmp_path / "paused"
    # After the last epoch nothing is left but the test; a pause that was due before trains nothing.
    for until, trained in ((1, 1), (3, 3), (4, 4), (2, 4)):
        with pytest.raises(TrainingPaused):
            opened(discs, paused, until).train()
        assert len(pd.read_csv(paused / "epochs.csv")) == trained
        assert not (paused / "result.json").exists()
        (paused / "epochs.csv").unlink()  # as after a kill between the checkpoint and the table
    for directory in (whole, paused):
        experiment = opened(discs, directory)
        experiment.train()
        experiment.test()
        experiment.write_result()
    one, other = (load_file(directory / "weights.safetensors") for directory in (whole, paused))
    assert all((one[name] == other[name]).all() for name in one)
    first, second = read_result(whole), read_result(paused)
    assert first["test"] == second["test"]
    assert first["fingerprint"] == second["fingerprint"]
