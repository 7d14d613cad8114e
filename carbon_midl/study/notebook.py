"""What a run's notebook calls, cell by cell."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from tqdm import tqdm

from carbon_midl.footprint import NOT_SEPARABLE, Budget, FootprintRecord, Tracker
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.parameters import parse_parameters, running_shell
from carbon_midl.study.run import Run, earlier_attempts, prepare_run, write_epochs, write_footprint, write_result
from carbon_midl.training.checkpoint import RESULT
from carbon_midl.training.evaluate import size_bands
from carbon_midl.training.network import network_size
from carbon_midl.training.options import BUILT_IN, RunOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from carbon_midl.training.checkpoint import Epoch
    from carbon_midl.training.fit import Fit, Training


class TrainingPaused(Exception):
    """A training was paused where the parameters said so; its state is saved."""


_LOSS_NAMES = {"bce+dice": "cross-entropy + 1 − soft Dice", "bce": "cross-entropy", "dice": "1 − soft Dice"}
_TRAIN_FIRST = "train the model first: run the cell with experiment.train()"


def project_root() -> Path:
    """Return the checkout that the working directory is in, or else the working directory.

    Papermill starts a notebook where it was called, Jupyter where the notebook lies; paths mean the same in both.
    """
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / "carbon_midl").is_dir() and (directory / "studies").is_dir():
            return directory
    return here


@dataclass
class Experiment:
    """One run as the notebook goes through it."""

    run: Run
    tracker: Tracker
    pause_after: int = 0
    metered_alone: bool = True
    trained: "Training | None" = None
    fitted: "Fit | None" = None
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    after_epoch: "Callable[[Experiment], None]" = lambda experiment: None
    # The tracker outlives a cell: it opens with the training and closes after the test. So does the lock on the GPU.
    _tracking: ExitStack = field(default_factory=ExitStack)

    @property
    def footprint(self) -> FootprintRecord:
        """What the run has used so far."""
        return self.tracker.record

    def describe_data(self) -> pd.DataFrame:
        """Return patients and slices of each part of the split."""
        split, rows = self.run.split, self.run.rows
        return pd.DataFrame(
            {
                "patients": [len(split.train), len(split.validation), len(split.test)],
                "slices": [len(rows.train), len(rows.validation), len(rows.test)],
            },
            index=["training", "validation", "test"],
        )

    def show_crops(self, count: int = 12) -> "Figure":
        """Show training crops, evenly spaced through the archive."""
        from carbon_midl.lidc.pictures import contact_sheet

        rows = self.run.rows.train
        return contact_sheet(self.run.archive, rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)])

    def describe_model(self) -> pd.DataFrame:
        """Return the size of this run's network."""
        options = self.run.options
        size = network_size(options, self.run.archive.size)
        shape = {"initial filters F": [options.filters], "levels": [options.depth]}
        return pd.DataFrame(
            {
                **(shape if options.model == BUILT_IN else {"network": [options.model]}),
                "parameters": [f"{size.parameters:,}"],
                "GMAC a crop": [f"{size.macs / 1e9:.3f}"],
            }
        )

    def train(self) -> pd.DataFrame:
        """Train inside the footprint window "training" and return the per-epoch table.

        An interrupted training goes on from its checkpoint; what its earlier attempts used counts. Where another run
        trains on the same metered GPU, that is waited for.

        Raises:
            InputError: the loss is not finite, or the checkpoint is damaged.
            TrainingPaused: the epoch ``pause_after`` is done; another start with a later one, or 0, goes on.
        """
        from carbon_midl.training.fit import begin, fit

        options, directory = self.run.options, self.run.directory
        # Before the window opens: loading parts of torch is start-up, the same for every width, and no training. Before
        # the GPU is free, too: the meter of the run beside would not show that weights are put there.
        self.tracker.load()
        training = begin(options, self.run.checkpoint)
        done = training.progress.epochs
        if self.run.checkpoint is not None:
            print(f"Going on {training.progress.describe()}.")
            # The attempt before may have been killed when its checkpoint was written and the table not yet.
            write_epochs(directory, done)
            self._pause_if_due(len(done))
        self._wait_for_the_gpu()
        self._tracking.enter_context(self.tracker)
        try:
            with EpochBar(options.epochs, len(done)) as bar, self.tracker.window("training"):

                @contextmanager
                def measured(number: int, continued: bool) -> Iterator[None]:
                    with self.tracker.epoch(number, continued):
                        yield
                    # Before the checkpoint: a kill in between repeats the epoch, but what it used is not lost.
                    write_footprint(directory, self.footprint)

                def finished(epoch: "Epoch") -> None:
                    write_epochs(directory, done)
                    bar.finished(epoch)
                    self.after_epoch(self)
                    self._pause_if_due(epoch.epoch)

                self.fitted = fit(
                    training,
                    self.run.archive,
                    self.run.rows,
                    options,
                    directory,
                    self.run.training,
                    epoch_window=measured,
                    on_epoch=finished,
                    on_batch=bar.batch,
                    reason_to_stop=self._over_budget,
                )
        except TrainingPaused:
            self._tracking.close()
            raise
        finally:
            # However it ends, what it has used is not lost.
            write_footprint(directory, self.footprint)
        self.trained = training
        if self.fitted.stopped:
            print(f"Stopped {self.fitted.stopped}")
            self.tracker.note(f"training stopped {self.fitted.stopped}")
        return self._epoch_table()

    def _wait_for_the_gpu(self) -> None:
        from carbon_midl.footprint.gpu_lock import gpu_lock
        from carbon_midl.footprint.nvml import visible_boards

        if self.metered_alone:
            told = "Waiting for another run to leave the GPU, whose meter would count both."
            self._tracking.enter_context(gpu_lock(visible_boards(), lambda: print(told)))

    def _pause_if_due(self, epoch: int) -> None:
        if self.pause_after and epoch >= self.pause_after:
            raise TrainingPaused(f"paused after epoch {epoch} of {self.run.options.epochs}; its state is saved")

    def _over_budget(self) -> str:
        options = self.run.options
        if not (options.budget_g or options.budget_kwh):
            return ""
        decision = Budget(options.budget_g or None, options.budget_kwh or None).check(self.footprint)
        return f"by the {decision.reason}" if decision.stop else ""

    def plot_curves(self) -> "Figure":
        """Plot losses and validation Dice over the epochs."""
        from matplotlib import pyplot as plt

        table = self._epoch_table()
        figure, (loss, overlap) = plt.subplots(1, 2, figsize=(8, 2.8), gridspec_kw={"bottom": 0.18, "right": 0.97})
        loss.plot(table["train_loss"], marker="o", label="training")
        loss.plot(table["val_loss"], marker="o", label="validation")
        loss.set_ylabel(_LOSS_NAMES[self.run.options.loss])
        overlap.plot(table["val_dice"], marker="o", color="C1", label="validation")
        overlap.axvline(self._fitted().best_epoch, color="grey", linestyle=":", label="weights kept")
        overlap.set(ylabel="Dice", ylim=(0, 1))
        for axis in (loss, overlap):
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.legend()
        return figure

    def test(self) -> pd.DataFrame:
        """Score validation and test slices, close the footprint record and return the table of the test slices.

        What is chosen is chosen on the validation slices; the test slices say how good that is.
        """
        from carbon_midl.training.scoring import score

        model, run = self._trained().model, self.run
        tables = []
        for part, rows in (("validation", run.rows.validation), ("test", run.rows.test)):
            with self.tracker.window(part):
                tables.append(pd.DataFrame(score(model, run.archive, rows, run.options.readers)).assign(part=part))
        self.scores = pd.concat(tables, ignore_index=True)
        # What is still to be shown is a dozen crops; the GPU is the next run's from here on.
        model.to("cpu")
        self._tracking.close()
        return self._test_scores()

    def show_segmentations(self, count: int = 12) -> "Figure":
        """Show test crops from the worst Dice to the best."""
        from carbon_midl.lidc.pictures import segmentations, spread
        from carbon_midl.training.scoring import predict

        scores = self._test_scores()["dice"]
        chosen = spread(scores, count)
        rows = self.run.rows.test[chosen]
        masks = predict(self._trained().model, self.run.archive, rows)
        return segmentations(self.run.archive, rows, masks, scores.iloc[chosen])

    def dice_by_size(self) -> pd.DataFrame:
        """Return test Dice by the area of the consensus, with the readers' agreement among themselves."""
        table = self._test_scores()
        table["nodule area"] = size_bands(table["target_px"])
        return table.groupby("nodule area", observed=True).agg(
            slices=("dice", "size"),
            patients=("patient_id", "nunique"),
            dice=("dice", "mean"),
            readers_dice=("readers_dice", "mean"),
        )

    def write_result(self) -> Path:
        """Write the run's tables and ``result.json``; from then on the run is done.

        Returns the path of the latter, from the checkout where it lies inside.
        """
        path = write_result(self.run, self._fitted(), self._trained().recipe.precision, self.scores, self.footprint)
        return path.relative_to(project_root()) if path.is_relative_to(project_root()) else path

    def _test_scores(self) -> pd.DataFrame:
        return self.scores[self.scores["part"] == "test"].drop(columns="part").reset_index(drop=True)

    def _epoch_table(self) -> pd.DataFrame:
        return pd.DataFrame([asdict(epoch) for epoch in self._fitted().epochs]).set_index("epoch")

    def _fitted(self) -> "Fit":
        if self.fitted is None:
            raise RuntimeError(_TRAIN_FIRST)
        return self.fitted

    def _trained(self) -> "Training":
        if self.trained is None:
            raise RuntimeError(_TRAIN_FIRST)
        return self.trained


def open_experiment(**parameters: Any) -> Experiment:
    """Check the notebook's parameters, open the crops and make ready to train.

    Args:
        parameters: fields of ``NotebookParameters``; what is not given keeps its default.

    Raises:
        InputError: a parameter that cannot be, or that is unknown; nothing is opened and nothing written then.
    """
    from carbon_midl.lidc.phantom import open_phantom

    root = project_root()
    checked = parse_parameters(parameters)
    options = checked.options
    archive = open_phantom(root) if checked.crops == "phantom" else CropArchive.open(root / checked.crops)
    directory = root / checked.output if checked.output else free_directory(root / "runs" / "single", options)
    _draw_pictures_once()
    tracker = Tracker(
        directory / "footprint",
        epochs=options.epochs,
        pue=checked.pue,
        intensity=checked.intensity,
        carbontracker=checked.carbontracker,
        earlier=earlier_attempts(directory),
    )
    if not checked.metered_alone:
        tracker.note(NOT_SEPARABLE)
    return Experiment(prepare_run(directory, options, archive), tracker, checked.pause_after, checked.metered_alone)


def _draw_pictures_once() -> None:
    """Jupyter trims the margins of a picture, for which it draws each twice; ours are laid out with none to trim."""
    if (shell := running_shell()) is not None:
        from matplotlib_inline.config import InlineBackend

        InlineBackend.instance(parent=shell).print_figure_kwargs = {"bbox_inches": None}  # type: ignore[dict-item]


def free_directory(parent: Path, options: RunOptions) -> Path:
    """Return ``filters-F-seed-S`` in ``parent``, or with ``-2``, ``-3``, … where that holds a finished run."""
    name = f"filters-{options.filters}-seed-{options.seed}"
    candidates = (parent / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
    return next(path for path in candidates if not (path / RESULT).exists())


class EpochBar:
    """Show epoch, share of the batches done, time left and the latest validation Dice.

    Args:
        epochs: how many epochs are planned.
        done: how many of them an earlier attempt has finished.
    """

    def __init__(self, epochs: int, done: int = 0) -> None:
        self._epochs = epochs
        self._done = done

    def __enter__(self) -> Self:
        # Redrawn at most once a second: in a notebook each drawing is a message.
        self._bar = tqdm(unit="batch", mininterval=1.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def batch(self, epoch: int, batch: int, batches: int) -> None:
        """Tell that ``batch`` (from 1) of ``batches`` of ``epoch`` (from 1) is done."""
        if self._bar.total is None:
            self._bar.reset(total=(self._epochs - self._done) * batches)
        self._bar.set_description(f"epoch {epoch}/{self._epochs}", refresh=False)
        self._bar.update()

    def finished(self, epoch: "Epoch") -> None:
        """Tell that an epoch is done."""
        self._bar.set_postfix_str(f"validation Dice {epoch.val_dice:.3f}")
