"""Student's t for arrays of degrees of freedom."""

import numpy as np


def t_quantiles(freedom: np.ndarray, confidence: float) -> np.ndarray:
    """Quantiles at ``confidence``, NaN where there is no freedom; whole numbers are looked up, since they repeat."""
    from scipy.special import stdtrit

    if not np.issubdtype(freedom.dtype, np.integer):
        return np.where(freedom > 0, stdtrit(np.maximum(freedom, 1e-9), confidence), np.nan)
    known = np.arange(1, int(freedom.max()) + 1)
    table: np.ndarray = np.array([np.nan, *stdtrit(known, confidence)])
    return table[freedom]


def two_sided_p(difference: np.ndarray, error: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Probability of a difference at least as large, were there none; 1 where both are 0, NaN without an error."""
    from scipy.special import stdtr

    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where((difference == 0) & (error == 0), 0.0, np.abs(difference) / error)
    known = np.isfinite(error) & (freedom > 0)
    return np.where(known, 2 * stdtr(np.maximum(freedom, 1e-9), -statistic), np.nan)
