"""Intervals, standard errors and the candidates that could be the best, on simulated studies and the recorded one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import stdtrit
from scipy.stats import ttest_ind

from carbon_midl.errors import InputError
from carbon_midl.measures import PatientBootstrap, could_be_best, difference_errors, patient_dice
from carbon_midl.metrics import dice, readers_dice

MASKS = arrays(np.bool_, (4, 6, 6))
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


def table(seed: int = 0, patients: int = 20) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ease = rng.normal(0.7, 0.1, patients)
    values = {(4, 0): ease, (8, 0): ease + 0.02 + rng.normal(0, 0.005, patients)}
    return pd.DataFrame(values, index=[f"p{number}" for number in range(patients)])


def slices(rows: list[tuple[str, int, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["patient_id", "filters", "seed", "dice"])


def test_a_patient_with_many_slices_and_a_seed_with_many_count_once() -> None:
    made = patient_dice(
        slices([("a", 4, 0, 0.0), ("a", 4, 0, 1.0), ("a", 4, 1, 0.9), ("b", 4, 0, 0.2), ("b", 4, 1, 0.4)])
    )
    assert PatientBootstrap.draw(made).dice(4).estimate == pytest.approx((0.5 + 0.9 + 0.2 + 0.4) / 4)


def test_only_patients_tested_in_every_run_are_compared() -> None:
    made = patient_dice(slices([("a", 4, 0, 0.5), ("a", 8, 0, 0.6), ("b", 4, 0, 0.9)]))
    assert list(made.index) == ["a"]
    with pytest.raises(InputError, match="no patient was tested in every run"):
        patient_dice(slices([("a", 4, 0, 0.5), ("b", 8, 0, 0.5)]))


def test_pairing_sees_a_difference_that_is_small_beside_the_spread_of_patients() -> None:
    bootstrap = PatientBootstrap.draw(table())
    assert bootstrap.dice(4).high > bootstrap.dice(8).low
    assert bootstrap.difference(4, 8).excludes_zero


@given(seed=st.integers(0, 1000), patients=st.integers(2, 30))
def test_differences_are_antisymmetric_and_contain_their_estimate(seed: int, patients: int) -> None:
    bootstrap = PatientBootstrap.draw(table(seed, patients), draws=200)
    there, back = bootstrap.difference(4, 8), bootstrap.difference(8, 4)
    assert there.estimate == pytest.approx(-back.estimate)
    assert there.low == pytest.approx(-back.high)
    assert there.low <= there.high


def test_the_interval_covers_what_another_seed_would_change() -> None:
    """Two widths with the same patients and the same spread of seeds: no difference may be called one."""
    ease = np.random.default_rng(0).normal(0.7, 0.1, 50)
    made = pd.DataFrame({(4, 0): ease, (4, 1): ease + 0.02, (8, 0): ease + 0.02, (8, 1): ease + 0.12})
    difference = PatientBootstrap.draw(made).difference(4, 8)
    assert difference.estimate == pytest.approx(0.06)
    assert difference.low == pytest.approx(0.0, abs=1e-9)
    assert difference.high == pytest.approx(0.12, abs=1e-9)


def test_dice_by_hand() -> None:
    a, b = np.zeros((2, 1, 2, 2), bool)
    a[0, 0] = True
    b[0, 0, 0] = True
    assert dice(a, b).tolist() == [2 / 3]


@given(MASKS, MASKS)
def test_dice_against_monai(a: np.ndarray, b: np.ndarray) -> None:
    from monai.metrics import DiceMetric

    oracle = DiceMetric(ignore_empty=False)(torch.from_numpy(a[:, None]), torch.from_numpy(b[:, None]))
    assert np.allclose(dice(a, b), np.asarray(oracle)[:, 0])


def test_readers_without_an_outline_do_not_disagree() -> None:
    masks = np.zeros((3, 4, 4, 4), bool)
    masks[0, :2, 1:3, 1:3] = True  # two readers agree, two outlined nothing
    masks[1, 0, 1:3, 1:3] = True  # one reader alone
    masks[2, 0, :, :2] = masks[2, 1, :, :2] = masks[2, 2, :, 2:] = True  # two agree, the third is elsewhere
    agreement = readers_dice(masks)
    assert agreement[0] == 1
    assert np.isnan(agreement[1])
    assert agreement[2] == pytest.approx(1 / 3)
