"""Figures of the selection: how probable a choice is, what the grid changes, what policies save."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from carbon_midl.book.figures import Theme, readable_on
from carbon_midl.study.results import named_rows

CRITERION_LABELS = {
    "best": "best Dice",
    "budget": "budget",
    "noninferior": "not worse",
    "weighted": "weighted sum",
    "pepr": "PePR",
    "knee": "knee",
    "marginal": "marginal price",
}
"""Short names for axes, in the order in which the criteria are shown."""
POLICY_LABELS = {
    "full": "full sweep",
    "early-stopping": "early stopping",
    "halving": "halving",
    "screened-halving": "screened halving",
    "widen": "widening",
}
SMALLEST_LABELLED = 0.08
"""Probability whose bar has room for a label."""


def choice_probability(axes: Axes, table: pd.DataFrame, theme: Theme) -> None:
    """Stacked bars, one a criterion: how probably each width is chosen (``name``, ``filters``, ``probability``)."""
    widths = sorted(table["filters"].unique().tolist())
    colours = dict(zip(widths, sns.color_palette(theme.ramp, len(widths)), strict=True))
    names = [name for name in CRITERION_LABELS if name in set(table["name"])]
    likely = table.pivot_table("probability", "name", "filters").reindex(index=names)
    left = pd.Series(0.0, index=names)
    for width in widths:
        axes.barh(names, likely[width], 0.7, left, color=colours[width], edgecolor=theme.page, linewidth=0.6)
        for row, name in enumerate(names):
            if (share := float(likely.loc[name, width])) >= SMALLEST_LABELLED:
                axes.text(
                    left[name] + share / 2, row, f"F = {width}" if share > 0.17 else str(width),
                    ha="center", va="center", fontsize=9.5, color=readable_on(colours[width]),
                )  # fmt: skip
        left += likely[width]
    axes.set_yticks(range(len(names)), [CRITERION_LABELS[name] for name in names])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))
    axes.set(xlabel="Share of draws in which the width is chosen", xlim=(0, 1))


def choice_by_grid(axes: Axes, table: pd.DataFrame, theme: Theme) -> None:
    """A coloured table: what a criterion chooses on a grid (``name``, ``grid``, ``g_per_kwh``, ``filters``)."""
    widths = sorted(table["filters"].dropna().unique().tolist())
    colours = dict(zip(widths, sns.color_palette(theme.ramp, max(len(widths), 2)), strict=False))
    names = [name for name in CRITERION_LABELS if name in set(table["name"])]
    grids = table.drop_duplicates("grid").sort_values("g_per_kwh")
    places = {grid: place for place, grid in enumerate(grids["grid"])}
    for row in named_rows(table):
        x, y = places[row.grid], names.index(row.name)
        colour = colours.get(row.filters)
        axes.add_patch(
            Rectangle((x - 0.47, y - 0.44), 0.94, 0.88, facecolor=colour or "none", edgecolor=theme.grid, linewidth=0.6)
        )
        axes.text(
            x, y, "–" if colour is None else f"{row.filters:.0f}", ha="center", va="center", fontsize=10,
            color=theme.foreground if colour is None else readable_on(colour),
        )  # fmt: skip
    axes.set_xticks(range(len(places)), [f"{row.grid}\n{row.g_per_kwh:.0f}" for row in named_rows(grids)])
    axes.set_yticks(range(len(names)), [CRITERION_LABELS[name] for name in names])
    axes.set(
        xlim=(-0.6, len(places) - 0.4),
        ylim=(len(names) - 0.4, -0.6),
        xlabel="Grid and its carbon intensity (g/kWh, average of 2024)",
    )
    axes.grid(visible=False)
    axes.tick_params(length=0)
    sns.despine(ax=axes, left=True, bottom=True)


def policies(axes: Axes, table: pd.DataFrame, theme: Theme) -> None:
    """Reliability against price of policies (``dataset``, ``name``, ``share``, ``within``, ``role``).

    ``role`` is "grid", or "tuned" and "tested" for a policy that was chosen on one data set and tested on another.
    """
    colours = dict(zip(POLICY_LABELS, (theme.foreground, *theme.accents), strict=True))
    datasets = sorted(table["dataset"].unique().tolist())
    markers = dict(zip(datasets, "osD^", strict=False))
    axes.add_patch(Rectangle((0, 0.9), 0.2, 0.1, facecolor=theme.accents[2], alpha=0.16, edgecolor="none"))
    grid = table[table["role"] == "grid"]
    for (dataset, name), rows in grid.groupby(["dataset", "name"]):
        axes.plot(
            rows["share"], rows["within"], markers[str(dataset)], color=colours[str(name)], markersize=5, alpha=0.75,
            markeredgewidth=0,
        )  # fmt: skip
    for dataset, rows in table[table["role"] == "tested"].groupby("dataset"):
        axes.plot(
            rows["share"], rows["within"], markers[str(dataset)], markersize=11, markerfacecolor="none",
            markeredgecolor=theme.foreground, markeredgewidth=1.6, linestyle="none",
        )  # fmt: skip
    for name, label in POLICY_LABELS.items():
        axes.plot([], [], "o", color=colours[name], label=label, markersize=6)
    for dataset in datasets:
        axes.plot([], [], markers[dataset], color=theme.muted, markerfacecolor="none", label=dataset, markersize=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))
    axes.set(
        xlim=(0, 1.04), ylim=(-0.04, 1.04), xlabel="Energy of the search, share of the full sweep's",
        ylabel="Draws with a regret of at most half a point",
    )  # fmt: skip
    axes.legend(loc="center right", handletextpad=0.3, labelspacing=0.3)
