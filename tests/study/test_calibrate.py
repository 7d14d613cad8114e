from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.errors import InputError
from carbon_midl.study.results import read_results
from carbon_midl.study.share import verify
from studies.calibrate import calibrate
from tests.study.made_up import collected, make_study
from tests.study.tiny import study_toml


def test_calibrated_energies_are_epochs_times_a_quiet_epoch(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    recorded = collected(study)
    calibration = make_study(tmp_path / "quiet", study_toml(seeds=[0, 1, 2], epochs=1))
    collected(calibration)
    recorded_runs = recorded.runs.assign(precision=["bf16", *["fp32"] * (len(recorded.runs) - 1)])
    recorded_runs.to_csv(study.results / "runs.csv", index=False)
    left = calibrate(study.results, calibration.results)
    runs = pd.read_csv(study.results / "runs.csv")
    assert left == [recorded_runs["run"].iloc[0], *runs.loc[runs["filters"] == 16, "run"]]
    assert runs["energy_kwh"].iloc[0] == runs["energy_as_run_kwh"].iloc[0]  # another number format
    epoch_kwh = pd.read_csv(calibration.results / "runs.csv").groupby("filters")["energy_kwh"].mean()
    narrow = runs[(runs["filters"] < 16) & (runs["precision"] == "fp32")]
    assert narrow["energy_kwh"].tolist() == pytest.approx((4 * narrow["filters"].map(epoch_kwh)).tolist())
    assert narrow["energy_method"].str.startswith("estimated, calibrated").all()
    assert runs["energy_as_run_kwh"].tolist() == pytest.approx(recorded.runs["energy_kwh"].astype(float).tolist())
    wide = runs[runs["filters"] == 16]
    assert (wide["energy_kwh"] == wide["energy_as_run_kwh"]).all()
    assert verify(read_results(study.results)).disagreements == []
    before = (study.results / "runs.csv").read_bytes()
    calibrate(study.results, calibration.results)
    assert (study.results / "runs.csv").read_bytes() == before
    # A calibration is three trainings of one epoch, in one number format.
    with pytest.raises(InputError, match=r"runs in bf16, fp32; expected one number format"):
        calibrate(study.results, study.results)
    recorded.runs.assign(precision="fp32").to_csv(study.results / "runs.csv", index=False)
    with pytest.raises(InputError, match=r"2 runs of F = 2; expected three of one epoch"):
        calibrate(study.results, study.results)
