"""A picture of a choice: performance against cost with intervals and frontier."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from carbon_midl.errors import InputError
from carbon_midl.files import replaced
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import Choice, Uncertainty

LABELLED = 12
"""Up to so many candidates, all are named; beyond that, the chosen one."""
# Okabe and Ito's colour-blind safe set; marks differ in shape, too.
_MARKS = {"dominated": ("x", 6, "#8a949e"), "frontier": ("o", 6, "#0072b2"), "chosen": ("D", 8, "#d55e00")}


def draw_choice(candidates: Candidates, choice: Choice, uncertainty: Uncertainty) -> Figure:
    """Performance against cost: the chosen one a diamond, the frontier's points circles, the others crosses.

    Error bars are 95 % intervals of the means; where there are none, none are drawn.
    """

    def lengths(rows: pd.DataFrame, name: str) -> np.ndarray:
        # The observed mean may lie outside of a percentile interval by rounding.
        return np.clip([rows[name] - rows[f"{name}_low"], rows[f"{name}_high"] - rows[name]], 0, None)

    with rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "path"}):
        figure = Figure(figsize=(6.2, 4.2), layout="constrained")
        axes = figure.subplots()
        table = uncertainty.table
        if 0 < table["cost"].min() <= table["cost"].max() / 20:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        frontier = table[table["on_frontier"]].sort_values("cost", kind="stable")
        axes.step(frontier["cost"], frontier["performance"], where="post", color=_MARKS["frontier"][2], linewidth=1.2)
        kinds = np.where(table["on_frontier"], "frontier", "dominated").astype(object)
        kinds[table["candidate"] == choice.chosen] = "chosen"
        for kind, (mark, size, colour) in _MARKS.items():
            if (rows := table[kinds == kind]).empty:
                continue
            axes.errorbar(
                rows["cost"], rows["performance"], xerr=lengths(rows, "cost"), yerr=lengths(rows, "performance"),
                fmt=mark, markersize=size, color=colour, elinewidth=1, label=kind,
            )  # fmt: skip
        for name, *at in zip(candidates.names, candidates.mean_cost, candidates.mean_performance, strict=True):
            if len(candidates) <= LABELLED or name == choice.chosen:
                axes.annotate(name, (at[0], at[1]), (6, -12), textcoords="offset points")
        unit = f" ({candidates.unit})" if candidates.unit else ""
        axes.set(xlabel=f"{candidates.cost_name}{unit}", ylabel=f"{candidates.performance_name} (mean)")
        axes.grid(color="#d7dce1", linewidth=0.6)
        axes.legend(frameon=False, loc="lower right")
        axes.margins(0.1)
    return figure


def save_picture(figure: Figure, path: Path) -> None:
    """Write the figure whole or not at all, in the format of the file's name; an `InputError` if there is no such."""
    kind = path.suffix.removeprefix(".").lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise InputError(f"{path}: no format {path.suffix or 'without a suffix'!r}; expected .svg, .png or .pdf.")
    with replaced(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=200)
