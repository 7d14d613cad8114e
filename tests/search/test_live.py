"""A search end to end, through papermill, on crops that take a second to learn."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from carbon_midl.cli import main
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.run import read_result
from tests.search.fakes import TEXT

pytestmark = pytest.mark.slow

RUN = "import sys; from carbon_midl.cli import main; sys.exit(main())"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(discs: CropArchive, tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copytree(discs.path, tmp_path / "data" / "discs")
    (tmp_path / "studies").mkdir()
    path = tmp_path / "studies" / "tiny.toml"
    path.write_text(TEXT.format(widths=[2, 3], epochs=2))
    return path


def test_a_search_trains_as_asked_and_tests_its_choice_alone(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent.parent)
    arguments = ["search", str(study), "--policy", "halving"]
    assert main([*arguments, "--status"]) == 2
    assert "no search was begun here" in capsys.readouterr().err
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    directory = study.parent.parent / "runs" / "tiny-search-halving-seed-0"
    outcome = json.loads((directory / "search.json").read_text())
    chosen = outcome["chosen"]
    assert f"Chosen: {chosen}." in shown
    assert "training all in full was predicted to take" in shown
    others = [name for name in outcome["candidates"] if name != chosen]
    assert (directory / chosen / "notebook.ipynb").exists()
    assert outcome["test"]["dice"] == read_result(directory / chosen)["test"]["dice"]
    for name in others:
        assert not (directory / name / "result.json").exists()
        assert not (directory / name / "failed-notebook.ipynb").exists()
    trail = pd.read_csv(directory / "trail.csv")
    assert trail["energy_so_far_kwh"].iloc[-1] == pytest.approx(outcome["energy_kwh"], rel=1e-6)
    assert main([*arguments, "--status"]) == 0
    assert "every candidate" not in capsys.readouterr().out
    # The chosen candidate is the one that a study would have made.
    assert main(["study", "run", str(study), "--only", chosen]) == 0
    made = study.parent.parent / "runs" / "tiny" / chosen
    one, other = (load_file(path / "weights.safetensors") for path in (made, directory / chosen))
    assert all((one[name] == other[name]).all() for name in one)
    # Once more does nothing.
    before = (directory / chosen / "result.json").read_bytes()
    assert main(arguments) == 0
    assert (directory / chosen / "result.json").read_bytes() == before


def test_two_processes_share_a_search(study: Path) -> None:
    root = study.parent.parent
    command = [sys.executable, "-c", RUN, "search", str(study), "--policy", "full", "--share-meter"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    workers = [
        subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [worker.communicate(timeout=600) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], told
    trail = pd.read_csv(root / "runs" / "tiny-search-full-seed-0" / "trail.csv")
    swept = trail[trail["reason"] == "every candidate is trained in full"]
    assert sorted(swept["candidate"]) == ["filters-2-seed-0", "filters-3-seed-0"]
    assert set(trail["state"]) == {"done"}
