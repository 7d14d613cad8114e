"""What a split by slice leaks to a copycat."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE
from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Scan
from studies.collection import FRAME_PX, LEVELS, Outlines, average_outline, copycat, leak


@pytest.fixture(scope="module")
def answers(outlines: list[Outlines]) -> pd.DataFrame:
    return copycat(outlines, splits=6)


def test_the_copycat_is_tested_on_slices_with_a_consensus(outlines: list[Outlines], answers: pd.DataFrame) -> None:
    for row in answers[["nodule", "slice"]].drop_duplicates().to_dict("records"):
        assert outlines[row["nodule"]].consensus[[row["slice"]]].sum() > 0
    by_patient = answers[answers["split"] == BY_PATIENT]
    assert by_patient["distance"].isna().all()
    assert not by_patient.duplicated(["seed", "nodule", "slice"]).any()


def test_the_copycat_gives_the_dice_of_what_it_copied(outlines: list[Outlines], answers: pd.DataFrame) -> None:
    """The Dice must be that with one of the slices at the stated distance."""
    copied = answers.dropna(subset="distance")
    assert len(copied) > 50
    for row in copied.to_dict("records"):
        masks = outlines[row["nodule"]].consensus.toarray() > 0
        candidates = [
            2 * (masks[row["slice"]] & masks[source]).sum() / (masks[row["slice"]].sum() + masks[source].sum())
            for source in (row["slice"] - int(row["distance"]), row["slice"] + int(row["distance"]))
            if 0 <= source < len(masks)
        ]
        assert any(row["dice"] == pytest.approx(candidate) for candidate in candidates)


def copies(outlines: list[Outlines], slices: int, patients: int) -> list[Outlines]:
    """Nodules, one a patient, each of its own shape and the same on every slice."""
    made = []
    for number in range(patients):
        pixels = np.zeros((slices, FRAME_PX**2), dtype=np.float32)
        pixels[:, number * 50 : number * 50 + 50] = 1
        scan = Scan(**{**vars(outlines[0].scan), "patient_id": f"p{number}"})
        made.append(Outlines(scan, outlines[0].nodule, outlines[0].overlap_px, csr_array(pixels)))
    return made


def test_where_slices_are_equal_a_split_by_slice_leaks_everything_and_by_patient_nothing(
    outlines: list[Outlines],
) -> None:
    found = copycat(copies(outlines, slices=12, patients=6), splits=3).groupby("split")["dice"]
    assert found.mean()[BY_SLICE] == 1
    assert found.max()[BY_PATIENT] == 0


def test_the_average_outline_is_the_best_of_its_kind(outlines: list[Outlines]) -> None:
    training = np.concatenate([nodule.consensus.toarray() for nodule in outlines])
    training = training[training.any(axis=1)]

    def score(mask: NDArray[np.bool_]) -> float:
        return float((2 * (training * mask).sum(axis=1) / (training.sum(axis=1) + mask.sum())).mean())

    best = score(average_outline(csr_array(training)))
    assert best == pytest.approx(max(score(training.mean(axis=0) >= level) for level in LEVELS))
    assert best > score(np.ones(FRAME_PX**2, dtype=bool))


def test_tables_add_up_and_two_patients_cannot_be_split(outlines: list[Outlines]) -> None:
    for _, shares in leak(outlines)["copycat dice"].groupby("split")["share"]:
        assert shares.sum() == pytest.approx(1)
    with pytest.raises(InputError, match="at least one each"):
        copycat([one for one in outlines if one.patient_id < "LIDC-IDRI-0098"])
