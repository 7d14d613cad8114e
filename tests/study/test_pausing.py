"""A training that pauses where the parameters say so goes on as if it had not."""

from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.notebook import Experiment, TrainingPaused, open_experiment
from carbon_midl.study.run import read_result


def opened(discs: CropArchive, output: Path, pause_after: int) -> Experiment:
    return open_experiment(
        crops=str(discs.path), output=str(output), pue=1.58, intensity="world", carbontracker=False,
        pause_after=pause_after, filters=2, depth=2, epochs=4, batch_size=8, learning_rate=1e-2,
    )  # fmt: skip


def ended(experiment: Experiment) -> None:
    experiment.train()
    experiment.test()
    experiment.write_result()


@pytest.mark.slow
def test_a_paused_training_ends_like_one_that_was_not(discs: CropArchive, tmp_path: Path) -> None:
    whole, paused = tmp_path / "whole", tmp_path / "paused"
    ended(opened(discs, whole, 0))
    for until in (1, 3, 4):  # the last epoch, too: then nothing is left but the test
        with pytest.raises(TrainingPaused, match=f"paused after epoch {until} of 4; its state is saved"):
            opened(discs, paused, until).train()
        assert len(pd.read_csv(paused / "epochs.csv")) == until
        assert not (paused / "result.json").exists()
    ended(opened(discs, paused, 0))
    one, other = (load_file(directory / "weights.safetensors") for directory in (whole, paused))
    assert all((one[name] == other[name]).all() for name in one)
    first, second = read_result(whole), read_result(paused)
    assert first["test"] == second["test"]
    assert first["fingerprint"] == second["fingerprint"]
    # Every epoch once, whichever attempt it was in.
    assert len(second["footprint"]["windows"]) >= len(first["footprint"]["windows"])


def test_a_pause_that_is_due_trains_nothing(discs: CropArchive, tmp_path: Path) -> None:
    with pytest.raises(TrainingPaused):
        opened(discs, tmp_path / "run", 2).train()
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    (tmp_path / "run" / "epochs.csv").unlink()  # as after a kill between the checkpoint and the table
    with pytest.raises(TrainingPaused):
        opened(discs, tmp_path / "run", 1).train()
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == before
    assert len(pd.read_csv(tmp_path / "run" / "epochs.csv")) == 2
