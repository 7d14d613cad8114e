"""A picture of a choice: performance against cost with intervals and frontier, and a text in its place."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import StrMethodFormatter

from carbon_midl.errors import InputError
from carbon_midl.files import replaced
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import Choice, Uncertainty
from carbon_midl.units import amount, listed

LABELLED = 12
"""Up to so many candidates, all are named; beyond that, the chosen one."""
LOGARITHMIC_FROM = 20
"""Ratio of the highest cost to the lowest from which the cost has a logarithmic axis."""

# From Okabe and Ito's colour-blind safe set; marks differ in shape, too.
_BLUE, _ORANGE, _GREY, _INK = "#0072b2", "#d55e00", "#8a949e", "#1f2933"


def draw_choice(candidates: Candidates, choice: Choice, uncertainty: Uncertainty) -> Figure:
    """Performance against cost: the chosen one a diamond, the frontier's points circles, the others crosses.

    Error bars are 95 % intervals of the means; where there are none, none are drawn.
    """
    with rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "path"}):
        figure = Figure(figsize=(6.2, 4.2), layout="constrained")
        axes = figure.subplots()
        table = uncertainty.table
        performance, cost = candidates.mean_performance, candidates.mean_cost
        frontier = table["on_frontier"].to_numpy()
        chosen = np.array([name == choice.chosen for name in candidates.names])
        if _logarithmic(cost):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        for values, others, name in ((cost, performance, "cost"), (performance, cost, "performance")):
            _bars(axes, values, others, table[[f"{name}_low", f"{name}_high"]].to_numpy(), name == "cost")
        order = np.argsort(cost[frontier], kind="stable")
        steps = (cost[frontier][order], performance[frontier][order])
        axes.step(*steps, where="post", color=_BLUE, linewidth=1.2, zorder=2)
        dominated, others = ~frontier & ~chosen, frontier & ~chosen
        if dominated.any():
            axes.plot(cost[dominated], performance[dominated], "x", color=_GREY, zorder=3, label="dominated")
        if others.any():
            axes.plot(cost[others], performance[others], "o", color=_BLUE, zorder=4, label="frontier")
        axes.plot(cost[chosen], performance[chosen], "D", color=_ORANGE, markersize=8, zorder=5, label="chosen")
        for place, name in enumerate(candidates.names):
            if len(candidates) <= LABELLED or name == choice.chosen:
                _label(axes, name, (cost[place], performance[place]), bool(frontier[place]))
        axes.set(xlabel=_cost_label(candidates), ylabel=f"{candidates.performance_name} (mean)")
        axes.grid(color="#d7dce1", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, loc="lower right")
        axes.margins(0.1)
    return figure


def save_picture(figure: Figure, path: Path) -> None:
    """Write the figure whole or not at all, in the format of the file's name.

    Raises:
        InputError: there is no such format.
    """
    known = figure.canvas.get_supported_filetypes()
    kind = path.suffix.removeprefix(".").lower()
    if kind not in known:
        raise InputError(f"{path}: no format {path.suffix or 'without a suffix'!r}; expected .svg, .png or .pdf.")
    with replaced(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=200)


def alt_text(candidates: Candidates, choice: Choice, uncertainty: Uncertainty) -> str:
    """What the picture shows, for those who do not see it."""
    performance, cost = candidates.mean_performance, candidates.mean_cost
    best, worst = candidates.names[performance.argmax()], candidates.names[performance.argmin()]
    table = uncertainty.table
    frontier = list(table[table["on_frontier"]].sort_values("cost")["candidate"])
    place = candidates.names.index(choice.chosen)
    text = (
        f"Mean {candidates.performance_name} against {candidates.cost_name} of {len(candidates)} candidates"
        f"{', cost on a logarithmic axis' if _logarithmic(cost) else ''}. Performance goes from "
        f"{performance.min():.3f} ({worst}) to {performance.max():.3f} ({best}), cost from "
        f"{amount(cost.min(), candidates.unit)} to {amount(cost.max(), candidates.unit)}. "
        f"On the frontier: {listed(frontier, 8)}. Chosen: {choice.chosen}, {performance[place]:.3f} at "
        f"{amount(cost[place], candidates.unit)}"
    )
    probability = uncertainty.chosen_probability(choice.chosen)
    text += f", in {probability:.0%} of draws." if np.isfinite(probability) else "; single replicates, no intervals."
    return text


def _bars(axes: Axes, values: np.ndarray, others: np.ndarray, limits: np.ndarray, horizontal: bool) -> None:
    known = np.isfinite(limits).all(axis=1)
    if not known.any():
        return
    # The observed mean may lie outside of a percentile interval by rounding.
    lengths = np.clip(np.stack([values - limits[:, 0], limits[:, 1] - values]), 0, None)[:, known]
    style: dict[str, Any] = {"fmt": "none", "ecolor": _GREY, "elinewidth": 1, "zorder": 1}
    if horizontal:
        axes.errorbar(values[known], others[known], xerr=lengths, **style)
    else:
        axes.errorbar(others[known], values[known], yerr=lengths, **style)


def _label(axes: Axes, name: str, at: tuple[float, float], above: bool) -> None:
    """Above and left of the frontier nothing else is drawn; what is below it is named below."""
    offset, side = ((-6, 5), "right") if above else ((6, -10), "left")
    axes.annotate(
        name, at, offset, textcoords="offset points", ha=side, color=_INK, fontsize=9, zorder=6,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip


def _logarithmic(cost: np.ndarray) -> bool:
    return bool(cost.min() > 0 and cost.max() >= LOGARITHMIC_FROM * cost.min())


def _cost_label(candidates: Candidates) -> str:
    name = candidates.cost_name[0].upper() + candidates.cost_name[1:]
    return f"{name} ({candidates.unit})" if candidates.unit else name
