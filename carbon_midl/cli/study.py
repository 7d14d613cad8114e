"""``carbon-midl study`` and ``search``: many runs from one file, all of them or as a policy asks."""

import json
import os
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option, Typer

from carbon_midl.cli.command import end_like_ctrl_c, examples, print_table
from carbon_midl.errors import InputError
from carbon_midl.footprint import carbon_intensity
from carbon_midl.units import carbon, duration, energy

app = Typer()
study = Typer(help="Studies: many runs from one file.", no_args_is_help=True)
app.add_typer(study, name="study")

StudyFile = Annotated[Path, Argument(metavar="FILE", help="the study, such as studies/demo.toml")]
ShareMeter = Annotated[
    bool, Option("--share-meter", help="allow other runs on a metered device; energies are marked as not separable")
]


@study.command(
    epilog=examples(
        "carbon-midl study run studies/demo.toml",
        "carbon-midl study run studies/demo.toml --jobs 2",
        "carbon-midl study run studies/lidc.toml --devices cuda:0,cuda:1",
        "carbon-midl study run studies/lidc.toml --ahead",
        "carbon-midl study run studies/lidc.toml --only filters-16-seed-0",
    )
)
def run(
    file: StudyFile,
    devices: Annotated[str, Option(help="cuda:0,cuda:1,… or cpu", show_default="torch chooses")] = "",
    jobs: Annotated[int | None, Option(min=1, help="runs at the same time", show_default="one a device")] = None,
    share_meter: ShareMeter = False,
    ahead: Annotated[bool, Option("--ahead", help="start the next run while one trains; it waits for the GPU")] = False,
    only: Annotated[str | None, Option(help="make this run alone, and collect nothing")] = None,
) -> None:
    """Make a study's runs and collect their tables.

    A run that is done is not made again; one that was interrupted goes on from its last epoch or batch; one whose
    options, crops or code have changed is moved aside and made anew. Ctrl-C lets each run save its training first.
    """
    from carbon_midl.study.devices import slots
    from carbon_midl.study.runner import run_study
    from carbon_midl.study.spec import read_study

    end_like_ctrl_c()
    named = [name.strip() for name in devices.split(",")] if devices else []
    run_study(read_study(file), slots(named, jobs, share_meter, ahead), only)


@study.command()
def prepare(file: StudyFile) -> None:
    """Make ready what the runs of a study share.

    Its phantom is rendered, or its archive checked. `study run` does so at its start; schedulers that start every run
    by itself call this once before.
    """
    from carbon_midl.study.runner import prepare
    from carbon_midl.study.spec import read_study

    read = read_study(file)
    archive = prepare(read)
    print(f"{read.title}: {len(read.runs):,} runs on {len(archive):,} crops in {archive.path}")


@study.command()
def status(file: StudyFile, as_json: Annotated[bool, Option("--json", help="print all of it as JSON")] = False) -> None:
    """Tell how far a study is, and what it used.

    States: done; running; interrupted (goes on from its checkpoint at the next start); failed; stale (finished, but
    with other options, crops or code, and made anew at the next start); waiting. Dice is the best so far on the
    validation patients.

    Energy counts every attempt, also failed and abandoned ones; runs of a search are no part of it. What is left is
    predicted from the mean of the runs that are done, whatever their width.
    """
    from carbon_midl.study.spec import read_study
    from carbon_midl.study.status import study_status

    read = read_study(file)
    found = study_status(read)
    if as_json:
        print(json.dumps({"study": read.name, **asdict(found)}, indent=2))
        return
    counts = ", ".join(f"{count:,} {state}" for state, count in sorted(found.counts.items()))
    print(f"{read.title}: {len(found.runs):,} runs ({counts})")
    print(f"Used so far: {energy(found.energy_kwh)} before PUE, {carbon(found.carbon_g)}.")
    if (left := found.predicted_left) and left["energy_kwh"]:
        print(
            f"Left, at the mean of the runs that are done: {energy(left['energy_kwh'])}, "
            f"{duration(left['duration_s'])} of training one run after the other."
        )
    print(f"{found.note}\n" if found.note else "")
    rows = [("run", "state", "epoch", "val. Dice", "used", "")]
    for run in found.runs:
        dice = "–" if run.dice is None else f"{run.dice:.3f}"
        used = energy(run.energy_kwh) if run.energy_kwh else "–"
        rows.append((run.name, run.state, f"{run.epochs}/{run.planned}", dice, used, run.why))
    print_table(rows)


@study.command("list")
def list_runs(
    file: StudyFile, names: Annotated[bool, Option("--names", help="names alone, one a line, for scripts")] = False
) -> None:
    """List a study's runs and their options."""
    from carbon_midl.study.spec import read_study

    runs = {run.name: run.options.model_dump() for run in read_study(file).runs}
    if names:
        print("\n".join(runs))
        return
    import pandas as pd

    table = pd.DataFrame.from_dict(runs, orient="index")
    differing = table.nunique() > 1
    print("in all runs: " + ", ".join(f"{name} {value}" for name, value in table.loc[:, ~differing].iloc[0].items()))
    print(table.loc[:, differing].to_string() if differing.any() else "\n".join(runs))


@study.command()
def collect(file: StudyFile) -> None:
    """Collect the runs that are done into tables.

    `study run` does so at its end.
    """
    from carbon_midl.study.runner import collect, prepare
    from carbon_midl.study.spec import read_study

    read = read_study(file)
    if collect(read, prepare(read)) is None:
        raise InputError(f"{read.path}: no run is done yet. Make them: carbon-midl study run {read.path}")


@app.command(
    epilog=examples(
        "carbon-midl search studies/demo.toml",
        "carbon-midl search studies/lidc.toml --policy widen --budget-g 20",
    )
)
def search(  # long, since its options are its signature
    file: StudyFile,
    policy: Annotated[
        str, Option(help="full, early-stopping, halving, screened-halving or widen; see `replay --help`")
    ] = "screened-halving",
    option: Annotated[list[str] | None, Option(metavar="NAME=VALUE", help="of `--policy`; may be repeated")] = None,
    budget_g: Annotated[float | None, Option(help="gCO2eq of the whole search, by the study's grid")] = None,
    budget_kwh: Annotated[float | None, Option(help="the same in kWh before PUE")] = None,
    seed: Annotated[int | None, Option(help="of all trainings", show_default="the study's first")] = None,
    name: Annotated[str | None, Option(help="directory in runs/", show_default="STUDY-search-POLICY-seed-N")] = None,
    device: Annotated[str, Option(help="cuda:0, … or cpu", show_default="torch chooses")] = "",
    share_meter: ShareMeter = False,
) -> None:
    """Train as a policy asks, within a budget.

    The study's runs of one seed are the candidates, the narrowest first. After each epoch the policy decides from
    their validation Dice and energy whether the training goes on. The best is then trained to its end, as far as the
    budget allows, and it alone is tested on the test patients. Every training is in trail.csv, what came of them in
    search.json.

    The same command again goes on after Ctrl-C or a crash. The same command in another shell is a second worker; they
    share the search through Optuna's storage (journal.log, which Optuna's own tools show while it goes on).
    """
    from carbon_midl.selection.policies import policy_of
    from carbon_midl.study.spec import read_study

    if budget_g is not None and budget_kwh is not None:
        raise BadParameter("give one of --budget-g and --budget-kwh, not both")
    chosen_policy, study = policy_of(policy, option or []), read_study(file)
    if budget_g is not None:
        per_kwh = carbon_intensity(study.footprint.intensity).g_per_kwh * study.footprint.pue
        if per_kwh == 0:
            raise InputError("--budget-g: the study's grid emits nothing; give --budget-kwh.")
        budget_kwh = budget_g / per_kwh
    if find_spec("optuna") is None:
        raise InputError("search: optuna, which keeps its trials, is not installed: pip install 'carbon-midl[search]'")
    from carbon_midl.study.devices import reserved, slots
    from carbon_midl.study.runner import prepare

    (place,) = slots((device,) if device else (), 1, share_meter)
    os.environ.update(place.environment)  # before torch looks for a GPU
    archive = prepare(study)
    from carbon_midl.selection.search import plan_search, run_search

    planned = plan_search(study, chosen_policy, archive, seed, budget_kwh, name, place.metered_alone)
    end_like_ctrl_c()
    within = "" if budget_kwh is None else f", within {budget_kwh:.3g} kWh"
    print(f"{study.title}: {len(planned.runs)} candidates, {chosen_policy.describe()}{within}", flush=True)
    with reserved([place]):
        outcome = run_search(planned, lambda line: print(line, flush=True))
    tested, full_kwh, full_g = outcome["test"], outcome["full_sweep_predicted_kwh"], outcome["full_sweep_predicted_g"]
    print(
        f"{outcome['chosen']}: test Dice {tested['dice_patients']:.3f} over {tested['patients']:.0f} patients, "
        f"{tested['dice']:.3f} over {tested['slices']:.0f} slices.\n"
        f"Used: {energy(outcome['energy_kwh'])} before PUE, {carbon(outcome['carbon_g'])}; training all in full was "
        f"predicted to take {energy(full_kwh)}, {carbon(full_g)}.\n"
        f"Trail: {planned.study.directory}"
    )
