"""A live search on Optuna: a study's candidates are trained as a policy asks, the chosen one is finished and tested.

A candidate is an Optuna trial; each epoch reports its validation Dice and energy to Optuna's storage, a journal in the
search's directory that several workers share and that ``optuna-dashboard`` reads. The policy is asked after each epoch
whether the training goes on. Halving is asynchronous here (Li et al. 2020, MLSys): at each rung a candidate is
compared with those that got as far before it, so that nobody waits and no training is taken up again.

Training is the notebook's: the same functions write the same directory. A lock beside that directory tells which
candidates are at work; it ends with its process, and a training that was cut off goes on from its checkpoint.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import optuna
import pandas as pd
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from carbon_midl.errors import InputError
from carbon_midl.files import write_json, write_text
from carbon_midl.footprint import carbon_intensity, read_footprint
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.selection.policies import Policy, Trial
from carbon_midl.study.notebook import Experiment, TrainingPaused, open_experiment
from carbon_midl.study.run import EPOCHS, FOOTPRINT, fingerprint, is_finished, read_result
from carbon_midl.study.spec import PlannedRun, Study
from carbon_midl.training.network import network_size

JOURNAL, TRAIL, OUTCOME = "journal.log", "trail.csv", "search.json"
_WAIT_S = 1.0


@dataclass(frozen=True)
class Search:
    """A search as it was asked for."""

    study: Study  #: as read, but in the search's own directory.
    runs: tuple[PlannedRun, ...]  #: the candidates, which are the study's runs of one seed, the smallest first.
    policy: Policy  #: that decides.
    limit_kwh: float  #: of the whole search before PUE, the chosen one's training included; infinite for no limit.
    archive: CropArchive  #: the study's crops.
    metered_alone: bool = True  #: whether no other run is made on the same metered device.

    @cached_property
    def macs(self) -> list[float]:
        """Multiply-accumulates of a crop, by candidate."""
        return [network_size(run.options, self.archive.size).macs for run in self.runs]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What may not change while a search goes on."""
        return {
            "candidates": [run.name for run in self.runs],
            "policy": self.policy.name,
            "options": asdict(self.policy),  # type: ignore[call-overload]
            "limit_kwh": None if self.limit_kwh == math.inf else self.limit_kwh,
        }

    @cached_property
    def ledger(self) -> optuna.Study:
        """The search in Optuna's storage, begun where it was not; an `InputError` where its settings are others."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study.directory.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(self.study.directory / JOURNAL)))
        ledger = optuna.create_study(
            storage=storage, study_name=self.study.name, direction="maximize", load_if_exists=True
        )
        for name, value in self.settings.items():
            before = ledger.user_attrs.get(name, value)
            if before != value:
                raise InputError(
                    f"{self.study.directory}: a search with {name} = {before!r} was begun here, and now it is "
                    f"{value!r}. Give the former to go on with it, or --name to begin another beside it."
                )
            ledger.set_user_attr(name, value)
        return ledger

    def trials(self) -> list[Trial]:
        """How far each candidate is, from its attempt that got farthest."""
        curves: dict[str, list[tuple[float, float]]] = {}
        for attempt in self.ledger.get_trials(deepcopy=False):
            name, cost = attempt.params.get("candidate", ""), attempt.user_attrs.get("energy_kwh", [])
            curve = list(zip(attempt.intermediate_values.values(), cost, strict=False))
            curves[name] = max(curve, curves.get(name, []), key=len)
        return [
            Trial(run.name, macs, run.options.epochs, *zip(*curves.get(run.name, []), strict=True))
            for run, macs in zip(self.runs, self.macs, strict=True)
        ]

    def spent_kwh(self, *but: PlannedRun) -> float:
        """What all candidates but these have used, also between epochs and in attempts that failed."""
        directories = [self.study.directory / run.name for run in self.runs if run not in but]
        return sum(read_footprint(one).energy_kwh for one in directories if (one / FOOTPRINT).exists())

    def lock(self, run: PlannedRun, timeout: float = -1) -> FileLock:
        """Held by the process that trains a candidate."""
        return FileLock(self.study.directory / f".{run.name}.lock", timeout)

    def experiment(self, run: PlannedRun) -> Experiment:
        """Prepare to train a candidate by the study's parameters."""
        footprint = self.study.footprint
        return open_experiment(
            **run.options.model_dump(),
            crops=str(self.archive.path.absolute()),
            output=str((self.study.directory / run.name).absolute()),
            pue=footprint.pue,
            intensity=footprint.intensity,
            carbontracker=footprint.carbontracker,
            metered_alone=self.metered_alone,
        )


def plan_search(
    study: Study,
    policy: Policy,
    archive: CropArchive,
    seed: int | None = None,
    limit_kwh: float | None = None,
    name: str | None = None,
    metered_alone: bool = True,
) -> Search:
    """Take a study's runs of one seed as the candidates of a search; the other arguments are those of `Search`.

    Args:
        study: whose axes but the seed make the candidates.
        seed: of all trainings; by default the study's first.
        limit_kwh: None for no limit.
        name: of the search's directory in ``runs/``; by default from study, policy and seed.

    Raises:
        InputError: the study has no such seed, a single candidate, or options that end a training by themselves.
    """
    seed = study.runs[0].options.seed if seed is None else seed
    runs = [run for run in study.runs if run.options.seed == seed]
    if not runs:
        seeds = ", ".join(str(seed) for seed in sorted({run.options.seed for run in study.runs}))
        raise InputError(f"--seed: the study has no runs of seed {seed}; found {seeds}.")
    if len(runs) < 2:
        raise InputError(f"{study.path}: one candidate only, {runs[0].name}; a search needs two to choose from.")
    for run in runs:
        if run.options.patience or run.options.budget_g or run.options.budget_kwh:
            raise InputError(
                f"{study.path}: patience or a budget ends a training of {run.name} by itself, but in a search the "
                "policy decides that. Set them to 0; --budget-g limits the search, --policy early-stopping stops early."
            )
    if limit_kwh is not None and limit_kwh <= 0:
        raise InputError(f"budget: found {limit_kwh:g} kWh; expected a number above 0.")
    runs.sort(key=lambda run: network_size(run.options, archive.size).macs)
    study = replace(study, name=name or f"{study.name}-search-{policy.name}-seed-{seed}")
    return Search(study, tuple(runs), policy, math.inf if limit_kwh is None else limit_kwh, archive, metered_alone)


def run_search(search: Search, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Train until the policy asks for nothing more, finish and test its choice, and return what ``search.json`` holds.

    Called from another process at the same time, it shares the work. An `InputError` says that none could be trained.
    """
    while _train_next(search, say):
        pass
    chosen = search.runs[search.policy.choose(search.trials())]
    say(f"Chosen: {chosen.name}.")
    with search.lock(chosen):
        test = _finish(search, chosen)
    trials = search.trials()
    spent_kwh, full_kwh = search.spent_kwh(), sum(predicted_cost(trial, trial.epochs, trials) for trial in trials)
    g_per_kwh = carbon_intensity(search.study.footprint.intensity).g_per_kwh * search.study.footprint.pue
    outcome = {
        "study": search.study.title,
        **search.settings,
        "chosen": chosen.name,
        "test": test,
        "steps": len(trail_table(search)),
        "energy_kwh": spent_kwh,
        "carbon_g": spent_kwh * g_per_kwh,
        # Without the tests, which a sweep would make of every candidate.
        "full_sweep_predicted_kwh": full_kwh,
        "full_sweep_predicted_g": full_kwh * g_per_kwh,
    }
    write_json(search.study.directory / OUTCOME, outcome)
    return outcome


def _train_next(search: Search, say: Callable[[str], None]) -> bool:
    """Train a candidate that nobody trains, or wait for those of others; returns whether the search goes on."""
    attempts = search.ledger.get_trials(deepcopy=False)
    ended = {one.params["candidate"]: one.state for one in attempts if "reason" in one.user_attrs}
    trials = [trial for trial in search.trials() if ended.get(trial.name) != TrialState.FAIL]
    if not trials:
        raise InputError(f"{search.study.directory}: every candidate failed.")
    wanted = {trials[step.trial].name for step in search.policy.steps(trials)}
    waiting = False
    for trial in trials:
        if trial.name in ended or not (trial.trained or trial.name in wanted):
            continue
        if predicted_cost(trial, 1, trials) > search.limit_kwh - search.spent_kwh():
            say(f"{trial.name}: left out, its next epoch is predicted to exceed the budget")
            continue
        run = next(run for run in search.runs if run.name == trial.name)
        try:
            with search.lock(run, timeout=0):
                # A grid of one: which candidate is next follows from the policy and from who is at work.
                search.ledger.sampler = optuna.samplers.GridSampler({"candidate": [run.name]})
                search.ledger.optimize(partial(_train, search, run, say), n_trials=1, catch=(InputError,))
        except Timeout:
            waiting = True  # another worker is at it
            continue
        write_text(search.study.directory / TRAIL, trail_table(search).to_csv(index=False))
        return True
    if waiting:
        time.sleep(_WAIT_S)
    return waiting


def _train(search: Search, run: PlannedRun, say: Callable[[str], None], trial: optuna.Trial) -> float:
    """Train a candidate, reporting each epoch, until its last one or until the policy or the budget ends it."""
    trial.suggest_categorical("candidate", search.settings["candidates"])
    dice: list[float] = []

    def report(experiment: Experiment) -> None:
        reported = len(dice)
        dice[:] = pd.read_csv(search.study.directory / run.name / EPOCHS)["val_dice"].astype(float)
        cost = [experiment.footprint.epoch(epoch + 1).energy_kwh for epoch in range(len(dice))]
        trial.set_user_attr("energy_kwh", cost)
        for epoch in range(reported, len(dice)):
            trial.report(dice[epoch], epoch + 1)

    def after_epoch(experiment: Experiment) -> None:
        report(experiment)
        if len(dice) == run.options.epochs:  # only the chosen candidate is tested
            raise TrainingPaused("trained to its end")
        trials = search.trials()
        if not search.policy.goes_on(trials.pop(search.runs.index(run)), trials):
            raise TrainingPaused(f"ended by the policy after epoch {len(dice)}")
        left_kwh, mean_kwh = search.limit_kwh - search.spent_kwh(), experiment.footprint.energy_kwh / len(dice)
        if mean_kwh > left_kwh:
            raise TrainingPaused(f"ended by the budget after epoch {len(dice)}")

    try:
        experiment = search.experiment(run)
        experiment.after_epoch = after_epoch
        experiment.train()
        raise AssertionError("a training in a search pauses after its last epoch")
    except TrainingPaused as paused:
        best = search.trials()[search.runs.index(run)].best
        trial.set_user_attr("reason", str(paused))
        say(f"{run.name}: {paused}, validation Dice {best:.3f}, {1000 * experiment.footprint.energy_kwh:.3g} Wh")
        if len(dice) < run.options.epochs:
            raise optuna.TrialPruned from None
        return best
    except InputError as error:
        trial.set_user_attr("reason", str(error))
        say(f"{run.name}: failed: {error}")
        raise


def _finish(search: Search, run: PlannedRun) -> dict[str, float]:
    """Train a candidate to its end, as far as the budget allows, and test it; returns its Dice on the test patients."""
    directory, options = search.study.directory / run.name, run.options
    if search.limit_kwh < math.inf:
        left_kwh = search.limit_kwh - search.spent_kwh(run)
        options = options.model_copy(update={"budget_kwh": max(left_kwh, 1e-9)})
    if not is_finished(directory, fingerprint(options, search.archive)):
        experiment = search.experiment(replace(run, options=options))
        experiment.train()
        experiment.test()
        experiment.write_result()
    test = read_result(directory)["test"]
    return {name: test[name] for name in ("dice", "dice_patients", "patients", "slices")}


def predicted_cost(trial: Trial, epochs: int, trials: Sequence[Trial]) -> float:
    """What epochs of a trial will cost; 0 where nothing has been trained that would tell.

    Epochs cost what the trial's own have on average; before its first, what those of the trained trial nearest in size
    make it by their cost per size, which is rough.
    """
    trained = [other for other in trials if other.trained]
    if not trained:
        return 0.0
    nearest = trial if trial.trained else min(trained, key=lambda one: abs(math.log(one.size / trial.size)))
    return epochs * nearest.epoch_cost / nearest.size * trial.size


def trail_table(search: Search) -> pd.DataFrame:
    """A row an attempt at a candidate, in the order of ending.

    Columns: ``step``, ``candidate``, ``first`` and ``until`` (epochs), ``state`` ("done", "running" or "failed"),
    ``val_dice`` (the best so far), ``energy_kwh`` of its epochs, ``energy_so_far_kwh`` of all, ``reason`` of its end.
    """
    rows: list[dict[str, Any]] = []
    trained, spent_kwh = Counter[str](), 0.0
    states = {TrialState.COMPLETE: "done", TrialState.PRUNED: "done", TrialState.RUNNING: "running"}
    attempts = [one for one in search.ledger.get_trials(deepcopy=False) if "candidate" in one.params]
    for attempt in sorted(attempts, key=lambda one: (one.datetime_complete is None, one.number)):
        name, cost = attempt.params["candidate"], attempt.user_attrs.get("energy_kwh", [])
        first, trained[name] = trained[name], max(trained[name], len(cost))
        spent_kwh += sum(cost[first:])
        rows.append(
            {
                "step": len(rows) + 1,
                "candidate": name,
                "first": first + 1,
                "until": len(cost),
                "state": states.get(attempt.state, "failed"),
                "val_dice": max(attempt.intermediate_values.values(), default=None),
                "energy_kwh": sum(cost[first:]),
                "energy_so_far_kwh": spent_kwh,
                "reason": attempt.user_attrs.get("reason", ""),
            }
        )
    return pd.DataFrame(rows)
