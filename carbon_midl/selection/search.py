"""A live search on Optuna: a study's candidates are trained as a policy asks, the chosen one is finished and tested.

A candidate is an Optuna trial; each epoch reports its validation Dice and energy to Optuna's storage, a journal in the
search's directory that several workers share and that ``optuna-dashboard`` reads. A *pruner* asks the policy after each
epoch whether the training goes on. Halving is asynchronous here (Li et al. 2020, MLSys): at each rung a candidate is
compared with those that got as far before it, so that nobody waits and no training is taken up again.

Training is the notebook's: the same functions write the same directory. A lock beside that directory tells which
candidates are at work; it ends with its process, and a training that was cut off goes on from its checkpoint.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from carbon_midl.errors import InputError
from carbon_midl.files import write_json, write_text
from carbon_midl.footprint import carbon_intensity, read_footprint
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.selection.policies import Policy, Trial
from carbon_midl.study.notebook import Experiment, TrainingPaused, open_experiment
from carbon_midl.study.run import EPOCHS, fingerprint, is_finished, read_result
from carbon_midl.study.spec import PlannedRun, Study
from carbon_midl.training.network import network_size
from carbon_midl.training.options import RunOptions

JOURNAL, TRAIL, OUTCOME = "journal.log", "trail.csv", "search.json"
FORMAT, VERSION = "carbon-midl search", 1
TRIES = 3
"""A candidate whose training failed so often is out."""
_WAIT_S = 1.0


@dataclass(frozen=True)
class Search:
    """A search as it was asked for.

    Attributes:
        study: as read, but in the search's own directory.
        runs: the candidates, the smallest first: the study's runs of one seed.
        policy: that decides.
        limit_kwh: of the whole search before PUE, the chosen candidate's training included; infinite for no limit.
        archive: the study's crops.
        metered_alone: whether no other run is made on the same metered device.
    """

    study: Study
    runs: tuple[PlannedRun, ...]
    policy: Policy
    limit_kwh: float
    archive: CropArchive
    metered_alone: bool = True

    @property
    def directory(self) -> Path:
        """Where everything of the search goes."""
        return self.study.directory

    @cached_property
    def macs(self) -> list[float]:
        """Multiply-accumulates of a crop, by candidate."""
        return [network_size(run.options, self.archive.size).macs for run in self.runs]

    @cached_property
    def g_per_kwh(self) -> float:
        """Grams of CO2eq of a kWh before PUE, by the study's grid and PUE."""
        return carbon_intensity(self.study.footprint.intensity).g_per_kwh * self.study.footprint.pue

    def settings(self) -> dict[str, Any]:
        """What may not change while a search goes on."""
        return {
            "candidates": [run.name for run in self.runs],
            "policy": self.policy.name,
            "options": asdict(self.policy),  # type: ignore[call-overload]
            "limit_kwh": None if self.limit_kwh == math.inf else self.limit_kwh,
        }

    def opened(self) -> optuna.Study:
        """The search in Optuna's storage, begun where it was not.

        Raises:
            InputError: the directory holds a search with other settings.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.directory.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self.directory / JOURNAL))),
            study_name=self.study.name,
            direction="maximize",
            pruner=PolicyPruner(self),
            load_if_exists=True,
        )
        for name, value in self.settings().items():
            before = study.user_attrs.get(name, value)
            if before != value:
                raise InputError(
                    f"{self.directory}: a search with {name} = {before!r} was begun here, and now it is {value!r}. "
                    "Give the former to go on with it, or --name to begin another beside it."
                )
            study.set_user_attr(name, value)
        return study

    def trials(self, study: optuna.Study) -> list[Trial]:
        """How far each candidate is, from its attempt that got farthest."""
        curves: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {}
        for attempt in study.get_trials(deepcopy=False):
            cost = attempt.user_attrs.get("energy_kwh", [])
            count = min(len(cost), len(attempt.intermediate_values))
            name = attempt.params.get("candidate", "")
            if count and count >= len(curves.get(name, ((), ()))[1]):
                dice = tuple(attempt.intermediate_values[epoch] for epoch in range(1, count + 1))
                curves[name] = dice, tuple(cost[:count])
        return [
            Trial(run.name, macs, run.options.epochs, *curves.get(run.name, ((), ())))
            for run, macs in zip(self.runs, self.macs, strict=True)
        ]

    def spent_kwh(self, *runs: PlannedRun) -> float:
        """What candidates have used, also between epochs and in attempts that failed."""
        spent_kwh = 0.0
        for run in runs:
            with suppress(InputError):  # not begun yet
                spent_kwh += read_footprint(self.directory / run.name).energy_kwh
        return spent_kwh

    def left_kwh(self) -> float:
        """Of the limit; infinite without one."""
        return self.limit_kwh - self.spent_kwh(*self.runs)


class PolicyPruner(optuna.pruners.BasePruner):
    """Ends a training where the policy does not let it go on."""

    def __init__(self, search: Search) -> None:
        self._search = search

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial ends after the epoch that it reported last."""
        trials = self._search.trials(study)
        index = [one.name for one in trials].index(trial.params["candidate"])
        return not self._search.policy.goes_on(trials.pop(index), trials)


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


def plan_search(
    study: Study,
    policy: Policy,
    archive: CropArchive,
    seed: int | None = None,
    limit_kwh: float | None = None,
    name: str | None = None,
    metered_alone: bool = True,
) -> Search:
    """Take a study's runs of one seed as the candidates of a search.

    Args:
        study: whose axes but the seed make the candidates.
        policy: as in `Search`.
        archive: as in `Search`.
        seed: of all trainings; by default the study's first.
        limit_kwh: as in `Search`; None for no limit.
        name: of the search's directory in ``runs/``; by default from study, policy and seed.
        metered_alone: as in `Search`.

    Raises:
        InputError: the study has no such seed, a single candidate, or options that end a training by themselves.
    """
    seeds = sorted({run.options.seed for run in study.runs})
    seed = study.runs[0].options.seed if seed is None else seed
    runs = [run for run in study.runs if run.options.seed == seed]
    if not runs:
        raise InputError(f"--seed: the study has no runs of seed {seed}; found {', '.join(map(str, seeds))}.")
    if len(runs) < 2:
        raise InputError(f"{study.path}: one candidate only, {runs[0].name}; a search needs two to choose from.")
    for run in runs:
        if run.options.patience or run.options.budget_g or run.options.budget_kwh:
            raise InputError(
                f"{study.path}: patience or a budget ends a training of {run.name} by itself, but in a search the "
                "policy decides that. Set them to 0; --budget-g limits the search, --policy early-stopping stops early."
            )
    if limit_kwh is None:
        limit_kwh = math.inf
    if limit_kwh <= 0:
        raise InputError(f"budget: found {limit_kwh:g} kWh; expected a number above 0.")
    runs.sort(key=lambda run: network_size(run.options, archive.size).macs)
    study = replace(study, name=name or f"{study.name}-search-{policy.name}-seed-{seed}")
    return Search(study, tuple(runs), policy, limit_kwh, archive, metered_alone)


def run_search(search: Search, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Train until the policy asks for nothing more, finish and test its choice, and return what ``search.json`` holds.

    Called from another process at the same time, it shares the work.

    Raises:
        InputError: no candidate could be trained.
    """
    study = search.opened()
    while _train_next(search, study, say):
        pass
    chosen = search.runs[search.policy.choose(search.trials(study))]
    say(f"Chosen: {chosen.name}.")
    with FileLock(search.directory / f".{chosen.name}.lock"):
        test = _finish(search, chosen)
    return _write_outcome(search, study, chosen, test)


def _train_next(search: Search, study: optuna.Study, say: Callable[[str], None]) -> bool:
    """Train a candidate that nobody trains, or wait for those of others; returns whether the search goes on."""
    attempts = study.get_trials(deepcopy=False)
    failures = Counter(one.params.get("candidate") for one in attempts if "why" in one.user_attrs)
    ended = {one.params["candidate"] for one in attempts if one.state in (TrialState.COMPLETE, TrialState.PRUNED)}
    runs = {run.name: run for run in search.runs if failures[run.name] < TRIES}
    trials = [trial for trial in search.trials(study) if trial.name in runs]
    if not trials:
        raise InputError(f"{search.directory}: every candidate failed {TRIES} times.")
    wanted = {trials[step.trial].name for step in search.policy.steps(trials)}
    waiting = False
    for trial in trials:
        run = runs[trial.name]
        if trial.name in ended or not (trial.trained or trial.name in wanted):
            continue
        if predicted_cost(trial, 1, trials) > search.left_kwh():
            say(f"{run.name}: left out, its next epoch is predicted to exceed the budget")
            continue
        try:
            with FileLock(search.directory / f".{run.name}.lock", timeout=0):
                # A grid of one: which candidate is next follows from the policy and from who is at work.
                study.sampler = optuna.samplers.GridSampler({"candidate": [run.name]})
                study.optimize(partial(_train, search, run, say), n_trials=1, catch=(InputError,))
        except Timeout:
            waiting = True  # another worker is at it
            continue
        _write_trail(search, study)
        return True
    if waiting:
        time.sleep(_WAIT_S)
    return waiting


def _train(search: Search, run: PlannedRun, say: Callable[[str], None], trial: optuna.Trial) -> float:
    """Train a candidate, reporting each epoch, until its last one or until the pruner or the budget ends it."""
    trial.suggest_categorical("candidate", [one.name for one in search.runs])
    reported = 0

    def report(experiment: Experiment) -> float:
        nonlocal reported
        dice = pd.read_csv(search.directory / run.name / EPOCHS)["val_dice"].astype(float)
        cost = [experiment.footprint.epoch(epoch).energy_kwh for epoch in range(1, len(dice) + 1)]
        trial.set_user_attr("energy_kwh", cost)
        for epoch in range(reported + 1, len(dice) + 1):
            trial.report(dice[epoch - 1], epoch)
        reported = len(dice)
        return float(dice.fillna(-math.inf).max())

    def after_epoch(experiment: Experiment) -> None:
        report(experiment)
        mean_kwh = experiment.footprint.energy_kwh / reported
        if trial.should_prune():
            raise TrainingPaused(f"ended by the policy after epoch {reported}")
        if reported < run.options.epochs and mean_kwh > search.left_kwh():
            raise TrainingPaused(f"ended by the budget after epoch {reported}")

    try:
        # It pauses after its last epoch: only the chosen candidate is tested.
        experiment = _experiment(search, run, run.options, pause_after=run.options.epochs)
        experiment.after_epoch = after_epoch
        experiment.train()
    except TrainingPaused as paused:
        best, used_kwh = report(experiment), experiment.footprint.energy_kwh
        to_its_end = reported == run.options.epochs
        reason = "trained to its end" if to_its_end else str(paused)
        trial.set_user_attr("reason", reason)
        say(f"{run.name}: {reason}, validation Dice {best:.3f}, {1000 * used_kwh:.3g} Wh")
        if not to_its_end:
            raise optuna.TrialPruned from None
        return best
    except InputError as error:
        trial.set_user_attr("why", str(error))
        say(f"{run.name}: failed: {error}")
        raise
    raise AssertionError("a training in a search pauses after its last epoch")


def _experiment(search: Search, run: PlannedRun, options: RunOptions, pause_after: int = 0) -> Experiment:
    footprint = search.study.footprint
    return open_experiment(
        **options.model_dump(),
        crops=str(search.archive.path.absolute()),
        output=str((search.directory / run.name).absolute()),
        pue=footprint.pue,
        intensity=footprint.intensity,
        carbontracker=footprint.carbontracker,
        metered_alone=search.metered_alone,
        pause_after=pause_after,
    )


def _finish(search: Search, run: PlannedRun) -> dict[str, float]:
    """Train a candidate to its end, as far as the budget allows, and test it; returns its Dice on the test patients."""
    directory, options = search.directory / run.name, run.options
    if search.limit_kwh < math.inf:
        left_kwh = search.limit_kwh - search.spent_kwh(*(other for other in search.runs if other != run))
        options = options.model_copy(update={"budget_kwh": max(left_kwh, 1e-9)})
    if not is_finished(directory, fingerprint(options, search.archive)):
        experiment = _experiment(search, run, options)
        experiment.train()
        experiment.test()
        experiment.write_result()
    test = read_result(directory)["test"]
    return {name: test[name] for name in ("dice", "dice_patients", "patients", "slices")}


def trail_table(search: Search, study: optuna.Study) -> pd.DataFrame:
    """A row an attempt at a candidate, in the order of ending.

    Columns: ``step``, ``candidate``, ``first`` and ``until`` (epochs), ``state`` ("done", "running" or "failed"),
    ``val_dice`` (the best so far), ``energy_kwh`` and ``carbon_g`` of its epochs, both ``…_so_far``, ``reason`` of its
    end, ``started`` and ``ended``.
    """
    rows: list[dict[str, Any]] = []
    trained, energy_so_far_kwh = Counter[str](), 0.0
    states = {TrialState.COMPLETE: "done", TrialState.PRUNED: "done", TrialState.RUNNING: "running"}
    attempts = [one for one in study.get_trials(deepcopy=False) if "candidate" in one.params]
    for attempt in sorted(attempts, key=lambda one: (one.datetime_complete is None, one.number)):
        name, cost = attempt.params["candidate"], attempt.user_attrs.get("energy_kwh", [])
        first, trained[name] = trained[name], max(trained[name], len(cost))
        energy_kwh = sum(cost[first:])
        energy_so_far_kwh += energy_kwh
        rows.append(
            {
                "step": len(rows) + 1,
                "candidate": name,
                "first": first + 1,
                "until": len(cost),
                "state": states.get(attempt.state, "failed"),
                "val_dice": max(attempt.intermediate_values.values(), default=None),
                "energy_kwh": energy_kwh,
                "carbon_g": energy_kwh * search.g_per_kwh,
                "energy_so_far_kwh": energy_so_far_kwh,
                "carbon_so_far_g": energy_so_far_kwh * search.g_per_kwh,
                "reason": attempt.user_attrs.get("reason", attempt.user_attrs.get("why", "")),
                "started": attempt.datetime_start,
                "ended": attempt.datetime_complete,
            }
        )
    return pd.DataFrame(rows)


def _write_trail(search: Search, study: optuna.Study) -> pd.DataFrame:
    table = trail_table(search, study)
    write_text(search.directory / TRAIL, table.to_csv(index=False))
    return table


def _write_outcome(search: Search, study: optuna.Study, chosen: PlannedRun, test: dict[str, float]) -> dict[str, Any]:
    trials = search.trials(study)
    rest = [trial for trial in trials if trial.name != chosen.name]
    spent_kwh = search.spent_kwh(*search.runs)
    full_kwh = sum(predicted_cost(trial, trial.epochs, trials) for trial in trials)
    outcome = {
        "format": FORMAT,
        "version": VERSION,
        "study": search.study.title,
        **search.settings(),
        "pue": search.study.footprint.pue,
        "intensity": search.study.footprint.intensity,
        "chosen": chosen.name,
        "runner_up": rest[search.policy.choose(rest)].name if any(trial.trained for trial in rest) else None,
        "test": test,
        "steps": len(_write_trail(search, study)),
        "epochs_trained": {trial.name: trial.trained for trial in trials},
        "val_dice": {trial.name: trial.best if trial.trained else None for trial in trials},
        "energy_kwh": spent_kwh,
        "carbon_g": spent_kwh * search.g_per_kwh,
        # Without the tests, which a sweep would make of every candidate.
        "full_sweep_predicted_kwh": full_kwh,
        "full_sweep_predicted_g": full_kwh * search.g_per_kwh,
    }
    write_json(search.directory / OUTCOME, outcome)
    return outcome
