"""The recorded live search: what it did step by step, and what a full sweep of the same candidates took."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from carbon_midl.book import wording as w
from carbon_midl.book.figures import Theme
from carbon_midl.book.pictures import Picture
from carbon_midl.book.selection_figures import POLICY_LABELS
from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.study.results import named_rows

RECORDED = Path("results/search")
SWEEP = "sweep.csv"


class Recorded(NamedTuple):
    """A recorded search: its outcome, its trail, and the full sweep of the same seed on the same machine."""

    outcome: dict[str, Any]
    trail: pd.DataFrame
    sweep: pd.DataFrame


def read_search(directory: Path) -> Recorded:
    """Read the record.

    Raises:
        InputError: a file is missing.
    """
    try:
        trail, sweep = pd.read_csv(directory / "trail.csv"), pd.read_csv(directory / SWEEP)
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename}: no such file. Record it with: python -m benchmarks.search studies/demo.toml"
        ) from None
    return Recorded(read_json(directory / "search.json"), trail, sweep)


def search_numbers(record: Recorded) -> dict[str, str]:
    """Name to printed text."""
    outcome = record.outcome
    return {
        "search_candidates": w.count(len(outcome["candidates"])),
        "search_steps": w.count(outcome["steps"]),
        "search_policy": POLICY_LABELS[outcome["policy"]],
        "search_choice": choice_sentence(record),
        "search_price": price_sentence(record),
    }


def choice_sentence(record: Recorded) -> str:
    """What it chose, and what the full sweep puts first."""
    outcome, sweep = record.outcome, record.sweep.set_index("run")
    chosen, best = outcome["chosen"], str(sweep["val_dice"].idxmax())
    text = f"It chose {_width(chosen)}"
    if best == chosen:
        return f"{text}, the width that the full sweep puts first, too."
    lost = 100 * (sweep.loc[best, "val_dice"] - sweep.loc[chosen, "val_dice"])
    return f"{text}. The full sweep puts {_width(best)} first, {lost:.1f} points of validation Dice ahead."


def price_sentence(record: Recorded) -> str:
    """What the search and the sweep took."""
    outcome, sweep = record.outcome, record.sweep
    estimated = w.how_known(*sweep["energy_method"]) != "measured"
    return (
        f"The search took {w.energy(outcome['energy_kwh'])} or {w.carbon(outcome['carbon_g'])} CO₂eq, the full "
        f"sweep {w.energy(float(sweep['energy_whole_run_kwh'].sum()))} or "
        f"{w.carbon(float(sweep['carbon_whole_run_g'].sum()))} on the same machine, tests included in both (one seed, "
        f"{w.plural(int(sweep['test_patients'].max()), 'test patient')}; the energies are "
        f"{'estimates' if estimated else 'measured'})."
    )


def search_picture(record: Recorded) -> Picture:
    """The trail."""
    chosen = record.outcome["chosen"]
    sweep_kwh = float(record.sweep["energy_whole_run_kwh"].sum())
    table = picture_data(record.trail, chosen, sweep_kwh, predicted=False)
    return Picture(draw_trail, table, trail_alt(table, chosen))


def picture_data(table: pd.DataFrame, chosen: str, full_sweep_kwh: float | None, predicted: bool) -> pd.DataFrame:
    """What `draw_trail` draws: the steps that were done.

    Args:
        table: the trail, as `carbon_midl.selection.search.trail_table` makes it.
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


def _width(run: str) -> str:
    return f"F = {run.split('-')[1]}"
