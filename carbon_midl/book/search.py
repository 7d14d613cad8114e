"""The recorded live search: what it did step by step, and what a full sweep of the same candidates took."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from carbon_midl.book import wording as w
from carbon_midl.book.pictures import Picture
from carbon_midl.book.selection_figures import POLICY_LABELS
from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.search.trail import draw_trail, picture_data, trail_alt

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
    estimated = sweep["energy_method"].astype(str).str.contains("estimated").any()
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


def _width(run: str) -> str:
    return f"F = {run.split('-')[1]}"
