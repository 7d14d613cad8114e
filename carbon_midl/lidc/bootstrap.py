"""How sure a number about the collection is: bootstrap over patients.

Slices, nodules and readings of one patient resemble one another, so the patient is the unit that is drawn again.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carbon_midl.errors import InputError

DRAWS = 2000


class Estimate(NamedTuple):
    """A mean or median with its 95 % percentile interval over patients, and how many values and patients it is of."""

    estimate: float
    low: float
    high: float
    n: int
    patients: int


def mean_over_patients(values: ArrayLike, patients: ArrayLike, draws: int = DRAWS) -> Estimate:
    """Estimate the mean of values, every value counting alike.

    Args:
        values: ``(n,)`` numbers.
        patients: ``(n,)`` the patient of each value.
        draws: how often the patients are drawn again, with replacement.

    Raises:
        InputError: there is no value.
    """
    numbers, codes, count = _by_patient(values, patients)
    weights = patient_draws(count, draws)
    sums, sizes = np.bincount(codes, numbers, count), np.bincount(codes, minlength=count)
    means = (weights @ sums) / (weights @ sizes)
    low, high = np.quantile(means, [0.025, 0.975]).tolist()
    return Estimate(float(numbers.mean()), low, high, len(numbers), count)


def median_over_patients(values: ArrayLike, patients: ArrayLike, draws: int = DRAWS) -> Estimate:
    """Estimate the median (of an even number, the lower of the two middle values); else as `mean_over_patients`."""
    numbers, codes, count = _by_patient(values, patients)
    order = np.argsort(numbers, kind="stable")
    numbers, codes = numbers[order], codes[order]
    medians = np.empty(draws)
    for draw, weights in enumerate(patient_draws(count, draws)):
        below = weights[codes].cumsum()
        medians[draw] = numbers[np.searchsorted(below, below[-1] / 2)]
    low, high = np.quantile(medians, [0.025, 0.975]).tolist()
    return Estimate(float(numbers[(len(numbers) - 1) // 2]), low, high, len(numbers), count)


def _by_patient(values: ArrayLike, patients: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """The values, the number of each one's patient, and how many patients there are."""
    numbers: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        raise InputError("bootstrap: no values; expected at least one. Choose more patients.")
    names, codes = np.unique(np.asarray(patients), return_inverse=True)
    return numbers, codes, len(names)


@lru_cache(maxsize=8)
def patient_draws(patients: int, draws: int = DRAWS) -> NDArray[Any]:
    """How often each patient is in each draw, ``(draws, patients)``; always the same for equal arguments."""
    return np.random.default_rng(0).multinomial(patients, np.full(patients, 1 / patients), size=draws).astype(float)
