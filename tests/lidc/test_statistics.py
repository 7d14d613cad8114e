"""The collection in numbers, against the masks themselves, against counting by hand and against published numbers."""

import io
import json
import tarfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc import statistics
from carbon_midl.lidc.annotations import Ratings, Scan, read_scans
from carbon_midl.lidc.leakage import BY_PATIENT, BY_SLICE, LEVELS, average_outline, copycat
from carbon_midl.lidc.masks import FRAME_PX, Outlines, outlines_of, reader_masks, window_around
from carbon_midl.lidc.statistics import (
    dice_by_size,
    nodule_pairs,
    opposed_malignancy,
    rating_differences,
    silence,
    slice_pairs,
)
from carbon_midl.measures import mean_over_patients, median_over_patients
from carbon_midl.metrics import dice, readers_dice
from carbon_midl.training.data import parse_target

# As in test_annotations: many nodules, holes, two scans of one patient, and nodules that pylidc fuses.
PATIENTS = ["LIDC-IDRI-0001", "LIDC-IDRI-0078", "LIDC-IDRI-0098", "LIDC-IDRI-0132", "LIDC-IDRI-0252"]
SHARED = Path(__file__).parents[3] / "shared" / "lidc"


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    return read_scans(PATIENTS)


@pytest.fixture(scope="module")
def outlines(scans: list[Scan]) -> list[Outlines]:
    return outlines_of(scans)


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


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=30))
@settings(max_examples=50)
def test_a_median_is_a_value_with_half_on_either_side(values: list[float]) -> None:
    found = median_over_patients(values, range(len(values)), draws=20)
    assert found.estimate == sorted(values)[(len(values) - 1) // 2]
    assert min(values) <= found.low <= found.high <= max(values)


def test_one_patient_gives_no_spread_and_none_is_refused() -> None:
    assert mean_over_patients([0.2, 0.4], ["a", "a"])[:3] == pytest.approx((0.3, 0.3, 0.3))
    with pytest.raises(InputError, match="no values"):
        mean_over_patients([], [])


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


def test_the_readers_dice_of_the_results_is_the_mean_of_these_pairs(outlines: list[Outlines]) -> None:
    for nodule in outlines:
        by_slice = readers_dice(frame_masks(nodule))
        complete = (nodule.area_px > 0).all(axis=1)
        if nodule.area_px.shape[1] > 1 and complete.all():
            assert slice_pairs([nodule])["dice"].mean() == pytest.approx(by_slice.mean())


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


def test_rating_differences_are_those_of_every_pair(scans: list[Scan]) -> None:
    pairs = [
        (a.ratings, b.ratings) for scan in scans for nodule in scan.nodules for a, b in combinations(nodule.readings, 2)
    ]
    table = rating_differences(scans).set_index(["rating", "measure"])
    for rating in Ratings._fields:
        gaps = [abs(getattr(a, rating) - getattr(b, rating)) for a, b in pairs]
        assert table.loc[(rating, "exact"), "estimate"] == pytest.approx(gaps.count(0) / len(pairs))
        if (rating, "difference") in table.index:
            assert table.loc[(rating, "difference"), "estimate"] == pytest.approx(sum(gaps) / len(pairs))
    assert ("calcification", "difference") not in table.index


def test_opposed_means_one_reader_on_either_side(scans: list[Scan]) -> None:
    opposed = [
        {1, 2} & given_values != set() and {4, 5} & given_values != set()
        for scan in scans
        for nodule in scan.nodules
        if len(nodule.readings) > 1
        for given_values in [{reading.ratings.malignancy for reading in nodule.readings}]
    ]
    assert opposed_malignancy(scans)["estimate"].item() == pytest.approx(np.mean(opposed))


# What a split leaks


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


def test_two_patients_cannot_be_split(scans: list[Scan]) -> None:
    with pytest.raises(InputError, match="at least one each"):
        copycat(outlines_of(scans[:2]))


# Recorded, printed


@pytest.fixture(scope="module")
def measured() -> statistics.Statistics:
    return statistics.measure(PATIENTS)


def test_tables_survive_json(measured: statistics.Statistics) -> None:
    again = statistics.from_json(json.loads(json.dumps(statistics.to_json(measured))))
    assert list(again) == list(measured)
    for name, table in measured.items():
        pd.testing.assert_frame_equal(again[name], table.reset_index(drop=True), check_dtype=False, check_exact=True)


def test_tables_of_all_nodules_add_up(measured: statistics.Statistics) -> None:
    counts = measured["counts"].set_index("name")["count"]
    for name in ("readers", "bands", "diameters"):
        assert measured[name]["nodules"].sum() == counts["nodules"]
    assert (measured["readers"]["readers"] * measured["readers"]["nodules"]).sum() == counts["readings"]
    assert measured["thickness"]["scans"].sum() == counts["scans"]
    for _, shares in measured["copycat dice"].groupby("split")["share"]:
        assert shares.sum() == pytest.approx(1)


def test_what_is_recorded_is_measured_once(
    measured: statistics.Statistics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def measure() -> statistics.Statistics:
        calls.append(1)
        return measured

    monkeypatch.setattr(statistics, "measure", measure)
    path = tmp_path / "kept" / "collection.json"
    first, second = statistics.recorded(path), statistics.recorded(path)
    assert len(calls) == 1
    pd.testing.assert_frame_equal(first["readers"], second["readers"])
    whole = path.read_text()
    for damaged in (whole[:1000], "[]", "{}", whole.replace(statistics.fingerprint(), "another code")):
        path.write_text(damaged)
        pd.testing.assert_frame_equal(statistics.recorded(path)["readers"], first["readers"])
    assert len(calls) == 5
    assert path.read_text() == whole


def test_the_command_prints_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lidc", "statistics", "--patients", *PATIENTS]) == 0
    text = capsys.readouterr().out
    assert "slices with consensus" in text
    assert "example" not in text
    assert main(["lidc", "statistics", "--json", "--patients", *PATIENTS]) == 0
    tables = statistics.from_json(json.loads(capsys.readouterr().out))
    assert tables["counts"].set_index("name").loc["patients with nodules", "count"] == len(PATIENTS)


def test_the_command_names_a_patient_without_nodules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lidc", "statistics", "--patients", "LIDC-IDRI-0001", "LIDC-IDRI-9999"]) == 2
    assert "LIDC-IDRI-9999" in capsys.readouterr().err


# The whole collection


@pytest.mark.slow
def test_the_whole_collection_is_as_published() -> None:
    """Scans, patients and annotations as pylidc and Armato et al. (2011) count them, Dice as for the crops."""
    tables = statistics.measure()
    counts = tables["counts"].set_index("name")["count"]
    assert counts[["scans", "patients", "annotations", "patients with nodules"]].tolist() == [1018, 1010, 6859, 875]
    assert counts["readings"] + counts["readings left out"] == counts["annotations"]
    assert counts["scans with readings left out"] == 14
    nodules = tables["readers"].set_index("readers")["nodules"]
    assert nodules.sum() == pytest.approx(2669, rel=0.01)
    assert nodules[4] == pytest.approx(928, rel=0.02)
    everything = tables["slice dice"].set_index("size").loc["all"]
    assert (round(everything["mean"], 2), round(everything["median"], 2)) == (0.78, 0.82)
    assert tables["example"]["slice"].nunique() == statistics.EXAMPLE_SLICES
    leak = tables["copycat"].query("measure == 'dice'").set_index("split")
    assert leak["low"][BY_SLICE] > leak["high"][BY_PATIENT]


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real crops are not beside the repository")
def test_readers_agree_on_the_published_crops_as_on_the_outlines() -> None:
    """In some nodules of those crops a reader is blank, so that the means of the same patients differ a little."""
    members = {}
    with tarfile.open(SHARED / "crops-0.tar.xz") as shard:
        for member in shard:
            if (file := shard.extractfile(member)) is not None and member.name.endswith(
                ("index.csv", "masks_packed.npy")
            ):
                members[Path(member.name).name] = io.BytesIO(file.read())
    masks = np.unpackbits(np.load(members["masks_packed.npy"]), axis=-1).astype(bool)
    present = np.asarray(masks.any(axis=(2, 3)))
    found = []
    for a, b in combinations(range(4), 2):
        both = present[:, a] & present[:, b]
        found += dice(masks[both, a], masks[both, b]).tolist()
    theirs = np.array(found)
    ours = slice_pairs(outlines_of(read_scans(pd.read_csv(members["index.csv"])["patient_id"])))["dice"]
    assert (round(theirs.mean(), 2), round(float(np.median(theirs)), 2)) == (0.78, 0.82)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.003)
    assert ours.median() == pytest.approx(np.median(theirs), abs=0.003)
