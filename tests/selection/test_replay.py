"""Policies replayed on recorded curves, and the action ``replay``."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.selection.policies import POLICIES, FullSweep, Policy, Step, SuccessiveHalving, Trial, Widen
from carbon_midl.selection.replay import TOLERANCE, Curves, curves_of_study, replay, replay_all
from carbon_midl.study.results import read_results
from studies.published_curves import drawn, grid
from tests.selection.test_policies import search

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


@given(st.integers(0, 10**6), st.sampled_from(grid()))
def test_regret_and_share_are_what_they_are_by_definition(seed: int, policy: Policy) -> None:
    curves = curves_like(seed)
    result = replay(curves, policy)
    chosen = [trial.name for trial in curves.trials].index(result.chosen)
    assert result.regret == max(trial.best for trial in curves.trials) - curves.trials[chosen].best >= 0
    trials = search(policy, list(curves.trials))
    trials[chosen] = curves.trials[chosen]
    spent, full = (sum(trial.spent for trial in part) for part in (trials, curves.trials))
    assert result.share == pytest.approx(spent / full, abs=1e-12)
    assert result.share <= 1 + 1e-12


def test_the_regret_is_told_by_the_score_which_decides_nothing() -> None:
    curves = curves_like(3)
    score = tuple(np.random.default_rng(0).uniform(0.4, 0.8, len(curves.trials)).tolist())
    judged, before = (replay(one, SuccessiveHalving()) for one in (replace(curves, score=score), curves))
    assert (judged.chosen, judged.share) == (before.chosen, before.share)
    best = np.argmax([trial.best for trial in curves.trials])
    assert judged.regret == score[best] - score[int(judged.chosen[1:])]


def test_a_policy_that_asks_for_the_past_is_refused() -> None:
    class Backwards(FullSweep):
        def steps(self, trials: object) -> list[Step]:
            return [Step(0, 0)]

    with pytest.raises(InputError, match="asks to train c0 from epoch 0 to 0"):
        replay(curves_like(0), Backwards())


def test_draws_are_summed_up_in_a_row_a_policy() -> None:
    policy, draws = Widen(gain=0.05), drawn(curves_like(4), 40)
    replays = [replay(part, policy) for part in draws]
    row = replay_all(draws, [policy]).iloc[0]
    assert row["within"] == np.mean([one.regret <= TOLERANCE for one in replays])
    assert row["regret_low"] <= row["regret"] <= row["regret_high"]
    assert row["share"] == pytest.approx(np.mean([one.share for one in replays]))


def test_curves_of_a_recorded_study() -> None:
    curves = curves_of_study(RECIPES, ("recipe", "filters"))[1]
    epochs, runs = pd.read_csv(RECIPES / "epochs.csv"), pd.read_csv(RECIPES / "runs.csv")
    names = [trial.name for trial in curves.trials]
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
    assert sorted(curves_of_study(replace(results, runs=runs))) == sorted({*runs["seed"]} - {1})


def test_all_policies_on_a_recorded_study(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["replay", str(RECIPES), "--candidate", "recipe,filters"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("full sweep")
    assert " 0.0000 [0.0000, 0.0000]  100%    100.0% [100.0%, 100.0%]" in lines[1]
    assert len(lines) == 2 + len(POLICIES)
    assert lines[-1].startswith("Seeds, each a search: 3. Regret: mean and range of 95 % in test Dice;")
    assert main([*command, "--policy", "halving", "--option", "eta=3"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 3
    assert "successive halving in energy, one of 3" in out


def test_the_help_names_every_policy_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--help"]) == 0
    listed = " ".join(capsys.readouterr().out.split()).split("defaults of their options: ")[1]
    for name, kind in POLICIES.items():
        said = listed.split(f"- {name}: ")[1].split(" - ")[0]
        for option in fields(kind):  # type: ignore[arg-type]
            assert f"{option.name}={option.default:g}" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((RECIPES, "--option", "eta=2"), "--option: belongs to --policy"),
        ((RECIPES, "--candidate", "recipe,filters", "--policy", "halvng"), "found 'halvng'; expected one of full"),
        ((RECIPES,), "several runs of one seed are called '4'"),
    ],
)
def test_bad_input_is_named(arguments: tuple[object, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", *map(str, arguments)]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
