"""Studies end to end, through papermill, on crops that take a second to learn."""

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.footprint import read_footprint
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.devices import slots
from carbon_midl.study.results import read_results
from carbon_midl.study.run import read_result
from carbon_midl.study.runner import collect, run_study
from carbon_midl.study.share import verify
from carbon_midl.study.spec import Study, open_crops, read_study
from tests.study.made_up import collected, make_study
from tests.study.tiny import EPOCHS, make_root, run, study_toml

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]


def test_every_run_leaves_what_it_should(finished: tuple[Study, str]) -> None:
    study, shown = finished
    assert "Tiny study: 2 runs on 60 discs crops of 10 patients" in shown
    assert shown.count("test Dice") == 2
    for planned in study.runs:
        directory = study.directory / planned.name
        names = {path.name for path in directory.iterdir()}
        assert {"notebook.ipynb", "result.json", "epochs.csv", "slices.csv.gz", "weights.safetensors"} <= names
        assert [name for name in names if name.startswith(".")] == [".lock"]
        notebook = nbformat.read(directory / "notebook.ipynb", as_version=4)
        assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
        assert str(study.root) not in (directory / "notebook.ipynb").read_text()
        result = read_result(directory)
        asked = yaml.safe_load((directory / "parameters.yaml").read_text())
        assert planned.options.model_dump() == result["options"] == {name: asked[name] for name in result["options"]}
        assert sorted(sum(result["split"].values(), [])) == CropArchive.open(study.root / "data/discs").patients
    # What is done is not done again.
    before = {path: path.stat().st_mtime_ns for path in study.directory.glob("filters-*/*") if path.name != ".lock"}
    assert run(study).count("done before") == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_recorded_validation_slices_are_those_that_chose_the_epoch(discs: CropArchive, tmp_path: Path) -> None:
    # By the recipe that computes in fp32 on every machine, while it trains and afterwards.
    study = make_root(tmp_path / "root", study_toml([2]) + 'recipe = "reference"\n', discs)
    run(study)
    results = read_results(study.results)
    validation = results.slices_of("validation").groupby("run")["dice"].mean()
    assert validation.tolist() == pytest.approx(results.runs["val_dice"].tolist(), abs=1e-6)


def test_the_tables_follow_from_the_runs(finished: tuple[Study, str]) -> None:
    study, _ = finished
    results = read_results(study.results)
    assert verify(results).disagreements == []
    assert results.runs["run"].tolist() == [planned.name for planned in study.runs]
    assert len(results.epochs) == 2 * EPOCHS
    for _, row in results.runs.iterrows():
        record = read_footprint(study.directory / str(row["run"]))
        assert row["energy_kwh"] == pytest.approx(record.window("training").energy_kwh)
        assert row["intensity_g_per_kwh"] == pytest.approx(143.3, abs=0.1)
        epochs_kwh = results.epochs.loc[results.epochs["run"] == row["run"], "energy_kwh"].sum()
        assert epochs_kwh <= row["energy_kwh"] <= row["energy_whole_run_kwh"]
    assert results.manifest["split"] == {"train": 6, "validation": 2, "test": 2}
    assert results.manifest["hardware"]["cpu"]


def test_another_grid_and_abandoned_attempts_count_in_what_is_done(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    danish, source = collected(study), study.directory / study.runs[0].name
    left = source.with_name(f"{source.name}.superseded-then")
    left.mkdir()
    spent = read_footprint(source)
    (left / "footprint.json").write_text(json.dumps(spent.to_dict()))
    study.path.write_text(study.path.read_text().replace('"DK"', "1000.0\npue = 1.0"))
    other = collected(read_study(study.path))
    assert other.runs["energy_kwh"].tolist() == danish.runs["energy_kwh"].tolist()
    assert other.runs["carbon_g"].tolist() == pytest.approx((other.runs["energy_kwh"] * 1000).tolist())
    kwh = pytest.approx(spent.energy_kwh)
    assert other.manifest["abandoned"] == {"attempts": 1, "energy_kwh": kwh, "carbon_g": spent.energy_kwh * 1000}


def test_only_results_of_todays_options_are_collected(finished: tuple[Study, str], tmp_path: Path) -> None:
    study = read_study(Path(shutil.copytree(finished[0].root, tmp_path / "root")) / "studies" / "tiny.toml")
    archive = open_crops(study)
    before = (study.results / "runs.csv").read_bytes()
    study.path.write_text(study_toml(epochs=1))
    assert collect(read_study(study.path), archive) is None
    assert (study.results / "runs.csv").read_bytes() == before  # not replaced by nothing
    (study.directory / study.runs[0].name / "result.json").write_text('{"format": "carb')
    study.path.write_text(study_toml())
    collect(study, archive)
    assert pd.read_csv(study.results / "runs.csv")["run"].tolist() == [study.runs[1].name]


def test_crops_too_small_and_a_place_that_cannot_be_written_to_are_named_before_any_run(
    discs: CropArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_root(tmp_path / "small", study_toml().replace("depth = 2", "depth = 7"), discs)
    with pytest.raises(InputError, match="crops of 32 × 32 px"):
        run(study)
    assert not list(study.directory.glob("filters-*"))
    study = make_root(tmp_path / "root", study_toml(), discs)
    study.directory.parent.mkdir()
    study.directory.touch()  # nobody, not even root, can write beneath a file
    assert main(["study", "run", str(study.path)]) == 2
    assert str(study.directory) in capsys.readouterr().err


def test_a_failing_run_stops_no_other(discs: CropArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_root(tmp_path / "root", study_toml(epochs=1), discs)
    notebook = study.root / "notebooks" / "train_unet.ipynb"
    content = nbformat.read(notebook, as_version=4)
    content.cells.insert(3, nbformat.v4.new_code_cell("assert filters != 2, 'no luck with two filters'"))
    nbformat.write(content, notebook)
    assert main(["study", "run", str(study.path)]) == 2
    told = capsys.readouterr().err
    failed = study.directory / "filters-2-seed-0" / "failed-notebook.ipynb"
    assert f"filters-2-seed-0         failed: AssertionError: no luck with two filters\n        see {failed}\n" in told
    assert f"1 of 2 runs failed, first filters-2-seed-0; see {failed}" in told
    assert failed.exists()
    assert pd.read_csv(study.results / "runs.csv")["run"].tolist() == ["filters-3-seed-0"]
    assert json.loads((study.results / "manifest.json").read_text())["runs_left_out"] == ["filters-2-seed-0"]
    # Whoever makes every run alone collects at the end.
    before = (study.results / "runs.csv").stat().st_mtime_ns
    assert main(["study", "run", str(study.path), "--only", "filters-3-seed-0"]) == 0
    assert "1 run on 60 discs crops" in (told := capsys.readouterr().err)
    assert "filters-3-seed-0         done before" in told
    assert (study.results / "runs.csv").stat().st_mtime_ns == before
    assert main(["study", "run", str(study.path), "--only", "filters-4-seed-0"]) == 2
    assert "no run 'filters-4-seed-0'" in capsys.readouterr().err


def test_of_two_runners_one_makes_a_run_and_the_other_waits(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", study_toml(filters=[2], epochs=1), discs)
    with redirect_stderr(io.StringIO()) as shown, ThreadPoolExecutor(2) as runners:
        for made in [runners.submit(run_study, study, slots(share_meter=True)) for _ in range(2)]:
            assert made.result() == study.results
    assert shown.getvalue().count("test Dice") == 1
    assert shown.getvalue().count("done before") == 1
    assert len(pd.read_csv(study.results / "runs.csv")) == 1
    assert not list(study.directory.glob("*superseded*"))


def test_a_budget_stops_a_run_and_a_larger_one_lets_it_go_on(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", study_toml(filters=[2], epochs=30) + "budget_g = 1e-7\n", discs)
    run(study)
    directory = study.directory / "filters-2-seed-0"
    result = read_result(directory)
    assert result["training"]["epochs_trained"] < 30
    assert result["training"]["stopped"].startswith("by the budget of")
    assert any("training stopped by the budget of" in note for note in result["footprint"]["notes"])
    study.path.write_text(study.path.read_text().replace("budget_g = 1e-7", "budget_g = 1000.0"))
    run(read_study(study.path))
    result = read_result(directory)
    assert result["training"]["epochs_trained"] == 30
    assert result["training"]["stopped"] == ""
    assert read_footprint(directory).attempts == 2
    assert not list(study.directory.glob("*.superseded-*"))
