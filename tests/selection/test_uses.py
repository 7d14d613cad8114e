"""Training and uses together: analytic counts against counting, and the command."""

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates, Factors
from carbon_midl.selection.choice import choose
from carbon_midl.selection.frontier import crossings, use_counts
from carbon_midl.study.results import named_rows
from tests.selection.made_up import EVERY, random_candidates

TWO = st.lists(st.tuples(st.integers(1, 2000), st.integers(0, 50)), min_size=2, max_size=6)


def of_energy(seed: int) -> Candidates:
    made = random_candidates(seed, paired=False)
    return replace(made, energy_kwh=made.cost / 1000, duration_s=made.cost).recosted(Factors.of("DK", 1.3, 5.0))


@given(TWO)
def test_crossings_and_counts_are_where_counting_finds_them(energies: list[tuple[int, int]]) -> None:
    training, use = np.array(energies, dtype=float).T
    total = training[:, None] + use[:, None] * np.arange(2001)
    found = crossings(training, use)
    pairs = {frozenset(pair) for pair in found[["trained", "used"]].to_numpy().tolist()}
    for a, b in combinations(range(len(total)), 2):
        assert (frozenset((a, b)) in pairs) == ({-1, 1} <= set(np.sign(total[a] - total[b])))
    for row in named_rows(found):
        assert np.argmax(total[row.used] <= total[row.trained]) == np.ceil(row.uses)
        assert row.energy_kwh == pytest.approx(training[row.trained] + row.uses * use[row.trained])
    counts = use_counts(training, use, training.sum())
    saved = use.max() - use
    for name, spent, each in (("training", training, use), ("repaid", np.full_like(use, training.sum()), saved)):
        until = counts[f"until_{name}"].to_numpy()
        assert (until[each == 0] == np.inf).all()
        assert (np.ceil(until) == -(-spent // np.where(each, each, np.nan)))[each > 0].all()


@given(seed=st.integers(0, 10**6))
def test_no_use_changes_nothing_and_many_uses_are_all_that_counts(seed: int) -> None:
    made, use_kwh = of_energy(seed), np.random.default_rng(seed).permutation(np.arange(1.0, 7.0))
    none = made.with_uses(use_kwh, 0)
    for name in ("energy_kwh", "cost", "duration_s", "performance"):
        assert getattr(none, name).tobytes() == getattr(made, name).tobytes()
    assert str([choose(none, one) for one in EVERY]) == str([choose(made, one) for one in EVERY])
    some = made.with_uses(use_kwh, 30, trainings=4)
    expected = (4 * made.required_energy_kwh + 30 * use_kwh[:, None, None]) * (1.3 * 143.3)
    assert some.recosted(Factors.of(143.3, 1.3)).cost == pytest.approx(expected)
    assert made.with_uses(use_kwh, 10**9).mean_cost.argsort().tolist() == use_kwh.argsort().tolist()


@pytest.mark.parametrize(("use_kwh", "uses", "found"), [(1.0, -1, "-1"), (1.0, 1.5, "1.5"), (np.nan, 3, "a, b, c")])
def test_uses_that_cannot_be_are_refused(use_kwh: float, uses: int, found: str) -> None:
    with pytest.raises(InputError, match=f"^uses: .*{found}.*; expected"):
        of_energy(0).with_uses(np.full(6, use_kwh), uses)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = pd.DataFrame({"filters": [4, 8, 16], "fold": 0, "acc": [0.6, 0.7, 0.72], "train_j": [9e3, 8e3, 7e3]})
    rows.assign(use_j=[1.0, 2.0, 5.0], gap=[1.0, 2.0, np.nan]).to_csv(tmp_path / "models.csv", index=False)
    kwh = np.array([9, 9, 9, 1, 2, 5]) / 3.6e6
    record = pd.DataFrame({"filters": [4, 8, 16] * 2, "batch_size": [1, 1, 1, 64, 64, 64], "energy_kwh": kwh})
    (tmp_path / "record").mkdir()
    record.assign(device="cores").to_csv(tmp_path / "record" / "uses.csv", index=False)
    return tmp_path / "models.csv"


def select(table: Path, *arguments: str) -> int:
    columns = ["--replicate", "fold", "--performance", "acc", "--cost", "train_j", "--unit", "J"]
    return main(["select", str(table), *columns, "--criterion", "weighted", "--weight", "0.1", *arguments])


def test_uses_turn_a_choice_and_are_told(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source, uses, chosen in (
        ("use_j", "100000", 4),
        (str(table.parent / "record"), "100000", 4),
        ("use_j", "0", 16),
    ):
        assert select(table, "--uses", uses, "--use-energy", source, "--json", str(table.parent / "choice.json")) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"Chosen: {chosen} ")
        assert "8 2 4,000 8,000" in " ".join(out.split())
        stored = json.loads((table.parent / "choice.json").read_text())["uses"]
        assert [row["until_repaid"] for row in stored] == [pytest.approx(6000), pytest.approx(8000), None]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--uses", "3"], "--uses: needs --use-energy, a column of TABLE"),
        (["--uses", "3", "--use-energy", "used"], "no column 'used'"),
        (["--uses", "3", "--use-energy", "gap"], "no energy of a use for candidate 16"),
        (["--uses", "-3"], "'--uses': Input should be greater than or equal to 0"),
        (["--uses", "1.5"], "'--uses': Input should be a valid integer"),
        (["--uses", "3", "--use-energy", "use_j", "--unit", "GB"], "uses do not apply"),
    ],
)
def test_bad_uses_are_told(arguments: list[str], complaint: str, table: Path, capsys: Any) -> None:
    assert select(table, *arguments) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())
