"""Policies replayed on recorded curves, and the action ``replay``."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.selection.policies import POLICIES, FullSweep, Policy, Step, SuccessiveHalving, Trial, Widen, described
from carbon_midl.selection.replay import Curves, curves_of_study, replay, replay_study, summarise
from carbon_midl.study.results import read_results
from studies.published_curves import drawn, grid

RECIPES = Path(__file__).parents[2] / "results" / "recipes"


def curves_like(seed: int, count: int = 12, epochs: int = 10) -> Curves:
    """Rising curves; larger candidates cost more and end higher, with noise."""
    generator = np.random.default_rng(seed)
    sizes = np.sort(generator.uniform(1, 50, count))
    ends = 0.6 + 0.04 * np.log(sizes) + generator.normal(0, 0.02, count)
    performance = ends[:, None] * (1 - 0.5 / np.arange(1, epochs + 1)) + generator.normal(0, 0.005, (count, epochs))
    cost = np.repeat(sizes[:, None], epochs, axis=1) * generator.uniform(0.95, 1.05, (count, epochs))
    rows = zip(sizes.tolist(), performance.clip(0, 1).tolist(), cost.tolist(), strict=True)
    return Curves(tuple(Trial(f"c{k}", row[0], epochs, tuple(row[1]), tuple(row[2])) for k, row in enumerate(rows)))


def names_of(curves: Curves) -> list[str]:
    return [trial.name for trial in curves.trials]


@given(st.integers(0, 10**6), st.sampled_from(grid()))
def test_regret_and_share_are_what_they_are_by_definition(seed: int, policy: Policy) -> None:
    curves = curves_like(seed)
    result = replay(curves, policy)
    chosen = names_of(curves).index(result.chosen)
    assert result.regret == max(trial.best for trial in curves.trials) - curves.trials[chosen].best >= 0
    trained = [10 if k == chosen else epochs for k, epochs in enumerate(result.trained)]
    spent = sum(sum(trial.cost[:epochs]) for trial, epochs in zip(curves.trials, trained, strict=True))
    assert result.share == pytest.approx(spent / sum(trial.spent for trial in curves.trials), abs=1e-12)
    assert result.share <= 1 + 1e-12


def test_the_regret_is_told_by_the_score_which_decides_nothing() -> None:
    curves = curves_like(3)
    score = tuple(np.random.default_rng(0).uniform(0.4, 0.8, len(curves)).tolist())
    judged, before = (replay(one, SuccessiveHalving()) for one in (replace(curves, score=score), curves))
    assert judged._replace(regret=before.regret) == before
    best = np.argmax([trial.best for trial in curves.trials])
    assert judged.regret == score[best] - score[names_of(curves).index(judged.chosen)]


def test_a_policy_that_asks_for_the_past_is_refused() -> None:
    class Backwards(FullSweep):
        def steps(self, trials: object) -> list[Step]:
            return [Step(0, 0)]

    with pytest.raises(InputError, match="asks to train c0 from epoch 0 to 0"):
        replay(curves_like(0), Backwards())


def test_a_summary_counts_what_stays_within_the_tolerance() -> None:
    policy = Widen(gain=0.05)
    replays = [replay(part, policy) for part in drawn(curves_like(4), 40)]
    summary = summarise(replays, policy, tolerance=0.01)
    assert summary.within == np.mean([one.regret <= 0.01 for one in replays])
    assert summary.regret_low <= summary.regret <= summary.regret_high
    assert summary.share == pytest.approx(np.mean([one.share for one in replays]))


def test_curves_of_a_recorded_study() -> None:
    curves = curves_of_study(RECIPES, ("recipe", "filters"))[1]
    epochs, runs = pd.read_csv(RECIPES / "epochs.csv"), pd.read_csv(RECIPES / "runs.csv")
    names = names_of(curves)
    assert set(names) == {f"{recipe} / {width}" for recipe in ("reference", "efficient") for width in (4, 16)}
    same = runs[(runs["recipe"] == "efficient") & (runs["filters"] == 16)]
    row = same[same["seed"] == 1].iloc[0]
    table = epochs[epochs["run"] == row["run"]]
    trial = curves.trials[names.index("efficient / 16")]
    assert (trial.performance, trial.cost) == (tuple(table["val_dice"]), tuple(table["energy_kwh"]))
    assert trial.size == row["macs"]
    assert curves.score is not None
    assert curves.score[names.index("efficient / 16")] == pytest.approx(same["test_dice_patients"].mean())
    # A training is its epochs and what is between them.
    assert 0.95 * row["energy_kwh"] < trial.spent <= row["energy_kwh"]


def test_a_seed_that_lacks_a_candidate_is_no_search_of_the_study() -> None:
    results = read_results(RECIPES.with_name("lidc"))
    runs = results.runs[(results.runs["seed"] != 1) | (results.runs["filters"] != 24)]
    widths = runs.groupby("seed")["filters"].nunique()
    whole = widths[widths == widths.max()].index
    table = replay_study(replace(results, runs=runs))
    assert set(table["draws"]) == {len(whole)}
    alone = replace(results, runs=runs[runs["seed"].isin(whole)])
    pd.testing.assert_frame_equal(table, replay_study(alone))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["replay", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_all_policies_on_a_recorded_study(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, RECIPES, "--candidate", "recipe,filters")
    assert code == 0
    lines = out.splitlines()
    assert lines[1].startswith("full sweep")
    assert " 0.0000 [0.0000, 0.0000]  100%    100.0% [100.0%, 100.0%]" in lines[1]
    assert len(lines) == 2 + len(POLICIES)
    assert lines[-1].startswith("Seeds, each a search: 3. Regret: mean and range of 95 % in test Dice;")
    code, out, _ = run(capsys, RECIPES, "--candidate", "recipe,filters", "--policy", "halving", "--option", "eta=3")
    assert (code, len(out.splitlines())) == (0, 3)
    assert "successive halving in energy, one of 3" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "TABLE: missing"),
        ((RECIPES, "--option", "eta=2"), "--option: belongs to --policy"),
        ((RECIPES, "--candidate", "recipe,filters", "--policy", "halvng"), "found 'halvng'; expected one of full"),
        ((RECIPES,), "several runs of one seed are called '4'"),
    ],
)
def test_bad_input_is_named(arguments: tuple[object, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert words in " ".join(err.split())


def test_the_list_of_policies_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--policies")
    assert (code, out) == (0, f"policies:\n{described()}")
    assert all(name in out and kind.assumption in out for name, kind in POLICIES.items())
    assert "Options: eta=2.0, first=1.0" in out
