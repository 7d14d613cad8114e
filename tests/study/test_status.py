"""What the status says, without training anything."""

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from carbon_midl.cli import main
from carbon_midl.files import is_locked, locked
from carbon_midl.study import runner
from carbon_midl.study.run import code_fingerprint
from carbon_midl.study.spec import read_study
from carbon_midl.study.status import RunState, predicted_left, study_status
from tests.study.made_up import CROPS, Crops, make_study
from tests.study.test_spec import GOOD
from tests.study.tiny import write_study


def test_what_is_not_there_is_waiting_and_what_is_locked_is_running(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, GOOD))
    found = study_status(study)
    assert found.counts == {"waiting": 4}
    assert "data/discs" in found.note
    assert found.predicted_left is None
    assert not study.directory.exists()  # looking changes nothing
    failed, running = (study.directory / run.name for run in study.runs[:2])
    for directory in (failed, running):
        directory.mkdir(parents=True)
    (failed / "failed-notebook.ipynb").touch()
    (failed / "papermill.log").write_text("…\nInputError: no luck\n\n")
    with locked(running / ".lock"):
        running.chmod(0o555)
        before = (running / ".lock").stat()
        states = [run.state for run in study_status(study).runs]
    assert states == ["failed", "running", "waiting", "waiting"]
    (running / ".lock").chmod(0o444)
    assert not is_locked(running / ".lock")
    assert (running / ".lock").stat().st_mtime_ns == before.st_mtime_ns
    first = study_status(study).runs[0]
    assert (first.why, first.epochs, first.dice, first.energy_kwh) == ("InputError: no luck", 0, None, 0.0)


def test_a_finished_study_on_a_read_only_disk_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(tmp_path, code=code_fingerprint())
    archive = Crops(fingerprint=CROPS, patients=range(11), is_phantom=True)
    monkeypatch.setattr(runner, "prepare", lambda _: archive)

    def refuse(path: Path, *_: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(runner, "locked", refuse)
    assert main(["study", "run", str(study.path)]) == 0
    told = capsys.readouterr().err
    assert told.count("done before") == len(study.runs)
    assert "The tables are left as they are: " in told
    assert not (study.directory / ".locks").exists()


def test_what_is_left_is_the_mean_of_what_is_done_for_each_epoch_that_is_missing() -> None:
    done = RunState("a", "done", "", 10, 10, 0.5, 0.002, 0.3, 60.0)
    begun = replace(done, name="b", state="interrupted", epochs=4, energy_kwh=1.0)
    stale = replace(done, name="c", state="stale", energy_kwh=1.0)
    other = replace(done, name="d", energy_kwh=0.004)
    assert predicted_left([begun]) is None
    assert predicted_left([done, begun, stale, other]) == pytest.approx({"energy_kwh": 0.0048, "duration_s": 96.0})
    assert predicted_left([done]) == {"energy_kwh": 0.0, "duration_s": 0.0}


def test_the_command_tells_it_as_a_table_or_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path, GOOD)
    assert main(["study", "status", str(path)]) == 0
    assert "filters-8-seed-1  waiting" in capsys.readouterr().out
    assert main(["study", "status", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"waiting": 4}
    assert told["predicted_left"] is None
    assert [run["state"] for run in told["runs"]] == ["waiting"] * 4
