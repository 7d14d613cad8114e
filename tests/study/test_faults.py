"""A study that is killed ends as if it had not been; `python -m tests.study.faults` does it a hundred times."""

from pathlib import Path

import pytest

from carbon_midl.lidc.crops import CropArchive
from tests.study.faults import torment, undisturbed

pytestmark = pytest.mark.slow


def test_a_study_survives_kills(discs: CropArchive, tmp_path: Path) -> None:
    reference, typical_s = undisturbed(tmp_path / "reference", discs.path)
    kills = torment(tmp_path / "killed", discs.path, reference, typical_s, seed=1, kills=3)
    assert sum(kills.values()) >= 1
