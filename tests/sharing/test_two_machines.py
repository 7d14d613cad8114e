"""A study of which half was trained in one working copy and half in another, by the commands of the book."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.results import read_results

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STUDY = """
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
carbontracker = false
"""


def carbon_midl(*arguments: str, here: Path) -> str:
    command = [sys.executable, "-m", "carbon_midl.cli", *arguments]
    # Runs from a working tree with changes cannot be packed, and whoever works on the code has some: as if installed.
    installed = os.environ | {"GIT_DIR": "/nowhere"}
    return subprocess.run(command, cwd=here, env=installed, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_halves_made_apart_are_the_study_made_in_one_piece(discs: CropArchive, tmp_path: Path) -> None:
    for copy in ("laptop", "cluster", "whole"):
        shutil.copytree(ROOT / "notebooks", tmp_path / copy / "notebooks")
        shutil.copytree(discs.path, tmp_path / copy / "data" / "discs")
        (tmp_path / copy / "studies").mkdir()
        (tmp_path / copy / "studies" / "tiny.toml").write_text(STUDY)
    study = "studies/tiny.toml"
    runs = carbon_midl("study", "list", "--names", study, here=tmp_path / "laptop").split()
    for copy, run in zip(("laptop", "cluster"), runs, strict=True):
        carbon_midl("study", "run", study, "--only", run, here=tmp_path / copy)
        carbon_midl("study", "collect", study, here=tmp_path / copy)
        carbon_midl("results", "pack", study, "--out", f"../{copy}.zip", here=tmp_path / copy)
    said = carbon_midl("results", "merge", "cluster.zip", "laptop.zip", "--out", "results/tiny", here=tmp_path)
    assert "2 runs of 2 parts" in said
    assert "all agree" in carbon_midl("results", "verify", "results/tiny", here=tmp_path)

    carbon_midl("study", "run", study, here=tmp_path / "whole")
    merged, whole = read_results(tmp_path / "results" / "tiny"), read_results(tmp_path / "whole" / "runs" / "tiny")
    assert merged.runs["part"].nunique() == 2
    # Energy and time are other ones in every training; all else is equal to the last digit.
    assert merged.slices.equals(whole.slices)
    scores = ["run", "parameters", "macs", "best_epoch", "val_dice", "test_dice", "test_dice_patients", "fingerprint"]
    pd.testing.assert_frame_equal(merged.runs[scores], whole.runs[scores])
    losses = ["run", "epoch", "train_loss", "val_loss", "val_dice"]
    pd.testing.assert_frame_equal(merged.epochs[losses], whole.epochs[losses])
    for key in ("crops", "options", "split_patients", "slices", "widths", "seeds", "runs_done", "runs_left_out"):
        assert merged.manifest[key] == whole.manifest[key]
