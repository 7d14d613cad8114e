"""Fitting one U-Net to one crop archive: epochs, checkpoints, and ends of several kinds."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from carbon_midl.checkpoint import Epoch, Progress, load_checkpoint, save_checkpoint
from carbon_midl.draws import batch_slices, draw_epoch
from carbon_midl.errors import InputError
from carbon_midl.interruption import Asked, asked_to_end
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.targets import parse_target, scored_target
from carbon_midl.losses import LOSSES
from carbon_midl.model_file import ModelCard, load_weights, save_model
from carbon_midl.network import network
from carbon_midl.options import BUILT_IN, RunOptions
from carbon_midl.own_model import check_output
from carbon_midl.parts import Parts
from carbon_midl.recipes import RECIPES, Recipe, device, set_learning_rate
from carbon_midl.run_files import CHECKPOINT, WEIGHTS
from carbon_midl.scoring import validate


@dataclass(frozen=True)
class Fit:
    """What training gave.

    Attributes:
        epochs: the per-epoch table.
        best_epoch: the epoch (from 1) whose weights were kept.
        stopped: why it ended before the last epoch that was planned; empty where it did not.
    """

    epochs: list[Epoch]
    best_epoch: int
    stopped: str = ""

    @property
    def val_dice(self) -> float:
        """Validation Dice of the weights that were kept."""
        return self.epochs[self.best_epoch - 1].val_dice


@dataclass
class Training:
    """A training that has begun or can be gone on with.

    Attributes:
        model: the network, on its device.
        optimiser: of the network's parameters.
        recipe: how it is run.
        progress: how far it is.
    """

    model: nn.Module
    optimiser: torch.optim.Adam
    recipe: Recipe
    progress: Progress = field(default_factory=Progress)


def build_model(options: RunOptions) -> nn.Module:
    """Return the network of ``options``; its weights follow from the seed.

    Raises:
        InputError: a network of one's own that cannot be made.
    """
    torch.manual_seed(options.seed)
    return network(options.model, options.filters, options.depth)


def begin(options: RunOptions, checkpoint: Path | None = None) -> Training:
    """Make ready to train: network, optimiser and recipe on ``device()``.

    Args:
        options: how to train.
        checkpoint: the stored state to go on from; None begins anew.

    Raises:
        InputError: a checkpoint that is damaged or of another network.
    """
    recipe = RECIPES[options.recipe](device())
    model = recipe.place(build_model(options))
    training = Training(model, recipe.optimiser(model, options.learning_rate), recipe)
    if checkpoint is not None:
        training.progress = load_checkpoint(checkpoint, model, training.optimiser)
    return training


def fit(
    training: Training,
    archive: CropArchive,
    parts: Parts,
    options: RunOptions,
    directory: Path,
    run: str = "",
    *,
    epoch_window: Callable[[int, bool], AbstractContextManager[Any]] = lambda epoch, continued: nullcontext(),
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_batch: Callable[[int, int, int], None] = lambda epoch, batch, batches: None,
    reason_to_stop: Callable[[], str] = lambda: "",
) -> Fit:
    """Train until the planned epochs are done or there is a reason to stop, and leave the best weights in the model.

    After each epoch, and when the process is asked to end (SIGTERM, Ctrl-C), ``checkpoint.safetensors`` is replaced;
    ``weights.safetensors`` whenever validation Dice improves.

    Args:
        training: from ``begin``; changed in place.
        archive: the crops.
        parts: rows to train on and to validate on.
        options: how to train.
        directory: gets the two files.
        run: fingerprint of the run, written into its checkpoint.
        epoch_window: opened around each epoch (training and validation) with its number and whether it goes on with one
            that was interrupted, for the footprint.
        on_epoch: called with each finished epoch.
        on_batch: called after each batch with epoch, batch (both from 1) and the number of batches, for progress bars.
        reason_to_stop: asked before each epoch but the first; anything but "" ends the training in good order.

    Raises:
        InputError: the loss is not finite; checkpoint and best weights of the last good epoch stay.
        KeyboardInterrupt, SystemExit: it was asked to end, and its state was saved.
    """
    hooks = _Hooks(epoch_window, on_epoch, on_batch, reason_to_stop)
    fitting = _Fitting(training, archive, parts, options, directory, run, hooks)
    with asked_to_end() as asked:
        stopped = fitting.until_done(asked)
    load_weights(training.model, directory / WEIGHTS, ModelCard.of(options, archive))
    return Fit(training.progress.epochs, training.progress.best_epoch, stopped)


class _Hooks(NamedTuple):
    epoch_window: Callable[[int, bool], AbstractContextManager[Any]]
    on_epoch: Callable[[Epoch], None]
    on_batch: Callable[[int, int, int], None]
    reason_to_stop: Callable[[], str]


class _Fitting:
    """One call of ``fit``."""

    def __init__(
        self,
        training: Training,
        archive: CropArchive,
        parts: Parts,
        options: RunOptions,
        directory: Path,
        run: str,
        hooks: _Hooks,
    ) -> None:
        self._training = training
        self._options = options
        self._hooks = hooks
        self._run = run
        self._checkpoint, self._weights = directory / CHECKPOINT, directory / WEIGHTS
        self._card = ModelCard.of(options, archive)
        if options.model != BUILT_IN:
            check_output(training.model, options.model, archive.size)
        recipe = training.recipe
        self._step = recipe.step(training.model, training.optimiser, LOSSES[options.loss], options.batch_size)
        self._train = recipe.batches(archive, parts.train, parse_target(options.readers))
        self._validation = recipe.batches(archive, parts.validation, scored_target(options.readers))
        self._batches = batch_slices(len(parts.train), options.batch_size)
        self._crops = len(parts.train)

    def until_done(self, asked: Asked) -> str:
        """Train epoch after epoch, and return why that ended early, or ""."""
        progress, options = self._training.progress, self._options
        if progress.epochs and progress.best_epoch == len(progress.epochs) and not progress.losses:
            # It may have been killed between the checkpoint and the weights.
            save_model(self._training.model, self._card, self._weights)
        while len(progress.epochs) < options.epochs:
            if progress.epochs and (reason := _out_of_patience(progress, options) or self._hooks.reason_to_stop()):
                return reason
            number = len(progress.epochs) + 1
            with self._hooks.epoch_window(number, bool(progress.losses)):
                epoch = self._epoch(number, asked)
            progress.finish(epoch)
            self._save()
            if progress.best_epoch == number:
                save_model(self._training.model, self._card, self._weights)
            self._hooks.on_epoch(epoch)
            if asked.by is not None:
                self._leave(asked)
        return ""

    def _epoch(self, number: int, asked: Asked) -> Epoch:
        progress, options, recipe = self._training.progress, self._options, self._training.recipe
        started = perf_counter() - progress.spent_s
        draws = draw_epoch(options.seed, number, self._crops, options.augment)
        where = next(self._training.model.parameters()).device
        losses = list(torch.tensor(progress.losses, device=where))
        self._training.model.train()
        for images, targets in self._train.drawn(draws, options.batch_size, first=len(losses)):
            rate = learning_rate(options, (number - 1 + len(losses) / len(self._batches)) / options.epochs)
            set_learning_rate(self._training.optimiser, rate)
            losses.append(self._step(images, targets).clone())
            if recipe.reads_every_loss:
                self._check_finite(losses[-1:], number, len(losses))
            self._hooks.on_batch(number, len(losses), len(self._batches))
            if asked.by is not None and len(losses) < len(self._batches):
                self._check_finite(losses, number)
                progress.losses = torch.stack(losses).tolist()
                progress.spent_s = perf_counter() - started
                self._save()
                self._leave(asked)
        self._check_finite(losses, number)
        val_loss, val_dice = validate(self._training.model, self._validation, options, recipe)
        sizes = [batch.stop - batch.start for batch in self._batches]
        train_loss = float(np.average(torch.stack(losses).double().cpu(), weights=sizes))
        return Epoch(number, train_loss, val_loss, val_dice, rate, perf_counter() - started)

    def _check_finite(self, losses: list[Tensor], epoch: int, first: int = 1) -> None:
        """Raise where the loss of a batch is not finite, naming the first."""
        values = torch.stack(losses).cpu()
        bad = torch.nonzero(~torch.isfinite(values)).flatten().tolist()
        if bad:
            kept = f"The best weights so far are in {self._weights}. " if self._weights.exists() else ""
            raise InputError(
                f"training loss is {float(values[bad[0]])} in epoch {epoch}, batch {first + bad[0]}. {kept}"
                f"Use a smaller learning_rate than {self._options.learning_rate}."
            )

    def _save(self) -> None:
        training = self._training
        save_checkpoint(self._checkpoint, self._run, training.progress, training.model, training.optimiser)

    def _leave(self, asked: Asked) -> NoReturn:
        told = self._training.progress.describe()
        asked.leave(f"Stopped {told}; its state is saved. Start it again to go on.")


def learning_rate(options: RunOptions, progress: float) -> float:
    """Return the step size after the share ``progress`` of training; "cosine" falls to zero (arXiv:1608.03983)."""
    if options.schedule == "constant":
        return options.learning_rate
    return options.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def _out_of_patience(progress: Progress, options: RunOptions) -> str:
    without = len(progress.epochs) - progress.best_epoch
    if not options.patience or without < options.patience:
        return ""
    return f"early: validation Dice was best in epoch {progress.best_epoch} and not better in {without} epochs since"
