"""A study that is stopped and killed ends as if it had not been, and what it used is counted."""

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from safetensors.numpy import load_file

from carbon_midl.footprint import read_footprint
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.spec import Study
from carbon_midl.study.status import study_status, validation_dice
from tests.study.tiny import EPOCHS, make_root, run, start, study_toml

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]


def test_a_study_that_is_stopped_once_and_killed_five_times_loses_nothing(
    discs: CropArchive, tmp_path: Path, finished: tuple[Study, str]
) -> None:
    study, moments = make_root(tmp_path / "root", study_toml(filters=[2]), discs), random.Random(0)
    directory, footprint = study.directory / study.runs[0].name, study.directory / study.runs[0].name / "footprint.json"
    seen_kwh = []
    for attempt in range(6):
        # Six times, and yet far from the last epoch: one takes milliseconds.
        until = len(validation_dice(directory)) + moments.randint(1, EPOCHS // 13)
        runner = start(study)
        while len(validation_dice(directory)) < until and runner.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.03))
        if attempt == 0:
            runner.terminate()
            assert "the same command goes on from there" in runner.communicate(timeout=120)[1]
            assert runner.returncode == 130
            assert (directory / "checkpoint.safetensors").exists()
            assert study_status(study).counts == {"interrupted": 1}
        else:
            everything = [*psutil.Process(runner.pid).children(recursive=True), psutil.Process(runner.pid)]
            assert len(everything) == 3  # papermill and kernel, too
            for process in everything:
                os.kill(process.pid, signal.SIGKILL)
            psutil.wait_procs(everything)
            runner.communicate()
        seen_kwh.append(read_footprint(footprint).energy_kwh)
    run(study)
    same_but_for_time_and_energy(study, finished[0])
    record = read_footprint(footprint)
    assert record.attempts == 7
    assert set(record.finished_epochs) == set(range(1, EPOCHS + 1))
    assert record.energy_kwh >= max(seen_kwh) >= seen_kwh[0] > 0
    first = sum(window.energy_kwh for window in record.windows if window.attempt == 1 and window.parent is None)
    assert first == pytest.approx(seen_kwh[0])
    assert pd.read_csv(study.results / "runs.csv")["energy_whole_run_kwh"].item() == pytest.approx(record.energy_kwh)


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
