"""Standard errors and the candidates that could be the best, on simulated studies and the recorded one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit
from scipy.stats import ttest_ind

from carbon_midl.measures import could_be_best, difference_errors, patient_dice

RESULTS = Path(__file__).parents[1] / "results" / "lidc"
# Standard deviations as in results/lidc, in points: of a patient's Dice at a width beside its Dice at all widths, of
# the trainings of each width, and of a patient's Dice from training to training.
PATIENT, TRAINING, INTERACTION = 1.6, np.array([0.92, 0.71, 0.41, 0.54, 0.29, 0.59, 0.78]), 4.7
PATIENTS, TRAININGS = 138, np.array([5, 5, 5, 5, 5, 5, 3])


def simulated(studies: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Scores of seven widths that are equally good; the last one has fewer trainings."""
    random = np.random.default_rng(seed)
    for _ in range(studies):
        scores = PATIENT * random.normal(size=(7, PATIENTS, 1)) + INTERACTION * random.normal(size=(7, PATIENTS, 5))
        scores += TRAINING[:, None, None] * random.normal(size=(7, 1, 5))
        scores[6, :, 3:] = np.nan
        yield scores


def test_intervals_cover_the_difference_as_often_as_they_say() -> None:
    covered, squares = [], []
    for scores in simulated(1000):
        error, freedom = difference_errors(scores, 2)
        means = np.nanmean(scores, axis=(1, 2))
        covered.append(np.abs(means - means[2]) <= stdtrit(freedom, 0.975) * error)
        squares.append(error**2)
    others = np.arange(7) != 2
    assert np.mean(covered, axis=0)[others].mean() == pytest.approx(0.95, abs=0.01)
    own = PATIENT**2 / PATIENTS + TRAINING**2 / TRAININGS + INTERACTION**2 / (PATIENTS * TRAININGS)
    np.testing.assert_allclose(np.mean(squares, axis=0)[others], (own + own[2])[others], rtol=0.1)


def test_the_best_is_among_those_that_could_be() -> None:
    could = np.mean([could_be_best(scores, draws=2000) for scores in simulated(200)], axis=0)
    assert could.mean() > 0.94


def test_on_the_recorded_study_three_widths_could_be_the_best() -> None:
    dice = patient_dice(pd.read_csv(RESULTS / "slices.csv.gz"))
    widths = dice.columns.unique("filters").to_numpy()
    scores = np.stack([dice[width].to_numpy() for width in widths])
    assert widths[could_be_best(scores)].tolist() == [16, 24, 32]


def test_without_patients_the_errors_are_welch_s() -> None:
    scores = np.array([[[0.70, 0.71, 0.72, np.nan]], [[0.74, 0.70, 0.73, 0.72]], [[0.6, np.nan, np.nan, np.nan]]])
    error, freedom = difference_errors(scores, 1)
    welch = ttest_ind(scores[0, 0, :3], scores[1, 0], equal_var=False)
    assert (error[0], freedom[0]) == pytest.approx((-0.0125 / welch.statistic, welch.df))
    assert error[1] == 0
    assert np.isnan(error[2])
    assert could_be_best(scores).tolist() == [True, True, True]


def test_what_is_far_behind_cannot_be_the_best() -> None:
    seeds = np.array([-0.01, 0.0, 0.01])
    assert could_be_best(np.array([[0.5 + seeds], [0.9 + seeds], [0.895 + seeds]])).tolist() == [False, True, True]
    assert could_be_best(np.array([[[0.5]], [[0.9]]])).tolist() == [True, True]
    assert could_be_best(np.array([[0.5 + seeds]])).tolist() == [True]
