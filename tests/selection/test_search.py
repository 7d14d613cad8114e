"""A search end to end, on crops that take a second to learn."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.selection.policies import FullSweep, Widen
from carbon_midl.selection.search import plan_search
from carbon_midl.study.run import read_result
from carbon_midl.study.spec import read_study
from tests.study.tiny import study_toml, write_study

RUN = "import sys; from carbon_midl.cli import main; sys.exit(main())"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(discs: CropArchive, tmp_path: Path) -> Path:
    shutil.copytree(discs.path, tmp_path / "data" / "discs")
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    return write_study(tmp_path, study_toml(filters=[3, 2], seeds=[0, 1], epochs=2))


def test_another_policy_does_not_go_on_with_a_search(study: Path, discs: CropArchive) -> None:
    before, after = (plan_search(read_study(study), Widen(gain), discs) for gain in (0.01, 0.02))
    assert before.ledger.trials == []
    with pytest.raises(InputError, match=r"a search with options = .*--name to begin another"):
        after.ledger  # noqa: B018


def test_without_optuna_there_is_a_way_out(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("carbon_midl.cli.study.find_spec", lambda name: None)
    assert main(["search", str(study)]) == 2
    assert "pip install 'carbon-midl[search]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (("", ""), {"seed": 7}, "no runs of seed 7; found 0, 1"),
        (("", ""), {"limit_kwh": 0.0}, "expected a number above 0"),
        (("depth = 2", "depth = 2\npatience = 2"), {}, "patience or a budget ends a training"),
        (("[3, 2]", "[2]"), {}, "one candidate only"),
    ],
)
def test_what_cannot_be_searched_is_named(
    change: tuple[str, str], options: dict[str, float], words: str, study: Path, discs: CropArchive
) -> None:
    study.write_text(study.read_text().replace(*change))
    with pytest.raises(InputError, match=words):
        plan_search(read_study(study), FullSweep(), discs, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_search_trains_as_asked_and_tests_its_choice_alone(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent.parent)
    arguments = ["search", str(study), "--policy", "halving", "--budget-kwh", "1"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    directory = study.parent.parent / "runs" / "tiny-search-halving-seed-0"
    outcome = json.loads((directory / "search.json").read_text())
    chosen = outcome["chosen"]
    assert f"Chosen: {chosen}." in shown
    assert outcome["test"]["dice"] == read_result(directory / chosen)["test"]["dice"]
    (other,) = (name for name in outcome["candidates"] if name != chosen)
    assert not (directory / other / "result.json").exists()
    trail = pd.read_csv(directory / "trail.csv")
    assert list(trail["candidate"]) == ["filters-2-seed-0", "filters-3-seed-0"]
    assert set(trail["state"]) == {"done"}
    assert trail["energy_so_far_kwh"].iloc[-1] <= outcome["energy_kwh"] <= 1
    # Once more does nothing.
    before = (directory / chosen / "result.json").read_bytes()
    assert main(arguments) == 0
    assert (directory / chosen / "result.json").read_bytes() == before


@pytest.mark.slow
def test_a_budget_ends_it(study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.parent.parent)
    assert main(["search", str(study), "--policy", "full", "--budget-kwh", "1e-9"]) == 0
    out = capsys.readouterr().out
    assert "filters-2-seed-0: ended by the budget after epoch 1" in out
    assert "filters-3-seed-0: left out, its next epoch is predicted to exceed the budget" in out


@pytest.mark.slow
def test_two_processes_share_a_search(study: Path) -> None:
    root = study.parent.parent
    command = [sys.executable, "-c", RUN, "search", str(study), "--policy", "full", "--share-meter"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    workers = [
        subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [worker.communicate(timeout=600) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    trail = pd.read_csv(root / "runs" / "tiny-search-full-seed-0" / "trail.csv")
    assert sorted(trail["candidate"]) == ["filters-2-seed-0", "filters-3-seed-0"]
    assert set(trail["state"]) == {"done"}
