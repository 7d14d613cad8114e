"""A study that takes some seconds to train; its text serves the tests that train nothing, too."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.runner import run_study
from carbon_midl.study.spec import Study, read_study

ROOT = Path(__file__).parents[2]
EPOCHS = 40


def study_toml(
    filters: Sequence[int] = (2, 3),
    seeds: Sequence[int] = (0,),
    epochs: int = EPOCHS,
    crops: str = 'archive = "data/discs"',
) -> str:
    """The text of a study file; further lines at its end are options."""
    return f"""
[study]
name = "tiny"
title = "Tiny study"
[crops]
{crops}
[axes]
filters = {list(filters)}
seed = {list(seeds)}
[footprint]
intensity = "DK"
carbontracker = false
[options]
depth = 2
batch_size = 8
epochs = {epochs}
"""


def write_study(root: Path, text: str) -> Path:
    path = root / "studies" / "tiny.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_root(root: Path, text: str, discs: CropArchive | None = None) -> Study:
    """A working copy with the study, its notebook and, where they are not rendered, its crops."""
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    if discs is not None:
        shutil.copytree(discs.path, root / "data" / "discs")
    return read_study(write_study(root, text))


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
