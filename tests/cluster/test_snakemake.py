"""A study on Snakemake: on this machine, and on a SLURM with all that befalls jobs there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from carbon_midl.footprint import read_footprint
from carbon_midl.study.results import read_results
from carbon_midl.study.spec import Study, read_study
from carbon_midl.study.status import study_status
from tests.cluster.slurm import PARTITION, Slurm, loopback_slurm, missing, wait
from tests.study.tiny import make_root, study_toml

ROOT = Path(__file__).parents[2]
OWN = ROOT / ".venv-snakemake" / "bin" / "snakemake"
SNAKEMAKE = os.environ.get("SNAKEMAKE") or (str(OWN) if OWN.exists() else shutil.which("snakemake"))
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.xdist_group("study"),
    pytest.mark.skipif(SNAKEMAKE is None, reason="no snakemake (make snakemake)"),
]
TEXT = study_toml(filters=[2, 3, 4], crops="phantom = {patients = 5, size = 32}")
STUDY = "studies/tiny.toml"
NAMES = ["filters-2-seed-0", "filters-3-seed-0", "filters-4-seed-0"]
# Two nodes of one machine share a processor, which may have a meter.
COMMAND = f"carbon_midl={shlex.quote(sys.executable)} -m carbon_midl.cli"
CONFIG = ["--config", f"study={STUDY}", COMMAND, "run_options=--share-meter"]
# The same order of sums everywhere, so that results are equal to the last digit.
HERE = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
_PATIENCE_S = 300


def new_root(root: Path) -> Study:
    shutil.copytree(ROOT / "cluster", root / "cluster")
    return make_root(root, TEXT)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study as one uninterrupted command makes it on this machine."""
    study = new_root(tmp_path_factory.mktemp("local") / "root")
    command = [sys.executable, "-m", "carbon_midl.cli", "study", "run", STUDY]
    subprocess.run(command, cwd=study.root, env=os.environ | HERE, check=True)
    return study


def snakemake(study: Study, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(SNAKEMAKE), "--snakefile", "cluster/Snakefile", "--cores", "1", "--keep-going", *options, *CONFIG]
    told = subprocess.run(command, cwd=study.root, env=os.environ | HERE, check=False, text=True, capture_output=True)
    told.stdout += told.stderr
    return told


def planned(study: Study) -> list[str]:
    """The runs that Snakemake would make."""
    told = snakemake(study, "--dry-run")
    assert told.returncode == 0, told.stdout
    return sorted(line.split("run=")[1] for line in told.stdout.splitlines() if "wildcards: run=" in line)


@pytest.fixture
def copy(local: Study, tmp_path: Path) -> Study:
    shutil.copytree(local.root, tmp_path / "root")
    return read_study(tmp_path / "root" / STUDY)


def test_what_is_done_and_what_is_stale_is_as_the_library_says(copy: Study) -> None:
    assert planned(copy) == []
    # Without its result the run is only half there, however new its other files are.
    (copy.directory / NAMES[1] / "result.json").unlink()
    assert planned(copy) == [NAMES[1]]
    copy.path.write_text(TEXT.replace("batch_size = 8", "batch_size = 9"))
    assert planned(copy) == NAMES
    copy.path.write_text(TEXT.replace("patients = 5", "patients = 6"))
    assert planned(copy) == NAMES


def test_a_failing_run_names_its_notebook_and_stops_no_other(copy: Study, local: Study) -> None:
    for name in NAMES[:2]:
        shutil.rmtree(copy.directory / name)
    kept = (copy.directory / NAMES[2] / "result.json").stat().st_mtime_ns
    notebook = copy.root / "notebooks" / "train_unet.ipynb"
    content = nbformat.read(notebook, as_version=4)
    content.cells.insert(2, nbformat.v4.new_code_cell("1 / (filters - 2)"))
    nbformat.write(content, notebook)
    told = snakemake(copy, "--show-failed-logs")
    assert told.returncode == 1
    assert f"{NAMES[0]:<24} failed: ZeroDivisionError" in told.stdout
    assert str(copy.directory / NAMES[0] / "failed-notebook.ipynb") in told.stdout
    assert study_status(copy).counts == {"done": 2, "failed": 1}
    assert planned(copy) == NAMES[:1]
    # What is done was collected, and is what it would have been.
    assert (copy.directory / NAMES[2] / "result.json").stat().st_mtime_ns == kept
    ours, theirs = read_results(copy.directory), read_results(local.directory)
    assert ours.manifest["runs_left_out"] == NAMES[:1]
    assert ours.slices.equals(theirs.slices[theirs.slices["run"] != NAMES[0]].reset_index(drop=True))


def test_a_mistake_is_told_before_any_job_in_the_words_of_the_library(tmp_path: Path) -> None:
    study = new_root(tmp_path / "root")
    study.path.write_text(TEXT.replace("phantom = {patients = 5, size = 32}", 'archive = "data/none"'))
    told = snakemake(study)
    assert told.returncode == 1
    assert "data/none: not a crop archive" in told.stdout
    assert "rule train" not in told.stdout


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if reason := missing():
        pytest.skip(reason)
    with loopback_slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def test_on_slurm_a_cancelled_job_and_a_drained_node_change_nothing(slurm: Slurm, local: Study, tmp_path: Path) -> None:
    study = new_root(tmp_path / "root")
    profile = edited_profile(study)
    log = tmp_path / "snakemake.log"

    def training() -> list[str]:
        """The runs with a job that is running and an epoch behind them."""
        begun = [name for name in NAMES if (study.directory / name / "epochs.csv").exists()]
        return [name for name in begun if f"rule_train_wildcards_{name}" in slurm.running()]

    # This SLURM keeps no accounts, and Snakemake is to look at its jobs more often than those of a site.
    quick = ["--slurm-init-seconds-before-status-checks=3", "--seconds-between-status-checks=2"]
    options = ["--profile", str(profile), "--slurm-status-command=squeue", "--slurm-no-account", *quick]
    with log.open("w") as out:
        command = [str(SNAKEMAKE), "--snakefile", "cluster/Snakefile", *options, *CONFIG]
        environment = slurm.environment | HERE
        process = subprocess.Popen(command, cwd=study.root, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait(lambda: process.poll() is not None or bool(training() and len(slurm.running()) == 2), "jobs", tmp_path)
        running, name = slurm.running(), training()[0]
        job, node = running.pop(f"rule_train_wildcards_{name}")
        [(_, other)] = running.values()
        slurm.ask("scancel", job, check=True)
        slurm.ask("scontrol", "update", f"nodename={other}", "state=drain", "reason=test", check=True)
        drained = time.strftime("%Y-%m-%dT%H:%M:%S")
        assert process.wait(_PATIENCE_S) == 0, log.read_text()
    finally:
        process.terminate()
        process.wait()
    ended = slurm.ended()
    assert [one["JobId"] for one in ended if one["JobState"] == "CANCELLED"] == [job]
    assert [one["JobState"] for one in ended].count("COMPLETED") == len(NAMES)
    # The job on the drained node was left to its end; the one that waited and the one that was repeated went elsewhere.
    assert [one["NodeList"] for one in ended if one["StartTime"] > drained] == [node] * 2
    assert read_footprint(study.directory / name).attempts == 2
    # Energy and time are other ones in every training; all else is equal to the last digit.
    ours, theirs = read_results(study.directory), read_results(local.directory)
    assert ours.slices.equals(theirs.slices)
    scores = ["run", "parameters", "macs", "best_epoch", "val_dice", "test_dice", "test_dice_patients", "fingerprint"]
    pd.testing.assert_frame_equal(ours.runs[scores], theirs.runs[scores])
    assert ours.manifest["runs_left_out"] == []


def edited_profile(study: Study) -> Path:
    """The profile with the two lines edited that the documentation tells a site to edit."""
    path = study.root / "cluster" / "profile" / "config.yaml"
    text, edits = re.subn(r"(  slurm_partition: ).*\n  slurm_account: .*\n", rf"\g<1>{PARTITION}\n", path.read_text())
    assert edits == 1
    # The nodes of the test are smaller than those of a site.
    path.write_text(text.replace("mem_mb: 8000", "mem_mb: 2000").replace("train: 4", "train: 1"))
    return path.parent
