"""The notebook by papermill alone, as someone would run it who knows nothing of studies."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from carbon_midl.lidc.crops import CropArchive

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

ROOT = Path(__file__).parents[2]
SECRET = "s3cret-7f1c9a"


def papermill(root: Path, *parameters: object, more: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "notebooks/train_unet.ipynb", "out.ipynb", *more]
    for name, value in zip(parameters[::2], parameters[1::2], strict=True):
        command += ["-p", str(name), str(value)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MY_API_KEY": SECRET}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def root(discs: CropArchive, tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copytree(discs.path, tmp_path / "discs")
    return tmp_path


SMALL = ("crops", "discs", "output", "run", "filters", 2, "depth", 2, "epochs", 1, "batch_size", 8)


def test_papermill_alone_gives_a_complete_run_and_keeps_no_secret(root: Path) -> None:
    ended = papermill(root, *SMALL, "learning_rate", 0.01, "augment", False)
    assert ended.returncode == 0, ended.stderr
    result = json.loads((root / "run" / "result.json").read_text())
    assert result["options"]["learning_rate"] == 0.01
    assert result["options"]["augment"] is False
    for path in (*root.glob("*.ipynb"), *(path for path in (root / "run").rglob("*") if path.is_file())):
        assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in ended.stdout + ended.stderr


def test_what_cannot_be_ends_with_a_sentence_whichever_way_papermill_gets_it(root: Path) -> None:
    (root / "more.yaml").write_text("epoch: 3")
    more = ["-f", "more.yaml", "-y", "{seeds: 1, filters: sixteen}", "-r", "patienc", "2"]
    before = set(root.iterdir())
    ended = papermill(root, "output", "run", "filtres", 64, "augment", "flase", more=more)
    assert ended.returncode == 1
    known_by = {"filtres": "filters", "epoch": "epochs", "seeds": "seed", "patienc": "patience"}
    for unknown, known in known_by.items():
        assert f"unknown option '{unknown}'; did you mean '{known}'?" in ended.stderr
    assert "'filters' is 'sixteen': input should be a valid integer." in ended.stderr
    assert "'augment' is 'flase': input should be a valid boolean." in ended.stderr
    assert set(root.iterdir()) == {*before, root / "out.ipynb"}  # no run, and no crops rendered
