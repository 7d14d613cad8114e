"""What the rest of a study will take: a prediction from the runs that are done or under way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from carbon_midl.network_size import network_size
from carbon_midl.options import RunOptions
from carbon_midl.study.spec import PlannedRun

# The options of a run but for its seed.
Kind = tuple[Any, ...]


class Cost(NamedTuple):
    """Energy before PUE and time of one run."""

    energy_kwh: float
    duration_s: float


@dataclass(frozen=True)
class Seen:
    """What a run has used so far, and for which share of its epochs."""

    cost: Cost
    share: float


class Forecast:
    """Predicts the cost of runs from that of others.

    A run that is under way is taken to go on as it began. Another is predicted from runs that differ only in their
    seed; where there are none, from the run nearest in multiply–accumulates, in proportion to those. That is rough: a
    narrow network keeps a device less busy.

    Args:
        runs: of the study.
        size: side of the crops, px.
    """

    def __init__(self, runs: Sequence[PlannedRun], size: int) -> None:
        self._kinds = {run.name: _without_seed(run.options) for run in runs}
        options = {self._kinds[run.name]: run.options for run in runs}
        self._work = {kind: _work(one, size) for kind, one in options.items()}
        self._seen: dict[str, Seen] = {}

    def saw(self, name: str, cost: Cost, share: float = 1.0) -> None:
        """Take in what a run has used for a ``share`` of its epochs."""
        self._seen[name] = Seen(cost, share)

    def left(self) -> Cost | None:
        """What is still to be spent on all runs; None before anything was seen."""
        by_kind = self._by_kind()
        if not by_kind:
            return None
        energy_kwh = duration_s = 0.0
        for name, kind in self._kinds.items():
            seen = self._seen.get(name)
            if seen and seen.share > 0:
                factor = 1 / seen.share - 1
                cost = seen.cost
            else:
                nearest = min(by_kind, key=lambda other: abs(self._work[other] / self._work[kind] - 1))
                factor, cost = self._work[kind] / self._work[nearest], by_kind[nearest]
            energy_kwh += factor * cost.energy_kwh
            duration_s += factor * cost.duration_s
        return Cost(energy_kwh, duration_s)

    def _by_kind(self) -> dict[Kind, Cost]:
        """Mean cost of a whole run of each kind that was seen."""
        found: dict[Kind, list[Cost]] = {}
        for name, seen in self._seen.items():
            if seen.share > 0:
                whole = Cost(*(value / seen.share for value in seen.cost))
                found.setdefault(self._kinds[name], []).append(whole)
        return {
            kind: Cost(*(sum(values) / len(values) for values in zip(*costs, strict=True)))
            for kind, costs in found.items()
        }


def _without_seed(options: RunOptions) -> Kind:
    return tuple(value for name, value in options if name != "seed")


def _work(options: RunOptions, size: int) -> float:
    return network_size(options, size).macs * options.epochs
