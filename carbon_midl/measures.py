"""Means with intervals: scores that vary with the patient and with the training.

Scores have the shape (candidates, patients, trainings). Patients are the same for all candidates; trainings are each
candidate's own, and NaN fills up where it has fewer. Replicates that all candidates share, as folds, count as patients
with one training each; replicates that they do not share, as seeds, as trainings scored on a single patient.

There is one bootstrap. Slices, nodules and readings of one patient resemble one another, so the patient is the unit
that is drawn again; all candidates get the same patients of a draw, which makes every difference a paired one. Another
seed would have given another network, so each candidate's trainings are drawn again, too. With few of them that spread
is known only roughly, and is rather too small than too large.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from carbon_midl.errors import InputError

DRAWS = 4000
"""Of the bootstrap over patients and trainings."""
FEW = 10
"""Fewer replicates than this are too few for the bootstrap, which takes their spread to be smaller than it is."""
COLLECTION_DRAWS = 2000
"""Of the bootstrap over the patients of the collection."""
_LIMITS = (0.025, 0.975)


class Interval(NamedTuple):
    """An estimate with its 95 % percentile interval."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


class Estimate(NamedTuple):
    """A mean or median with its 95 % percentile interval over patients, and how many values and patients it is of."""

    estimate: float
    low: float
    high: float
    n: int
    patients: int


def drawn_means(*scores: np.ndarray, draws: int = DRAWS, seed: int = 0) -> list[np.ndarray]:
    """Means of all candidates on draws of patients and of each candidate's trainings, both with replacement.

    Scores may be of several kinds, as Dice and energy; patients and trainings of a draw are the same for all kinds. A
    kind that is the same for all patients may have one in place of them. Returned is an array of shape
    (draws, candidates) for each kind.
    """
    generator = np.random.default_rng(seed)
    shares = _patient_draws(generator, max(kind.shape[1] for kind in scores), draws)
    shares = shares / shares[0].sum()
    means = [np.empty((draws, len(kind))) for kind in scores]
    for place, count in enumerate(np.isfinite(scores[0][:, 0]).sum(axis=1)):
        taken = generator.integers(0, count, size=(draws, count))
        for kind, mean in zip(scores, means, strict=True):
            own = kind[place, :, :count]
            by_training = shares @ own if len(own) > 1 else np.broadcast_to(own, (draws, count))
            mean[:, place] = np.take_along_axis(by_training, taken, axis=1).mean(axis=1)
    return means


def interval(estimate: float, drawn: np.ndarray) -> Interval:
    """The estimate between the limits of 95 % of the draws."""
    low, high = np.quantile(drawn, _LIMITS)
    return Interval(float(estimate), float(low), float(high))


def mean_of_repeats(values: ArrayLike) -> Interval:
    """The mean of two or more independent repeats of a measurement, with its 95 % t interval."""
    from scipy.special import stdtrit

    repeats: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    half = stdtrit(len(repeats) - 1, _LIMITS[1]) * repeats.std(ddof=1) / np.sqrt(len(repeats))
    return Interval(*(float(repeats.mean() + side * half) for side in (0, -1, 1)))


def mean_over_patients(values: ArrayLike, patients: ArrayLike) -> Estimate:
    """Estimate the mean of ``(n,)`` values, every value counting alike, however many a patient has.

    The ``(n,)`` patients of the values are drawn again, with replacement.
    """
    numbers, codes, count = _by_patient(values, patients)
    weights = patient_draws(count)
    sums, sizes = np.bincount(codes, numbers, count), np.bincount(codes, minlength=count)
    return Estimate(*interval(numbers.mean(), (weights @ sums) / (weights @ sizes)), len(numbers), count)


def median_over_patients(values: ArrayLike, patients: ArrayLike) -> Estimate:
    """Estimate the median (of an even number, the lower of the two middle values); else as `mean_over_patients`."""
    numbers, codes, count = _by_patient(values, patients)
    order = np.argsort(numbers, kind="stable")
    numbers, codes = numbers[order], codes[order]
    below = (weights[codes].cumsum() for weights in patient_draws(count))
    medians = np.array([numbers[np.searchsorted(counts, counts[-1] / 2)] for counts in below])
    return Estimate(*interval(numbers[(len(numbers) - 1) // 2], medians), len(numbers), count)


@lru_cache(maxsize=8)
def patient_draws(patients: int) -> NDArray[np.float64]:
    """How often each patient is in each of `COLLECTION_DRAWS` draws, ``(draws, patients)``; always the same."""
    return _patient_draws(np.random.default_rng(0), patients, COLLECTION_DRAWS)


def _patient_draws(generator: np.random.Generator, patients: int, draws: int) -> NDArray[np.float64]:
    return generator.multinomial(patients, np.full(patients, 1 / patients), size=draws).astype(float)


def _by_patient(values: ArrayLike, patients: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """The values, the number of each one's patient, and how many patients there are."""
    numbers: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        raise InputError("bootstrap: no values; expected at least one. Choose more patients.")
    names, codes = np.unique(np.asarray(patients), return_inverse=True)
    return numbers, codes, len(names)


def patient_dice(slices: pd.DataFrame) -> pd.DataFrame:
    """Mean test Dice over the slices of a patient, by patient (rows) and by width and seed (columns).

    ``slices`` has one row a run and test slice with the columns ``patient_id``, ``filters``, ``seed`` and ``dice``.
    """
    by_run = slices.groupby(["patient_id", "filters", "seed"])["dice"].mean()
    complete = by_run.unstack(["filters", "seed"]).sort_index(axis=1).dropna()
    if complete.empty:
        raise InputError("slices: no patient was tested in every run; widths can only be compared on shared patients.")
    return complete


@dataclass(frozen=True)
class PatientBootstrap:
    """Mean Dice of every width, as observed and on draws of patients and seeds."""

    widths: list[int]  #: the compared widths, ascending.
    patients: int  #: how many patients every run was tested on.
    observed: np.ndarray  #: mean over seeds and patients, one value a width.
    means: np.ndarray  #: the same on each draw, shape (draws, widths), with the same patients across a row.

    @classmethod
    def draw(cls, table: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> "PatientBootstrap":
        """Draw patients and, within each width, seeds; ``table`` is made by :func:`patient_dice`."""
        widths = sorted({int(width) for width in table.columns.get_level_values(0)})
        dice = [table[width].to_numpy() for width in widths]
        scores = np.full((len(widths), len(table), max(len(values.T) for values in dice)), np.nan)
        for place, values in enumerate(dice):
            scores[place, :, : len(values.T)] = values
        (means,) = drawn_means(scores, draws=draws, seed=seed)
        return cls(widths, len(table), np.array([values.mean() for values in dice]), means)

    def dice(self, width: int) -> Interval:
        """Mean Dice over patients and seeds at ``width``."""
        return interval(*self._mean(width))

    def difference(self, first: int, second: int) -> Interval:
        """Mean difference in Dice on the same patients, ``second`` minus ``first``."""
        (before, drawn_before), (after, drawn_after) = self._mean(first), self._mean(second)
        return interval(after - before, drawn_after - drawn_before)

    def relative_difference(self, first: int, second: int) -> Interval:
        """Difference as a fraction of the Dice of ``first``."""
        (before, drawn_before), (after, drawn_after) = self._mean(first), self._mean(second)
        return interval(after / before - 1, drawn_after / drawn_before - 1)

    def _mean(self, width: int) -> tuple[float, np.ndarray]:
        """Mean Dice of ``width``, as observed and on every draw."""
        column = self.widths.index(width)
        return float(self.observed[column]), self.means[:, column]


def lower_limits(scores: np.ndarray, reference: int, confidence: float = 0.95) -> np.ndarray:
    """One-sided lower confidence limit of each candidate's difference in mean from one of them.

    It is a quantile of the bootstrap's paired differences; with fewer than `FEW` patients, and where replicates are not
    shared, the t interval (of paired differences, or Welch's), and where a single replicate gives none, the difference
    itself. Each pair is drawn on its own, so that a limit does not depend on which other candidates there are.
    """
    from scipy.special import stdtrit

    if scores.shape[1] < FEW:
        means = np.nanmean(scores, axis=(1, 2))
        error, freedom = difference_errors(scores, reference)
        return means - means[reference] - np.nan_to_num(stdtrit(freedom, confidence) * error)
    if scores.shape[2] == 1:  # no trainings are drawn, so all pairs may be drawn at once
        (drawn,) = drawn_means(scores)
        return np.asarray(np.quantile(drawn - drawn[:, [reference]], 1 - confidence, axis=0))
    limits = np.zeros(len(scores))
    for place in range(len(scores)):
        if place != reference:
            (drawn,) = drawn_means(scores[[reference, place]])
            limits[place] = np.quantile(drawn[:, 1] - drawn[:, 0], 1 - confidence)
    return limits


def difference_errors(scores: np.ndarray, reference: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of each candidate's difference in mean from one of them, and its degrees of freedom.

    Three things vary: how a patient suits a candidate, how well a training goes, and how a training suits a patient.
    The third, the interaction, is in the variance between trainings and in that of the paired differences between
    patients, so it is subtracted once: the ANOVA estimator of crossed random effects, with Satterthwaite's degrees of
    freedom. With one training each this is the paired t test, with one patient Welch's.

    In 20,000 simulated studies with the variances of ``results/lidc`` (138 patients, 5 trainings), the 95 % t interval
    covers the true difference in 95.6 % (97.2 % were the interaction counted twice).

    The error is 0 for the reference and NaN where nothing varies.
    """
    by_patient, own, squares = _variances(scores)
    patient_freedom = max(scores.shape[1] - 1, 1)
    between = (by_patient - by_patient[reference]).var(axis=1) / patient_freedom
    variance = between + own + own[reference]
    variance[reference] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = variance**2 / (between**2 / patient_freedom + squares + squares[reference])
    return np.sqrt(variance), np.where(variance > 0, freedom, np.inf)


def could_be_best(scores: np.ndarray, confidence: float = 0.95, draws: int = 10_000, seed: int = 0) -> np.ndarray:
    """Which candidates could have the largest mean; the one that truly has it is among them with this confidence.

    Multiple comparisons with the best (Hsu 1984, "Constrained simultaneous confidence intervals for multiple
    comparisons with the best", Annals of Statistics 12(3):1136-1144). Each candidate is tested against all others at
    once, and left out where one of them is shown to be better. The tests are one-sided t tests, each with its own
    degrees of freedom; their joint level follows from ``draws`` of normal means, correlated as the observed ones.

    Where all means are equal, the hardest case, the best is kept in 95.6 % of 5,000 studies simulated as for
    `difference_errors`. Without a standard error nothing is shown, and all are True.
    """
    from scipy.special import ndtri, stdtr

    by_patient, own, _ = _variances(scores)
    count, patients = by_patient.shape
    means = by_patient.mean(axis=1)
    centred = by_patient - means[:, None]
    covariance = centred @ centred.T / (patients * max(patients - 1, 1)) + np.diag(np.nan_to_num(own))
    drawn = np.random.default_rng(seed).multivariate_normal(np.zeros(count), covariance, draws).T
    could = np.ones(count, dtype=bool)
    for place in range(count):
        error, freedom = difference_errors(scores, place)
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.nan_to_num(stdtr(freedom, (means - means[place]) / error)).max()
        # The joint level is lower than that of a single test, by no more than Bonferroni says.
        if confidence < level < 1 - (1 - confidence) / (count - 1):
            leads = (drawn - drawn[place]) / np.where(error > 0, error, np.inf)[:, None]
            level = (leads.max(axis=0) < ndtri(level)).mean()
        could[place] = level <= confidence
    return could


def _variances(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means by patient, (candidates, patients); variance of each mean from trainings alone; terms of its freedom."""
    patients, trainings = scores.shape[1], np.isfinite(scores[:, 0]).sum(axis=1)
    by_patient, by_training = np.nanmean(scores, axis=2), scores.mean(axis=1)
    grand = by_patient.mean(axis=1)[:, None]
    residuals = scores - by_patient[:, :, None] - by_training[:, None] + grand[:, None]
    training_freedom = np.maximum(trainings - 1, 1)
    interaction_freedom = training_freedom * max(patients - 1, 1)
    # A single training tells nothing of others; beside several patients that is left out, alone it is all there is.
    unknown = np.nan if patients == 1 else 0.0
    between = np.nansum((by_training - grand) ** 2, axis=1) / (trainings * training_freedom)
    between = np.where(trainings > 1, between, unknown)
    interaction = np.nansum(residuals**2, axis=(1, 2)) / (patients * trainings * interaction_freedom)
    squares = between**2 / training_freedom + interaction**2 / interaction_freedom
    return by_patient, np.maximum(between - interaction, 0), squares
