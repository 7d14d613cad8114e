"""A study that takes some seconds to train."""

import io
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.runner import run_study
from carbon_midl.study.spec import Study, read_study

ROOT = Path(__file__).parents[2]
EPOCHS = 80
TEXT = f"""
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
epochs = {EPOCHS}
batch_size = 8
[footprint]
intensity = "DK"
carbontracker = false
"""
ONE = TEXT.replace("[2, 3]", "[2]")


def short(text: str) -> str:
    """The same study with one epoch a run."""
    return text.replace(f"epochs = {EPOCHS}", "epochs = 1")


def make_root(root: Path, discs: CropArchive, text: str = TEXT) -> Study:
    """A working copy with the study, its notebook and its crops."""
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copytree(discs.path, root / "data" / "discs")
    (root / "studies").mkdir()
    (root / "studies" / "tiny.toml").write_text(text)
    return read_study(root / "studies" / "tiny.toml")


def run(study: Study) -> str:
    """Make the study here; returns what it says."""
    with redirect_stderr(io.StringIO()) as shown:
        run_study(study)
    return shown.getvalue()


def start(study: Study) -> "subprocess.Popen[str]":
    """Start making the study in a process of its own."""
    command = [sys.executable, "-m", "carbon_midl.cli", "study", "run", str(study.path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)
