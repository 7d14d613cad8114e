"""``carbon-midl search``: train a study's candidates as a policy asks, within a budget, and choose among them."""

import argparse
import os
import signal
from pathlib import Path
from typing import Any

from carbon_midl.cli.parsing import action
from carbon_midl.errors import InputError

_EPILOG = """\
The study's runs of one seed are the candidates, the narrowest first. After each epoch the policy decides from their
validation Dice and energy whether the training goes on. The best is then trained to its end, as far as the budget
allows, and it alone is tested on the test patients. Every training is in trail.csv, what came of them in search.json.

policies:
  full              train every candidate to its end
  early-stopping    end a training that has not improved for some epochs
  halving           after equal amounts of energy, only the best of those that got as far train on
  screened-halving  the same with a screening first, judged by the trend of the learning curve, too
  widen             from the narrowest width upwards, until the next one no longer pays
What they assume, and their options: carbon-midl replay --policies. With few candidates, "widen" asks what the study
asks: is the next width worth its energy? With many, "screened-halving" saves the most.

The same command again goes on after Ctrl-C or a crash. The same command in another shell is a second worker; they share
the search through Optuna's storage (journal.log, which Optuna's own tools can read).

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
    from carbon_midl.study.devices import reserved, slots
    from carbon_midl.study.runner import open_crops

    (place,) = slots((options.device,) if options.device else (), 1, options.share_meter)
    os.environ.update(place.environment)  # before torch looks for a GPU
    archive = open_crops(study)
    from carbon_midl.selection.search import JOURNAL, plan_search, run_search, trail_table

    search = plan_search(study, policy, archive, options.seed, limit_kwh, options.name, place.metered_alone)
    if options.status:
        if not (search.directory / JOURNAL).exists():
            raise InputError(f"{search.directory}: no search was begun here. Begin it without --status.")
        table = trail_table(search, search.opened())
        if len(table):
            shown = table[["step", "candidate", "first", "until", "state", "val_dice", "energy_so_far_kwh", "reason"]]
            print(shown.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    within = "" if limit_kwh is None else f", within {limit_kwh:.3g} kWh"
    print(f"{study.title}: {len(search.runs)} candidates, {policy.describe()}{within}", flush=True)
    with reserved([place], options.share_meter):
        outcome = run_search(search, lambda line: print(line, flush=True))
    tested, chosen = outcome["test"], outcome["chosen"]
    print(
        f"{chosen}: test Dice {tested['dice_patients']:.3f} over {tested['patients']:.0f} patients, "
        f"{tested['dice']:.3f} over {tested['slices']:.0f} slices.\n"
        f"Used: {1000 * outcome['energy_kwh']:.3g} Wh before PUE, {outcome['carbon_g']:.3g} gCO2eq; training all in "
        f"full was predicted to take {1000 * outcome['full_sweep_predicted_kwh']:.3g} Wh, "
        f"{outcome['full_sweep_predicted_g']:.3g} gCO2eq."
    )
    print(f"Runner-up: {outcome['runner_up']}. Trail: {search.directory}")
