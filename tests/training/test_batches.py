import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.training.batches import LoadedBatches, ResidentBatches, batch_slices, oriented, plan_epoch
from carbon_midl.training.data import parse_target

CPU = torch.device("cpu")


@pytest.mark.parametrize("readers", ["at least 2", "mean", "random"])
def test_both_ways_give_the_same_batches(discs: CropArchive, readers: str) -> None:
    rows = np.arange(3, 40)
    loaded = LoadedBatches(discs, rows, parse_target(readers), CPU)
    resident = ResidentBatches(discs, rows, parse_target(readers), CPU)
    draws = plan_epoch(seed=5, epoch=2, crops=len(rows), augment=True)
    pairs = list(zip(loaded.shuffled(draws, 8), resident.shuffled(draws, 8), strict=True))
    assert [len(images) for (images, _), _ in pairs] == [8, 8, 8, 8, 5]
    for (images, targets), (same_images, same_targets) in pairs:
        assert images.dtype == same_images.dtype == targets.dtype == same_targets.dtype == torch.float32
        assert torch.equal(images, same_images)
        assert torch.equal(targets, same_targets)
    for (images, targets), (same_images, same_targets) in zip(loaded.in_order(16), resident.in_order(16), strict=True):
        assert torch.equal(images, same_images)
        assert readers == "random" or torch.equal(targets, same_targets)


def test_batches_are_the_archives_crops_with_their_targets(discs: CropArchive) -> None:
    rows = np.arange(10, 30)
    batches = ResidentBatches(discs, rows, parse_target("at least 3"), CPU)
    images, targets = (torch.cat(parts)[:, 0].numpy() for parts in zip(*batches.in_order(8), strict=True))
    assert np.array_equal(images, discs.inputs(rows))
    assert np.array_equal(targets, discs.reader_masks(rows).sum(axis=1) >= 3)


def test_an_epoch_sees_every_crop_once_and_goes_on_where_it_was_left(discs: CropArchive) -> None:
    rows = np.arange(20)
    batches = ResidentBatches(discs, rows, parse_target("any"), CPU)
    draws = plan_epoch(seed=1, epoch=1, crops=20, augment=False)
    seen = torch.cat([images for images, _ in batches.shuffled(draws, 8)])[:, 0].numpy()
    assert np.array_equal(seen, discs.inputs(draws.order))
    rest = torch.cat([images for images, _ in batches.shuffled(draws, 8, first=1)])[:, 0].numpy()
    assert np.array_equal(rest, seen[8:])


def test_image_and_target_turn_together_into_all_eight_orientations() -> None:
    picture = np.arange(16, dtype=np.float32).reshape(4, 4)
    found = {oriented(torch.from_numpy(picture[None]), number)[0].numpy().tobytes() for number in range(8)}
    turned = [np.rot90(side, k) for side in (picture, picture[:, ::-1]) for k in range(4)]
    assert found == {np.ascontiguousarray(array).tobytes() for array in turned}


@given(st.integers(0, 2**31 - 1), st.integers(1, 1000), st.integers(1, 200))
def test_an_epochs_draws_follow_from_seed_and_epoch(seed: int, epoch: int, crops: int) -> None:
    draws = plan_epoch(seed, epoch, crops, augment=True)
    assert sorted(draws.order) == list(range(crops))
    assert draws.orientation.min() >= 0
    assert draws.orientation.max() < 8
    again, plain = plan_epoch(seed, epoch, crops, augment=True), plan_epoch(seed, epoch, crops, augment=False)
    assert all(np.array_equal(a, b) for a, b in zip(draws, again, strict=True))
    for other in (plan_epoch(seed + 1, epoch, 50, augment=True), plan_epoch(seed, epoch + 1, 50, augment=True)):
        assert not np.array_equal(other.order, plan_epoch(seed, epoch, 50, augment=True).order)
    assert np.array_equal(plain.order, draws.order)
    assert not plain.orientation.any()


@given(st.integers(1, 300), st.integers(2, 40))
def test_batches_cover_the_crops_but_for_a_single_one_left_over(crops: int, batch_size: int) -> None:
    slices = batch_slices(crops, batch_size)
    sizes = [part.stop - part.start for part in slices]
    assert [part.start for part in slices] == [batch_size * number for number in range(len(slices))]
    assert sum(sizes) == (crops - 1 if crops > 1 and crops % batch_size == 1 else crops)
    assert crops == 1 or min(sizes) > 1
