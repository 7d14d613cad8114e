"""From four readers' masks to the one target that a network is trained on or scored against."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.lidc import READERS


@dataclass(frozen=True)
class Target:
    """How readers become a target.

    ``at least``: pixels that at least ``k`` of the four readers outlined; ``random``: one reader drawn from those who
    outlined the slice; ``mean``: the share of those readers, soft in [0, 1].
    """

    kind: Literal["at least", "random", "mean"]
    k: int = 1

    def of(self, masks: NDArray[np.bool_], draws: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
        """Return the target of each crop.

        Args:
            masks: ``(n, 4, H, W)`` bool.
            draws: ``(n, 4)`` in [0, 1), of which the largest names the reader for ``random``; needed only there.

        Returns:
            ``(n, H, W)`` float32 in [0, 1]; all zero where nobody outlined anything.
        """
        votes = masks.sum(axis=1, dtype=np.uint8)
        if self.kind == "at least":
            return (votes >= self.k).astype(np.float32)
        present = masks.any(axis=(2, 3))
        if self.kind == "mean":
            readers = np.maximum(present.sum(axis=1), 1).astype(np.float32)
            return votes / readers[:, None, None]
        if draws is None:
            raise TypeError("target 'random' needs draws")
        # Readers without an outline get the score -1, so that they are drawn only where there is no other.
        reader = np.where(present, draws, -1.0).argmax(axis=1)
        return masks[np.arange(len(masks)), reader].astype(np.float32)


def parse_target(text: str) -> Target:
    """Read ``'at least K'`` (K = 1 … 4), ``'any'``, ``'all'``, ``'random'`` or ``'mean'``.

    Raises:
        InputError: anything else.
    """
    if text == "any":
        return Target("at least", 1)
    if text == "all":
        return Target("at least", READERS)
    if text == "random":
        return Target("random")
    if text == "mean":
        return Target("mean")
    if (match := re.fullmatch(r"at least ([1-4])", text)) is not None:
        return Target("at least", int(match[1]))
    raise InputError(
        f"readers = {text!r}: expected 'at least K' with K from 1 to {READERS}, 'any', 'all', 'random' or 'mean'."
    )


def scored_target(readers: str) -> Target:
    """Return what slices are scored against: the training target if it is a mask, else at least 2 of 4 readers."""
    target = parse_target(readers)
    return target if target.kind == "at least" else Target("at least", 2)
