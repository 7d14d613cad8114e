"""The sentences of the chapters say what the results say, whatever these are."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.book import claims
from carbon_midl.book.evidence import PUBLISHED, Evidence, read_published
from carbon_midl.measures import Estimate, Interval
from carbon_midl.selection.candidates import Columns, Factors, read_candidates
from carbon_midl.selection.choice import choose
from carbon_midl.selection.criteria import NonInferior
from tests.book.conftest import ROOT
from tests.book.synthetic import INTENSITY, make_study


@pytest.fixture(scope="module")
def evidence(study: tuple[Path, Path]) -> Evidence:
    return Evidence.read(study[0], ROOT)


@pytest.mark.parametrize(
    ("gain", "verdict", "reason"),
    [
        (Interval(-0.02, -0.03, -0.01), "Agrees, and goes further", "no Dice at all"),
        (Interval(0.001, -0.001, 0.003), "Agrees, and goes further", "at least 5,000 %"),
        (Interval(0.01, -0.01, 0.03), "Undecided", "at least 500 %"),
        (Interval(0.005, 0.004, 0.006), "Agrees, and goes further", "(2,500 to 3,750 %)"),
        (Interval(0.01, 0.005, 0.015), "Agrees", "(1,000 to 3,000 %)"),
        (Interval(0.2, 0.15, 0.3), "Disagrees about the price", "75.0 % more carbon (50.0 to 100 %)"),
    ],
)
def test_the_verdict_on_the_poster_follows_the_interval(gain: Interval, verdict: str, reason: str) -> None:
    found, because = claims.judge_poster(1500.0, gain)
    assert found == verdict
    assert reason in because


def test_the_verdict_names_how_many_it_rests_on(evidence: Evidence) -> None:
    assert "14 test patients, 2 seeds a width" in claims.poster_verdict(evidence)


def test_carbon_that_falls_with_width_is_no_verdict_on_the_poster(study: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(study[0], tmp_path / "results")
    runs = pd.read_csv(tmp_path / "results" / "runs.csv")
    runs.assign(carbon_g=1 / runs["filters"]).to_csv(tmp_path / "results" / "runs.csv", index=False)
    verdict = claims.poster_verdict(Evidence.read(tmp_path / "results", ROOT))
    assert verdict.startswith("**Cannot be compared.**")


@pytest.mark.parametrize(
    ("energy", "words"),
    [(0.5, "more slowly"), (7.9, "more slowly"), (8.1, "or nearly"), (20.0, "at least as fast")],
)
def test_the_reading_of_energy_against_arithmetic_follows_both(energy: float, words: str) -> None:
    assert words in claims.macs_reading(10.0, energy)


@pytest.mark.parametrize(
    ("method", "gpu_kwh", "words"),
    [
        ("measured: RAPL", float("nan"), "come from sensors"),
        ("measured: RAPL; estimated: W per GB", float("nan"), "RAPL”)."),  # without a GPU, nothing is told of one
        ("estimated: TDP × utilisation; measured: NVML energy counter", 0.8, "80.0 % of them is the GPU's"),
    ],
)
def test_the_share_of_the_gpu_is_told_only_where_there_is_one(method: str, gpu_kwh: float, words: str) -> None:
    runs = pd.DataFrame({"energy_method": [method], "energy_kwh": [1.0], "energy_gpu_kwh": [gpu_kwh]})
    assert words in claims.energy_honesty(runs)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("estimated: TDP × utilisation; measured: NVML energy counter", "both ask the GPU's own driver"),
        ("measured: RAPL; measured: NVML energy counter", "They read the same hardware"),
        ("estimated: TDP × utilisation; estimated: W per GB", "Without a sensor the two are not independent"),
    ],
)
def test_what_two_instruments_share_follows_what_was_read(method: str, words: str) -> None:
    assert words in claims.tracker_independence(pd.Series([method]))


@pytest.mark.parametrize(
    ("dice", "best", "could", "lesson"),
    [
        ({4: 0.4, 8: 0.5, 16: 0.6, 32: 0.7}, 32, "32", "another"),
        ({4: 0.5, 8: 0.7, 16: 0.6, 32: 0.4}, 8, "8", "neither"),
        ({4: 0.7, 8: 0.4, 16: 0.5, 32: 0.6}, 4, "4", "another"),
        ({4: 0.4, 8: 0.7, 16: 0.7, 32: 0.4}, 16, "8 and 16", "as good"),
        ({4: 0.65, 8: 0.65, 16: 0.65, 32: 0.65}, 16, "4, 8, 16 and 32", "as good"),
    ],
)
def test_the_cheapest_of_those_that_could_be_best_is_enough(
    tmp_path: Path, dice: dict[int, float], best: int, could: str, lesson: str
) -> None:
    evidence = Evidence.read(make_study(tmp_path, dice)[0], ROOT)
    text = claims.enough(evidence)
    assert text.startswith(f"F = {best} has the highest mean Dice. At 95 %, F = {could} could be the best")
    assert text.endswith(f"the cheapest of these is F = {could.split(maxsplit=1)[0].rstrip(',')}.")
    assert lesson in claims.enough_lesson(evidence)


@pytest.mark.parametrize(
    ("dearest", "said"),
    [
        (0.7, "More carbon, more Dice."),
        (0.4, "More carbon, less Dice."),
        (0.5, "More carbon, and no more Dice is shown."),
    ],
)
def test_the_headline_follows_from_the_widths_at_the_ends(tmp_path: Path, dearest: float, said: str) -> None:
    results, _ = make_study(tmp_path, {4: 0.5, 8: 0.5, 16: 0.5, 32: dearest})
    assert claims.headline(Evidence.read(results, ROOT)) == said


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [((-0.02, -0.04, 0.01), "no difference"), ((0.02, 0.01, 0.04), "more than"), ((-0.02, -0.04, -0.01), "less than")],
)
def test_a_network_differs_from_a_reader_only_where_that_is_shown(
    difference: tuple[float, float, float], verdict: str
) -> None:
    assert verdict in claims.reader_verdict(Estimate(*difference, n=9, patients=3))


def choices(*chosen: str, probability: float = 0.8) -> pd.DataFrame:
    names = ["best", "budget", "noninferior"][: len(chosen)]
    return pd.DataFrame({"name": names, "chosen": chosen, "probability": probability})


def test_criteria_that_agree_are_said_to_agree() -> None:
    assert claims.agreement(choices("4", "4", "4")) == "All three choose F = 4."
    assert claims.agreement(choices("16", "4", "4")) == (
        "The three criteria choose two different widths: F = 4 is chosen by budget and not worse; "
        "F = 16 is chosen by best Dice."
    )


@pytest.mark.parametrize(
    ("probability", "said", "unsaid"),
    [
        (0.8, "repeats its choice in 80.0 %", "hardly better founded"),
        (0.3, "hardly better founded", "nothing is known"),
        (float("nan"), "nothing is known", "repeats"),
    ],
)
def test_what_is_not_sure_is_said(probability: float, said: str, unsaid: str) -> None:
    text = claims.certainty(choices("4", "8", probability=probability))
    assert said in text
    assert unsaid not in text


def test_grids_that_change_a_choice_are_told(evidence: Evidence) -> None:
    told = claims.moved_by_grid(evidence)
    for name, rows in evidence.choices_on_grids.groupby("name"):
        moves = rows["chosen"].fillna("none").nunique() > 1
        label = {"budget": "by budget", "marginal": "by marginal price"}.get(str(name))
        assert moves == (label is not None and label in told), name


def test_the_chapter_agrees_with_the_command_line(evidence: Evidence, study: tuple[Path, Path]) -> None:
    """The chapter and `carbon-midl select`, on the grid of the record, read the same study alike."""
    candidates = read_candidates(study[0], Columns(performance="test_dice_patients"), Factors.of(INTENSITY))
    chosen = choose(candidates, NonInferior(0.01))
    rows, _ = evidence.choices
    row = rows[rows["name"] == "noninferior"].iloc[0]
    assert (row["chosen"], row["runner_up"]) == (chosen.chosen, chosen.runner_up)
    assert row["cost"] == pytest.approx(candidates.mean_cost[candidates.names.index(chosen.chosen)])


def test_a_saving_is_claimed_only_where_nothing_is_lost() -> None:
    rows = pd.DataFrame({"name": ["full", "widen", "halving"], "within": [1.0, 0.5, 1.0], "share": [1.0, 0.1, 0.4]})
    assert "the cheapest is halving, with 40.0 % of" in claims.replay_reading(rows)
    assert "no policy saves anything" in claims.replay_reading(rows[rows["name"] != "halving"])


def test_the_published_curves_are_judged_against_the_aim() -> None:
    record = read_published(ROOT / PUBLISHED)
    for there in ("lidc", "derma"):
        row = record.tuned[(record.tuned["on"] == there) & (record.tuned["tuned_on"] != there)].iloc[0]
        met = row["within"] >= 0.9 and row["share"] <= 0.2
        assert ("meets the aim" if met else "misses the aim") in claims.tuned_sentence(record, there)
    text = claims.convergence_sentences(record.convergence)
    for value in record.convergence["spearman"]:
        assert f"{value:+.2f}".replace("-", "−") in text
    assert claims.choices_sentence(record.choices).count("different models") == 2
