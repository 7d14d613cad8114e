"""Reading candidates: any table, a recorded study, and patients shared by trainings of each candidate's own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.measures import PatientBootstrap, drawn_means, patient_dice
from carbon_midl.selection.candidates import Columns, Factors, is_test, read_candidates
from carbon_midl.selection.choice import choose
from carbon_midl.selection.criteria import NonInferior
from tests.selection.made_up import write_results

FACTORS = Factors.of(100, pue=1.5)


def runs() -> pd.DataFrame:
    """Three trainings of each of three widths, which are not in order."""
    table = pd.MultiIndex.from_product([(16, 4, 8), range(3)], names=["filters", "seed"]).to_frame(index=False)
    width, luck = table["filters"], table["seed"] / 100
    return table.assign(val_dice=0.7 + width / 1000 + luck, energy_kwh=width / 10 + luck, duration_s=36.0 * width)


def test_a_table_of_runs_is_read_by_default_and_percent_when_told(tmp_path: Path) -> None:
    runs().to_csv(tmp_path / "runs.csv", index=False)
    percent = runs().assign(val_dice=100 * runs()["val_dice"])
    for source, columns in ((tmp_path / "runs.csv", None), (runs(), None), (percent, Columns(percent=True))):
        read = read_candidates(source, columns, FACTORS)
        assert (read.names, read.paired, read.notes) == (("4", "8", "16"), False, ())
        np.testing.assert_allclose(read.mean_performance, [0.714, 0.718, 0.726])
        np.testing.assert_allclose(read.mean_cost, np.array([0.41, 0.81, 1.61]) * 150)


@pytest.mark.parametrize(
    ("unit", "value", "name", "shown", "cost"),
    [
        ("kWh", 2.0, "carbon", "gCO2eq", 300),
        ("Wh", 2000.0, "carbon", "gCO2eq", 300),
        ("MJ", 7.2, "carbon", "gCO2eq", 300),
        ("J", 7.2e6, "carbon", "gCO2eq", 300),
        ("g", 3.0, "carbon", "gCO2eq", 3),
        ("GB", 4.0, "used", "GB", 4),
        (None, 5.0, "used", "", 5),
    ],
)
def test_the_unit_says_what_a_cost_is(unit: str | None, value: float, name: str, shown: str, cost: float) -> None:
    table = pd.DataFrame({"model": ["a"], "acc": [0.5], "used": [value]})
    columns = Columns(("model",), "none", performance="acc", cost="used", unit=unit)
    is_energy = cost == 300
    read = read_candidates(table, columns, FACTORS if is_energy else None)
    assert (read.cost_name, read.unit) == (name, shown)
    assert read.mean_cost.tolist() == pytest.approx([cost])
    if not is_energy:
        with pytest.raises(InputError, match="is taken as it is, so grid, PUE, embodied share and uses do not"):
            read.recosted(FACTORS)


def test_rows_without_a_number_are_left_out_and_counted() -> None:
    table = runs()
    table.loc[0, "val_dice"] = np.nan
    table.loc[4, "energy_kwh"] = np.nan
    table.loc[table["filters"] == 8, "energy_kwh"] = np.nan
    read = read_candidates(table, factors=FACTORS)
    assert read.names == ("4", "16")
    assert read.counts.tolist() == [2, 2]
    assert read.notes[0].startswith("5 of 9 rows left out")
    assert read.notes[1] == "Candidates without any complete row: 8."


def test_patients_are_paired_and_others_when_asked_on_those_that_all_have() -> None:
    table = runs().drop(index=0)
    assert not read_candidates(table).paired
    assert read_candidates(table).counts.tolist() == [3, 3, 2]
    for name, paired in (("seed", True), ("patient_id", False)):
        columns = Columns(replicate=name, paired=paired)
        read = read_candidates(table.rename(columns={"seed": name}), columns)
        assert (read.paired, read.counts.tolist()) == (True, [2, 2, 2])
        assert read.notes == (f"2 rows left out: not every candidate has that {name}.",)
    with pytest.raises(InputError, match="no seed is shared by all 2 candidates"):
        read_candidates(runs().iloc[[0, 4]], Columns(paired=True))


def test_a_test_score_is_known_by_its_name_and_chooses_only_with_a_word() -> None:
    assert all(map(is_test, ("test_dice", "Test AUC", "TEST_acc", "best_test", "test")))
    assert not any(map(is_test, ("val_dice", "latest", "contest_score", "acc")))
    (note,) = read_candidates(runs().assign(test_dice=0.5), Columns(performance="test_dice")).notes
    assert note.startswith("test_dice is a test score, and choosing by it uses the test up")


def test_repeated_rows_are_refused_and_told_apart() -> None:
    table = pd.concat([runs().assign(recipe="a"), runs().assign(recipe="b", energy_kwh=9.0)])
    with pytest.raises(InputError, match=r"several rows of candidate 16, seed 0.*--where.*--candidate filters,OTHER"):
        read_candidates(table)
    assert len(read_candidates(table, Columns(candidate=("filters", "recipe")))) == 6
    assert read_candidates(table, where={"recipe": "a"}, factors=FACTORS).mean_cost[0] == pytest.approx(0.41 * 150)
    assert read_candidates(runs(), where={"filters": 16}).names == ("16",)
    with pytest.raises(InputError, match="no row with recipe = c; found a, b"):
        read_candidates(table, where={"recipe": "c"})


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        (runs().drop(columns="val_dice"), Columns(), "no column 'val_dice' for the performance"),
        (runs().rename(columns={"energy_kwh": "energy_kWh"}), Columns(), "did you mean 'energy_kWh'"),
        (runs().drop(columns="seed"), Columns(), "no column 'seed' for the replicate; known are filters, val_dice"),
        (runs().iloc[:0], Columns(), "no row has a candidate"),
        (runs().assign(energy_kwh=-0.5), Columns(), "holds '-0.5' in data row 1; expected .* that is not negative"),
        (runs().assign(energy_kwh="much"), Columns(), "holds 'much' in data row 1; expected a finite number"),
        (runs().assign(energy_kwh=np.inf), Columns(), "holds 'inf' in data row 1"),
        (runs().assign(val_dice=-0.1), Columns(), "holds '-0.1' in data row 1"),
        (runs().assign(val_dice=71.0), Columns(), "performance up to 71; expected 0 to 1.*--percent"),
        (runs().assign(val_dice=0.5), Columns(percent=True), "up to 0.5; expected 0 to 100"),
        (runs(), Columns(unit="kwh"), "unit: found 'kwh'; expected one of kWh"),
    ],
)
def test_tables_that_cannot_be_are_refused(table: pd.DataFrame, columns: Columns, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_candidates(table, columns)


def test_factors_that_cannot_be_or_do_not_apply_are_refused() -> None:
    with pytest.raises(InputError, match="embodied"):
        Factors.of(embodied_g_per_h=-1)
    with pytest.raises(InputError, match="pue"):
        Factors.of(pue=0.5)
    with pytest.raises(InputError, match="do not apply"):
        read_candidates(runs(), Columns(unit="g"), FACTORS)
    for lacking in (runs().drop(columns="duration_s"), runs().assign(duration_s=[np.nan, *[60.0] * 8])):
        with pytest.raises(InputError, match="needs the duration of each run"):
            read_candidates(lacking).recosted(Factors.of(embodied_g_per_h=1))


ROW = st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.floats(0, 1), st.floats(0, 1e6))


@settings(max_examples=25)
@given(st.lists(ROW, min_size=1, unique_by=lambda row: row[:2]))
def test_means_are_those_of_pandas_whatever_the_order_of_rows(rows: list[tuple[str, int, float, float]]) -> None:
    table = pd.DataFrame(rows, columns=["filters", "seed", "val_dice", "energy_kwh"])
    read = read_candidates(table, factors=FACTORS)
    by_name = table.groupby("filters")
    np.testing.assert_allclose(read.mean_performance, by_name["val_dice"].mean()[list(read.names)])
    np.testing.assert_allclose(read.mean_cost, by_name["energy_kwh"].mean()[list(read.names)] * 150)
    np.testing.assert_array_equal(read.counts, by_name.size()[list(read.names)])
    shared = frozenset.intersection(*table.groupby("filters")["seed"].agg(frozenset))
    if shared:
        assert set(read_candidates(table, Columns(paired=True)).counts) == {len(shared)}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Patients differ far more than widths; patients have different numbers of slices; the test has them turned round.

    Test patients are called like validation patients, so that a mix of both would be noticed.
    """
    generator = np.random.default_rng(0)
    ease = generator.uniform(0.4, 0.8, 25)
    runs, slices = [], []
    for width, gain in ((4, 0.0), (8, 0.03), (16, 0.031)):
        for seed in (0, 1):
            run = f"filters-{width}-seed-{seed}"
            runs.append((run, width, seed, width / 100, 60.0))
            for patient, base in enumerate(ease):
                for _ in range(1 + patient % 3):
                    dice = base + gain + generator.normal(0, 0.004)
                    slices.append((run, width, seed, f"p{patient}", dice, "validation"))
                slices.append((run, width, seed, f"p{patient}", base + 0.05 - gain, "test"))
    write_results(
        tmp_path,
        pd.DataFrame(runs, columns=["run", "filters", "seed", "energy_kwh", "duration_s"]).assign(
            val_dice=[0.5, 0.6, 0.6, 0.7, 0.7, 0.8], test_dice_patients=0.5
        ),
        pd.DataFrame(slices, columns=["run", "filters", "seed", "patient_id", "dice", "part"]),
    )
    return tmp_path


def rewritten(study: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(study / "slices.csv.gz")).to_csv(study / "slices.csv.gz", index=False)


def test_a_study_is_paired_over_its_patients(study: Path) -> None:
    read = read_candidates(study)
    assert (read.performance_name, read.notes, read.paired) == ("val_dice_patients", (), True)
    assert (read.names, read.counts.tolist(), read.trainings.tolist()) == (("4", "8", "16"), [25] * 3, [2] * 3)
    slices = pd.read_csv(study / "slices.csv.gz")
    bootstrap = PatientBootstrap.draw(patient_dice(slices[slices["part"] == "validation"]), draws=10)
    np.testing.assert_allclose(read.mean_performance, bootstrap.observed)
    np.testing.assert_allclose(read.mean_cost / read.mean_cost[0], [1, 2, 4])
    choice = choose(read, NonInferior(0.01))
    assert (choice.chosen, choice.runner_up) == ("8", "16")


def test_what_has_no_validation_slices_is_left_out_and_slices_that_name_no_part_are_all_test(study: Path) -> None:
    rewritten(study, lambda slices: slices[(slices["filters"] != 16) | (slices["part"] == "test")])
    read = read_candidates(study)
    assert read.names == ("4", "8")
    assert read.notes[1] == "Candidates without any complete row: 16."
    tested = Columns(performance="test_dice_patients")
    before = read_candidates(study, tested)
    rewritten(study, lambda slices: slices[slices["part"] == "test"].drop(columns="part"))
    np.testing.assert_array_equal(read_candidates(study, tested).performance, before.performance)
    read = read_candidates(study)
    assert (read.performance_name, read.paired) == ("val_dice", False)
    np.testing.assert_allclose(read.mean_performance, [0.55, 0.65, 0.75])
    assert read.notes[0].startswith("By seed, on val_dice of runs.csv, and not by patient")


BY_TRAINING = Columns(candidate=("model",), replicate="patient", training="seed", performance="dice")
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


def test_draws_spread_as_patients_and_trainings_do() -> None:
    read = read_candidates(table(0.03, {"a": 4, "b": 4}), BY_TRAINING)
    (drawn,) = drawn_means(read.performance, draws=20_000)
    difference = drawn[:, 1] - drawn[:, 0]
    by_training = read.performance.mean(axis=1)
    patients = np.diff(read.performance.mean(axis=2), axis=0)[0]
    # The bootstrap's variances have n, not n - 1, below them.
    expected = patients.var() / PATIENTS + sum(by_training[place].var() / 4 for place in (0, 1))
    assert difference.var() == pytest.approx(expected, rel=0.05)
    np.testing.assert_allclose(drawn.mean(axis=0), read.mean_performance, atol=1e-3)


def test_another_grid_and_fewer_candidates_keep_their_trainings() -> None:
    frame = table(0.02, {"a": 3, "b": 3, "c": 2})
    read = read_candidates(frame, BY_TRAINING)
    np.testing.assert_allclose(read.mean_performance, frame.groupby("model")["dice"].mean())
    other = read.recosted(Factors.of(100.0, 1.0, embodied_g_per_h=6.0)).without(0)
    assert other.trainings.tolist() == [3, 2]
    assert other.factors is not None
    assert other.factors.describe().endswith("PUE 1, 6 gCO2eq embodied per hour of use")
    assert other.mean_cost[0] == pytest.approx((0.002 + 1e-5) * 100 + 0.1)
    assert drawn_means(other.performance, other.cost, draws=500)[1].min() >= 0.2
    np.testing.assert_allclose(other.cost[0], [[0.3, 0.301, 0.302]])


def test_patients_that_a_training_lacks_are_left_out_and_counted() -> None:
    frame = table(0.0, {"a": 2, "b": 2})
    frame = frame.drop(frame[(frame["patient"] == "p3") & (frame["seed"] == 1) & (frame["model"] == "b")].index)
    read = read_candidates(frame, BY_TRAINING)
    assert read.performance.shape == (2, PATIENTS - 1, 2)
    assert read.notes == ("3 rows left out: not every training has that patient.",)
    with pytest.raises(InputError, match="no patient is shared by all 4 trainings"):
        read_candidates(frame[(frame["model"] == "a") == (frame["patient"] == "p1")], BY_TRAINING)


def test_a_single_training_is_told_and_one_with_two_costs_refused() -> None:
    read = read_candidates(table(0.0, {"a": 1, "b": 2}), BY_TRAINING)
    assert "what another seed would change is left out" in read.notes[0]
    assert np.isfinite(read.lower_limits(1, 0.95)).all()
    frame = table(0.0, {"a": 2, "b": 2})
    frame.loc[5, "energy_kwh"] = 1.0
    with pytest.raises(InputError, match="a training of candidate a has another cost on another patient"):
        read_candidates(frame, BY_TRAINING)
