"""The sentences of the chapter on selection stay true whatever the results say."""

from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.book.evidence import Evidence
from carbon_midl.book.published import (
    RECORDED,
    choices_sentence,
    convergence_sentences,
    published_numbers,
    read_published,
    tuned_sentence,
)
from carbon_midl.book.selection import agreement, certainty, grids, replay_reading, selection_numbers
from tests.book.conftest import ROOT
from tests.book.synthetic import INTENSITY, make_study

FACTS = ROOT / "book" / "data" / "training-compute.csv"


@pytest.fixture(scope="module")
def evidence(study: tuple[Path, Path]) -> Evidence:
    return Evidence.read(study[0], FACTS)


def table(*chosen: str, probability: float = 0.8) -> pd.DataFrame:
    names = ["best", "budget", "noninferior"][: len(chosen)]
    return pd.DataFrame({"name": names, "chosen": chosen, "probability": probability})


def test_criteria_that_agree_are_said_to_agree() -> None:
    assert agreement(table("4", "4", "4")) == "All three choose F = 4."
    text = agreement(table("16", "4", "4"))
    assert text == (
        "The three criteria choose two different widths: F = 4 is chosen by budget and not worse; "
        "F = 16 is chosen by best Dice."
    )


def test_what_is_not_sure_is_said() -> None:
    assert "repeats its choice in 80.0 %" in certainty(table("4", "8"))
    assert "hardly better founded" in certainty(table("4", "8", probability=0.3))
    assert "hardly better founded" not in certainty(table("4", "8"))
    assert "nothing is known" in certainty(table("4", "8", probability=float("nan")))


def test_grids_that_change_a_choice_are_told(evidence: Evidence) -> None:
    found = evidence.choices_on_grids
    for name, rows in found.groupby("name"):
        moves = rows["chosen"].fillna("none").nunique() > 1
        label = {"budget": "by budget", "marginal": "by marginal price"}.get(str(name))
        assert moves == (label is not None and label in grids(evidence)), name


def test_the_table_agrees_with_the_command_line(evidence: Evidence, study: tuple[Path, Path]) -> None:
    """The chapter and `carbon-midl select`, on the grid of the record, read the same study alike."""
    from carbon_midl.selection.candidates import Columns, Factors, read_candidates
    from carbon_midl.selection.choice import choose
    from carbon_midl.selection.criteria import NonInferior

    candidates = read_candidates(study[0], Columns(performance="test_dice_patients"), Factors.of(INTENSITY))
    chosen = choose(candidates, NonInferior(0.01))
    rows, _ = evidence.choices
    row = rows[rows["name"] == "noninferior"].iloc[0]
    assert (row["chosen"], row["reason"]) == (chosen.chosen, chosen.reason)
    assert row["cost"] == pytest.approx(candidates.mean_cost[candidates.names.index(chosen.chosen)])


def test_a_saving_is_claimed_only_where_nothing_is_lost() -> None:
    rows = pd.DataFrame({"name": ["full", "widen", "halving"], "within": [1.0, 0.5, 1.0], "share": [1.0, 0.1, 0.4]})
    assert "the cheapest is halving, with 40.0 % of" in replay_reading(rows)
    assert "no policy saves anything" in replay_reading(rows[rows["name"] != "halving"])


def test_all_numbers_are_there_for_one_run_a_width(tmp_path: Path) -> None:
    results, _ = make_study(tmp_path)
    for name in ("runs.csv", "epochs.csv", "slices.csv.gz"):
        rows = pd.read_csv(results / name)
        rows[rows["seed"] == 0].to_csv(results / name, index=False)
    numbers = selection_numbers(Evidence.read(results, FACTS))
    assert numbers["replay_seeds"] == "1 seed"
    assert all(numbers.values())


def test_the_record_is_judged_against_its_aim() -> None:
    record = read_published(ROOT / RECORDED)
    for there in ("lidc", "derma"):
        row = record.tuned[(record.tuned["on"] == there) & (record.tuned["tuned_on"] != there)].iloc[0]
        met = row["within"] >= 0.9 and row["share"] <= 0.2
        assert ("meets the aim" if met else "misses the aim") in tuned_sentence(record, there)
    assert set(published_numbers(record)) >= {"published_tuned", "published_convergence", "published_choices"}
    text = convergence_sentences(record.convergence)
    for value in record.convergence["spearman"]:
        assert f"{value:+.2f}".replace("-", "−") in text
    assert choices_sentence(record.choices).count("different models") == 2
