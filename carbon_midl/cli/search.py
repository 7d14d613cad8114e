"""``carbon-midl search``: train a study's candidates as a policy asks, within a budget, and choose among them."""

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    from carbon_midl.search.plan import Plan

_EPILOG = """\
The study's runs of one seed are the candidates. A policy decides from their validation Dice and measured energy which
of them is trained on; the one that it chooses is trained to its end, and it alone is tested on the test patients.
Every decision is in trail.csv, trail.light.svg and trail.dark.svg, what came of them in search.json.

The same command again goes on after Ctrl-C or a crash. The same command in another shell is a second worker; they share
the search through Optuna's storage (search.db, which Optuna's own tools can read).

Policies, what they assume, and their options: carbon-midl replay --policies. With few candidates, "widen" asks what
the study asks: is the next width worth its energy? With many, "screened-halving" saves the most.

examples:
  carbon-midl search studies/demo.toml
  carbon-midl search studies/lidc.toml --policy widen --option gain=0.01 --budget-g 20
  carbon-midl search studies/demo.toml --status
"""


def add_actions(rooms: Any) -> None:
    """Add the action ``search``."""
    search = action(rooms, "search", _search, "train candidates as a policy asks, and choose within a budget", _EPILOG)
    search.add_argument("study", type=Path, metavar="STUDY", help="whose candidates, such as studies/demo.toml")
    search.add_argument("--policy", default="screened-halving", metavar="NAME", help="(default: %(default)s)")
    search.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of --policy; may be repeated"
    )
    limit = search.add_mutually_exclusive_group()
    limit.add_argument(
        "--budget-g",
        type=float,
        metavar="G",
        help="gCO2eq of the whole search, by the study's grid (default: no limit)",
    )
    limit.add_argument("--budget-kwh", type=float, metavar="E", help="the same in kWh before PUE (default: no limit)")
    search.add_argument("--seed", type=int, metavar="N", help="of all trainings (default: the study's first)")
    search.add_argument("--name", help="directory in runs/ (default: STUDY-search-POLICY-seed-N)")
    search.add_argument("--device", default="", metavar="D", help="cuda:0, … or cpu (default: torch chooses)")
    search.add_argument(
        "--share-meter",
        action="store_true",
        help="allow another run on the same metered device; energy is marked as not separable (default: refuse)",
    )
    search.add_argument("--status", action="store_true", help="train nothing, tell how far the search is")


def _search(options: argparse.Namespace) -> None:
    from carbon_midl.selection.policies import policy_of
    from carbon_midl.study.spec import read_study

    policy = policy_of(options.policy, options.option)
    study = read_study(options.study)
    limit_kwh = options.budget_kwh
    if options.budget_g is not None:
        from carbon_midl.footprint import carbon_intensity

        per_kwh = carbon_intensity(study.footprint.intensity).g_per_kwh * study.footprint.pue
        if per_kwh == 0:
            raise InputError("--budget-g: the study's grid emits nothing; give --budget-kwh.")
        limit_kwh = options.budget_g / per_kwh
    from carbon_midl.search.plan import plan_search

    plan = plan_search(study, policy, options.seed, limit_kwh, options.name)
    if options.status:
        _tell(plan)
    else:
        _work(plan, options)


def _work(plan: "Plan", options: argparse.Namespace) -> None:
    from carbon_midl.search.trail import full_sweep_kwh, grams_per_kwh, write_outcome, write_trail
    from carbon_midl.search.trainer import NotebookTrainer
    from carbon_midl.search.worker import Worker
    from carbon_midl.study.devices import reserved, slots
    from carbon_midl.study.making import open_crops
    from carbon_midl.study.runner import notebook_copy
    from carbon_midl.study.starter import Starter

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    places = slots((options.device,) if options.device else (), 1, options.share_meter)
    archive = open_crops(plan.study)
    plan.begin()
    notebook = notebook_copy(plan.study)
    print(f"{plan.study.title}: {len(plan.runs)} candidates, {plan.bounded().describe()}", flush=True)
    with reserved(places, options.share_meter), Starter(plan.study.root, places[0]) as starter:
        trainer = NotebookTrainer(plan, archive, notebook, starter)
        worker = Worker(plan, trainer, lambda line: print(line, flush=True))
        try:
            chosen = worker.work()
        finally:
            if (standing := worker.standing()).entries:
                write_trail(plan, standing.entries)
    tested = trainer.tested(chosen, worker.finishing_limit_kwh(chosen))
    standing = worker.standing()
    outcome = write_outcome(plan, standing, chosen.name, tested, archive.size)
    if tested is not None:
        print(
            f"{chosen.name}: test Dice {tested['dice_patients']:.3f} over {tested['patients']:.0f} patients, "
            f"{tested['dice']:.3f} over {tested['slices']:.0f} slices."
        )
    grams, full_kwh = grams_per_kwh(plan), full_sweep_kwh(plan, standing.trials, archive.size)
    text = f"Used: {1000 * standing.spent_kwh:.3g} Wh before PUE, {standing.spent_kwh * grams:.3g} gCO2eq"
    if full_kwh:
        text += f"; training all in full was predicted to take {1000 * full_kwh:.3g} Wh, {full_kwh * grams:.3g} gCO2eq"
    print(f"{text}.")
    trial = next(trial for trial in standing.trials if trial.name == chosen.name)
    if trial.trained < trial.epochs:
        print(
            f"Note: the budget ended the training of {chosen.name} after epoch {trial.trained} of {trial.epochs}; in "
            f"full it is predicted to take {1000 * trial.epoch_cost * trial.epochs:.3g} Wh."
        )
    print(f"Runner-up: {outcome['runner_up']}. Trail: {plan.directory}")


def _tell(plan: "Plan") -> None:
    from carbon_midl.search.ledger import DATABASE, Ledger
    from carbon_midl.search.trail import trail_table

    if not (plan.directory / DATABASE).exists():
        raise InputError(f"{plan.directory}: no search was begun here. Begin it without --status.")
    entries = Ledger(plan.directory, [run.name for run in plan.runs], plan.epochs).entries()
    table = trail_table(plan, entries)
    if len(table):
        shown = table[["step", "candidate", "first", "until", "state", "val_dice", "energy_so_far_kwh", "reason"]]
        print(shown.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    for entry in entries:
        if entry.state == "running":
            print(f"running: {entry.candidate}, epoch {entry.first} to {entry.until}, by {entry.worker}")
