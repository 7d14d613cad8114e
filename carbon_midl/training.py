"""Fitting one U-Net to one crop archive, and scoring it."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from carbon_midl.batches import CropBatches, scoring_batches, training_batches
from carbon_midl.errors import InputError
from carbon_midl.files import replaced
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.split import Split
from carbon_midl.lidc.targets import Target, parse_target
from carbon_midl.metrics import dice, readers_dice
from carbon_midl.options import RunOptions
from carbon_midl.unet import UNet
from carbon_midl.unet_size import check_crop_size

# Scoring holds no gradients, so its batches may be larger; the size has no bearing on the scores.
SCORING_BATCH = 64


@dataclass(frozen=True)
class Parts:
    """The rows of the archive that each part of the split uses, and how many were left out for having no target."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    without_target: int


@dataclass(frozen=True)
class Epoch:
    """One row of the per-epoch table; losses are means over crops, Dice is the mean over validation slices."""

    epoch: int
    train_loss: float
    val_loss: float
    val_dice: float
    learning_rate: float
    duration_s: float


@dataclass(frozen=True)
class Fit:
    """What training gave: the per-epoch table and the epoch (from 1) whose weights were kept."""

    epochs: list[Epoch]
    best_epoch: int

    @property
    def val_dice(self) -> float:
        """Validation Dice of the weights that were kept."""
        return self.epochs[self.best_epoch - 1].val_dice


def scored_target(options: RunOptions) -> Target:
    """Return what slices are scored against: the training target if it is a mask, else at least 2 of 4 readers."""
    target = parse_target(options.readers)
    return target if target.kind == "at least" else Target("at least", 2)


def select_parts(archive: CropArchive, split: Split, options: RunOptions) -> Parts:
    """Choose the rows of each part.

    A slice whose consensus is empty (one reader of four, say) has no lesion to find by the study's own definition, and
    Dice on it is 0 or 1 by convention; such slices are left out of every part and counted.

    Raises:
        InputError: a part has no slice left, or the crops are too small for the depth.
    """
    check_crop_size((archive.size, archive.size), options.depth)
    target = scored_target(options)
    has_target = np.concatenate(
        [
            target.of(archive.reader_masks(rows)).any(axis=(1, 2))
            for rows in np.array_split(np.arange(len(archive)), math.ceil(len(archive) / 512))
        ]
    )
    chosen = {}
    for part, patients in asdict(split).items():
        rows = archive.rows_of(patients)
        chosen[part] = rows[has_target[rows]]
        if not len(chosen[part]):
            raise InputError(
                f"{archive.path}: no slice of the {part} patients has a target of readers = {options.readers!r}. "
                "Use more patients, or ask for fewer readers."
            )
    return Parts(**chosen, without_target=int((~has_target).sum()))


def segmentation_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy plus one minus soft Dice, the latter crop by crop (Milletari et al., arXiv:1606.04797).

    Summed over a batch instead, soft Dice would be that of its largest nodules, while the score is a mean over slices.

    Args:
        logits: ``(N, 1, H, W)``.
        targets: as ``logits``, in [0, 1].
    """
    probabilities = logits.sigmoid()
    overlap = (probabilities * targets).sum(dim=(1, 2, 3))
    total = probabilities.sum(dim=(1, 2, 3)) + targets.sum(dim=(1, 2, 3))
    soft_dice = (2 * overlap + 1) / (total + 1)
    return binary_cross_entropy_with_logits(logits, targets) + 1 - soft_dice.mean()


def device() -> torch.device:
    """Return the device to train on: the first GPU that CUDA shows, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build_model(options: RunOptions) -> UNet:
    """Return the U-Net of ``options`` on ``device()``; its weights follow from the seed, whatever the device."""
    torch.manual_seed(options.seed)
    model = UNet(options.filters, options.depth)
    return model.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]


def build_optimiser(model: UNet, options: RunOptions) -> torch.optim.Adam:
    """Return Adam for ``model``; making the first one loads parts of torch for a second or two."""
    return torch.optim.Adam(model.parameters(), lr=options.learning_rate)


def fit(
    model: UNet,
    optimiser: torch.optim.Optimizer,
    archive: CropArchive,
    parts: Parts,
    options: RunOptions,
    weights: Path,
    epoch_window: Callable[[int], AbstractContextManager[Any]],
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_batch: Callable[[int, int, int], None] = lambda epoch, batch, batches: None,
) -> Fit:
    """Train ``model`` and leave it with the weights of the epoch with the best validation Dice.

    Args:
        model: the network, changed in place.
        optimiser: of the network's parameters.
        archive: the crops.
        parts: rows to train on and to validate on.
        options: how to train.
        weights: safetensors file that gets the best weights, replaced whenever validation Dice improves.
        epoch_window: opened around each epoch (training and validation), for the footprint.
        on_epoch: called with each finished epoch.
        on_batch: called after each batch with epoch, batch (both from 1) and the number of batches, for progress bars.

    Raises:
        InputError: the loss is not finite; the best weights so far stay in ``weights``.
    """
    target = parse_target(options.readers)
    per_epoch = math.ceil(len(parts.train) / options.batch_size)
    order = torch.Generator().manual_seed(options.seed)
    chance = np.random.default_rng([options.seed, 1])
    train = CropBatches(archive, parts.train, target, options.augment, chance)
    where = next(model.parameters()).device
    epochs: list[Epoch] = []
    best = 0
    for number in range(1, options.epochs + 1):
        started = perf_counter()
        with epoch_window(number):
            model.train()
            losses = 0.0
            seen = 0
            for batch, (images, targets) in enumerate(training_batches(train, options.batch_size, order)):
                rate = learning_rate(options, (number - 1 + batch / per_epoch) / options.epochs)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                optimiser.zero_grad()
                images, targets = _placed(images, where), targets.to(where)
                loss = segmentation_loss(model(images), targets)
                loss.backward()
                if not math.isfinite(value := loss.item()):
                    kept = f"The best weights so far are in {weights}. " if best else ""
                    raise InputError(
                        f"training loss is {value} in epoch {number}, batch {batch + 1}. {kept}"
                        f"Use a smaller learning_rate than {options.learning_rate}."
                    )
                optimiser.step()
                losses += value * len(images)
                seen += len(images)
                on_batch(number, batch + 1, per_epoch)
            val_loss, val_dice = validate(model, archive, parts.validation, options)
        epochs.append(Epoch(number, losses / seen, val_loss, val_dice, rate, perf_counter() - started))
        if best == 0 or val_dice > epochs[best - 1].val_dice:
            best = number
            save_weights(model, weights)
        on_epoch(epochs[-1])
        if options.patience and number - best >= options.patience:
            break
    load_weights(model, weights)
    return Fit(epochs, best)


def learning_rate(options: RunOptions, progress: float) -> float:
    """Return the step size after the share ``progress`` of training; "cosine" falls to zero (arXiv:1608.03983)."""
    if options.schedule == "constant":
        return options.learning_rate
    return options.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def validate(model: UNet, archive: CropArchive, rows: NDArray[np.int64], options: RunOptions) -> tuple[float, float]:
    """Return mean loss and mean Dice over the slices in ``rows``."""
    losses, scores = [], []
    for logits, targets, _ in _logits(model, archive, rows, scored_target(options)):
        losses.append(segmentation_loss(logits, targets).item() * len(logits))
        scores.append(dice(_to_masks(logits), _to_masks(targets - 0.5)))
    return sum(losses) / len(rows), float(np.concatenate(scores).mean())


def predict(model: UNet, archive: CropArchive, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Segment the crops in ``rows``: bool ``(len(rows), H, W)``, true where the probability exceeds one half."""
    return np.concatenate([_to_masks(logits) for logits, _, _ in _logits(model, archive, rows, Target("at least", 1))])


def score(model: UNet, archive: CropArchive, rows: NDArray[np.int64], options: RunOptions) -> list[dict[Any, Any]]:
    """Score each slice in ``rows`` against the consensus: one row a slice for the table of test scores."""
    table: list[dict[Any, Any]] = []
    for logits, targets, batch in _logits(model, archive, rows, scored_target(options)):
        predicted, wanted = _to_masks(logits), _to_masks(targets - 0.5)
        columns = zip(
            archive.index.iloc[batch].to_dict("records"),
            wanted.sum(axis=(1, 2)),
            predicted.sum(axis=(1, 2)),
            dice(predicted, wanted),
            readers_dice(archive.reader_masks(batch)),
            strict=True,
        )
        table += [
            {
                **crop,
                "target_px": int(target_px),
                "predicted_px": int(predicted_px),
                "dice": float(overlap),
                "readers_dice": float(agreement),
            }
            for crop, target_px, predicted_px, overlap, agreement in columns
        ]
    return table


def save_weights(model: UNet, path: Path) -> None:
    """Write the weights as safetensors, whole or not at all."""
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with replaced(path) as temporary:
        save_file(state, temporary)


def load_weights(model: UNet, path: Path) -> None:
    """Read weights that ``save_weights`` wrote; nothing in the file is executed.

    Raises:
        InputError: missing, damaged, or of another network.
    """
    try:
        model.load_state_dict(load_file(path))
    except Exception as error:
        raise InputError(f"{path}: not the weights of this U-Net ({str(error).splitlines()[0]}).") from None


def _logits(
    model: UNet, archive: CropArchive, rows: NDArray[np.int64], target: Target
) -> Iterator[tuple[Tensor, Tensor, NDArray[np.int64]]]:
    model.eval()
    where = next(model.parameters()).device
    batches = CropBatches(archive, rows, target, augment=False, generator=np.random.default_rng(0))
    start = 0
    with torch.inference_mode():
        for images, targets in scoring_batches(batches, SCORING_BATCH):
            logits = model(_placed(images, where))
            yield logits, targets.to(where), rows[start : start + len(images)]
            start += len(images)


def _placed(images: Tensor, where: torch.device) -> Tensor:
    return images.to(where, memory_format=torch.channels_last)


def _to_masks(logits: Tensor) -> NDArray[np.bool_]:
    masks: NDArray[np.bool_] = (logits[:, 0] > 0).cpu().numpy()
    return masks
