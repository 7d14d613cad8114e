"""The state of a whole study: its runs, what it has used so far, and what it will have used in the end."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.run import code_fingerprint, fingerprint
from carbon_midl.study.collect import abandoned_attempts
from carbon_midl.study.finished import FinishedRuns
from carbon_midl.study.forecast import Cost, Forecast
from carbon_midl.study.phantom_crops import phantom_directory
from carbon_midl.study.run_locks import held_runs
from carbon_midl.study.spec import Study
from carbon_midl.study.states import RunState, run_state


@dataclass(frozen=True)
class StudyStatus:
    """Where a study stands.

    Attributes:
        runs: every run of the study file.
        energy_kwh: before PUE, of everything so far, failed and abandoned attempts included.
        carbon_g: the same in gCO2eq, as recorded.
        superseded: attempts that were moved aside; their energy is counted.
        left: predicted energy and duration of what is still to be trained; None where nothing is known yet.
        note: what could not be looked at, or "".
    """

    runs: tuple[RunState, ...]
    energy_kwh: float
    carbon_g: float
    superseded: int
    left: Cost | None
    note: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are in each state."""
        return dict(Counter(run.state for run in self.runs))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "counts": self.counts,
            "energy_kwh": self.energy_kwh,
            "carbon_g": self.carbon_g,
            "superseded": self.superseded,
            "predicted_left": self.left._asdict() if self.left else None,
            "note": self.note,
            "runs": [run.to_dict() for run in self.runs],
        }


def study_status(study: Study) -> StudyStatus:
    """Look where a study stands; nothing is changed or rendered."""
    archive, note = _crops(study)
    finished = FinishedRuns(study.directory)
    code, held = code_fingerprint(), held_runs(study)
    wanted = [fingerprint(run.options, archive, code) if archive else None for run in study.runs]
    runs = tuple(
        run_state(study, run, now, finished, run.name in held) for run, now in zip(study.runs, wanted, strict=True)
    )
    finished.remember()
    planned = {run.name for run in runs}
    aside = [record for name, record in abandoned_attempts(study) if name not in planned]
    return StudyStatus(
        runs=runs,
        energy_kwh=sum(run.energy_kwh for run in runs) + sum(record.energy_kwh for record in aside),
        carbon_g=sum(run.carbon_g for run in runs) + sum(record.carbon_g(record.energy_kwh) for record in aside),
        superseded=len(aside),
        left=_left(study, runs, archive),
        note=note,
    )


def _crops(study: Study) -> tuple[CropArchive | None, str]:
    phantom = study.crops.phantom
    where = study.root / (study.crops.archive or "")
    if phantom is not None:
        where = phantom_directory(study.root, phantom.patients, phantom.seed, phantom.size)
        if not where.exists():
            return None, "The phantom is not rendered yet; the first start does that."
    try:
        return CropArchive.open(where), ""
    except InputError as error:
        return None, str(error)


def _left(study: Study, runs: tuple[RunState, ...], archive: CropArchive | None) -> Cost | None:
    if archive is None:
        return None
    if all(run.state == "done" for run in runs):
        return Cost(0.0, 0.0)
    forecast = Forecast(study.runs, archive.size)
    for run in runs:
        if run.state == "done":
            forecast.saw(run.name, Cost(run.energy_kwh, run.duration_s))
        elif run.epochs and run.state != "stale":
            forecast.saw(run.name, Cost(run.energy_kwh, run.duration_s), run.epochs / run.planned)
    return forecast.left()
