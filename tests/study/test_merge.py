"""A study made in parts becomes the study that would have been made in one piece; energies from quiet epochs."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.measures import PatientBootstrap, patient_dice
from carbon_midl.selection.by_width import by_width, read_widths
from carbon_midl.study.results import TABLES, Results, read_results
from carbon_midl.study.share import merge, verify
from carbon_midl.study.spec import Study
from studies.calibrate import calibrate
from tests.study.made_up import STUDY, collected, make_study
from tests.study.tiny import study_toml

RUNS = [f"filters-{width}-seed-{seed}" for width in (2, 3, 16) for seed in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("owners", ["010101", "210012"])
def test_however_divided_a_merged_study_is_that_made_in_one_piece(made_up: Study, whole: Results, owners: str) -> None:
    names = [[run for run, owner in zip(RUNS, owners, strict=True) if owner == one] for one in sorted(set(owners))]
    parts = [collected(made_up, part) for part in names]
    merged = merge(parts)
    for file in TABLES:
        rows = merged.tables[file].drop(columns="part") if file == "runs.csv" else merged.tables[file]
        assert rows.to_csv(index=False) == whole.tables[file].to_csv(index=False)
    for key in whole.manifest.keys() - {"sha256"}:
        assert merged.manifest[key] == whole.manifest[key], key
    for runs in names:
        (part,) = set(merged.runs.loc[merged.runs["run"].isin(runs), "part"])
        (entry,) = (one for one in merged.manifest["parts"] if one["part"] == part)
        assert entry["runs"] == len(runs)
    assert merge(parts[::-1]).files == merged.files
    if len(parts) > 2:
        assert merge([merge(parts[:2]), *parts[2:]]).files == merged.files


def test_each_row_says_where_it_is_from_and_each_part_what_it_was_made_with(tmp_path: Path) -> None:
    here, there = make_study(tmp_path / "a", cpu="Intel Xeon"), make_study(tmp_path / "b", cpu="AMD EPYC")
    left = there.directory / f"{RUNS[0]}.superseded-then"
    left.mkdir()
    result = json.loads((there.directory / RUNS[0] / "result.json").read_text())
    (left / "footprint.json").write_text(json.dumps(result["footprint"]))
    merged = merge([collected(there, RUNS[2:5]), collected(here, RUNS[:2])])
    assert verify(merged).disagreements == []
    cpus = [one["hardware"]["cpu"] for part in merged.manifest["parts"] for one in part["environments"]]
    assert cpus == ["Intel Xeon", "AMD EPYC"]
    assert merged.manifest["hardware"]["cpu"] == "Intel Xeon"  # of the first run, as in a study made in one piece
    assert merged.manifest["abandoned"]["attempts"] == 1
    assert merged.manifest["abandoned"]["energy_kwh"] > 0
    assert merged.manifest["runs_left_out"] == RUNS[5:]


@pytest.mark.slow
def test_calibrated_parts_are_merged_with_their_calibrations(tmp_path: Path) -> None:
    quiet = study_toml(filters=[2, 3, 16], seeds=[0, 1, 2], epochs=1)
    calibrations = [make_study(tmp_path / name, quiet, salt=name) for name in ("quiet", "silent")]
    studies = [make_study(tmp_path / name) for name in ("a", "b")]
    for study, names, calibration in zip(studies, (RUNS[:3], RUNS[3:]), calibrations, strict=True):
        collected(study, names)
        collected(calibration)
        assert calibrate(study.results, calibration.results) == []
    merged = merge([read_results(study.results) for study in studies])
    assert verify(merged).disagreements == []
    assert merged.runs["energy_as_run_kwh"].notna().all()
    first, second = (part["calibration"]["epoch_kwh"] for part in merged.manifest["parts"])
    assert first != second


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"crops": "0" * 64}, r"crops: \w{12} in .*, 000000000000 in .*Train the runs of one part again"),
        ({"code": "f" * 12}, "code: .*, ffffffffffff in "),
        ({"text": STUDY.replace("epochs = 4", "epochs = 5")}, "option epochs: 4 in .*, 5 in "),
        ({"text": STUDY.replace('"DK"', '"FR"')}, "PUE and carbon intensity: .*nothing needs to be trained again"),
        ({"text": STUDY.replace('name = "tiny"', 'name = "other"')}, "study: tiny in .*, other in "),
        ({"text": STUDY.replace("[footprint]", 'recipe = ["reference"]\n[footprint]')}, "axes: none in .*, recipe in "),
        ({}, "run filters-2-seed-1 is in both; 1 such in all. A study has each run once"),
        ({"salt": "other numbers"}, "run filters-2-seed-1 is in both"),
    ],
)
def test_parts_of_different_studies_and_runs_in_two_parts_are_refused(
    made_up: Study, tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    other = make_study(tmp_path / "other", **changes)
    names = [run.name for run in other.runs][1:]
    parts = [collected(made_up, RUNS[:2]), collected(other, names)]
    with pytest.raises(InputError, match=says):
        merge(parts)


def test_a_part_that_disagrees_with_itself_or_is_alone_is_refused(made_up: Study) -> None:
    one, other = collected(made_up, RUNS[:2]), collected(made_up, RUNS[2:])
    changed = other.files["runs.csv"].replace(b",0.0", b",0.1", 1)
    with pytest.raises(InputError, match=r"there: \d+ disagreements?, first runs\.csv, SHA-256"):
        merge([one, Results.of_files("there", other.files | {"runs.csv": changed})])
    with pytest.raises(InputError, match="expected two or more"):
        merge([one])


def test_merged_results_are_read_as_any(made_up: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, runs in (("laptop", RUNS[:3]), ("cluster", RUNS[3:])):
        collected(made_up, runs)
        shutil.copytree(made_up.results, tmp_path / name)
    out = tmp_path / "merged"
    command = ["results", "merge", str(tmp_path / "laptop"), str(tmp_path / "cluster"), "--out", str(out)]
    assert main(command) == 0
    assert "6 runs of 2 parts" in capsys.readouterr().out
    results = read_widths(out)
    bootstrap = PatientBootstrap.draw(patient_dice(results.slices_of("test")))
    assert by_width(results, bootstrap)["runs"].tolist() == [2, 2, 2]
    assert main(command) == 2
    assert "already exists" in capsys.readouterr().err


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
