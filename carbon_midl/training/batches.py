"""Batches of crops and targets: the order of an epoch, and two ways to make its batches that give the same numbers.

Order, orientations and readers of an epoch follow from the seed and the epoch's number alone. So a resumed training
goes on as if it had never stopped, without a random state to store, and every recipe sees the same batches.

``LoadedBatches`` is how it is usually done: a ``DataLoader`` whose workers read, turn and stack one crop after another.
``ResidentBatches`` holds the crops in memory (that of the GPU, where there is one) in the few bits that they have, and
prepares an epoch in a handful of operations.
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
# Crops whose readers' masks are unpacked at once.
_UNPACKED = 512
_UNTURNED = 0


class EpochPlan(NamedTuple):
    """What chance decides in one epoch over ``n`` crops.

    ``order``: ``(n,)`` positions as they are visited; ``orientation``: ``(n,)`` 0 … 7 by position, see ``oriented``;
    ``reader``: ``(n, 4)`` in [0, 1) by position, from which the target "random" picks its reader.
    """

    order: NDArray[np.int64]
    orientation: NDArray[np.int64]
    reader: NDArray[np.float64]


def plan_epoch(seed: int, epoch: int, crops: int, augment: bool) -> EpochPlan:
    """Draw epoch ``epoch`` (from 1) of a training with ``seed`` over ``crops`` crops."""
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(crops)
    orientation = generator.integers(ORIENTATIONS, size=crops)
    reader = generator.random((crops, READERS))
    return EpochPlan(order, orientation if augment else np.zeros_like(orientation), reader)


def batch_slices(crops: int, batch_size: int) -> list[slice]:
    """Cut an epoch into batches; a last short batch is kept unless it is a single crop.

    Batch normalisation cannot estimate a variance from one crop's deepest, 1 × 1 px level.
    """
    slices = [slice(start, min(start + batch_size, crops)) for start in range(0, crops, batch_size)]
    if len(slices) > 1 and slices[-1].stop - slices[-1].start == 1:
        slices.pop()
    return slices


class Batches(Protocol):
    """One part of a split, as batches of images and targets, each float32 ``(batch, 1, H, W)`` on the device."""

    def shuffled(self, plan: EpochPlan, batch_size: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Go once through the part in the order and orientations of ``plan``, from batch number ``first`` on."""

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Go once through the part in the order of its rows, unturned."""


class CropDataset(Dataset[tuple[Tensor, Tensor]]):
    """One crop and its target at a time, indexed by position, orientation and readers' draws."""

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
    """Batches from crops that lie in the device's memory, as stored: 1 or 2 bytes a pixel, and 1 for a hard target."""

    def __init__(self, archive: CropArchive, rows: NDArray[np.int64], target: Target, where: torch.device) -> None:
        self._archive = archive
        self._rows = rows
        self._target = target
        self._where = where
        self._images = torch.from_numpy(np.ascontiguousarray(archive.images[rows])).to(where)
        # The target "random" is another one in each epoch.
        self._targets = None if target.kind == "random" else self._make_targets(np.zeros((len(rows), READERS)))

    def shuffled(self, plan: EpochPlan, batch_size: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """As ``Batches.shuffled``; the crops are turned and put into order before the first batch."""
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
        """``(n, H, W)``, uint8 where the target is a mask."""
        dtype = np.float32 if self._target.kind == "mean" else np.uint8
        made = np.empty((len(self._rows), self._archive.size, self._archive.size), dtype)
        for part in np.array_split(np.arange(len(made)), math.ceil(len(made) / _UNPACKED)):
            made[part] = self._target.from_masks(self._archive.reader_masks(self._rows[part]), reader[part])
        return torch.from_numpy(made).to(self._where)

    def _scaled(self, images: Tensor) -> Tensor:
        """As ``Intensity.to_unit_range``, on the device."""
        scale = self._archive.intensity
        return ((images.unsqueeze(1).float() - scale.low) / (scale.high - scale.low)).clamp_(0, 1)


def oriented(images: Tensor, orientation: int) -> Tensor:
    """Turn square images ``(n, size, size)`` into one of their eight orientations: quarter turns, then a flip."""
    rotated = images.rot90(orientation % 4, dims=(1, 2))
    return rotated.flip(2) if orientation >= 4 else rotated


def worker_count() -> int:
    """Worker processes of a ``DataLoader``: one a processor that this process may use, four at most."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, usable)
