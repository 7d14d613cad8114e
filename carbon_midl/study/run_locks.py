"""The locks of a study's runs, each beside the run's directory, which may be moved."""

from pathlib import Path

from carbon_midl.locks import is_held
from carbon_midl.study.spec import PlannedRun, Study

_DIRECTORY = ".locks"


def lock_of(study: Study, run: PlannedRun) -> Path:
    """The lock of a run, to be held by whoever makes it."""
    directory = study.directory / _DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    return directory / run.name


def held_runs(study: Study) -> set[str]:
    """Names of the runs that some process is making."""
    directory = study.directory / _DIRECTORY
    if not directory.is_dir():
        return set()
    return {path.name for path in directory.iterdir() if is_held(path)}
