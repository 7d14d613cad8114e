"""A search decides as its policy does, survives its workers, and says what it did."""

import json
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.errors import InputError
from carbon_midl.search.ledger import Ledger
from carbon_midl.search.plan import plan_search
from carbon_midl.search.trail import trail_table, write_outcome
from carbon_midl.search.worker import FINISH, TRIES, Worker
from carbon_midl.selection.policies import EarlyStopping, FullSweep, Policy, SuccessiveHalving, Trial, Widen
from carbon_midl.selection.replay import Curves, replay
from carbon_midl.study.spec import read_study
from tests.search.fakes import FakeTrainer, make_plan, rising

POLICIES: list[Policy] = [FullSweep(), EarlyStopping(1), SuccessiveHalving(), Widen(gain=0.01)]


def curves_of(trials: list[Trial]) -> Curves:
    return Curves(
        tuple(trial.name for trial in trials),
        np.array([trial.size for trial in trials], dtype=float),
        np.array([trial.performance for trial in trials]),
        np.array([trial.cost for trial in trials]),
    )


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_search_decides_as_the_policy_replayed_on_the_same_curves(policy: Policy, seed: int, tmp_path: Path) -> None:
    plan = make_plan(tmp_path, policy)
    curves = np.random.default_rng(seed).uniform(0, 1, (3, 4))
    full = [
        Trial(run.name, width, 4, tuple(performance), (0.1 * width,) * 4)
        for run, width, performance in zip(plan.runs, (2, 3, 4), curves.tolist(), strict=True)
    ]
    trainer = FakeTrainer(plan, full)
    chosen = Worker(plan, trainer).work()
    expected = replay(curves_of(full), policy)
    assert chosen.name == expected.chosen
    assert trainer.finished == [chosen.name]
    entries = Ledger(plan.directory, [run.name for run in plan.runs], 4).entries()
    steps = [(entry.candidate, entry.until) for entry in entries if entry.reason != FINISH]
    # A worker asks again after each step, so that the order of independent ones may differ.
    assert sorted(steps) == sorted((full[step.trial].name, step.until) for step in expected.steps)
    spent = sum(trainer.spent_kwh(run) for run in plan.runs)
    assert spent == pytest.approx(expected.share * sum(trial.spent for trial in full))


def test_several_workers_share_a_search(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, SuccessiveHalving(), widths=(2, 3, 4, 5, 6), epochs=6)
    full = rising((2, 3, 4, 5, 6), 6)
    at_work: list[str] = []
    meeting = threading.Barrier(2)
    met = threading.Event()

    def train(name: str) -> None:
        assert name not in at_work, "two workers train one candidate"
        at_work.append(name)
        if not met.is_set():
            meeting.wait(timeout=60)  # two are at work at the same time, or this fails
            met.set()
        at_work.remove(name)

    chosen: list[str] = []

    def work() -> None:
        trainer = FakeTrainer(plan, full)
        trainer.on_train = train
        chosen.append(Worker(plan, trainer).work().name)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met.is_set()
    alone = make_plan(tmp_path / "alone", SuccessiveHalving(), widths=(2, 3, 4, 5, 6), epochs=6)
    expected = Worker(alone, FakeTrainer(alone, full)).work().name
    assert chosen == [expected] * 3
    table = trail_table(plan, Ledger(plan.directory, [run.name for run in plan.runs], 6).entries())
    reference = trail_table(alone, Ledger(alone.directory, [run.name for run in alone.runs], 6).entries())
    columns = ["candidate", "first", "until", "state"]
    pd.testing.assert_frame_equal(
        table[columns].sort_values(columns, ignore_index=True),
        reference[columns].sort_values(columns, ignore_index=True),
    )


def test_a_search_goes_on_after_it_was_stopped(tmp_path: Path) -> None:
    plan, full = make_plan(tmp_path, SuccessiveHalving()), rising()
    trainer = FakeTrainer(plan, full)
    count = 0

    def stop(name: str) -> None:
        nonlocal count
        count += 1
        if count in (2, 4):
            raise KeyboardInterrupt

    trainer.on_train = stop
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            Worker(plan, trainer).work()
    chosen = Worker(plan, trainer).work()
    table = trail_table(plan, Ledger(plan.directory, [run.name for run in plan.runs], 4).entries())
    assert list(table["state"]).count("interrupted") == 2
    undisturbed = make_plan(tmp_path / "undisturbed", SuccessiveHalving())
    assert Worker(undisturbed, FakeTrainer(undisturbed, full)).work().name == chosen.name
    reference = trail_table(undisturbed, Ledger(undisturbed.directory, [r.name for r in plan.runs], 4).entries())
    columns = ["candidate", "first", "until", "val_dice", "energy_so_far_kwh"]
    done = table[table["state"] == "done"]
    pd.testing.assert_frame_equal(done[columns].reset_index(drop=True), reference[columns])


def test_the_step_of_a_worker_that_is_gone_is_asked_for_anew(tmp_path: Path) -> None:
    plan, full = make_plan(tmp_path, FullSweep()), rising()
    Worker(plan, FakeTrainer(plan, full))  # begins, and is gone
    names = [run.name for run in plan.runs]
    Ledger(plan.directory, names, 4).claim(names[0], 1, 4, "every candidate", "elsewhere-1")
    chosen = Worker(plan, FakeTrainer(plan, full)).work()
    states = [(entry.candidate, entry.state) for entry in Ledger(plan.directory, names, 4).entries()]
    assert states[0] == (names[0], "interrupted")
    assert (names[0], "done") in states
    assert chosen.name == names[-1]


def test_a_claim_that_was_cut_in_two_is_cleared_away(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, FullSweep())
    plan.begin()
    names = [run.name for run in plan.runs]
    ledger = Ledger(plan.directory, names, 4)
    ledger._study.enqueue_trial({"candidate": names[1], "until": 2})  # killed before it asked
    ledger.claim(names[0], 1, 3, "mine", "me")
    (running,) = [entry for entry in ledger.entries() if entry.state == "running"]
    assert (running.candidate, running.until) == (names[0], 3)


def test_a_candidate_that_fails_again_and_again_is_out(tmp_path: Path) -> None:
    plan, full = make_plan(tmp_path, FullSweep()), rising()
    trainer = FakeTrainer(plan, full)
    trainer.failing = {plan.runs[2].name: 99, plan.runs[1].name: 1}
    lines: list[str] = []
    worker = Worker(plan, trainer, lines.append)
    chosen = worker.work()
    assert chosen.name == plan.runs[1].name  # the best of those left; its own failure was not repeated
    assert trainer.failing[plan.runs[2].name] == 99 - TRIES
    assert list(worker.standing().out) == [plan.runs[2].name]
    assert sum("failed: the loss is not finite" in line for line in lines) == TRIES + 1
    trainer.failing = {run.name: 99 for run in plan.runs}
    other = make_plan(tmp_path / "other", FullSweep())
    hopeless = FakeTrainer(other, full)
    hopeless.failing = {run.name: 99 for run in other.runs}
    with pytest.raises(InputError, match=f"every candidate failed {TRIES} times"):
        Worker(other, hopeless).work()


@pytest.mark.parametrize("limit", [0.5, 1.7, 3.0, 5.0])
def test_the_budget_is_of_the_whole_search(limit: float, tmp_path: Path) -> None:
    plan = make_plan(tmp_path, FullSweep(), limit_kwh=limit)
    trainer = FakeTrainer(plan, rising())
    lines: list[str] = []
    worker = Worker(plan, trainer, lines.append)
    chosen = worker.work()
    assert worker.standing().spent_kwh <= limit + 1e-9
    assert trainer.tested(chosen, None) is not None
    whole = sum(trial.spent for trial in rising())
    assert any("left out: predicted to cost" in line for line in lines) == (limit < whole)


def test_another_policy_does_not_go_on_with_a_search(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, Widen(gain=0.01))
    Worker(plan, FakeTrainer(plan, rising()))
    study = read_study(tmp_path / "studies" / "tiny.toml")
    with pytest.raises(InputError, match=r"a search with options = .*--name to begin another"):
        Worker(plan_search(study, Widen(gain=0.02)), FakeTrainer(plan, rising()))
    assert plan_search(study, Widen(), name="mine").directory == tmp_path / "runs" / "mine"


def test_what_cannot_be_searched_is_named(tmp_path: Path) -> None:
    make_plan(tmp_path, FullSweep())
    path = tmp_path / "studies" / "tiny.toml"
    with pytest.raises(InputError, match="no runs of seed 7; found 0, 1"):
        plan_search(read_study(path), FullSweep(), seed=7)
    with pytest.raises(InputError, match="expected a number above 0"):
        plan_search(read_study(path), FullSweep(), limit_kwh=0)
    text = path.read_text()
    path.write_text(text.replace("depth = 2", "depth = 2\npatience = 2"))
    with pytest.raises(InputError, match="patience or a budget ends a training"):
        plan_search(read_study(path), FullSweep())
    path.write_text(text.replace("[2, 3, 4]", "[2]"))
    with pytest.raises(InputError, match="one candidate only"):
        plan_search(read_study(path), FullSweep())


def test_the_trail_is_a_table_a_picture_and_a_text(tmp_path: Path) -> None:
    plan, full = make_plan(tmp_path, SuccessiveHalving()), rising()
    trainer = FakeTrainer(plan, full)
    worker = Worker(plan, trainer)
    chosen = worker.work()
    outcome = write_outcome(plan, worker.standing(), chosen.name, trainer.tested(chosen, None), size=32)
    assert json.loads((plan.directory / "search.json").read_text()) == outcome
    assert outcome["chosen"] == chosen.name
    assert outcome["runner_up"] not in (None, chosen.name)
    assert outcome["energy_kwh"] == pytest.approx(sum(trainer.spent_kwh(run) for run in plan.runs))
    assert outcome["full_sweep_predicted_kwh"] == pytest.approx(sum(trial.spent for trial in full))
    table = pd.read_csv(plan.directory / "trail.csv")
    assert table["energy_so_far_kwh"].iloc[-1] == pytest.approx(outcome["energy_kwh"])
    assert list(table["step"]) == list(range(1, len(table) + 1))
    text = (plan.directory / "trail.txt").read_text()
    assert f"Chosen: {chosen.name}." in text
    for theme in ("light", "dark"):
        assert "full sweep" in (plan.directory / f"trail.{theme}.svg").read_text()
