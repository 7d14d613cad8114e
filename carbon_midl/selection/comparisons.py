"""Differences in performance between all pairs of candidates, with intervals and tests corrected for their number."""

from itertools import combinations

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates

_LIMIT = 0.975


def compare(candidates: Candidates) -> pd.DataFrame:
    """Every pair, the cheaper one first, by the t interval and test that ``noninferior`` uses.

    Intervals are of one pair each, 95 %. The corrected probabilities hold for all pairs together: Holm 1979, "A simple
    sequentially rejective multiple test procedure". Where a single replicate tells nothing, there is neither.

    Returns:
        Rows with ``first``, ``second``, ``difference`` (second minus first), ``low``, ``high``, ``p`` (two-sided) and
        ``p_holm``.

    Raises:
        InputError: fewer than two candidates.
    """
    from scipy.special import stdtr, stdtrit

    if len(candidates) < 2:
        raise InputError(f"candidates: found {len(candidates)}; a comparison needs at least two.")
    order = np.argsort(candidates.mean_cost, kind="stable")
    pairs = np.array(list(combinations(order.tolist(), 2)))
    each = np.array([candidates.difference_errors(place) for place in range(len(candidates))])
    first, second = pairs.T
    difference = candidates.mean_performance[second] - candidates.mean_performance[first]
    error, freedom = each[first, :, second].T
    half = stdtrit(freedom, _LIMIT) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(freedom, -np.abs(difference) / error)
    p[(difference == 0) & (error == 0)] = 1.0
    names = np.array(candidates.names, dtype=object)
    return pd.DataFrame(
        {
            "first": names[first],
            "second": names[second],
            "difference": difference,
            "low": difference - half,
            "high": difference + half,
            "p": p,
            "p_holm": holm(p),
        }
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Corrected probabilities of a family of tests; NaN is no test and stays so."""
    corrected = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return corrected
