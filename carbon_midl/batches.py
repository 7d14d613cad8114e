"""Batches of crops and targets for training and scoring."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler, SubsetRandomSampler

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.targets import Target


class CropBatches(Dataset[tuple[Tensor, Tensor]]):
    """Whole batches of an archive, indexed by a list of positions.

    Reading one crop at a time would cost more than a narrow network does.

    Args:
        archive: the crops.
        rows: the archive's rows that belong to this part.
        target: how readers become a target.
        augment: whether to flip and turn at random.
        generator: draws flips, turns and readers.
    """

    def __init__(
        self,
        archive: CropArchive,
        rows: NDArray[np.int64],
        target: Target,
        augment: bool,
        generator: np.random.Generator,
    ) -> None:
        self.archive = archive
        self.rows = rows
        self.target = target
        self.augment = augment
        self.generator = generator

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images and targets, each float32 ``(len(positions), 1, H, W)``."""
        rows = self.rows[np.asarray(positions)]
        images = self.archive.inputs(rows)
        targets = self.target.of(self.archive.reader_masks(rows), self.generator)
        if self.augment:
            flip_and_turn(images, targets, self.generator)
        return torch.from_numpy(images[:, None]), torch.from_numpy(targets[:, None])


def flip_and_turn(images: NDArray[np.float32], targets: NDArray[np.float32], generator: np.random.Generator) -> None:
    """Flip and turn each square crop, with its target, into one of its eight orientations; in place.

    Args:
        images: ``(n, size, size)``.
        targets: ``(n, size, size)``.
        generator: draws the orientations.
    """
    orientations = generator.integers(8, size=len(images))
    for array in (images, targets):
        for orientation in range(1, 8):
            chosen = orientations == orientation
            turned = np.rot90(array[chosen], k=orientation % 4, axes=(1, 2))
            array[chosen] = turned[:, :, ::-1] if orientation >= 4 else turned


def training_batches(
    batches: CropBatches, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go once through ``batches`` in random order; a last short batch is kept unless it is a single crop.

    Batch normalisation cannot estimate a variance from one crop's deepest, 1 × 1 px level.
    """
    sampler = BatchSampler(SubsetRandomSampler(range(len(batches)), generator=generator), batch_size, drop_last=False)
    for images, targets in DataLoader(batches, sampler=sampler, batch_size=None):
        if len(images) > 1 or len(batches) == 1:
            yield images, targets


def scoring_batches(batches: CropBatches, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Go once through ``batches`` in order."""
    sampler = BatchSampler(SequentialSampler(batches), batch_size, drop_last=False)
    yield from DataLoader(batches, sampler=sampler, batch_size=None)
