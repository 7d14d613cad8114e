"""A trainer that trains nothing: what its candidates would show is known beforehand, how far they are lies on disk."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from carbon_midl.search.plan import Plan, plan_search
from carbon_midl.selection.policies import Policy, Trial
from carbon_midl.study.spec import PlannedRun, read_study

TEXT = """
[study]
name = "tiny"
title = "Tiny study"
[crops]
archive = "data/discs"
[axes]
filters = {widths}
seed = [0, 1]
[options]
depth = 2
epochs = {epochs}
batch_size = 8
[footprint]
intensity = "DK"
carbontracker = false
"""


class FakeTrainer:
    """Keeps the number of trained epochs of each candidate in a file; fails or is stopped when told to."""

    def __init__(self, plan: Plan, curves: Sequence[Trial]) -> None:
        self.plan = plan
        self.curves = {run.name: trial for run, trial in zip(plan.runs, curves, strict=True)}
        self.failing: dict[str, int] = {}
        self.on_train: Callable[[str], None] = lambda name: None
        self.finished: list[str] = []

    def _file(self, run: PlannedRun) -> Path:
        return self.plan.directory / f"{run.name}.json"

    def _trained(self, run: PlannedRun) -> int:
        path = self._file(run)
        return int(json.loads(path.read_text())) if path.exists() else 0

    def _full(self, run: PlannedRun) -> Trial:
        known = self.curves[run.name]
        return Trial(run.name, known.size, known.epochs, known.performance, known.cost)

    def trial(self, run: PlannedRun) -> Trial:
        return self._full(run).first(self._trained(run))

    def spent_kwh(self, run: PlannedRun) -> float:
        return self.trial(run).spent

    def train(self, run: PlannedRun, until: int, poll: Callable[[], None], lock: int | None) -> str:
        self.on_train(run.name)
        if self.failing.get(run.name, 0):
            self.failing[run.name] -= 1
            return "the loss is not finite"
        self._file(run).write_text(json.dumps(until))
        return ""

    def finish(self, run: PlannedRun, limit_kwh: float | None, poll: Callable[[], None]) -> str:
        full, until = self._full(run), self._trained(run)
        while until < full.epochs and (limit_kwh is None or full.first(until + 1).spent <= limit_kwh):
            until += 1
        self._file(run).write_text(json.dumps(until))
        self.finished.append(run.name)
        (self.plan.directory / f"{run.name}.tested").touch()
        return ""

    def tested(self, run: PlannedRun, limit_kwh: float | None) -> dict[str, float] | None:
        if not (self.plan.directory / f"{run.name}.tested").exists():
            return None
        return {"dice": 0.7, "dice_patients": 0.71, "patients": 5, "slices": 30}


def make_plan(
    root: Path, policy: Policy, widths: Sequence[int] = (2, 3, 4), epochs: int = 4, limit_kwh: float | None = None
) -> Plan:
    (root / "studies").mkdir(parents=True, exist_ok=True)
    path = root / "studies" / "tiny.toml"
    path.write_text(TEXT.format(widths=list(widths), epochs=epochs))
    return plan_search(read_study(path), policy, limit_kwh=limit_kwh)


def rising(widths: Sequence[int] = (2, 3, 4), epochs: int = 4) -> list[Trial]:
    """Wider ones end higher and cost more."""
    return [
        Trial(
            f"w{width}",
            width,
            epochs,
            tuple(0.5 + 0.05 * k - 0.1 / (epoch + 1) for epoch in range(epochs)),
            (0.1 * width,) * epochs,
        )
        for k, width in enumerate(widths)
    ]
