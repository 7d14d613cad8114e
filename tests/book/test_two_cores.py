"""What the results chapter says of a study without a GPU, on a record made of the trials that were run without one."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.book import wording as w
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.prepare import FACTS
from carbon_midl.book.two_cores import RECORDED, two_cores_text
from tests.book.conftest import ROOT

SLICE = ["patient_id", "nodule", "slice"]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.read(ROOT / "results" / "lidc", ROOT / FACTS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository in which the trials without augmentation pass for that study."""
    shutil.copytree(ROOT / "results/lidc-yardsticks", tmp_path / "results/lidc-yardsticks")
    shutil.copytree(ROOT / "results/lidc-trials", tmp_path / RECORDED)
    runs = pd.read_csv(tmp_path / RECORDED / "runs.csv")
    for name in ("runs.csv", "epochs.csv", "slices.csv.gz"):
        table = pd.read_csv(tmp_path / RECORDED / name)
        table[table["run"].isin(runs.loc[~runs["augment"], "run"])].to_csv(tmp_path / RECORDED / name, index=False)
    return tmp_path


def test_a_width_stands_beside_a_reader_and_beside_the_study(evidence: Evidence, root: Path) -> None:
    text = two_cores_text(evidence, root).replace("\N{NO-BREAK SPACE}", " ")
    slices = pd.read_csv(root / RECORDED / "slices.csv.gz")
    yardsticks = pd.read_csv(root / "results/lidc-yardsticks/slices.csv.gz")
    four = yardsticks[yardsticks["reader_dice"].notna()]
    for width, scores in slices.groupby("filters"):
        joined = four.merge(scores, on=SLICE)
        reader = 100 * (joined["dice"] - joined["reader_dice"]).mean()
        own = evidence.results.slices[evidence.results.slices["filters"] == width].groupby("patient_id")["dice"].mean()
        study = 100 * (scores.groupby("patient_id")["dice"].mean() - own).mean()
        cells = text.partition(f"* - {width}\n")[2].split("\n  - ")
        assert cells[2].startswith(f"{w.signed(reader)} (")
        assert cells[3].startswith(f"{w.signed(study)} (")
        assert np.isclose(float(cells[1].split()[0]), scores.groupby("patient_id")["dice"].mean().mean(), atol=5e-4)


def test_without_a_record_the_chapter_says_nothing(evidence: Evidence, root: Path, tmp_path: Path) -> None:
    assert two_cores_text(evidence, ROOT / "studies") == ""
    path = root / RECORDED / "manifest.json"
    path.write_text(path.read_text().replace(evidence.results.manifest["crops"]["fingerprint"], "0" * 64))
    assert two_cores_text(evidence, root) == "", "other crops are another study"
