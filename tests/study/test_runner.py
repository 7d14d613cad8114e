"""Studies end to end, through papermill, on crops that take a second to learn."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from carbon_midl.errors import InputError
from carbon_midl.footprint import FootprintRecord
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.run import fingerprint, read_result
from carbon_midl.study.display import Display
from carbon_midl.study.making import is_done
from carbon_midl.study.runner import run_study
from carbon_midl.study.spec import Study, read_study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TEXT = """
[study]
name = "tiny"
title = "Tiny study"
[crops]
archive = "data/discs"
[axes]
filters = [2, 3]
seed = [0]
[options]
depth = 2
epochs = 2
batch_size = 8
[footprint]
intensity = "DK"
carbontracker = false
"""


def make_root(root: Path, discs: CropArchive, text: str = TEXT) -> Study:
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copytree(discs.path, root / "data" / "discs")
    (root / "studies").mkdir()
    (root / "studies" / "tiny.toml").write_text(text)
    return read_study(root / "studies" / "tiny.toml")


def run(study: Study) -> str:
    shown = io.StringIO()
    run_study(study, Display(shown))
    return shown.getvalue()


@pytest.fixture(scope="module")
def finished(discs: CropArchive, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, str]:
    study = make_root(tmp_path_factory.mktemp("study") / "root", discs)
    return study, run(study)


def test_every_run_leaves_what_it_should(finished: tuple[Study, str]) -> None:
    study, shown = finished
    assert "Tiny study: 2 runs on 60 discs crops of 10 patients" in shown
    for planned in study.runs:
        directory = study.directory / planned.name
        names = {path.name for path in directory.iterdir()}
        assert {"notebook.ipynb", "result.json", "epochs.csv", "slices.csv.gz", "weights.safetensors"} <= names
        assert not any(name.startswith(".") for name in names)
        notebook = nbformat.read(directory / "notebook.ipynb", as_version=4)
        assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
        assert str(study.root) not in (directory / "notebook.ipynb").read_text()
        result = read_result(directory)
        assert result["options"]["filters"] == planned.options.filters
        assert sorted(sum(result["split"].values(), [])) == CropArchive.open(study.root / "data/discs").patients


def test_the_tables_follow_from_the_runs(finished: tuple[Study, str]) -> None:
    study, _ = finished
    runs = pd.read_csv(study.results / "runs.csv").set_index("run")
    slices = pd.read_csv(study.results / "slices.csv.gz")
    epochs = pd.read_csv(study.results / "epochs.csv")
    manifest = json.loads((study.results / "manifest.json").read_text())
    assert list(runs.index) == [planned.name for planned in study.runs]
    for part, column in (("test", "test_dice"), ("validation", "val_dice")):
        scored = slices[slices["part"] == part].groupby("run")["dice"].mean()
        # Validation is scored in the recipe's number format while it trains, and in fp32 here.
        assert scored.to_dict() == pytest.approx(runs[column].to_dict(), abs=0 if part == "test" else 5e-3)
    by_patient = slices.groupby(["run", "part", "patient_id"])["dice"].mean().groupby(["run", "part"]).mean().unstack()
    assert by_patient["validation"].to_dict() == pytest.approx(runs["val_dice_patients"].to_dict())
    assert (slices.groupby("part")["patient_id"].unique().map(set).to_dict()) == {
        part: set(manifest["split_patients"][part]) for part in ("validation", "test")
    }
    assert len(epochs) == 4
    for name, row in runs.iterrows():
        record = FootprintRecord.from_dict(read_result(study.directory / str(name))["footprint"])
        assert row["energy_kwh"] == pytest.approx(record.window("training").energy_kwh)
        assert row["carbon_g"] == pytest.approx(row["energy_kwh"] * row["pue"] * row["intensity_g_per_kwh"])
        assert row["intensity_g_per_kwh"] == pytest.approx(143.3, abs=0.1)
        assert epochs[epochs["run"] == name]["energy_kwh"].sum() <= row["energy_kwh"]
        assert row["energy_to_best_kwh"] <= row["energy_kwh"] <= row["energy_whole_run_kwh"]
    assert manifest["runs_done"] == 2
    assert manifest["split"] == {"train": 6, "validation": 2, "test": 2}
    assert manifest["hardware"]["cpu"]


def test_what_is_done_is_not_done_again(finished: tuple[Study, str]) -> None:
    study, _ = finished
    before = {path: path.stat().st_mtime_ns for path in study.directory.glob("filters-*/*")}
    assert run(study).count("done before") == 2
    assert {path: path.stat().st_mtime_ns for path in study.directory.glob("filters-*/*")} == before


def test_only_a_run_with_the_right_fingerprint_is_done(finished: tuple[Study, str], tmp_path: Path) -> None:
    study, _ = finished
    planned = study.runs[0]
    wanted = fingerprint(planned.options, CropArchive.open(study.root / "data/discs"))
    copy = Path(shutil.copytree(study.directory / planned.name, tmp_path / "copy"))
    assert is_done(copy, wanted)
    other = fingerprint(planned.options.model_copy(update={"epochs": 3}), CropArchive.open(study.root / "data/discs"))
    assert not is_done(copy, other)
    (copy / "result.json").write_text('{"format": "carb')
    assert not is_done(copy, wanted)
    (copy / "result.json").unlink()  # a plausible notebook alone means nothing
    assert not is_done(copy, wanted)


def test_another_grid_is_applied_to_runs_that_are_done(finished: tuple[Study, str], tmp_path: Path) -> None:
    study, _ = finished
    danish = pd.read_csv(study.results / "runs.csv")
    text = study.path.read_text()
    try:
        study.path.write_text(text.replace('"DK"', "1000.0\npue = 1.0"))
        assert run(read_study(study.path)).count("done before") == 2
        other = pd.read_csv(study.results / "runs.csv")
    finally:
        study.path.write_text(text)
        run(read_study(study.path))
    assert other["energy_kwh"].tolist() == danish["energy_kwh"].tolist()
    assert other["carbon_g"].tolist() == pytest.approx((other["energy_kwh"] * 1000).tolist())


def test_energy_of_attempts_without_a_result_is_kept(finished: tuple[Study, str]) -> None:
    study, _ = finished
    source = study.directory / study.runs[0].name
    spent = FootprintRecord.from_dict(read_result(source)["footprint"]).energy_kwh
    left = study.directory / f"{study.runs[0].name}.superseded-then"
    left.mkdir()
    shutil.copy(source / "footprint.json", left)
    try:
        run(study)
        abandoned = json.loads((study.results / "manifest.json").read_text())["abandoned"]
    finally:
        shutil.rmtree(left)
        run(study)
    assert abandoned["attempts"] == 1
    assert abandoned["energy_kwh"] == pytest.approx(spent)


def test_crops_too_small_are_refused_before_any_run(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", discs, TEXT.replace("depth = 2", "depth = 7"))
    with pytest.raises(InputError, match="crops of 32 × 32 px"):
        run(study)
    assert not list(study.directory.glob("filters-*"))


def test_a_failing_run_is_named_and_the_others_go_on(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", discs, TEXT)
    notebook = study.root / "notebooks" / "train_unet.ipynb"
    content = nbformat.read(notebook, as_version=4)
    content.cells.insert(3, nbformat.v4.new_code_cell("assert filters != 2, 'no luck with two filters'"))
    nbformat.write(content, notebook)
    shown = io.StringIO()
    with pytest.raises(InputError, match=r"1 of 2 runs failed, first filters-2-seed-0; see .*failed-notebook\.ipynb"):
        run_study(study, Display(shown))
    assert "no luck with two filters" in shown.getvalue()
    assert pd.read_csv(study.results / "runs.csv")["run"].tolist() == ["filters-3-seed-0"]
    assert json.loads((study.results / "manifest.json").read_text())["runs_left_out"] == ["filters-2-seed-0"]
    parameters = [cell for cell in content.cells if "parameters" in cell.metadata.get("tags", [])]
    nbformat.write(nbformat.v4.new_notebook(cells=parameters), notebook)  # now every run would fail
    study.path.write_text(TEXT.replace("epochs = 2", "epochs = 3"))
    with pytest.raises(InputError, match="2 of 2 runs failed"):
        run(read_study(study.path))
    assert pd.read_csv(study.results / "runs.csv")["run"].tolist() == ["filters-3-seed-0"]  # not replaced by nothing


def test_a_killed_study_goes_on_where_it_was(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", discs)
    command = [sys.executable, "-m", "carbon_midl.cli", "study", "run", str(study.path)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    second = study.directory / study.runs[1].name
    deadline = time.monotonic() + 300
    # Papermill writes it: before, there is no process yet that the lock could go to.
    while not (second / ".partial-notebook.ipynb").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # Its papermill goes on, and the next runner leaves that run to it.
    assert run(study).count("done before") == 2
    assert len(pd.read_csv(study.results / "runs.csv")) == 2
    assert not list(study.directory.glob("*.superseded-*"))


def test_an_interrupted_study_gives_the_results_of_one_that_was_not(discs: CropArchive, tmp_path: Path) -> None:
    text = TEXT.replace("[2, 3]", "[2]").replace("epochs = 2", "epochs = 120")
    whole, broken = (make_root(tmp_path / name, discs, text) for name in ("whole", "broken"))
    run(whole)
    run_of = broken.directory / "filters-2-seed-0"
    command = [sys.executable, "-m", "carbon_midl.cli", "study", "run", str(broken.path)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not (run_of / "epochs.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    assert "the same command goes on from there" in process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert (run_of / "checkpoint.safetensors").exists()
    assert not (run_of / "result.json").exists()
    before = FootprintRecord.from_dict(json.loads((run_of / "footprint.json").read_text()))
    assert 1 <= before.epochs < 120
    run(broken)
    # Equal to the last bit: weights, and the score of every slice.
    reference = whole.directory / "filters-2-seed-0"
    kept, expected = (load_file(directory / "weights.safetensors") for directory in (run_of, reference))
    assert all(torch.equal(kept[name], expected[name]) for name in expected)
    assert (run_of / "slices.csv.gz").read_bytes() == (reference / "slices.csv.gz").read_bytes()
    assert not (run_of / "checkpoint.safetensors").exists()
    after = FootprintRecord.from_dict(read_result(run_of)["footprint"])
    assert (before.attempts, after.attempts) == (1, 2)
    first = sum(window.energy_kwh for window in after.windows if window.attempt == 1 and window.parent is None)
    assert first == pytest.approx(before.energy_kwh)
    assert after.energy_kwh > before.energy_kwh
    epochs = pd.read_csv(broken.results / "epochs.csv")
    assert epochs["epoch"].tolist() == list(range(1, 121))


def test_a_budget_stops_a_run_and_a_larger_one_lets_it_go_on(discs: CropArchive, tmp_path: Path) -> None:
    text = TEXT.replace("[2, 3]", "[2]").replace("epochs = 2", "epochs = 30\nbudget_g = 1e-7")
    study = make_root(tmp_path / "root", discs, text)
    run(study)
    result = read_result(study.directory / "filters-2-seed-0")
    assert result["training"]["epochs_trained"] < 30
    assert result["training"]["stopped"].startswith("by the budget of")
    assert any("training stopped by the budget of" in note for note in result["footprint"]["notes"])
    study.path.write_text(text.replace("budget_g = 1e-7", "budget_g = 1000.0"))
    run(read_study(study.path))
    result = read_result(study.directory / "filters-2-seed-0")
    assert result["training"]["epochs_trained"] == 30
    assert result["training"]["stopped"] == ""
    assert FootprintRecord.from_dict(result["footprint"]).attempts == 2
    assert not list(study.directory.glob("*.superseded-*"))
