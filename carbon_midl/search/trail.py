"""The trail of a search: every step in order as a table and a picture, and what came of it as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from carbon_midl.figures import Theme, save_pair
from carbon_midl.files import write_json, write_text
from carbon_midl.footprint import carbon_intensity
from carbon_midl.search.ledger import Entry
from carbon_midl.search.plan import Plan
from carbon_midl.search.worker import Standing
from carbon_midl.selection.policies import Trial
from carbon_midl.study.forecast import Cost, Forecast
from carbon_midl.study.tables import named_rows

TRAIL, PICTURE, OUTCOME = "trail.csv", "trail", "search.json"
FORMAT, VERSION = "carbon-midl search", 1


def trail_table(plan: Plan, entries: Sequence[Entry]) -> pd.DataFrame:
    """A row a step that has ended, in the order of ending.

    Columns: ``step``, ``candidate``, ``first`` and ``until`` (epochs), ``state``, ``val_dice`` (the candidate's best
    after the step), ``energy_kwh`` and ``carbon_g`` of the step, both ``…_so_far``, ``reason``, ``why`` it failed,
    ``worker``, ``started`` and ``ended``.
    """
    over = sorted(
        (entry for entry in entries if entry.ended is not None), key=lambda entry: (entry.ended, entry.number)
    )
    rows, energy_kwh, g_per_kwh = [], 0.0, grams_per_kwh(plan)
    for number, entry in enumerate(over, start=1):
        energy_kwh += entry.energy_kwh
        rows.append(
            {
                "step": number,
                "candidate": entry.candidate,
                "first": entry.first,
                "until": entry.until,
                "state": entry.state,
                "val_dice": entry.performance,
                "energy_kwh": entry.energy_kwh,
                "carbon_g": entry.energy_kwh * g_per_kwh,
                "energy_so_far_kwh": energy_kwh,
                "carbon_so_far_g": energy_kwh * g_per_kwh,
                "reason": entry.reason,
                "why": entry.why,
                "worker": entry.worker,
                "started": _time(entry.started),
                "ended": _time(entry.ended),
            }
        )
    return pd.DataFrame(rows)


def grams_per_kwh(plan: Plan) -> float:
    """Grams of CO2eq of a kWh before PUE, by the study's grid and PUE."""
    return carbon_intensity(plan.study.footprint.intensity).g_per_kwh * plan.study.footprint.pue


def full_sweep_kwh(plan: Plan, trials: Sequence[Trial], size: int) -> float | None:
    """What training every candidate for all its epochs would take, predicted from the epochs so far; None before any.

    A candidate that has begun is taken to go on as it did; another is predicted from the one nearest in
    multiply–accumulates, in proportion to those, which is rough.

    Args:
        plan: the search.
        trials: of its candidates.
        size: side of the crops, px.
    """
    names = {trial.name for trial in trials}
    forecast = Forecast([run for run in plan.runs if run.name in names], size)
    for trial in trials:
        if trial.trained:
            forecast.saw(trial.name, Cost(trial.spent, 0.0), trial.trained / trial.epochs)
    left = forecast.left()
    return None if left is None else sum(trial.spent for trial in trials) + left.energy_kwh


def write_trail(plan: Plan, entries: Sequence[Entry]) -> Path:
    """Write the table, and return its path."""
    path = plan.directory / TRAIL
    write_text(path, trail_table(plan, entries).to_csv(index=False))
    return path


def write_outcome(
    plan: Plan, standing: Standing, chosen: str, tested: dict[str, float] | None, size: int
) -> dict[str, Any]:
    """Write ``search.json``, the table and the picture of an ended search, and return what the first holds."""
    table = trail_table(plan, standing.entries)
    write_trail(plan, standing.entries)
    g_per_kwh, full_kwh = grams_per_kwh(plan), full_sweep_kwh(plan, standing.trials, size)
    rest = [trial for trial in standing.trials if trial.name != chosen]
    outcome = {
        "format": FORMAT,
        "version": VERSION,
        "study": plan.study.title,
        **plan.settings(),
        "pue": plan.study.footprint.pue,
        "intensity": plan.study.footprint.intensity,
        "chosen": chosen,
        "runner_up": rest[plan.policy.choose(rest)].name if any(trial.trained for trial in rest) else None,
        "test": tested,
        "steps": int((table["state"] == "done").sum()),
        "candidates_out": sorted(standing.out),
        "epochs_trained": {trial.name: trial.trained for trial in standing.trials},
        "val_dice": {trial.name: trial.best if trial.trained else None for trial in standing.trials},
        "energy_kwh": standing.spent_kwh,
        "carbon_g": standing.spent_kwh * g_per_kwh,
        # Without the tests, which a sweep would make of every candidate.
        "full_sweep_predicted_kwh": full_kwh,
        "full_sweep_predicted_g": None if full_kwh is None else full_kwh * g_per_kwh,
    }
    write_json(plan.directory / OUTCOME, outcome)
    data = picture_data(table, chosen, full_kwh, predicted=True)
    save_pair(draw_trail, data, plan.directory, PICTURE, (5.6, 3.9))
    write_text(plan.directory / f"{PICTURE}.txt", trail_alt(data, chosen) + "\n")
    return outcome


def picture_data(table: pd.DataFrame, chosen: str, full_sweep_kwh: float | None, predicted: bool) -> pd.DataFrame:
    """What `draw_trail` draws: the steps that were done.

    Args:
        table: from `trail_table`.
        chosen: candidate.
        full_sweep_kwh: of all candidates; None where it is not known.
        predicted: whether that is a prediction.
    """
    done = table[table["state"] == "done"]
    return done.assign(chosen=done["candidate"] == chosen, full_sweep_kwh=full_sweep_kwh, predicted=predicted)


def draw_trail(axes: Axes, table: pd.DataFrame, theme: Theme) -> None:
    """Validation Dice after each step against the energy of the search so far, a line a candidate."""
    names = list(dict.fromkeys(table["candidate"]))
    colours = sns.color_palette(theme.ramp, len(names))
    chosen = table.loc[table["chosen"], "candidate"].iloc[0]
    for number, name in enumerate(names):
        rows = table[table["candidate"] == name]
        axes.plot(
            1000 * rows["energy_so_far_kwh"], rows["val_dice"], "osD^vPX"[number % 7] + "-", color=colours[number],
            markersize=6, linewidth=2.2 if name == chosen else 1.2,
            label=f"{name}, chosen" if name == chosen else name,
        )  # fmt: skip
    full_kwh = table["full_sweep_kwh"].iloc[0]
    if pd.notna(full_kwh):
        label = "full sweep,\npredicted" if table["predicted"].iloc[0] else "full sweep"
        axes.axvline(1000 * full_kwh, color=theme.accents[1], linestyle="--", linewidth=1.5)
        axes.annotate(
            label, (1000 * full_kwh, 0.02), (-5, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="right", va="bottom", fontsize=9.5, color=theme.accents[1],
        )  # fmt: skip
    axes.set(xlabel="Energy of the search so far (Wh, before PUE)", ylabel="Best validation Dice")
    axes.set_xlim(left=0)
    axes.margins(x=0.06, y=0.1)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)


def trail_alt(table: pd.DataFrame, chosen: str) -> str:
    """The picture in words, from `picture_data`."""
    steps = "; ".join(
        f"{row.candidate} to epoch {row.until}, Dice {row.val_dice:.3f} at {1000 * row.energy_so_far_kwh:.3g} Wh"
        for row in named_rows(table)
    )
    first = table.iloc[0]
    takes = "is predicted to take" if first["predicted"] else "took"
    swept = (
        "" if pd.isna(first["full_sweep_kwh"]) else f" A full sweep {takes} {1000 * first['full_sweep_kwh']:.3g} Wh."
    )
    return f"Best validation Dice against energy so far, step by step: {steps}. Chosen: {chosen}.{swept}"


def _time(moment: Any) -> str:
    return "" if moment is None else moment.isoformat(timespec="seconds")
