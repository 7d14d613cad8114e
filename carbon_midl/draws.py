"""What chance decides in one epoch of training.

Order, orientations and readers follow from the seed and the number of the epoch alone. So a resumed training goes on as
if it had never stopped, without a random state to store, and every recipe sees the same batches.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carbon_midl.lidc import READERS

ORIENTATIONS = 8


class Draws(NamedTuple):
    """The draws of one epoch over ``n`` crops.

    ``order``: ``(n,)`` positions as they are visited; ``orientation``: ``(n,)`` 0 … 7 by position, see ``turned``;
    ``reader``: ``(n, 4)`` in [0, 1) by position, from which the target "random" picks its reader.
    """

    order: NDArray[np.int64]
    orientation: NDArray[np.int64]
    reader: NDArray[np.float64]


def draw_epoch(seed: int, epoch: int, crops: int, augment: bool) -> Draws:
    """Draw epoch ``epoch`` (from 1) of a training with ``seed`` over ``crops`` crops."""
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(crops)
    orientation = generator.integers(ORIENTATIONS, size=crops)
    reader = generator.random((crops, READERS))
    return Draws(order, orientation if augment else np.zeros_like(orientation), reader)


def batch_slices(crops: int, batch_size: int) -> list[slice]:
    """Cut an epoch into batches; a last short batch is kept unless it is a single crop.

    Batch normalisation cannot estimate a variance from one crop's deepest, 1 × 1 px level.
    """
    slices = [slice(start, min(start + batch_size, crops)) for start in range(0, crops, batch_size)]
    if len(slices) > 1 and slices[-1].stop - slices[-1].start == 1:
        slices.pop()
    return slices
