"""A study that is stopped or killed ends as if it had not been, and what it used is counted."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from safetensors.numpy import load_file

from carbon_midl.errors import InputError
from carbon_midl.files import is_locked
from carbon_midl.footprint import FootprintRecord, read_footprint
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.notebook import open_experiment
from carbon_midl.study.spec import Study
from carbon_midl.study.status import study_status, validation_dice
from tests.study.tiny import EPOCHS, ONE, make_root, run, start

pytestmark = pytest.mark.slow


def wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.005)


def used(directory: Path) -> FootprintRecord:
    return read_footprint(directory / "footprint.json")


def same_but_for_time_and_energy(study: Study, reference: Study) -> None:
    name = study.runs[0].name
    own, other = study.directory / name, reference.directory / name
    weights, expected = load_file(own / "weights.safetensors"), load_file(other / "weights.safetensors")
    assert all(np.array_equal(weights[part], expected[part]) for part in expected)
    assert (own / "slices.csv.gz").read_bytes() == (other / "slices.csv.gz").read_bytes()
    table, expected_table = (pd.read_csv(path / "epochs.csv").drop(columns="duration_s") for path in (own, other))
    pd.testing.assert_frame_equal(table, expected_table, check_exact=True)
    assert (own / "notebook.ipynb").exists()
    assert not (own / "checkpoint.safetensors").exists()
    assert not list(study.directory.glob("*.superseded-*"))


def test_a_stopped_training_is_saved_and_a_notebook_outlives_its_runner(
    discs: CropArchive, tmp_path: Path, finished: tuple[Study, str]
) -> None:
    study = make_root(tmp_path / "root", discs, ONE)
    directory = study.directory / study.runs[0].name
    runner = start(study)
    wait(lambda: bool(validation_dice(directory)))
    runner.terminate()
    assert "the same command goes on from there" in runner.communicate(timeout=120)[1]
    assert runner.returncode == 130
    assert (directory / "checkpoint.safetensors").exists()
    assert study_status(study).counts == {"interrupted": 1}
    before = used(directory)
    assert 1 <= before.epochs < EPOCHS
    runner = start(study)
    wait(lambda: is_locked(directory / ".lock"))
    runner.kill()
    runner.communicate()
    assert study_status(study).counts == {"running": 1}
    with pytest.raises(InputError, match=r"another process is making this run\. Wait for it, or stop it \('fuser"):
        open_experiment(crops=str(discs.path), output=str(directory), **study.runs[0].options.model_dump())
    # Its papermill goes on, and the next runner leaves that run to it.
    assert run(study).count("done before") == 1
    same_but_for_time_and_energy(study, finished[0])
    after = used(directory)
    assert (before.attempts, after.attempts) == (1, 2)
    first = sum(window.energy_kwh for window in after.windows if window.attempt == 1 and window.parent is None)
    assert first == pytest.approx(before.energy_kwh)
    assert after.energy_kwh > before.energy_kwh


def test_a_study_that_is_killed_five_times_loses_nothing(
    discs: CropArchive, tmp_path: Path, finished: tuple[Study, str]
) -> None:
    study, moments, seen_kwh = make_root(tmp_path / "root", discs, ONE), random.Random(0), 0.0
    directory = study.directory / study.runs[0].name
    for _ in range(5):
        until = len(validation_dice(directory)) + moments.randint(1, 12)
        runner = start(study)
        wait(lambda until=until: len(validation_dice(directory)) >= until)  # type: ignore[misc]
        time.sleep(moments.uniform(0, 0.1))
        everything = [*psutil.Process(runner.pid).children(recursive=True), psutil.Process(runner.pid)]
        assert len(everything) == 3  # papermill and kernel, too
        for process in everything:
            os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs(everything)
        runner.communicate()
        seen_kwh = max(seen_kwh, used(directory).energy_kwh)
    run(study)
    same_but_for_time_and_energy(study, finished[0])
    record = used(directory)
    assert record.attempts == 6
    assert set(record.finished_epochs) == set(range(1, EPOCHS + 1))
    assert record.energy_kwh >= seen_kwh > 0
    assert pd.read_csv(study.results / "runs.csv")["energy_whole_run_kwh"].item() == pytest.approx(record.energy_kwh)
