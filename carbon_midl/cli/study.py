"""``carbon-midl study``: many runs from one file."""

import argparse
import signal
from pathlib import Path
from typing import Any

from carbon_midl.cli.parsing import action, room


def add_actions(rooms: Any) -> None:
    """Add the room ``study``."""
    study = room(rooms, "study", "studies: many runs from one file")
    run = action(study, "run", _run, "make the runs of a study that are not done, and collect their tables")
    run.add_argument("study", type=Path, metavar="FILE", help="the study, such as studies/demo.toml")


def _run(options: argparse.Namespace) -> None:
    from carbon_midl.study.display import Display
    from carbon_midl.study.runner import run_study
    from carbon_midl.study.spec import read_study

    # A scheduler's or terminal's request to end is handled like Ctrl-C: the run's notebook is stopped, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    run_study(read_study(options.study), Display())
