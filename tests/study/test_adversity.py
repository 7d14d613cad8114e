"""Full disks, read-only places, clocks that jump, edited notebooks, two runners at once: clear, and nothing lost."""

import io
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from carbon_midl.errors import InputError
from carbon_midl.files import write_bytes, write_gzipped
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.notebook import open_experiment
from carbon_midl.study.display import Display
from carbon_midl.study.results import read_results
from carbon_midl.study.runner import check_parameters_cell, run_study
from carbon_midl.study.spec import read_study
from tests.book.synthetic import make_study as synthetic
from tests.study.test_runner import TEXT, make_root, run
from tests.study.test_spec import GOOD, write

ROOT = Path(__file__).parents[2]
ONE = TEXT.replace("[2, 3]", "[2]").replace("epochs = 2", "epochs = 1")


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "kept.csv.gz"
    write_gzipped(path, "old")
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_bytes(path, os.urandom(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.csv.gz"]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_stops_a_run_and_space_lets_it_go_on(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", discs, ONE)
    study.directory.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(study.directory)], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        shown = io.StringIO()
        with pytest.raises((InputError, OSError)) as caught:
            run_study(study, Display(shown))
        assert "No space left on device" in shown.getvalue() + str(caught.value)
        assert not list(study.directory.glob("*/result.json"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(study.directory)], check=True)
        run(study)
        assert len(pd.read_csv(study.results / "runs.csv")) == 1
    finally:
        subprocess.run(["umount", str(study.directory)], check=True)


@pytest.mark.slow
def test_a_read_only_place_is_named(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", discs, ONE)
    study.directory.parent.mkdir()
    command = [sys.executable, "-m", "carbon_midl.cli", "study", "run", str(study.path)]
    if os.geteuid() == 0:
        # Root may write anywhere but where nobody can: beneath a file.
        study.directory.touch()
    else:
        study.directory.parent.chmod(0o500)
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    study.directory.parent.chmod(0o700)
    assert ended.returncode != 0
    assert str(study.directory.parent) in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_two_runners_share_a_study(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", discs, TEXT.replace("epochs = 2", "epochs = 1"))
    shown = [io.StringIO(), io.StringIO()]
    failed: list[BaseException] = []

    def work(out: io.StringIO) -> None:
        try:
            run_study(study, Display(out), share_meter=True)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(out,)) for out in shown]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    text = "".join(out.getvalue() for out in shown)
    assert text.count("test Dice") == 2  # each run was made once
    assert text.count("done before") == 2
    assert len(pd.read_csv(study.results / "runs.csv")) == 2
    assert not list(study.directory.glob("*superseded*"))


@pytest.mark.slow
def test_a_notebook_that_is_edited_meanwhile_does_not_change_a_run(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", discs, TEXT.replace("epochs = 2", "epochs = 1"))
    notebook = study.root / "notebooks" / "train_unet.ipynb"
    content = nbformat.read(notebook, as_version=4)

    class Editing(Display):
        def began(self, planned: object, device: str) -> None:
            edited = nbformat.from_dict(content)
            edited.cells.insert(2, nbformat.v4.new_code_cell("raise RuntimeError('edited')"))
            nbformat.write(edited, notebook)
            super().began(planned, device)  # type: ignore[arg-type]

    run_study(study, Editing(io.StringIO()))
    for planned in study.runs:
        assert "edited" not in (study.directory / planned.name / "notebook.ipynb").read_text()


def test_a_clock_that_jumps_does_not_change_a_duration(
    discs: CropArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter([0.0, 1e6, -1e6, 5e5] * 10_000)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    experiment = open_experiment(
        crops=str(discs.path), output=str(tmp_path / "run"), pue=1.5, intensity="world", carbontracker=False,
        filters=2, depth=2, epochs=2, batch_size=8,
    )  # fmt: skip
    started = time.monotonic()
    epochs = experiment.train()
    took = time.monotonic() - started
    assert 0 < epochs["duration_s"].sum() <= took
    window = experiment.footprint.window("training")
    assert 0 < window.duration_s <= took
    assert 0 < window.energy_kwh < 0.5 * took / 3600  # half a kilowatt at most


def test_a_notebook_without_a_parameters_cell_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("filters = 4")]), path)
    with pytest.raises(InputError, match=r"mine\.ipynb: no cell with the tag 'parameters'"):
        check_parameters_cell(path)
    path.write_text("[]")
    with pytest.raises(InputError, match="no cell with the tag"):
        check_parameters_cell(path)
    path.write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        check_parameters_cell(path)


def test_results_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    results, _ = synthetic(tmp_path)
    path = results / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"version": 2}))
    with pytest.raises(InputError, match=r"manifest\.json: version 2 of the format; .*Update carbon-midl to read it"):
        read_results(results)
    path.write_text(json.dumps(manifest | {"format": "something"}))
    with pytest.raises(InputError, match="not the manifest of a study's results"):
        read_results(results)


def test_malformed_toml_is_told_by_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tiny\.toml: not valid TOML: .*line 9, column 1"):
        read_study(write(tmp_path, GOOD.replace("filters = [4, 8]", "filters = [4, 8")))
