"""A picture of a choice: performance against cost with intervals and frontier, and a text in its place."""

from pathlib import Path

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
        known = table["cost_low"].notna()
        if known.any():
            rows = table[known]
            # The observed mean may lie outside of a percentile interval by rounding.
            lengths = {
                name: np.clip([rows[name] - rows[f"{name}_low"], rows[f"{name}_high"] - rows[name]], 0, None)
                for name in ("cost", "performance")
            }
            axes.errorbar(
                rows["cost"], rows["performance"], xerr=lengths["cost"], yerr=lengths["performance"],
                fmt="none", ecolor=_GREY, elinewidth=1, zorder=1,
            )  # fmt: skip
        order = np.argsort(cost[frontier], kind="stable")
        steps = (cost[frontier][order], performance[frontier][order])
        axes.step(*steps, where="post", color=_BLUE, linewidth=1.2, zorder=2)
        for among, mark, size, colour, label in (
            (~frontier & ~chosen, "x", 6, _GREY, "dominated"),
            (frontier & ~chosen, "o", 6, _BLUE, "frontier"),
            (chosen, "D", 8, _ORANGE, "chosen"),
        ):
            if among.any():
                axes.plot(cost[among], performance[among], mark, markersize=size, color=colour, zorder=3, label=label)
        for index, name in enumerate(candidates.names):
            if len(candidates) <= LABELLED or name == choice.chosen:
                _label(axes, name, (cost[index], performance[index]), bool(frontier[index]))
        cost_name = candidates.cost_name[0].upper() + candidates.cost_name[1:]
        unit = f" ({candidates.unit})" if candidates.unit else ""
        axes.set(xlabel=f"{cost_name}{unit}", ylabel=f"{candidates.performance_name} (mean)")
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
    chosen = candidates.names.index(choice.chosen)
    text = (
        f"Mean {candidates.performance_name} against {candidates.cost_name} of {len(candidates)} candidates"
        f"{', cost on a logarithmic axis' if _logarithmic(cost) else ''}. Performance goes from "
        f"{performance.min():.3f} ({worst}) to {performance.max():.3f} ({best}), cost from "
        f"{amount(cost.min(), candidates.unit)} to {amount(cost.max(), candidates.unit)}. "
        f"On the frontier: {listed(frontier, 8)}. Chosen: {choice.chosen}, {performance[chosen]:.3f} at "
        f"{amount(cost[chosen], candidates.unit)}"
    )
    probability = uncertainty.chosen_probability(choice.chosen)
    text += f", in {probability:.0%} of draws." if np.isfinite(probability) else "; single replicates, no intervals."
    return text


def _label(axes: Axes, name: str, at: tuple[float, float], above: bool) -> None:
    """Above and left of the frontier nothing else is drawn; what is below it is named below."""
    offset, side = ((-6, 5), "right") if above else ((6, -10), "left")
    axes.annotate(
        name, at, offset, textcoords="offset points", ha=side, color=_INK, fontsize=9, zorder=6,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip


def _logarithmic(cost: np.ndarray) -> bool:
    return bool(cost.min() > 0 and cost.max() >= LOGARITHMIC_FROM * cost.min())
