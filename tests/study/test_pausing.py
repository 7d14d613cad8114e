"""A training that was paused goes on as if it had not been."""

from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.notebook import Experiment, TrainingPaused, open_experiment
from carbon_midl.study.run import read_result


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
