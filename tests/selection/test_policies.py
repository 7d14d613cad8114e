"""What every policy keeps to, and what each of them does on curves small enough to follow by hand."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.selection.policies import (
    EarlyStopping,
    FullSweep,
    Policy,
    ScreenedHalving,
    Step,
    SuccessiveHalving,
    Trial,
    Widen,
    policy_of,
)

ANY_POLICY = st.one_of(
    st.just(FullSweep()),
    st.builds(EarlyStopping, patience=st.integers(1, 5)),
    st.builds(SuccessiveHalving, eta=st.floats(1.2, 5), first=st.floats(0.5, 4)),
    st.builds(ScreenedHalving, st.floats(1.2, 5), st.floats(0.5, 4), st.floats(1, 8), st.floats(0, 1.5)),
    st.builds(Widen, st.floats(0, 0.05), st.integers(1, 4), st.integers(1, 4)),
)


@st.composite
def full_curves(draw: st.DrawFn) -> list[Trial]:
    """Trials as they would be when trained to the end; sizes, costs and performances with ties, some epochs failed."""
    epochs = draw(st.integers(1, 8))

    def each(values: st.SearchStrategy[float]) -> tuple[float, ...]:
        return tuple(draw(st.lists(values, min_size=epochs, max_size=epochs)))

    return [
        Trial(
            f"c{number}",
            draw(st.sampled_from([1.0, 2.0, 2.0, 8.0])),
            epochs,
            each(st.one_of(st.sampled_from([0.0, 0.5, 0.6, math.nan]), st.floats(0, 1))),
            each(st.sampled_from([0.0, 0.1, 1.0, 3.0, 10.0])),
        )
        for number in range(draw(st.integers(1, 7)))
    ]


def untrained(full: list[Trial]) -> list[Trial]:
    return [trial.up_to(0) for trial in full]


def after(trials: list[Trial], full: list[Trial], step: Step) -> list[Trial]:
    return [full[k].up_to(step.until) if k == step.trial else trial for k, trial in enumerate(trials)]


def search(policy: Policy, full: list[Trial], order: st.DataObject | None = None) -> list[Trial]:
    """Do all that a policy asks for: a list of steps at a time, or one step at a time in a random order."""
    trials = untrained(full)
    while steps := policy.steps(trials):
        for step in steps:
            assert trials[step.trial].trained < step.until <= trials[step.trial].epochs
        assert len({step.trial for step in steps}) == len(steps)
        chosen = steps if order is None else [steps[order.draw(st.integers(0, len(steps) - 1))]]
        for step in chosen:
            trials = after(trials, full, step)
    return trials


@given(full_curves(), ANY_POLICY)
def test_every_search_ends_and_chooses_the_best_of_what_it_saw(full: list[Trial], policy: Policy) -> None:
    trials = search(policy, full)
    best = max(trial.best for trial in trials)
    if best == -math.inf:
        with pytest.raises(InputError, match="no candidate has a performance"):
            policy.choose(trials)
    else:
        chosen = trials[policy.choose(trials)]
        assert chosen.best == best
        assert chosen.spent == min(trial.spent for trial in trials if trial.best == best)


@given(full_curves(), ANY_POLICY, st.data())
def test_workers_that_share_a_search_decide_as_one_does(full: list[Trial], policy: Policy, data: st.DataObject) -> None:
    assert search(policy, full, data) == search(policy, full)


@given(full_curves(), ANY_POLICY, st.integers(0, 30))
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(full: list[Trial], policy: Policy, epochs: int) -> None:
    """A step may end early, at any epoch: what is asked for next leads to the same end, if epochs cost alike."""
    full = [replace(trial, cost=(trial.cost[0],) * trial.epochs) for trial in full]
    trials = untrained(full)
    while steps := policy.steps(trials):
        step = steps[0]
        if epochs:  # in single epochs first
            epochs -= 1
            step = step._replace(until=trials[step.trial].trained + 1)
        trials = after(trials, full, step)
    assert trials == search(policy, full)


@given(full_curves(), ANY_POLICY)
def test_asynchronous_halving_lets_the_best_so_far_go_on(full: list[Trial], policy: Policy) -> None:
    """Trained one after the other, no candidate is ended that was better after as much energy than all before it."""
    before: list[Trial] = []
    for trial in full:
        trained = 1
        while policy.goes_on(trial.up_to(trained), before):
            trained += 1
            assert trained <= trial.epochs
        if not before and isinstance(policy, SuccessiveHalving):
            assert trained == trial.epochs
        before.append(trial.up_to(trained))


def test_a_training_that_is_behind_after_as_much_energy_ends() -> None:
    good, bad = curve("good", 1, *[0.7] * 8), curve("bad", 1, *[0.1] * 8)
    policy = SuccessiveHalving(eta=2, first=2)
    assert policy.goes_on(bad.up_to(1), [good])
    assert not policy.goes_on(bad.up_to(2), [good])
    assert policy.goes_on(good.up_to(2), [bad])
    # A last survivor is trained on in one step.
    assert names_of(SuccessiveHalving(2, 1).steps([good.up_to(1), bad.up_to(1)]), [good, bad]) == [("good", 8)]


def curve(name: str, size: float, *performance: float, cost: float = 1.0) -> Trial:
    return Trial(name, size, len(performance), performance, (cost,) * len(performance))


def names_of(steps: list[Step], trials: list[Trial]) -> list[tuple[str, int]]:
    return [(trials[step.trial].name, step.until) for step in steps]


def test_a_full_sweep_trains_all_from_the_smallest_up_and_early_stopping_waits_as_long_as_it_says() -> None:
    full = [curve("wide", 4, 0.1, 0.2), curve("narrow", 1, 0.1, 0.2)]
    assert names_of(FullSweep().steps(untrained(full)), full) == [("narrow", 2), ("wide", 2)]
    full = [curve("a", 1, 0.5, 0.6, 0.6, 0.59, 0.7, 0.8)]
    assert search(EarlyStopping(2), full)[0].trained == 4
    assert search(EarlyStopping(3), full)[0].trained == 6


def test_halving_gives_equal_energy_and_keeps_half() -> None:
    """Mean epoch 2.5 units: four epochs are 10. The cheap ones train more epochs for the same energy."""
    full = [
        curve("cheap good", 1, *[0.5, 0.6, 0.7, 0.8], cost=1),
        curve("cheap bad", 1, *[0.1, 0.1, 0.1, 0.1], cost=1),
        curve("dear good", 4, *[0.6, 0.7, 0.8, 0.9], cost=4),
        curve("dear bad", 4, *[0.2, 0.2, 0.2, 0.2], cost=4),
    ]
    trained = {trial.name: trial.trained for trial in search(SuccessiveHalving(eta=2, first=1), full)}
    # 2.5 units: two cheap epochs or one dear (at least one); 5: both good ones; 10: the better of them.
    assert trained == {"cheap good": 4, "cheap bad": 2, "dear good": 1, "dear bad": 1}


def test_screening_sees_a_curve_that_is_about_to_overtake() -> None:
    """After two epochs the riser is behind; with its trend it is ahead."""
    full = [
        curve("flat", 1, *[0.60] * 8),
        curve("riser", 1, 0.40, 0.55, 0.64, 0.70, 0.74, 0.78, 0.80, 0.82),
        curve("poor", 1, *[0.2] * 8),
        curve("worse", 1, *[0.1] * 8),
    ]
    blind, seeing = ScreenedHalving(screen=4, trend=0), ScreenedHalving(screen=4, trend=1)
    assert full[blind.choose(search(blind, full))].name == "flat"
    assert full[seeing.choose(search(seeing, full))].name == "riser"


def test_widening_stops_where_a_doubling_of_the_cost_no_longer_pays() -> None:
    full = [
        curve("F = 4", 4, 0.60, 0.60, cost=1),
        curve("F = 8", 8, 0.65, 0.65, cost=2),
        curve("F = 16", 16, 0.652, 0.652, cost=4),
        curve("F = 32", 32, 0.90, 0.90, cost=8),
    ]
    policy = Widen(gain=0.01)
    trials = search(policy, full)
    assert [trial.trained for trial in trials] == [2, 2, 2, 0]
    assert trials[policy.choose(trials)].name == "F = 16"


def test_options_are_of_the_policy_and_of_its_kinds() -> None:
    assert policy_of("halving", ["eta=3", "first=2"]) == SuccessiveHalving(3.0, 2.0)
    assert policy_of("widen", ["patience=3", "stage=2"]) == Widen(stage=2, patience=3)
    for name, option, words in (
        ("halving", "eta", "found option 'eta'; its options are: eta=…, first=…"),
        ("halving", "eta=1", "halving: 'eta' is '1': input should be greater than 1"),
        ("screened-halving", "screen=0.5", "input should be greater than or equal to 1"),
        ("widen", "patience=2.5", "widen: 'patience' is '2.5': input should be a valid integer"),
        ("full", "eta=1", "its options are: none"),
    ):
        with pytest.raises(InputError, match=words):
            policy_of(name, [option])
