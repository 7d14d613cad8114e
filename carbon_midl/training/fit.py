"""The training loop, from top to bottom: epochs, steps, validation, best weights, stop, resume."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.training.batches import batch_slices, plan_epoch
from carbon_midl.training.checkpoint import (
    CHECKPOINT,
    WEIGHTS,
    Epoch,
    ModelCard,
    Progress,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_model,
)
from carbon_midl.training.data import SplitRows, parse_target, scored_target
from carbon_midl.training.network import build_network, check_output
from carbon_midl.training.options import BUILT_IN, RunOptions
from carbon_midl.training.recipes import RECIPES, Recipe, device, set_learning_rate
from carbon_midl.training.scoring import LOSSES, validate


@dataclass(frozen=True)
class Fit:
    """The outcome of a training."""

    epochs: list[Epoch]  #: the per-epoch table.
    best_epoch: int  #: the epoch (from 1) whose weights were kept.
    stopped: str = ""  #: why it ended before the last planned epoch, or "" if it did not.

    @property
    def val_dice(self) -> float:
        """Validation Dice of the weights that were kept."""
        return self.epochs[self.best_epoch - 1].val_dice


@dataclass
class Training:
    """A training that has begun or can be resumed."""

    model: nn.Module  #: the network, on its device.
    optimiser: torch.optim.Adam  #: of the network's parameters.
    recipe: Recipe  #: how the training is run.
    progress: Progress = field(default_factory=Progress)  #: how far it is.


def build_model(options: RunOptions) -> nn.Module:
    """Return the network of ``options``, with weights drawn by the seed; ``InputError`` if it cannot be made."""
    torch.manual_seed(options.seed)
    return build_network(options.model, options.filters, options.depth)


def begin(options: RunOptions, checkpoint: Path | None = None) -> Training:
    """Make network, optimiser and recipe on ``device()``, in the stored state of ``checkpoint`` if there is one."""
    recipe = RECIPES[options.recipe](device())
    model = recipe.place(build_model(options))
    training = Training(model, recipe.optimiser(model, options.learning_rate), recipe)
    if checkpoint is not None:
        training.progress = load_checkpoint(checkpoint, model, training.optimiser)
    return training


def fit(
    training: Training,
    archive: CropArchive,
    rows: SplitRows,
    options: RunOptions,
    directory: Path,
    run: str = "",
    *,
    epoch_window: Callable[[int, bool], AbstractContextManager[Any]] = lambda epoch, resumed: nullcontext(),
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_batch: Callable[[int, int, int], None] = lambda epoch, batch, batches: None,
    reason_to_stop: Callable[[], str] = lambda: "",
) -> Fit:
    """Train until the planned epochs are done or there is a reason to stop, and leave the best weights in the model.

    ``checkpoint.safetensors`` is replaced after each epoch, and when the process receives SIGTERM or Ctrl-C;
    ``weights.safetensors`` whenever validation Dice improves. `InputError` where the loss is not finite: the files of
    the last good epoch stay.

    Args:
        training: from ``begin``; changed in place.
        archive: the crops, with the ``rows`` to train and to validate on.
        directory: where the two files are written.
        run: fingerprint of the run, written into its checkpoint.
        epoch_window: a context for each epoch (training and validation), called with its number and whether it resumes
            an interrupted one; for the footprint.
        on_epoch: called with each finished epoch.
        on_batch: called after each batch with epoch, batch (both from 1) and the number of batches, for progress bars.
        reason_to_stop: called before each epoch but the first; any other text than "" ends the training.
    """
    # Longer than a function should be, so that a training is read from its first batch to its last in one place.
    model, optimiser, recipe, progress = training.model, training.optimiser, training.recipe, training.progress
    checkpoint, weights, card = directory / CHECKPOINT, directory / WEIGHTS, ModelCard.from_options(options, archive)
    if options.model != BUILT_IN:
        check_output(model, options.model, archive.size)
    step = recipe.step(model, optimiser, LOSSES[options.loss], options.batch_size)
    train = recipe.batches(archive, rows.train, parse_target(options.readers))
    validation = recipe.batches(archive, rows.validation, scored_target(options.readers))
    crops_in_batch = [batch.stop - batch.start for batch in batch_slices(len(rows.train), options.batch_size)]
    batches = len(crops_in_batch)
    stopped = ""

    if progress.epochs and progress.best_epoch == len(progress.epochs) and not progress.losses:
        # The checkpoint is written before the weights; a kill in between leaves the weights of an earlier epoch.
        save_model(model, card, weights)

    with stop_on_signal() as stop:
        while len(progress.epochs) < options.epochs:
            if progress.epochs and (stopped := _out_of_patience(progress, options) or reason_to_stop()):
                break
            number = len(progress.epochs) + 1
            with epoch_window(number, bool(progress.losses)):
                started = perf_counter() - progress.spent_s
                plan = plan_epoch(options.seed, number, len(rows.train), options.augment)
                # Losses stay on the device, since reading one would wait for the device.
                losses = list(torch.tensor(progress.losses, device=next(model.parameters()).device))
                model.train()
                for images, targets in train.shuffled(plan, options.batch_size, first=len(losses)):
                    rate = learning_rate(options, (number - 1 + len(losses) / batches) / options.epochs)
                    set_learning_rate(optimiser, rate)
                    losses.append(step(images, targets).clone())
                    if recipe.reads_every_loss:
                        _check_finite(losses[-1:], number, len(losses), options, weights)
                    on_batch(number, len(losses), batches)
                    if stop.requested and len(losses) < batches:
                        _check_finite(losses, number, 1, options, weights)
                        progress.losses, progress.spent_s = torch.stack(losses).tolist(), perf_counter() - started
                        save_checkpoint(checkpoint, run, progress, model, optimiser)
                        stop.leave(progress)
                _check_finite(losses, number, 1, options, weights)
                val_loss, val_dice = validate(model, validation, LOSSES[options.loss], recipe)
                train_loss = float(np.average(torch.stack(losses).double().cpu(), weights=crops_in_batch))
                epoch = Epoch(number, train_loss, val_loss, val_dice, rate, perf_counter() - started)
            progress.finish(epoch)
            save_checkpoint(checkpoint, run, progress, model, optimiser)
            if progress.best_epoch == number:
                save_model(model, card, weights)
            on_epoch(epoch)
            if stop.requested:
                stop.leave(progress)

    load_weights(model, weights, card)
    return Fit(progress.epochs, progress.best_epoch, stopped)


def learning_rate(options: RunOptions, progress: float) -> float:
    """Return the step size after the share ``progress`` of training; "cosine" decreases to zero (arXiv:1608.03983)."""
    if options.schedule == "constant":
        return options.learning_rate
    return options.learning_rate * (1 + math.cos(math.pi * progress)) / 2


class StopRequest:
    """Whether the process received a signal to end, and which."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def requested(self) -> bool:
        """Whether there was such a signal."""
        return self.signal is not None

    def leave(self, progress: Progress) -> NoReturn:
        """End as the signal demands: by KeyboardInterrupt, or for SIGTERM with the usual exit code, 128 + 15."""
        message = f"Stopped {progress.describe()}; its state is saved. Start it again to go on."
        if self.signal is signal.SIGTERM:
            print(message, flush=True)
            raise SystemExit(128 + self.signal)
        raise KeyboardInterrupt(message)


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Record the first Ctrl-C or SIGTERM instead of ending at once; a second one ends the process.

    Outside the main thread Python receives no signals, and nothing is changed.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.signal = signal.Signals(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_finite(losses: list[Tensor], epoch: int, first: int, options: RunOptions, weights: Path) -> None:
    """Raise ``InputError`` if a loss is not finite, and name its batch; ``first`` is the batch of ``losses[0]``."""
    values = torch.stack(losses).cpu()
    bad = torch.nonzero(~torch.isfinite(values)).flatten().tolist()
    if bad:
        kept = f"The best weights so far are in {weights}. " if weights.exists() else ""
        raise InputError(
            f"training loss is {float(values[bad[0]])} in epoch {epoch}, batch {first + bad[0]}. {kept}"
            f"Use a smaller learning_rate than {options.learning_rate}."
        )


def _out_of_patience(progress: Progress, options: RunOptions) -> str:
    without = len(progress.epochs) - progress.best_epoch
    if not options.patience or without < options.patience:
        return ""
    return f"early: validation Dice was best in epoch {progress.best_epoch} and not better in {without} epochs since"
