"""The progress bar of a training."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from tqdm import tqdm

if TYPE_CHECKING:
    from carbon_midl.training.checkpoint import Epoch


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
