"""Batches of crops and targets: the random order of an epoch, and two ways to make its batches, with equal numbers.

Order, orientations and readers of an epoch follow from the seed and the epoch's number alone. So a resumed training
continues as if it had never stopped, without a stored random state, and every recipe sees the same batches.

``LoadedBatches`` is the usual way: a ``DataLoader`` whose workers read, orient and stack one crop after another.
``ResidentBatches`` keeps all crops in memory (of the GPU, if there is one) as the archive stores them, in 1 or 2 bytes
per pixel, and prepares an epoch in a few operations.
"""

import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from carbon_midl.lidc import READERS
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.training.data import Target

MOST_WORKERS = 4
ORIENTATIONS = 8
# The readers' masks of so many crops are unpacked at the same time.
_UNPACKED = 512
_UNTURNED = 0


class EpochPlan(NamedTuple):
    """The random choices of one epoch over ``n`` crops."""

    order: NDArray[np.int64]  #: ``(n,)`` positions in the order of the epoch.
    orientation: NDArray[np.int64]  #: ``(n,)`` 0 … 7 by position, see ``oriented``.
    reader: NDArray[np.float64]  #: ``(n, 4)`` in [0, 1) by position, from which the target "random" chooses its reader.


def plan_epoch(seed: int, epoch: int, crops: int, augment: bool) -> EpochPlan:
    """Draw the random choices of epoch ``epoch`` (from 1) of a training with ``seed`` over ``crops`` crops."""
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(crops)
    orientation = generator.integers(ORIENTATIONS, size=crops)
    reader = generator.random((crops, READERS))
    return EpochPlan(order, orientation if augment else np.zeros_like(orientation), reader)


def batch_slices(crops: int, batch_size: int) -> list[slice]:
    """Divide an epoch into batches; a shorter last batch is kept unless it is a single crop.

    Batch normalisation cannot estimate a variance from one crop if the deepest level has 1 × 1 px.

    >>> batch_slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None)]
    """
    slices = [slice(start, min(start + batch_size, crops)) for start in range(0, crops, batch_size)]
    if len(slices) > 1 and slices[-1].stop - slices[-1].start == 1:
        slices.pop()
    return slices


class Batches(Protocol):
    """One part of a split, as batches of images and targets, each float32 ``(batch, 1, H, W)`` on the device."""

    def shuffled(self, plan: EpochPlan, batch_size: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate once over the part in the order and orientations of ``plan``, from batch number ``first`` on."""

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate once over the part in the order of its rows, with each crop as it is stored."""


class CropDataset(Dataset[tuple[Tensor, Tensor]]):
    """One crop and its target at a time, by position, orientation, and random numbers that choose the reader."""

    def __init__(self, archive: CropArchive, rows: NDArray[np.int64], target: Target) -> None:
        self.archive = archive
        self.rows = rows
        self.target = target

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: tuple[int, int, NDArray[np.float64]]) -> tuple[Tensor, Tensor]:
        """Return image and target, each float32 ``(1, H, W)``."""
        position, orientation, reader = chosen
        row = self.rows[[position]]
        image = torch.from_numpy(self.archive.inputs(row))
        target = torch.from_numpy(self.target.from_masks(self.archive.reader_masks(row), reader[None]))
        return oriented(image, orientation), oriented(target, orientation)


class LoadedBatches:
    """Batches from a ``DataLoader`` with worker processes."""

    def __init__(self, archive: CropArchive, rows: NDArray[np.int64], target: Target, where: torch.device) -> None:
        self._dataset = CropDataset(archive, rows, target)
        self._where = where

    def shuffled(self, plan: EpochPlan, batch_size: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """As ``Batches.shuffled``."""
        items = [(int(at), int(plan.orientation[at]), plan.reader[at]) for at in plan.order]
        return self._load([items[part] for part in batch_slices(len(items), batch_size)[first:]])

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As ``Batches.in_order``."""
        items = [(position, _UNTURNED, np.zeros(READERS)) for position in range(len(self._dataset))]
        return self._load([items[start : start + batch_size] for start in range(0, len(items), batch_size)])

    def _load(self, batches: list[Any]) -> Iterator[tuple[Tensor, Tensor]]:
        loader = DataLoader(
            self._dataset,
            batch_sampler=batches,
            num_workers=worker_count(),
            pin_memory=self._where.type == "cuda",
        )
        for images, targets in loader:
            yield images.to(self._where), targets.to(self._where)


class ResidentBatches:
    """Batches of crops that stay in the device's memory: 1 or 2 bytes per pixel of an image, and 1 of a target mask."""

    def __init__(self, archive: CropArchive, rows: NDArray[np.int64], target: Target, where: torch.device) -> None:
        self._archive = archive
        self._rows = rows
        self._target = target
        self._where = where
        self._images = torch.from_numpy(np.ascontiguousarray(archive.images[rows])).to(where)
        # The target "random" is drawn again in each epoch.
        self._targets = None if target.kind == "random" else self._make_targets(np.zeros((len(rows), READERS)))

    def shuffled(self, plan: EpochPlan, batch_size: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """As ``Batches.shuffled``; all crops are oriented and put into order before the first batch."""
        targets = self._make_targets(plan.reader) if self._targets is None else self._targets
        images = torch.empty_like(self._images)
        ordered = torch.empty_like(targets)
        orientation = plan.orientation[plan.order]
        for number in np.unique(orientation):
            to = np.flatnonzero(orientation == number)
            places = torch.from_numpy(to).to(self._where)
            positions = torch.from_numpy(plan.order[to]).to(self._where)
            images[places] = oriented(self._images[positions], int(number))
            ordered[places] = oriented(targets[positions], int(number))
        for part in batch_slices(len(images), batch_size)[first:]:
            yield self._scaled(images[part]), ordered[part].unsqueeze(1).float()

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As ``Batches.in_order``."""
        targets = self._make_targets(np.zeros((len(self._rows), READERS))) if self._targets is None else self._targets
        for start in range(0, len(self._images), batch_size):
            part = slice(start, start + batch_size)
            yield self._scaled(self._images[part]), targets[part].unsqueeze(1).float()

    def _make_targets(self, reader: NDArray[np.float64]) -> Tensor:
        """Return the targets ``(n, H, W)``, as uint8 if they are masks."""
        dtype = np.float32 if self._target.kind == "mean" else np.uint8
        made = np.empty((len(self._rows), self._archive.size, self._archive.size), dtype)
        for part in np.array_split(np.arange(len(made)), math.ceil(len(made) / _UNPACKED)):
            made[part] = self._target.from_masks(self._archive.reader_masks(self._rows[part]), reader[part])
        return torch.from_numpy(made).to(self._where)

    def _scaled(self, images: Tensor) -> Tensor:
        """Scale images as ``Intensity.to_unit_range`` does, on the device."""
        scale = self._archive.intensity
        return ((images.unsqueeze(1).float() - scale.low) / (scale.high - scale.low)).clamp_(0, 1)


def oriented(images: Tensor, orientation: int) -> Tensor:
    """Rotate square images ``(n, size, size)`` by quarter turns, and flip them from orientation 4 on."""
    rotated = images.rot90(orientation % 4, dims=(1, 2))
    return rotated.flip(2) if orientation >= 4 else rotated


def worker_count() -> int:
    """Return the number of ``DataLoader`` workers: one per processor that this process may use, at most four."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, usable)
