"""A study of which half was trained in one working copy and half in another, by the commands of the book."""

import shutil
from pathlib import Path

import pytest

from carbon_midl.cli import main
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.results import read_results
from carbon_midl.study.spec import Study
from tests.study.tiny import make_root, study_toml

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]


def test_halves_made_apart_are_the_study_made_in_one_piece(
    discs: CropArchive, finished: tuple[Study, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as the finished study
    study, (first, second) = "studies/tiny.toml", finished[0].runs
    shutil.copytree(finished[0].root, tmp_path / "laptop")
    shutil.rmtree(tmp_path / "laptop" / "runs" / "tiny" / second.name)
    make_root(tmp_path / "cluster", study_toml(), discs)
    for copy, run in (("laptop", first), ("cluster", second)):
        monkeypatch.chdir(tmp_path / copy)
        assert main(["study", "run", study, "--only", run.name]) == 0
        assert main(["study", "collect", study]) == 0
        assert main(["results", "pack", study, "--out", f"../{copy}.zip"]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["results", "merge", "cluster.zip", "laptop.zip", "--out", "merged"]) == 0
    assert main(["results", "verify", "merged"]) == 0
    merged, whole = read_results(tmp_path / "merged"), read_results(finished[0].results)
    # Energy and time are other ones in every training; all else is equal to the last digit.
    assert merged.slices.equals(whole.slices)
    assert merged.runs["part"].nunique() == 2
    assert merged.runs["fingerprint"].equals(whole.runs["fingerprint"])
    assert merged.manifest["split_patients"] == whole.manifest["split_patients"]
