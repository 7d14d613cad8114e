"""Patients shared by all, trainings of each candidate's own."""

import numpy as np
import pandas as pd
import pytest

from carbon_midl.errors import InputError
from carbon_midl.measures import drawn_means
from carbon_midl.selection.candidates import Candidates, Columns, Factors, read_candidates
from carbon_midl.selection.choice import choose, uncertainty
from carbon_midl.selection.criteria import Best, NonInferior

COLUMNS = Columns(candidate=("model",), replicate="patient", training="seed", performance="dice")
PATIENTS = 30


def table(between_trainings: float, seeds: dict[str, int], seed: int = 0) -> pd.DataFrame:
    """Models a, b, c …, each 0.01 better and twice as dear as the one before; patients differ by much."""
    generator = np.random.default_rng(seed)
    ease = generator.uniform(0.3, 0.8, PATIENTS)
    rows = []
    for place, (model, count) in enumerate(seeds.items()):
        for training in range(count):
            luck = generator.normal(0, between_trainings)
            scores = ease + 0.01 * place + luck + generator.normal(0, 0.01, PATIENTS)
            rows += [
                (model, training, f"p{patient}", score.clip(0, 1), 0.001 * 2**place + 1e-5 * training, 60.0)
                for patient, score in enumerate(scores)
            ]
    return pd.DataFrame(rows, columns=["model", "seed", "patient", "dice", "energy_kwh", "duration_s"])


def made(between_trainings: float, seeds: dict[str, int] | None = None, seed: int = 0) -> Candidates:
    return read_candidates(table(between_trainings, seeds or {"a": 3, "b": 3, "c": 2}, seed), COLUMNS)


def test_means_are_over_patients_and_trainings() -> None:
    frame = table(0.02, {"a": 3, "b": 2})
    read = read_candidates(frame, COLUMNS)
    assert read.trainings.tolist() == [3, 2]
    np.testing.assert_allclose(read.mean_performance, frame.groupby("model")["dice"].mean())
    expected_kwh = frame.drop_duplicates(["model", "seed"]).groupby("model")["energy_kwh"].mean()
    assert read.energy_kwh is not None
    np.testing.assert_allclose(np.nanmean(read.energy_kwh, axis=(1, 2)), expected_kwh)


def test_draws_spread_as_patients_and_trainings_do() -> None:
    read = made(0.03, {"a": 4, "b": 4})
    (drawn,) = drawn_means(read.performance, draws=20_000)
    difference = drawn[:, 1] - drawn[:, 0]
    by_training = read.performance.mean(axis=1)
    patients = np.diff(read.performance.mean(axis=2), axis=0)[0]
    # The bootstrap's variances have n, not n - 1, below them.
    expected = patients.var() / PATIENTS + sum(by_training[place].var() / 4 for place in (0, 1))
    assert difference.var() == pytest.approx(expected, rel=0.05)
    np.testing.assert_allclose(drawn.mean(axis=0), read.mean_performance, atol=1e-3)


def test_trainings_that_differ_make_a_choice_less_sure() -> None:
    alike, apart = (uncertainty(made(spread, seed=3), Best(), draws=2000) for spread in (0.0, 0.05))
    widths = [(found.table["performance_high"] - found.table["performance_low"]).mean() for found in (alike, apart)]
    assert widths[1] > widths[0]
    assert alike.table["chosen_probability"].max() > apart.table["chosen_probability"].max()


def test_trainings_that_differ_keep_a_cheaper_model_from_being_called_as_good() -> None:
    alike = choose(made(0.0), NonInferior(0.025))
    assert alike.chosen == "a"
    apart = choose(made(0.08), NonInferior(0.025))
    assert apart.chosen != "a"


def test_another_grid_and_fewer_candidates_keep_their_trainings() -> None:
    read = made(0.02)
    other = read.recosted(Factors.of(100.0, 1.0, embodied_g_per_h=6.0)).without(0)
    assert other.trainings.tolist() == [3, 2]
    assert other.mean_cost[0] == pytest.approx((0.002 + 1e-5) * 100 + 0.1)
    assert drawn_means(other.performance, other.cost, draws=500)[1].min() >= 0.2
    np.testing.assert_allclose(other.cost[0], [[0.3, 0.301, 0.302]])


def test_patients_that_a_training_lacks_are_left_out_and_counted() -> None:
    frame = table(0.0, {"a": 2, "b": 2})
    frame = frame.drop(frame[(frame["patient"] == "p3") & (frame["seed"] == 1) & (frame["model"] == "b")].index)
    read = read_candidates(frame, COLUMNS)
    assert read.performance.shape == (2, PATIENTS - 1, 2)
    assert read.notes == ("3 rows left out: not every training has that patient.",)
    lonely = frame[~((frame["model"] == "b") & (frame["patient"] != "p0"))]
    assert read_candidates(lonely, COLUMNS).performance.shape == (2, 1, 2)
    with pytest.raises(InputError, match="no patient is shared by all 4 trainings"):
        read_candidates(frame[(frame["model"] == "a") == (frame["patient"] == "p1")], COLUMNS)


def test_a_single_training_is_told() -> None:
    read = made(0.0, {"a": 1, "b": 2})
    assert "what another seed would change is left out" in read.notes[0]
    assert np.isfinite(read.lower_limits(1, 0.95)).all()


def test_a_training_with_two_costs_is_refused() -> None:
    frame = table(0.0, {"a": 2, "b": 2})
    frame.loc[5, "energy_kwh"] = 1.0
    with pytest.raises(InputError, match="training 0 of candidate a has another cost on another patient"):
        read_candidates(frame, COLUMNS)
