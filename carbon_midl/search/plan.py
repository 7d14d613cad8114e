"""What a search is: candidates of a study, a policy and a budget; and the directory that all of it goes to."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.files import read_json, write_json
from carbon_midl.selection.policies import Policy
from carbon_midl.selection.within_budget import WithinBudget
from carbon_midl.study.spec import PlannedRun, Study

SETTINGS = "settings.json"


@dataclass(frozen=True)
class Plan:
    """A search as it was asked for.

    Attributes:
        study: as read, but in the search's own directory.
        runs: the candidates: the study's runs of one seed.
        policy: that decides.
        limit_kwh: of the whole search before PUE, the chosen candidate's training included; None for no limit.
    """

    study: Study
    runs: tuple[PlannedRun, ...]
    policy: Policy
    limit_kwh: float | None = None

    @property
    def directory(self) -> Path:
        """Where everything of the search goes."""
        return self.study.directory

    @property
    def epochs(self) -> int:
        """The most that a candidate trains."""
        return max(run.options.epochs for run in self.runs)

    def bounded(self, lost_kwh: float = 0.0) -> Policy:
        """The policy within what is left of the limit.

        Args:
            lost_kwh: what candidates have used that are out of the search.

        Raises:
            InputError: that is more than the limit.
        """
        if self.limit_kwh is None:
            return self.policy
        if lost_kwh >= self.limit_kwh:
            raise InputError(f"budget: candidates that failed have used all of its {self.limit_kwh:g} kWh.")
        return WithinBudget(self.policy, self.limit_kwh - lost_kwh)

    def settings(self) -> dict[str, Any]:
        """What may not change while a search goes on."""
        return {
            "candidates": [run.name for run in self.runs],
            "policy": self.policy.name,
            "options": asdict(self.policy),  # type: ignore[call-overload]
            "limit_kwh": self.limit_kwh,
        }

    def begin(self) -> None:
        """Write the settings down, or see that those of an earlier start are the same.

        Raises:
            InputError: the directory holds a search with other settings.
        """
        path = self.directory / SETTINGS
        if not path.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            write_json(path, self.settings())
            return
        before, now = read_json(path), self.settings()
        if changed := [name for name in now if before.get(name) != now[name]]:
            name = changed[0]
            raise InputError(
                f"{path}: a search with {name} = {before.get(name)!r} was begun here, and now it is {now[name]!r}. "
                "Give the former to go on with it, or --name to begin another beside it."
            )


def plan_search(
    study: Study, policy: Policy, seed: int | None = None, limit_kwh: float | None = None, name: str | None = None
) -> Plan:
    """Take a study's runs of one seed as the candidates of a search.

    Args:
        study: whose axes but the seed make the candidates.
        policy: that decides.
        seed: of all trainings; by default the study's first.
        limit_kwh: of the whole search, before PUE.
        name: of the search's directory in ``runs/``; by default from study, policy and seed.

    Raises:
        InputError: the study has no such seed, a single candidate, or options that end a training by themselves.
    """
    seeds = sorted({run.options.seed for run in study.runs})
    seed = study.runs[0].options.seed if seed is None else seed
    runs = tuple(run for run in study.runs if run.options.seed == seed)
    if not runs:
        raise InputError(f"--seed: the study has no runs of seed {seed}; found {', '.join(map(str, seeds))}.")
    if len(runs) < 2:
        raise InputError(f"{study.path}: one candidate only, {runs[0].name}; a search needs two to choose from.")
    for run in runs:
        options = run.options
        if options.patience or options.budget_g or options.budget_kwh:
            raise InputError(
                f"{study.path}: patience or a budget ends a training of {run.name} by itself, but in a search the "
                "policy decides that. Set them to 0; --budget-g limits the search, --policy early-stopping stops early."
            )
    if limit_kwh is not None and limit_kwh <= 0:
        raise InputError(f"budget: found {limit_kwh:g} kWh; expected a number above 0.")
    chosen = name or f"{study.name}-search-{policy.name}-seed-{seed}"
    return Plan(replace(study, name=chosen), runs, policy, limit_kwh)
