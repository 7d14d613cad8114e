"""What is remembered of finished runs."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.notebook import open_experiment
from carbon_midl.study.finished import REMEMBERED, FinishedRuns, remember_finished


@pytest.fixture(scope="module")
def made(discs: CropArchive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    directory = tmp_path_factory.mktemp("made") / "run"
    experiment = open_experiment(
        crops=str(discs.path), output=str(directory), pue=1.58, intensity="world", carbontracker=False,
        filters=2, depth=2, epochs=1,
    )  # fmt: skip
    experiment.train()
    experiment.test()
    experiment.write_result()
    return directory


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    """Directory of a study with three finished runs."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        shutil.copy2(made / "result.json", tmp_path / name)
    return tmp_path


def test_what_the_runner_remembers_is_what_the_run_says(study: Path) -> None:
    remember_finished(study / "a")
    said = json.loads((study / "a" / "result.json").read_text())
    row = FinishedRuns(study).read("a")
    assert row is not None
    assert (row["dice"], row["epochs"], row["fingerprint"]) == (said["test"]["dice"], 1, said["fingerprint"])
    without = FinishedRuns(study).read("b")
    assert without is not None
    assert {**without, "file": row["file"]}.items() <= row.items()


def test_a_remembered_run_is_not_read_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        remember_finished(study / name)
    runs = FinishedRuns(study)
    monkeypatch.setattr("carbon_midl.study.finished.read_result", lambda directory: pytest.fail(f"read {directory}"))
    assert all(runs.read(name) for name in ("a", "b"))


def test_a_run_that_changed_is_read_again_and_one_that_went_is_gone(study: Path) -> None:
    remember_finished(study / "a")
    path = study / "a" / "result.json"
    result = json.loads(path.read_text())
    result["test"]["dice"] = 0.25
    path.write_text(json.dumps(result))
    runs = FinishedRuns(study)
    row = runs.read("a")
    assert row is not None
    assert row["dice"] == 0.25
    runs.remember()
    row = FinishedRuns(study).read("a")
    assert row is not None
    assert row["dice"] == 0.25, "the last line of a run counts"
    path.unlink()
    assert FinishedRuns(study).read("a") is None


def test_half_a_line_costs_no_other_line(study: Path) -> None:
    remember_finished(study / "a")
    with (study / REMEMBERED).open("a") as file:
        file.write('\n{"version":2,"run":"b","fi')  # killed here
    remember_finished(study / "c")
    lines = (study / REMEMBERED).read_text().splitlines()
    assert [json.loads(line)["run"] for line in lines if line.endswith("}")] == ["a", "c"]
    assert all(FinishedRuns(study).read(name) for name in ("a", "b", "c"))


def test_runners_beside_each_other_lose_nothing(study: Path) -> None:
    threads = [threading.Thread(target=remember_finished, args=(study / name,)) for name in "abc" for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [json.loads(line) for line in (study / REMEMBERED).read_text().splitlines() if line]
    assert sorted(row["run"] for row in rows) == sorted("abc" * 20)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_where_nothing_can_be_written_it_is_read_each_time(study: Path) -> None:
    study.chmod(0o500)
    try:
        remember_finished(study / "a")
        assert FinishedRuns(study).read("a")
    finally:
        study.chmod(0o700)
