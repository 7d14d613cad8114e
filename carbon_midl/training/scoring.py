"""The losses that a network is trained with, and the scores of its segmentations.

Scores are computed in fp32, whatever recipe trained the network, so that they can be reproduced on any machine.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.metrics import dice, readers_dice
from carbon_midl.training.batches import Batches, ResidentBatches
from carbon_midl.training.data import Target, scored_target
from carbon_midl.training.recipes import Loss, Recipe, evaluating

# Scoring keeps no gradients, so its batches may be larger; their size does not change the scores.
SCORING_BATCH = 64
# So many crops are in memory at the same time.
_CHUNK = 1024


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over all pixels of the batch."""
    return binary_cross_entropy_with_logits(logits, targets)


def soft_dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """One minus soft Dice of each crop, averaged over the batch (Milletari et al., arXiv:1606.04797).

    Soft Dice of a whole batch would be dominated by its largest nodules, while the score is a mean over slices.
    """
    probabilities = logits.sigmoid()
    overlap = (probabilities * targets).sum(dim=(1, 2, 3))
    total = probabilities.sum(dim=(1, 2, 3)) + targets.sum(dim=(1, 2, 3))
    return 1 - ((2 * overlap + 1) / (total + 1)).mean()


def both(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum of both losses: cross-entropy helps while nothing overlaps yet, soft Dice gives small nodules weight."""
    return cross_entropy(logits, targets) + soft_dice_loss(logits, targets)


# By their names in a study file. Each takes logits ``(N, 1, H, W)`` and targets of that shape in [0, 1].
LOSSES: dict[str, Loss] = {
    "bce+dice": both,
    "bce": cross_entropy,
    "dice": soft_dice_loss,
}


def validate(model: nn.Module, batches: Batches, loss: Loss, recipe: Recipe) -> tuple[float, float]:
    """Return mean loss and mean Dice over the slices of ``batches``, computed as the recipe computes."""
    losses, scores = [], []
    with evaluating(model):
        for images, targets in batches.in_order(SCORING_BATCH):
            with recipe.computing():
                logits = model(images)
            losses.append(loss(logits.float(), targets) * len(images))
            scores.append(dice(_to_masks(logits), _to_masks(targets - 0.5)))
    overlaps = np.concatenate(scores)
    return float(torch.stack(losses).sum()) / len(overlaps), float(overlaps.mean())


def predict(model: nn.Module, archive: CropArchive, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Segment the crops in ``rows``: bool ``(len(rows), H, W)``, true where the probability exceeds one half."""
    return np.concatenate([_to_masks(logits) for logits, _ in _logits(model, archive, rows)])


def probabilities(
    model: nn.Module, archive: CropArchive, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Yield, batch by batch, the lesion's probability ``(n, H, W)`` in [0, 1] and the rows of its crops."""
    for logits, batch in _logits(model, archive, rows):
        yield logits[:, 0].float().sigmoid().cpu().numpy(), batch


def score(model: nn.Module, archive: CropArchive, rows: NDArray[np.int64], readers: str) -> list[dict[Any, Any]]:
    """Score each slice in ``rows`` against the ``scored_target`` of ``readers``: a row a slice, for their table."""
    target = scored_target(readers)
    table: list[dict[Any, Any]] = []
    for logits, batch in _logits(model, archive, rows):
        masks = archive.reader_masks(batch)
        predicted, wanted = _to_masks(logits), target.from_masks(masks) > 0.5
        columns = zip(
            archive.index.iloc[batch].to_dict("records"),
            wanted.sum(axis=(1, 2)),
            predicted.sum(axis=(1, 2)),
            (wanted & predicted).sum(axis=(1, 2)),
            dice(predicted, wanted),
            readers_dice(masks),
            strict=True,
        )
        table += [
            {
                **crop,
                "target_px": int(target_px),
                "predicted_px": int(predicted_px),
                "overlap_px": int(overlap_px),
                "dice": float(overlap),
                "readers_dice": float(agreement),
            }
            for crop, target_px, predicted_px, overlap_px, overlap, agreement in columns
        ]
    return table


def _logits(
    model: nn.Module, archive: CropArchive, rows: NDArray[np.int64]
) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    where = next(model.parameters()).device
    with evaluating(model), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for begin in range(0, len(rows), _CHUNK):
            chunk = rows[begin : begin + _CHUNK]
            batches = ResidentBatches(archive, chunk, Target("at least", 1), where)
            start = 0
            for images, _ in batches.in_order(SCORING_BATCH):
                yield model(images), chunk[start : start + len(images)]
                start += len(images)


def _to_masks(logits: Tensor) -> NDArray[np.bool_]:
    masks: NDArray[np.bool_] = (logits[:, 0] > 0).cpu().numpy()
    return masks
