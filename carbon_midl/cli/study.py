"""``carbon-midl study``: many runs from one file."""

import argparse
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action, positive, room

if TYPE_CHECKING:
    from carbon_midl.study.status import StudyStatus

_RUN_EPILOG = """\
A run that is done is not made again; one that was interrupted goes on from its last epoch or batch; one whose options,
crops or code have changed is moved aside and made anew. Ctrl-C lets each run save its training first.

examples:
  carbon-midl study run studies/demo.toml
  carbon-midl study run studies/lidc.toml --devices cuda:0,cuda:1     two runs at a time, each on a GPU of its own
  carbon-midl study run studies/lidc.toml --ahead                     no GPU waits for a notebook to start
  carbon-midl study run studies/demo.toml --jobs 2                    two at a time on the processor
  carbon-midl study run studies/lidc.toml --only filters-16-seed-0    one run; schedulers start them this way
"""
_STATUS_EPILOG = """\
states: done; running; interrupted (goes on from its checkpoint at the next start); failed; stale (finished, but with
other options, crops or code, and made anew at the next start); waiting.

Energy counts every attempt, also failed and abandoned ones. What is left is predicted from the mean of the runs that
are done, whatever their width.
"""
_PREPARE_EPILOG = """\
'run' does so at its start. Schedulers that start every run by itself, some at the same time, call this once before: it
renders the study's phantom, or looks whether its archive is there and fits, and keeps a copy of the notebook.

examples:
  carbon-midl study prepare studies/demo.toml
  carbon-midl study list --names studies/demo.toml | xargs -I{} carbon-midl study run studies/demo.toml --only {}
  carbon-midl study collect studies/demo.toml
"""
_SHOWN = 40


def add_actions(rooms: Any) -> None:
    """Add the room ``study``."""
    study = room(rooms, "study", "studies: many runs from one file")
    run = action(
        study, "run", _run, "make the runs of a study that are not done, and collect their tables", _RUN_EPILOG
    )
    run.add_argument(
        "--devices", type=_names, default=(), metavar="A,B,…", help="cuda:0,cuda:1,… or cpu (default: torch chooses)"
    )
    run.add_argument(
        "--jobs", type=positive, metavar="N", help="runs at the same time (default: one for each of --devices)"
    )
    run.add_argument(
        "--share-meter",
        action="store_true",
        help="allow several runs on one metered device; their energy is marked as not separable (default: refuse)",
    )
    run.add_argument(
        "--ahead",
        action="store_true",
        help="start the next run while one trains on the GPU; it waits for its turn (default: one after the other)",
    )
    run.add_argument("--only", metavar="RUN", help="make this run alone, and collect nothing (default: all runs)")
    prepare = action(study, "prepare", _prepare, "make ready what the runs of a study share", _PREPARE_EPILOG)
    status = action(study, "status", _status, "how far a study is, and what it has used", _STATUS_EPILOG)
    status.add_argument("--json", action="store_true", help="all of it as JSON, to standard output (default: a table)")
    status.add_argument("--all", action="store_true", help=f"list every run (default: at most {_SHOWN}, the done last)")
    runs = action(study, "list", _list, "a study's runs, and which options each of them gets")
    shape = runs.add_mutually_exclusive_group()
    shape.add_argument("--names", action="store_true", help="names alone, one a line, for scripts (default: a table)")
    shape.add_argument("--json", action="store_true", help="with all options, as JSON (default: a table)")
    collect = action(study, "collect", _collect, "put all runs that are done into tables; 'run' does so at its end")
    for parser in (run, prepare, status, runs, collect):
        parser.add_argument("study", type=Path, metavar="FILE", help="the study, such as studies/demo.toml")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _run(options: argparse.Namespace) -> None:
    from carbon_midl.study.devices import slots
    from carbon_midl.study.runner import run_study
    from carbon_midl.study.spec import read_study

    # A scheduler's or terminal's request to end is handled like Ctrl-C: the run's notebook is stopped, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    study = read_study(options.study)
    places = slots(options.devices, options.jobs, options.share_meter, options.ahead)
    run_study(study, places, options.only, options.share_meter)


def _prepare(options: argparse.Namespace) -> None:
    from carbon_midl.study.runner import prepare
    from carbon_midl.study.spec import read_study

    study = read_study(options.study)
    archive, _ = prepare(study)
    print(f"{study.title}: {len(study.runs):,} runs on {len(archive):,} crops in {archive.path}")


def _status(options: argparse.Namespace) -> None:
    from carbon_midl.study.spec import read_study
    from carbon_midl.study.status import study_status

    study = read_study(options.study)
    status = study_status(study)
    if options.json:
        print(json.dumps({"study": study.name, **status.to_dict()}, indent=2))
    else:
        _print_status(study.title, status, len(status.runs) if options.all else _SHOWN)


def _print_status(title: str, status: "StudyStatus", most: int) -> None:
    from carbon_midl.units import carbon, duration, energy

    counts = ", ".join(f"{count:,} {state}" for state, count in sorted(status.counts.items()))
    print(f"{title}: {len(status.runs):,} runs ({counts})")
    text = f"Used so far: {energy(status.energy_kwh)} before PUE, {carbon(status.carbon_g)}"
    if status.superseded:
        text += f", {status.superseded} attempts among it that were moved aside"
    print(text + ".")
    if status.predicted_left and status.predicted_left["energy_kwh"]:
        print(
            f"Left, at the mean of the runs that are done: {energy(status.predicted_left['energy_kwh'])}, "
            f"{duration(status.predicted_left['duration_s'])} of training one run after the other."
        )
    if status.note:
        print(status.note)
    order = ("running", "failed", "interrupted", "stale", "waiting", "done")
    rows = sorted(status.runs, key=lambda run: order.index(run.state))
    width = max(len(run.name) for run in rows[:most])
    print(f"\n{'run':<{width}}  {'state':<11}  {'epoch':>7}  {'Dice':>5}  {'used':>9}")
    for run in rows[:most]:
        dice = "–" if run.dice is None else f"{run.dice:.3f}"
        used = energy(run.energy_kwh) if run.energy_kwh else "–"
        line = f"{run.name:<{width}}  {run.state:<11}  {f'{run.epochs}/{run.planned}':>7}  {dice:>5}  {used:>9}"
        print(f"{line}  {run.why}".rstrip())
    if len(rows) > most:
        print(f"… and {len(rows) - most:,} more (--all)")


def _list(options: argparse.Namespace) -> None:
    from carbon_midl.study.spec import read_study

    runs = read_study(options.study).runs
    asked = {run.name: run.options.model_dump() for run in runs}
    if options.json:
        print(json.dumps([{"run": name, "options": values} for name, values in asked.items()], indent=2))
    elif options.names:
        print("\n".join(asked))
    else:
        import pandas as pd

        table = pd.DataFrame.from_dict(asked, orient="index")
        differing = table.nunique() > 1
        print(
            "in all runs: " + ", ".join(f"{name} {value}" for name, value in table.loc[:, ~differing].iloc[0].items())
        )
        print(table.loc[:, differing].to_string() if differing.any() else "\n".join(asked))


def _collect(options: argparse.Namespace) -> None:
    from carbon_midl.errors import InputError
    from carbon_midl.study.runner import collect, open_crops
    from carbon_midl.study.spec import read_study

    study = read_study(options.study)
    if collect(study, open_crops(study)) is None:
        raise InputError(f"{study.path}: no run is done yet. Make them: carbon-midl study run {study.path}")
