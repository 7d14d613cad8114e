"""The functions that the cells of ``notebooks/train_unet.ipynb`` call."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pandas as pd
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.files import write_json
from carbon_midl.footprint import NOT_SEPARABLE, FootprintRecord, Tracker, read_footprint, reason_to_stop
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.parameters import parse_parameters
from carbon_midl.study.run import FOOTPRINT, Run, prepare_run, write_epochs, write_result
from carbon_midl.training.checkpoint import RESULT
from carbon_midl.training.evaluate import size_bands
from carbon_midl.training.network import network_size
from carbon_midl.training.options import RunOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from carbon_midl.training.checkpoint import Epoch
    from carbon_midl.training.fit import Fit, Training


class TrainingPaused(Exception):
    """Raised by ``Experiment.after_epoch`` to end a training for now; its state is saved."""


def project_root() -> Path:
    """Return the checkout that contains the working directory, or else the working directory.

    Papermill runs a notebook in the directory where it was called, Jupyter in that of the notebook; relative paths
    start from the checkout in both.
    """
    here = Path.cwd()
    checkouts = (
        path for path in (here, *here.parents) if (path / "carbon_midl").is_dir() and (path / "studies").is_dir()
    )
    return next(checkouts, here)


@dataclass
class Experiment:
    """One run, from its crops to its result."""

    run: Run  #: options, crops, split and directory.
    tracker: Tracker  #: measures the energy.
    metered_alone: bool = True  #: whether to wait until no other run is trained on the same GPU.
    after_epoch: "Callable[[Experiment], None]" = lambda experiment: None  #: called after each epoch, and on resuming.
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)  #: one row per epoch, after ``train``.
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)  #: one row per test slice, after ``test``.
    _all_scores: pd.DataFrame = field(default_factory=pd.DataFrame)  # those of validation slices, too
    _trained: "tuple[Training, Fit] | None" = None
    # Tracker and lock on the GPU outlive a cell: they begin with the training and end after the test.
    _tracking: ExitStack = field(default_factory=ExitStack)

    @property
    def footprint(self) -> FootprintRecord:
        """The run's footprint so far."""
        return self.tracker.record

    def describe_data(self) -> pd.DataFrame:
        """Count patients and slices of each part of the split."""
        split, rows = asdict(self.run.split), asdict(self.run.rows)
        counts = {part: {"patients": len(split[part]), "slices": len(rows[part])} for part in split}
        return pd.DataFrame.from_dict(counts, orient="index")

    def show_crops(self, count: int = 12) -> "Figure":
        """Show training crops, evenly spaced in the archive."""
        from carbon_midl.lidc.pictures import contact_sheet

        rows = self.run.rows.train
        return contact_sheet(self.run.archive, rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)])

    def describe_model(self) -> pd.DataFrame:
        """Return the size of this run's network."""
        options, size = self.run.options, network_size(self.run.options, self.run.archive.size)
        return pd.DataFrame(
            {
                "network": [options.model],
                "initial filters F": [options.filters],
                "parameters": [f"{size.parameters:,}"],
                "GMAC a crop": [f"{size.macs / 1e9:.3f}"],
            }
        )

    def train(self) -> pd.DataFrame:
        """Train inside the footprint window "training" and return the per-epoch table.

        An interrupted training resumes from its checkpoint, and the energy of its earlier attempts counts. While
        another run is trained on the same metered GPU, this one waits. `InputError` where the loss is not finite, or
        the checkpoint is damaged.
        """
        from carbon_midl.footprint.nvml import gpu_lock, visible_boards
        from carbon_midl.training.fit import begin

        # Before the window opens, since loading parts of torch is the same for every width and no training. Also before
        # waiting for the GPU: copying the weights there uses too little energy to disturb the measured run.
        training = begin(self.run.options, self.run.checkpoint)
        if self.run.checkpoint is not None:
            print(f"Going on {training.progress.describe()}.")
            # The earlier attempt may have been killed after it wrote its checkpoint and before the table.
            if training.progress.epochs:
                write_epochs(self.run.directory, training.progress.epochs)
                self.after_epoch(self)
        if self.metered_alone:
            waiting = "Waiting for another run to leave the GPU, whose meter would count both."
            self._tracking.enter_context(gpu_lock(visible_boards(), lambda: print(waiting)))
        self._tracking.enter_context(self.tracker)
        try:
            fitted = self._fit(training)
        except TrainingPaused:
            self._tracking.close()
            raise
        finally:
            self._write_footprint()  # the energy counts however the training ends
        self._trained = training, fitted
        if fitted.stopped:
            print(f"Stopped {fitted.stopped}")
            self.tracker.note(f"training stopped {fitted.stopped}")
        self.epochs = pd.DataFrame([asdict(epoch) for epoch in fitted.epochs]).set_index("epoch")
        return self.epochs

    def _fit(self, training: "Training") -> "Fit":
        """Train with a progress bar: epoch, share of the batches, time left and the latest validation Dice."""
        from carbon_midl.training.fit import fit

        run, options, epochs = self.run, self.run.options, training.progress.epochs
        done_before = len(epochs)

        @contextmanager
        def epoch_window(number: int, resumed: bool) -> Iterator[None]:
            with self.tracker.epoch(number, resumed):
                yield
            # Before the checkpoint is written: a kill in between repeats the epoch, but its energy is not lost.
            self._write_footprint()

        def on_epoch(epoch: "Epoch") -> None:
            write_epochs(run.directory, epochs)
            bar.set_postfix_str(f"validation Dice {epoch.val_dice:.3f}")
            self.after_epoch(self)

        def on_batch(epoch: int, batch: int, batches: int) -> None:
            if bar.total is None:
                bar.reset(total=(options.epochs - done_before) * batches)
            bar.set_description(f"epoch {epoch}/{options.epochs}", refresh=False)
            bar.update()

        def over_budget() -> str:
            if not (options.budget_g or options.budget_kwh):
                return ""
            reason = reason_to_stop(self.footprint, options.budget_g, options.budget_kwh)
            return f"by the {reason}" if reason else ""

        # Redrawn at most once a second: in a notebook each drawing is a message.
        with tqdm(unit="batch", mininterval=1.0) as bar, self.tracker.window("training"):
            return fit(
                training, run.archive, run.rows, options, run.directory, run.training_fingerprint,
                epoch_window=epoch_window, on_epoch=on_epoch, on_batch=on_batch, reason_to_stop=over_budget,
            )  # fmt: skip

    def _write_footprint(self) -> None:
        write_json(self.run.directory / FOOTPRINT, self.footprint.to_dict())

    def plot_curves(self) -> "Figure":
        """Plot losses and validation Dice over the epochs."""
        from matplotlib import pyplot as plt

        table = self.epochs.rename(columns={"train_loss": "training", "val_loss": "validation"})
        figure, (loss, overlap) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
        table[["training", "validation"]].plot(ax=loss, marker="o", ylabel=f"loss: {self.run.options.loss}")
        table["val_dice"].plot(ax=overlap, marker="o", color="C1", label="validation", ylabel="Dice", ylim=(0, 1))
        overlap.axvline(self._require_trained()[1].best_epoch, color="grey", linestyle=":", label="weights kept")
        overlap.legend()
        for axis in (loss, overlap):
            axis.xaxis.get_major_locator().set_params(integer=True)
        return figure

    def test(self) -> pd.DataFrame:
        """Score validation and test slices, close the footprint record and return the table of the test slices.

        Widths and options are chosen on the validation slices; the test slices say how good the choice is.
        """
        from carbon_midl.training.scoring import score

        model, run = self._require_trained()[0].model, self.run
        tables = []
        for part, rows in (("validation", run.rows.validation), ("test", run.rows.test)):
            with self.tracker.window(part):
                tables.append(pd.DataFrame(score(model, run.archive, rows, run.options.readers)).assign(part=part))
        self._all_scores, self.scores = pd.concat(tables, ignore_index=True), tables[1].drop(columns="part")
        # The cells that follow only show a dozen crops; from here on the GPU is free for the next run.
        model.to("cpu")
        self._tracking.close()
        return self.scores

    def show_segmentations(self, count: int = 12) -> "Figure":
        """Show test crops from the worst Dice to the best."""
        from carbon_midl.lidc.pictures import segmentations, spread
        from carbon_midl.training.scoring import predict

        chosen = spread(self.scores["dice"], count)
        rows = self.run.rows.test[chosen]
        masks = predict(self._require_trained()[0].model, self.run.archive, rows)
        return segmentations(self.run.archive, rows, masks, self.scores["dice"].iloc[chosen])

    def dice_by_size(self) -> pd.DataFrame:
        """Return test Dice by the area of the consensus, beside the readers' agreement among themselves."""
        areas = size_bands(self.scores["target_px"]).rename("nodule area")
        means = {name: (name, "mean") for name in ("dice", "readers_dice")}
        return self.scores.groupby(areas, observed=True).agg(
            slices=("dice", "size"), patients=("patient_id", "nunique"), **means
        )

    def write_result(self) -> Path:
        """Write the run's tables and ``result.json``, which marks it as done, and return the latter's path.

        The path is relative to the checkout if the run is inside it.
        """
        training, fitted = self._require_trained()
        path = write_result(self.run, fitted, training.recipe.precision, self._all_scores, self.footprint)
        return path.relative_to(project_root()) if path.is_relative_to(project_root()) else path

    def _require_trained(self) -> "tuple[Training, Fit]":
        if self._trained is None:
            raise RuntimeError("train the model first: run the cell with experiment.train()")
        return self._trained


def open_experiment(**parameters: Any) -> Experiment:
    """Check the notebook's parameters, open the crops and prepare to train.

    Parameters are the fields of ``NotebookParameters``; those that are missing have their defaults.

    Raises:
        InputError: an unknown parameter or a bad value; then nothing is opened and nothing written.
    """
    from carbon_midl.lidc.phantom import open_phantom

    matplotlib.rcdefaults()  # not the user's style, which may need LaTeX
    root, checked = project_root(), parse_parameters(parameters)
    options = checked.options
    archive = open_phantom(root) if checked.crops == "phantom" else CropArchive.open(root / checked.crops)
    directory = root / checked.output if checked.output else free_directory(root / "runs" / "single", options)
    try:
        earlier = read_footprint(directory / FOOTPRINT)
    except InputError:  # no earlier attempt, or one that was killed while it wrote the record
        earlier = None
    tracker = Tracker(
        directory / "footprint", options.epochs, checked.pue, checked.intensity, checked.carbontracker, earlier=earlier
    )
    if not checked.metered_alone:
        tracker.note(NOT_SEPARABLE)
    return Experiment(prepare_run(directory, options, archive), tracker, checked.metered_alone)


def free_directory(parent: Path, options: RunOptions) -> Path:
    """Return ``filters-F-seed-S`` in ``parent``, with ``-2``, ``-3``, … appended if that holds a finished run."""
    name = f"filters-{options.filters}-seed-{options.seed}"
    candidates = (parent / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
    return next(path for path in candidates if not (path / RESULT).exists())
