import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import carbon_intensity
from carbon_midl.selection.candidates import Columns, Factors, is_test, read_candidates
from carbon_midl.study.results import COLUMNS, RUNS

FACTORS = Factors.of(100, pue=1.5)


def runs(widths: tuple[int, ...] = (16, 4, 8), seeds: int = 3) -> pd.DataFrame:
    rows = [
        (width, seed, 0.7 + width / 1000 + seed / 100, width / 10 + seed / 100, 36.0 * width)
        for width in widths
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["filters", "seed", "val_dice", "energy_kwh", "duration_s"])


def other(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame(columns)


PLAIN = Columns(candidate=("model",), replicate="none", performance="acc", energy="kwh")


def test_a_recorded_study_is_read_by_default(tmp_path: Path) -> None:
    runs().to_csv(tmp_path / "runs.csv", index=False)
    for source in (tmp_path, tmp_path / "runs.csv", runs()):
        read = read_candidates(source, factors=FACTORS)
        assert read.names == ("4", "8", "16")
        assert not read.paired
        assert len(read.notes) == (source == tmp_path if isinstance(source, Path) else 0)
        assert all(note.startswith("By seed, on val_dice of runs.csv, and not by patient") for note in read.notes)
        np.testing.assert_allclose(read.mean_performance, [0.714, 0.718, 0.726])
        np.testing.assert_allclose(read.mean_cost, np.array([0.41, 0.81, 1.61]) * 150)


def test_the_columns_of_the_default_are_those_that_a_study_records() -> None:
    defaults = Columns()
    recorded = " ".join(COLUMNS[RUNS].values()).split()
    assert {*defaults.candidate, "seed", "val_dice", defaults.energy, defaults.duration} <= set(recorded)


def test_energy_becomes_carbon_by_grid_pue_and_embodied_share() -> None:
    factors = Factors.of("DK", pue=1.2, embodied_g_per_h=5)
    read = read_candidates(runs((10,), seeds=1), factors=factors)
    assert read.mean_cost[0] == pytest.approx(1.0 * 1.2 * carbon_intensity("DK").g_per_kwh + 5 * 360 / 3600)
    assert "Denmark" in factors.describe()
    assert "embodied" in factors.describe()


@pytest.mark.parametrize(("unit", "value"), [("kWh", 2.0), ("Wh", 2000.0), ("MJ", 7.2), ("J", 7.2e6)])
def test_energy_may_come_in_any_unit(unit: str, value: float) -> None:
    columns = Columns(candidate=("model",), replicate="none", performance="acc", energy="e", energy_unit=unit)
    read = read_candidates(other(model=["a"], acc=[0.5], e=[value]), columns, FACTORS)
    assert read.mean_cost[0] == pytest.approx(300)


def test_carbon_and_other_resources_are_taken_as_they_are() -> None:
    table = other(model=["a", "b"], acc=[0.5, 0.6], g=[3.0, 4.0], mem=[1.0, 2.0])
    carbon = read_candidates(table, Columns(candidate=("model",), replicate="none", performance="acc", carbon="g"))
    memory = read_candidates(
        table, Columns(candidate=("model",), replicate="none", performance="acc", resource="mem", resource_unit="GB")
    )
    assert (carbon.cost_name, carbon.unit, carbon.mean_cost.tolist()) == ("carbon", "gCO2eq", [3.0, 4.0])
    assert (memory.cost_name, memory.unit, memory.mean_cost.tolist()) == ("mem", "GB", [1.0, 2.0])
    with pytest.raises(InputError, match="not as energy"):
        carbon.recosted(FACTORS)


def test_another_grid_scales_the_carbon_and_nothing_else() -> None:
    read = read_candidates(runs(), factors=FACTORS)
    there = read.recosted(Factors.of(200, pue=1.5))
    np.testing.assert_allclose(there.cost, 2 * read.cost)
    np.testing.assert_array_equal(there.performance, read.performance)


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


def test_replicates_are_paired_when_asked_on_those_that_all_have() -> None:
    read = read_candidates(runs().drop(index=0), factors=FACTORS, paired=True)
    assert read.paired
    assert read.counts.tolist() == [2, 2, 2]
    assert read.notes == ("2 rows left out: not every candidate has that seed.",)
    apart = other(filters=[1, 2], seed=[0, 1], val_dice=[0.5, 0.6], energy_kwh=[1.0, 2.0])
    with pytest.raises(InputError, match="no seed is shared by all 2 candidates"):
        read_candidates(apart, paired=True)


@pytest.mark.parametrize(("replicate", "paired"), [("seed", False), ("fold", False), ("patient_id", True)])
def test_only_patients_are_shared_by_nature(replicate: str, paired: bool) -> None:
    columns = Columns(replicate=replicate)
    read = read_candidates(runs().rename(columns={"seed": replicate}), columns)
    assert read.paired == paired
    some = read_candidates(runs().rename(columns={"seed": replicate}).drop(index=0), columns)
    assert some.counts.tolist() == ([2, 2, 2] if paired else [3, 3, 2])


@pytest.mark.parametrize("name", ["test_dice", "Test AUC", "TEST_acc", "best_test", "test"])
def test_a_test_score_chooses_only_when_named_and_not_without_a_word(name: str) -> None:
    table = runs().assign(**{name: 0.9 - runs()["val_dice"] / 10})
    assert read_candidates(table).performance_name == "val_dice"
    (note,) = read_candidates(table, Columns(performance=name)).notes
    assert note.startswith(f"{name} is a test score, and choosing by it uses the test up")


@pytest.mark.parametrize("name", ["val_dice", "latest", "contest_score", "acc"])
def test_other_scores_are_no_test(name: str) -> None:
    assert not is_test(name)


def test_without_a_validation_score_no_test_score_takes_its_place() -> None:
    with pytest.raises(InputError, match="no column 'val_dice' for the performance; found filters, seed, test_dice"):
        read_candidates(runs().rename(columns={"val_dice": "test_dice"}))


def test_repeated_rows_are_refused_or_averaged() -> None:
    table = pd.concat([runs().assign(recipe="a"), runs().assign(recipe="b", energy_kwh=9.0)])
    with pytest.raises(InputError, match=r"several rows of candidate 16, seed 0.*--where.*--candidate filters,OTHER"):
        read_candidates(table)
    averaged = read_candidates(table, mean_of_repeats=True, factors=FACTORS)
    assert averaged.mean_cost[0] == pytest.approx((0.41 + 9) / 2 * 150)
    assert averaged.notes == ("18 rows averaged to 9, one a candidate and replicate.",)
    assert len(read_candidates(table, Columns(candidate=("filters", "recipe")))) == 6
    assert read_candidates(table, where={"recipe": "a"}, factors=FACTORS).mean_cost[0] == pytest.approx(0.41 * 150)
    with pytest.raises(InputError, match="no row with recipe = c; found a, b"):
        read_candidates(table, where={"recipe": "c"})


def test_percent_is_taken_for_percent_only_when_told() -> None:
    table = other(model=["a", "b"], acc=[71.0, 64.5], kwh=[1.0, 2.0])
    with pytest.raises(InputError, match=r"performance 71; expected 0 to 1.*percent"):
        read_candidates(table, PLAIN)
    assert read_candidates(table, PLAIN, percent=True).mean_performance.tolist() == [0.71, 0.645]
    with pytest.raises(InputError, match="looks like fractions"):
        read_candidates(table.assign(acc=0.5), PLAIN, percent=True)
    with pytest.raises(InputError, match="at most 100"):
        read_candidates(table.assign(acc=171.0), PLAIN, percent=True)


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        (runs().rename(columns={"energy_kwh": "energy_kWh"}), Columns(), "did you mean 'energy_kWh'"),
        (runs().rename(columns={"val_dice": "val_Dice"}), Columns(), "did you mean 'val_Dice'"),
        (runs().drop(columns="seed"), Columns(), "no column 'seed' for the replicate; found filters, val_dice"),
        (runs().iloc[:0], Columns(), "no rows"),
        (runs().assign(energy_kwh=-0.5), Columns(), "energy_kwh is -0.5 in data row 1"),
        (runs().assign(val_dice=1.2), Columns(), "performance 1.2; expected 0 to 1"),
        (runs().assign(val_dice=-0.1), Columns(), "performance -0.1; expected 0 to 1"),
        (runs().assign(energy_kwh="much"), Columns(), "holds 'much' in data row 1; expected a finite number"),
        (runs().assign(energy_kwh=np.inf), Columns(), "holds 'inf' in data row 1"),
        (runs().assign(energy_kwh=np.nan), Columns(), "no row has a candidate"),
        (runs(), Columns(energy_unit="kwh"), "energy unit: found 'kwh'; expected one of kWh"),
        (runs(), Columns(carbon="energy_kwh", resource="seed"), "name the one that is the cost"),
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
    with pytest.raises(InputError, match="needs the duration"):
        read_candidates(other(model=["a"], acc=[0.5], kwh=[1.0]), PLAIN).recosted(Factors.of(embodied_g_per_h=1))
    with pytest.raises(InputError, match="do not apply"):
        read_candidates(runs(), Columns(carbon="energy_kwh"), FACTORS)


def test_an_embodied_share_needs_every_duration() -> None:
    table = runs()
    table.loc[0, "duration_s"] = np.nan
    with pytest.raises(InputError, match="some runs have no duration"):
        read_candidates(table).recosted(Factors.of(embodied_g_per_h=1))


@pytest.mark.parametrize("content", ["", "\x00\x01", 'a,b\n1,2,3\n"'])
def test_files_that_are_no_table_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"table\.csv"):
        read_candidates(path)
    with pytest.raises(InputError, match="no such file"):
        read_candidates(tmp_path / "none.csv")


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.floats(0, 1), st.floats(0, 1e6)),
        min_size=1,
        unique_by=lambda row: row[:2],
    ),
    order=st.randoms(),
)
def test_means_are_those_of_pandas_whatever_the_order_of_rows(
    rows: list[tuple[str, int, float, float]], order: random.Random
) -> None:
    order.shuffle(rows)
    table = pd.DataFrame(rows, columns=["filters", "seed", "val_dice", "energy_kwh"])
    read = read_candidates(table, factors=FACTORS)
    expected = table.groupby("filters").agg(dice=("val_dice", "mean"), kwh=("energy_kwh", "mean"), n=("seed", "size"))
    expected = expected.loc[list(read.names)]
    np.testing.assert_allclose(read.mean_performance, expected["dice"])
    np.testing.assert_allclose(read.mean_cost, expected["kwh"] * 150)
    np.testing.assert_array_equal(read.counts, expected["n"])
    assert not read.paired
    shared = frozenset.intersection(*table.groupby("filters")["seed"].agg(frozenset))
    if shared:
        assert set(read_candidates(table, factors=FACTORS, paired=True).counts) == {len(shared)}


def test_rows_of_more_cells_than_the_header_are_refused(tmp_path: Path) -> None:
    """Every value would belong to its neighbour's column."""
    path = tmp_path / "runs.csv"
    path.write_text("filters,dice,energy_kwh\n4,0,0.7,0.1\n8,0,0.8,0.2\n")
    with pytest.raises(InputError, match=r"runs\.csv: .* \(rows have more cells than the header"):
        read_candidates(path)
