"""Differences in performance between all pairs of candidates, with intervals and tests corrected for their number."""

from itertools import combinations

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.sample import observed
from carbon_midl.selection.student import t_quantiles, two_sided_p

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
    if len(candidates) < 2:
        raise InputError(f"candidates: found {len(candidates)}; a comparison needs at least two.")
    order = np.argsort(candidates.mean_cost, kind="stable")
    pairs = np.array(list(combinations(order.tolist(), 2)))
    sample = observed(candidates)
    errors, freedoms = (
        np.concatenate(parts)
        for parts in zip(*(sample.difference_error(np.array([place])) for place in range(len(candidates))), strict=True)
    )
    first, second = pairs.T
    difference = candidates.mean_performance[second] - candidates.mean_performance[first]
    error, freedom = errors[first, second], freedoms[first, second]
    half = t_quantiles(freedom, _LIMIT) * error
    p = two_sided_p(difference, error, freedom)
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
