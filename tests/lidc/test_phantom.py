"""The phantom: what is real in it stays real, it repeats itself, and grey values alone do not give the nodules away."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Nodule, Scan, read_scans
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.masks import reader_masks, window_around
from carbon_midl.lidc.phantom import VERSION, open_phantom, render_nodule, render_phantom

Bool = NDArray[np.bool_]


@pytest.fixture(scope="module", params=[pytest.param(128, marks=pytest.mark.slow), 64])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CropArchive:
    out = tmp_path_factory.mktemp("phantom") / "crops"
    render_phantom(out, patients=14, seed=3, size=request.param)
    return CropArchive.open(out)


@pytest.fixture(scope="module")
def obvious(scan: Scan) -> Nodule:
    """The scan's most obvious nodule, without calcium."""
    return rated(max(scan.nodules, key=lambda nodule: nodule.mean_rating("subtlety")), calcification=6)


def rated(nodule: Nodule, **ratings: int) -> Nodule:
    """The same nodule with other ratings by every reader."""
    readings = tuple(replace(reading, ratings=reading.ratings._replace(**ratings)) for reading in nodule.readings)
    return replace(nodule, readings=readings)


def inside_hu(scan: Scan, nodule: Nodule) -> float:
    """Mean HU where all readers agree."""
    images, masks = render_nodule(scan, nodule, seed=0, size=64)
    return float(images[masks[:, : len(nodule.readings)].all(axis=1)].mean())


def test_an_archive_describes_itself_and_has_every_slice_of_every_nodule(archive: CropArchive) -> None:
    assert archive.is_phantom
    assert archive.images.dtype == np.int16
    assert archive.intensity == ("HU", -1000, 400)
    assert (archive.source["seed"], archive.source["version"]) == (3, VERSION)
    assert archive.source["patients"] == 14 == len(archive.patients)
    assert "CC BY 3.0" in archive.source["licence"]
    places: list[tuple[str, int, int]] = []
    masks: list[Bool] = []
    for scan in read_scans(archive.patients):
        for nodule in scan.nodules:
            masks += list(reader_masks(nodule, window_around(nodule, archive.size)))
            places += [(scan.patient_id, nodule.number, number) for number in range(len(nodule.slice_indices()))]
    assert list(archive.index[["patient_id", "nodule", "slice"]].itertuples(index=False, name=None)) == places
    np.testing.assert_array_equal(archive.reader_masks(range(len(places))), masks)


def test_no_band_of_grey_values_finds_the_nodules(archive: CropArchive) -> None:
    """The best of all HU bands, chosen with the answers at hand, averaged over slices and over all pixels."""
    consensus = archive.reader_masks(np.arange(len(archive))).sum(axis=1) >= 2
    edges = np.arange(-1024, 3072 + 32, 32)

    def below(where: Bool) -> NDArray[np.int64]:
        """How many pixels of each image lie there and below each edge."""
        counts = [np.histogram(image[chosen], edges)[0] for image, chosen in zip(archive.images, where, strict=True)]
        return np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))

    everywhere, within, target = below(np.ones_like(consensus)), below(consensus), consensus.sum(axis=(1, 2))
    for low in range(len(edges) - 1):
        found, hits = ((pixels - pixels[:, [low]])[:, low:] for pixels in (everywhere, within))
        dice = 2 * hits[target > 0] / (found + target[:, None])[target > 0]
        assert dice.mean(axis=0).max() < 0.5
        assert (2 * hits.sum(axis=0) / (found.sum(axis=0) + target.sum())).max() < 0.5


def test_crops_follow_from_scan_and_seed_whatever_else_is_rendered(tmp_path: Path) -> None:
    for name, patients, seed in (("few", 1, 5), ("more", 3, 5), ("other", 1, 6)):
        render_phantom(tmp_path / name, patients, seed, size=64)
    few, more, other = (CropArchive.open(tmp_path / name) for name in ("few", "more", "other"))
    assert set(few.patients) < set(more.patients)
    np.testing.assert_array_equal(few.images, more.images[more.rows_of(few.patients)])
    assert few.fingerprint != other.fingerprint


def test_wall_and_organs_keep_out_of_every_nodule(scans: list[Scan]) -> None:
    """Where ground glass is outlined there is no soft tissue."""
    faint = [
        inside_hu(scan, rated(nodule, texture=1, subtlety=1, calcification=6, internal_structure=1))
        for scan in scans
        for nodule in scan.nodules
        if reader_masks(nodule, window_around(nodule, 64))[:, : len(nodule.readings)].all(axis=1).any()
    ]
    assert np.mean(np.array(faint) < -500) > 0.95


@pytest.mark.slow
def test_images_follow_the_ratings(scan: Scan, obvious: Nodule) -> None:
    by_texture = [inside_hu(scan, rated(obvious, texture=texture)) for texture in range(1, 6)]
    assert by_texture == sorted(by_texture)
    assert by_texture[0] < -450, "ground glass"
    assert by_texture[4] > -200, "solid"
    smooth, spiculated = (render_nodule(scan, rated(obvious, spiculation=rating), 0, 64)[0] > -600 for rating in (1, 5))
    assert spiculated.sum() > smooth.sum() + 50, "spicules reach beyond the outlines"
    plain = inside_hu(scan, rated(obvious, subtlety=5))
    assert inside_hu(scan, rated(obvious, subtlety=1)) < plain - 100, "subtle ones are fainter"
    for pattern in range(1, 6):
        calcified = inside_hu(scan, rated(obvious, subtlety=5, calcification=pattern))
        assert calcified > plain + 10, "calcified ones are brighter"


def test_bad_options_are_named_before_writing(tmp_path: Path) -> None:
    for patients, size, named in ((876, 64, "patients: 876, expected 1 to 875"), (1, 30, "size: 30")):
        with pytest.raises(InputError, match=named):
            render_phantom(tmp_path / "out", patients, 0, size)
    assert list(tmp_path.iterdir()) == []


def test_it_is_rendered_once(tmp_path: Path) -> None:
    first, again = (open_phantom(tmp_path, patients=1, size=32).path / "images.npy" for _ in range(2))
    assert first.stat().st_ino == again.stat().st_ino
