"""Dice, the overlap of two segmentations: ``2 |A ∩ B| / (|A| + |B|)`` (Dice, Ecology 26, 1945)."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Dice of pairs of masks.

    Args:
        a: ``(n, H, W)`` bool.
        b: as ``a``.

    Returns:
        ``(n,)`` in [0, 1]; 1 where both masks are empty, since they agree.
    """
    overlap = (a & b).sum(axis=(1, 2))
    total = a.sum(axis=(1, 2)) + b.sum(axis=(1, 2))
    return np.where(total == 0, 1.0, 2.0 * overlap / np.maximum(total, 1))


def readers_dice(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean Dice over the pairs of readers who outlined the slice: how well people agree, a ceiling for a network.

    Args:
        masks: ``(n, 4, H, W)`` bool.

    Returns:
        ``(n,)``; NaN where fewer than two readers outlined anything.
    """
    present = np.asarray(masks.any(axis=(2, 3)))
    total = np.zeros(len(masks))
    pairs = np.zeros(len(masks))
    for a, b in combinations(range(masks.shape[1]), 2):
        both = present[:, a] & present[:, b]
        total += np.where(both, dice(masks[:, a], masks[:, b]), 0.0)
        pairs += both
    return np.divide(total, pairs, out=np.full(len(masks), np.nan), where=pairs > 0)
