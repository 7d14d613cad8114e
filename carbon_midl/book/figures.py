"""The book's figures: each is drawn from one tidy table, as SVG for a light page and for a dark one.

Their tables, and all figures by name, are at the end. Chapters have the captions and alternative texts.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from cycler import cycler
from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from carbon_midl.book import claims
from carbon_midl.book.evidence import Evidence, WidthStudy
from carbon_midl.files import replaced
from carbon_midl.selection.frontier import POINT, crossings
from carbon_midl.study.results import ALL_SIZES, named_rows
from carbon_midl.units import signed

SIZE_IN = (4.5, 3.3)
"""Small on purpose: on a phone of 360 px, which shows 328 of them, a label of 9 pt is 9 px high."""
STYLE: Any = sns.axes_style("ticks") | {
    "axes.grid": True, "grid.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False,
    "axes.labelsize": 10.5, "xtick.labelsize": 10, "ytick.labelsize": 10,
    "legend.fontsize": 9.5, "legend.frameon": False, "font.sans-serif": ["DejaVu Sans"], "svg.hashsalt": "carbon-midl",
}  # fmt: skip
THEMES: dict[str, dict[str, Any]] = {
    "light": dict.fromkeys(["text.color", "axes.labelcolor", "xtick.color", "ytick.color"], "#1f2933") | {
        "axes.edgecolor": "#5b6672", "grid.color": "#d7dce1", "figure.facecolor": "#ffffff", "image.cmap": "viridis_r",
        "axes.prop_cycle": cycler(color=["#0072b2", "#c14f00", "#00795a", "#a3527f"]),
    },
    "dark": dict.fromkeys(["text.color", "axes.labelcolor", "xtick.color", "ytick.color"], "#e4e8ec") | {
        "axes.edgecolor": "#a3adb8", "grid.color": "#3b444d", "figure.facecolor": "#14181e", "image.cmap": "viridis",
        "axes.prop_cycle": cycler(color=["#56b4e9", "#e69f00", "#2fc79a", "#e09cc3"]),
    },
}  # fmt: skip
"""Colours of both variants; accents C0 to C3 from Okabe and Ito's colour-blind safe set, lighter on a dark page."""
LABELLED = {
    "LeNet-5": ("LeNet-5", (6, -2), "left"),
    "AlexNet": ("AlexNet", (-6, 6), "right"),
    "AlphaGo Zero": ("AlphaGo Zero", (-6, 6), "right"),
    "GPT-3 175B (davinci)": ("GPT-3", (0, 11), "center"),
    "AlphaFold 2": ("AlphaFold 2", (6, -8), "left"),
    "Gemini 1.0 Ultra": ("Gemini 1.0 Ultra", (-6, 6), "right"),
}
"""The systems that are named in the figure of growth, with the place of the name beside the point, pt."""

LARGEST_BIN_MM = 30
"""Where the histogram of diameters ends; a lesion larger than 30 mm is called a mass."""
CRITERION_LABELS = {
    "best": "best Dice", "budget": "budget", "noninferior": "not worse", "weighted": "weighted sum", "pepr": "PePR",
    "knee": "knee", "marginal": "marginal price",
}  # fmt: skip
"""Short names for axes, in the order in which the criteria are shown."""
POLICY_LABELS = {
    "full": "full sweep", "early-stopping": "early stopping", "halving": "halving",
    "screened-halving": "screened halving", "widen": "widening",
}  # fmt: skip
DATASETS = {"lidc": "LIDC-IDRI", "derma": "DermaMNIST"}
"""Of the published curves."""
READER_DASHES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX"
PER_CENT = PercentFormatter(1, decimals=0, symbol=" %")


class Picture(NamedTuple):
    """How a figure is drawn, from which table, and its size in inches."""

    draw: Callable[[Axes, pd.DataFrame], None]
    table: Callable[[Any], pd.DataFrame]
    size_in: tuple[float, float] = SIZE_IN


def save_pair(picture: Picture, data: pd.DataFrame, directory: Path, name: str) -> None:
    """Draw ``data`` twice, to ``<name>.light.svg`` and ``<name>.dark.svg`` in ``directory``.

    The background is transparent, labels are paths (no font is needed to show them; the label itself stays in the file
    as a comment), and equal data give equal files.
    """
    for theme, colours in THEMES.items():
        with rc_context():
            rcdefaults()  # not the user's style, which may need LaTeX
            rcParams.update(STYLE | colours)
            figure = Figure(figsize=picture.size_in, layout="constrained")
            picture.draw(figure.subplots(), data)
            with replaced(directory / f"{name}.{theme}.svg") as path:
                figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})


def shade(place: float) -> Any:
    """The colour at a place from 0, near the page and yet with a contrast of 3 : 1 to it, to 1."""
    return sns.color_palette(rcParams["image.cmap"], as_cmap=True)(0.42 + 0.58 * float(place))


def width_colour(width: Any) -> Any:
    """A width has one colour in all figures."""
    return shade(np.clip(np.log2(width / 2) / 5, 0, 1))


def growth(axes: Axes, systems: pd.DataFrame) -> None:
    """Training compute of well-known systems by date (``system``, ``published``, ``training_compute_flop``)."""
    dates = pd.to_datetime(systems["published"]).dt
    table = systems.assign(year=dates.year + (dates.day_of_year - 1) / 365.25, flop=systems["training_compute_flop"])
    pair = table["system"].isin(["AlexNet", "AlphaGo Zero"])
    others, both = table[~pair], table[pair]
    axes.plot(both["year"], both["flop"], "o--", color="C1", markersize=7, linewidth=1.4)
    axes.plot(others["year"], others["flop"], "o", color="C0", markersize=5)
    for row in named_rows(table[table["system"].isin(LABELLED)]):
        label, offset, side = LABELLED[row.system]
        axes.annotate(label, (row.year, row.flop), offset, textcoords="offset points", ha=side, va="center", fontsize=9)
    axes.set(yscale="log", ylabel="Training compute (FLOP)", xlabel="Published", xlim=(1997, 2027), ylim=(1e11, 1e27))
    axes.yaxis.set_major_locator(LogLocator(base=1000, numticks=8))
    axes.tick_params(axis="y", labelsize=13)  # the exponents have 0.7 of it
    axes.yaxis.set_minor_formatter(NullFormatter())


def dice_carbon(axes: Axes, table: pd.DataFrame) -> None:
    """Dice against gCO2eq of training, one point a width with its interval (columns of ``by_width``)."""
    table = table.sort_values("filters")
    carbon, dice = table["carbon_g"], table["dice"]
    axes.plot(carbon, dice, color=rcParams["axes.edgecolor"], linewidth=1, zorder=1)
    axes.errorbar(
        carbon, dice,
        yerr=[dice - table["dice_low"], table["dice_high"] - dice],
        xerr=[carbon - table["carbon_min_g"], table["carbon_max_g"] - carbon],
        fmt="o", markersize=7, color="C0", ecolor="C0", elinewidth=1.4, capsize=3,
    )  # fmt: skip
    # By turns below and above the intervals: widths that cost nearly the same would hide each other's names.
    for place, row in enumerate(named_rows(table.sort_values("carbon_g", ignore_index=True))):
        end, offset, side = ((row.dice_low, -5, "top"), (row.dice_high, 5, "bottom"))[place % 2]
        axes.annotate(
            f"F = {row.filters}", (row.carbon_g, end), (0, offset), textcoords="offset points", ha="center", va=side
        )
    axes.set(xscale="log", xlabel="Carbon footprint of training (gCO₂eq, log scale)", ylabel="Test Dice")
    _plain_log(axes)
    axes.margins(x=0.14, y=0.16)


def differences(axes: Axes, table: pd.DataFrame) -> None:
    """Differences in points from the best width, with intervals (``filters``, ``points``, ``low``, ``high``, ``best``).

    Filled where the width could be the best.
    """
    axes.axvline(0, color=rcParams["axes.edgecolor"], linewidth=1)
    for place, row in enumerate(named_rows(table)):
        limits = [[row.points - row.low], [row.high - row.points]]
        axes.errorbar(
            row.points, place, xerr=limits, fmt="o", fillstyle="full" if row.best else "none", markersize=8,
            color=width_colour(row.filters), elinewidth=2, capsize=3,
        )  # fmt: skip
    axes.set_yticks(range(len(table)), [f"F = {width}" for width in table["filters"]])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="Test Dice less that of the best, same patients (points)")


def movers(axes: Axes, table: pd.DataFrame) -> None:
    """By what factor a decision moves the carbon, and what it does to Dice (the answer's table ``movers``)."""
    axes.barh(table["what"], table["factor"] - 1, left=1, height=0.6, color="C0", edgecolor="none")
    for place, row in enumerate(named_rows(table)):
        said = f"× {row.factor:.2g}" if row.factor >= 1.1 else f"× {row.factor:.2f}"
        limits = f"{signed(row.points)} points\n({signed(row.points_low)} to {signed(row.points_high)})"
        dice = row.dice if isinstance(row.dice, str) else limits
        axes.text(row.factor * 1.1, place, said, va="center", fontsize=9)
        axes.text(380, place, dice, va="center", ha="right", fontsize=9)
    axes.text(380, -0.75, "Dice", ha="right", fontsize=9)
    axes.set(xscale="log", xlabel="Carbon, times (log scale)", xlim=(1, 400))
    axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


def tornado(axes: Axes, table: pd.DataFrame) -> None:
    """Between what multiples each source alone may move the carbon (``machine``, ``source``, ``low``, ``high``)."""
    figure: Any = axes.get_figure()
    axes.remove()
    machines: Any = table.groupby("machine", sort=False)
    for panel, (machine, rows) in zip(figure.subplots(len(machines), sharex=True), machines, strict=True):
        colours = ["C1", *["C0"] * (len(rows) - 1)]  # the edge shows a bar that is next to nothing, too
        width: Any = rows["high"] - rows["low"]
        panel.barh(rows["source"], width, left=rows["low"], height=0.6, color=colours, edgecolor=colours, linewidth=2)
        panel.axvline(1, color=rcParams["axes.edgecolor"], linewidth=1)
        panel.set_title(machine, fontsize=10, loc="left")
        panel.invert_yaxis()
        panel.grid(visible=False, axis="y")
    panel.set(xscale="log", xlabel="Carbon, times the estimate", xlim=(0.38, 3))
    _plain_log(panel)


def frontier(axes: Axes, table: pd.DataFrame) -> None:
    """Test Dice against energy of training, a line a width and a point a length (columns of the answer's table)."""
    groups = table.sort_values("epochs").groupby("filters")
    for number, (width, rows) in enumerate(groups):
        dice = rows["test_dice"]
        limits = [dice - rows["test_dice_low"], rows["test_dice_high"] - dice]
        axes.errorbar(
            rows["energy_wh"], dice, limits, label=f"F = {width}", fmt=f"{MARKERS[number]}-", color=width_colour(width),
            markersize=7, linewidth=1.8, elinewidth=0.9, capsize=2,
        )  # fmt: skip
        # By turns on either side: neighbours in energy would hide each other's lengths.
        offset, ha, va = (((7, -4), "left", "top"), ((-7, 4), "right", "bottom"))[number % 3 % 2]
        for row in named_rows(rows):
            place = row.energy_wh, row.test_dice
            axes.annotate(str(row.epochs), place, offset, textcoords="offset points", ha=ha, va=va, fontsize=9)
    corners = table[table["wh_per_point"].notna()].sort_values("energy_wh")
    axes.plot(
        corners["energy_wh"], corners["test_dice"], "--", color=rcParams["axes.edgecolor"], label="cheapest way up"
    )
    axes.set(xscale="log", xlabel="Energy of one training (Wh, log scale)", ylabel="Test Dice")
    _plain_log(axes)
    axes.margins(x=0.1)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=3, columnspacing=1.1)


def uses(axes: Axes, table: pd.DataFrame) -> None:
    """Carbon of training and use by crops segmented (``filters``, ``epochs``, ``uses``, ``carbon_g``), longest solid.

    Rows without epochs are crossings, where two candidates have emitted as much.
    """
    lines, crossed = table.dropna(subset="epochs"), table[table["epochs"].isna()]
    dashes = dict(zip(sorted(lines["epochs"].unique(), reverse=True), READER_DASHES, strict=False))
    for (width, epochs), rows in lines.groupby(["filters", "epochs"]):
        label = f"F = {width:.0f}" if epochs == lines[lines["filters"] == width]["epochs"].max() else None
        axes.plot(rows["uses"], rows["carbon_g"], dashes[epochs], color=width_colour(width), label=label)
    axes.plot(crossed["uses"], crossed["carbon_g"], "o", color=rcParams["text.color"], markersize=5, zorder=3)
    axes.set(xscale="log", yscale="log", xlabel="Crops segmented (log scale)", ylabel="Training and use (gCO₂eq)")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(axis="x", labelsize=13)  # the exponents have 0.7 of it
    axes.legend(loc="upper left")


def step_sizes(axes: Axes, table: pd.DataFrame) -> None:
    """Validation Dice and training loss by step size, a line a width; what was chosen is filled."""
    figure: Any = axes.get_figure()
    axes.remove()
    above, below = figure.subplots(2, 1, sharex=True)
    groups = table.sort_values("learning_rate").groupby("filters")
    for number, (width, rows) in enumerate(groups):
        for panel, column in ((above, "val_dice"), (below, "train_loss")):
            style = {"color": width_colour(width), "marker": MARKERS[number], "markersize": 7}
            panel.plot(rows["learning_rate"], rows[column], fillstyle="none", label=f"F = {width}", **style)
            chosen = rows[rows["chosen"]]
            panel.plot(chosen["learning_rate"], chosen[column], linestyle="none", **style)
    above.set(ylabel="Validation Dice")
    below.set(xscale="log", yscale="log", xlabel="Step size at the start (log scale)", ylabel="Training loss")
    below.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 3, 5, 7)))
    for axis in (below.xaxis, below.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    above.legend(loc="lower right", ncols=2)


def paths(axes: Axes, table: pd.DataFrame) -> None:
    """Which widths the paths of analysis choose, all of them and by option (``decision``, ``option``, ``share``)."""
    order = table.drop_duplicates(["decision", "option"])
    names = order["option"].replace({"paths": "all paths"} | CRITERION_LABELS)
    shares = table.pivot_table("share", ["decision", "option"], "filters").loc[
        list(zip(order["decision"], order["option"], strict=True))
    ]
    shares.index = pd.Index(names)
    _stacked_bars(axes, shares)
    axes.set(xlabel="Share of the paths")


def dice_size(axes: Axes, table: pd.DataFrame) -> None:
    """Dice by size of the nodule and width, with the readers' own agreement (columns of ``by_size``)."""
    readers = table.drop_duplicates("size")["readers_dice"]
    widths = sorted(set(table["filters"]))
    step = 0.7 / max(len(widths), 2)
    for number, width in enumerate(widths):
        rows = table[table["filters"] == width]
        beside = np.arange(len(rows)) + step * (number - (len(widths) - 1) / 2)
        axes.errorbar(
            beside, rows["dice"], [rows["dice"] - rows["dice_low"], rows["dice_high"] - rows["dice"]],
            label=f"F = {width}", fmt=MARKERS[number], color=width_colour(width), markersize=6, elinewidth=1.4,
        )  # fmt: skip
    axes.set_xticks(range(len(rows)), rows["size"])
    axes.grid(visible=False, axis="x")
    places = np.arange(len(readers))
    axes.hlines(readers, places - 0.42, places + 0.42, color="C1", linewidth=2, label="readers")
    axes.set(xlabel="Area of the nodule in the slice", ylabel="Test Dice")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=min(len(widths) + 1, 5), columnspacing=1.1,
        handletextpad=0.4,
    )  # fmt: skip


def lidc_sizes(axes: Axes, table: pd.DataFrame) -> None:
    """Nodules by diameter, stacked by how many readers outlined them (``diameter_mm``, ``readers``, ``nodules``).

    A bin is 1 mm; the last one holds all that are larger.
    """
    last, page = LARGEST_BIN_MM, rcParams["figure.facecolor"]
    by_bin = table.assign(bin=table["diameter_mm"].clip(upper=last)).pivot_table(
        "nodules", "bin", "readers", aggfunc="sum", fill_value=0
    )
    by_bin = by_bin.reindex(range(last + 1), fill_value=0)[by_bin.columns[::-1]]
    colours = list(map(shade, np.linspace(0, 1, by_bin.shape[1])))
    by_bin.plot.bar(stacked=True, ax=axes, width=0.9, color=colours, edgecolor=page, linewidth=0.5, rot=0)
    axes.set_xticks([*np.arange(0, last, 5) - 0.5, last], [*map(str, range(0, last, 5)), f"{last}+"])
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="Diameter (mm)", ylabel="Nodules")
    axes.legend(title="Readers", loc="upper right")


def choice_probability(axes: Axes, table: pd.DataFrame) -> None:
    """Stacked bars, one a criterion: how probably each width is chosen (``name``, ``filters``, ``probability``)."""
    likely = table.pivot_table("probability", "name", "filters")
    likely = likely.reindex([name for name in CRITERION_LABELS if name in likely.index]).rename(CRITERION_LABELS)
    _stacked_bars(axes, likely)
    axes.set(xlabel="Share of draws in which the width is chosen")


def _stacked_bars(axes: Axes, shares: pd.DataFrame) -> None:
    """A bar a row, of a part a width (columns), from the top; a part has its width's name where there is room."""
    colours, page = list(map(width_colour, shares.columns)), rcParams["figure.facecolor"]
    shares = shares.fillna(0)
    shares.plot.barh(stacked=True, ax=axes, color=colours, edgecolor=page, width=0.7, legend=False)
    bar_containers: Any = axes.containers
    for bars, (column, parts), colour in zip(bar_containers, shares.items(), colours, strict=True):
        labels = [f"F = {column}" if part > 0.19 else str(column) if part > 0.09 else "" for part in parts]
        luminance = np.dot(np.power(colour[:3], 2.2), (0.2126, 0.7152, 0.0722))
        readable = "#000000" if luminance > 0.18 else "#ffffff"  # which has a contrast of at least 4.5 : 1
        axes.bar_label(bars, labels, label_type="center", color=readable, fontsize=9.5)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(PER_CENT)
    axes.set(xlim=(0, 1), ylabel="")


def lidc_outlines(axes: Axes, table: pd.DataFrame) -> None:
    """A nodule slice by slice as its readers outlined it (``slice``, ``reader``, ``outline``, ``row``, ``column``)."""
    slices: Any = table.groupby("slice")
    points = table[["row", "column"]].to_numpy()
    low, high = points.min() - 1, points.max() + 1  # of both axes, so that all slices have one scale
    figure: Any = axes.get_figure()
    axes.remove()
    for panel, (number, outlines) in zip(figure.subplots(2, -(-len(slices) // 2)).flat, slices, strict=False):
        for (reader, _), outline in outlines.groupby(["reader", "outline"]):
            closed = pd.concat([outline, outline.iloc[:1]])
            place = int(reader) - 1
            panel.plot(closed["column"], closed["row"], READER_DASHES[place], color=f"C{place}", linewidth=1.5)
        panel.set(xlim=(low, high), ylim=(high, low), aspect="equal")
        panel.set_title(f"slice {number + 1}", fontsize=10)
        panel.set_axis_off()


def lidc_leak(axes: Axes, table: pd.DataFrame) -> None:
    """Dice of a copycat by split (``split``, ``dice_from``, ``dice_to``, ``share``, ``mean``, ``readers``)."""
    for number, (split, rows) in enumerate(table.groupby("split", sort=False)):
        colour = f"C{number}"
        edges = [*rows["dice_from"], rows["dice_to"].iloc[-1]]
        axes.stairs(rows["share"], edges, color=colour, linewidth=1.8, label=f"split {split}")
        axes.stairs(rows["share"], edges, color=colour, fill=True, alpha=0.16)
        axes.axvline(rows["mean"].iloc[0], color=colour, linewidth=1.6, linestyle=("--", ":")[number])
    axes.axvline(table["readers"].iloc[0], color=rcParams["text.color"], linewidth=1.4, label="two readers, mean")
    axes.yaxis.set_major_formatter(PER_CENT)
    axes.set(xlabel="Dice of the copycat on a test slice", ylabel="Share of test slices", xlim=(0, 1))
    axes.legend(loc="upper center", bbox_to_anchor=(0.44, 1.14), ncols=3, columnspacing=1, handlelength=1.2)


def _plain_log(axes: Axes) -> None:
    """Write a logarithmic x axis in plain numbers, also where it spans less than a decade."""
    low, high = axes.get_xlim()
    subs = (1, 1.5, 2, 3, 5, 7) if high / low < 10 else (1, 2, 5)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=subs, numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def from_the_best(study: WidthStudy) -> pd.DataFrame:
    """Every other width's difference from the best one."""
    others = [width for width in study.bootstrap.widths if width != study.best]
    rows = [(width, *study.bootstrap.difference(study.best, width)) for width in others]
    table = pd.DataFrame(rows, columns=["filters", "points", "low", "high"])
    table[["points", "low", "high"]] /= POINT
    return table.assign(best=table["filters"].astype(str).isin(study.candidates.could_be_best))


def carbon_by_uses(evidence: Evidence) -> pd.DataFrame:
    """Every candidate on two cores, from where its training is all to where it is nothing, and where two cross."""
    table, carbon_g = evidence.use_counts, evidence.answer.frontier["carbon_g"]
    counts = pd.DataFrame({"uses": np.geomspace(1e3, 30 * table["until_training"].max(), 200)})
    lines = table.merge(counts, how="cross")
    lines["energy_kwh"] = lines["training_kwh"] + lines["uses"] * lines["use_kwh"]
    both = pd.concat([lines, crossings(table["training_kwh"].to_numpy(), table["use_kwh"].to_numpy())])
    return both.assign(carbon_g=both["energy_kwh"] * carbon_g.sum() / table["training_kwh"].sum())


def what_widens(evidence: Evidence) -> pd.DataFrame:
    """What the interval on the grams comes from, on the study's GPU and on two cores without a sensor."""
    spreads = {"GPU with an energy counter": evidence.spread, "two cores without a sensor": evidence.cores_spread}
    parts = {machine: [("all of it", *spread.limits()), *spread.parts()] for machine, spread in spreads.items()}
    rows = [(machine, *part) for machine, one in parts.items() for part in one]
    return pd.DataFrame(rows, columns=["machine", "source", "low", "high"])


def copycat(evidence: Evidence) -> pd.DataFrame:
    """The copycat's Dice under both splits, with the means and that of two readers."""
    table, readers = evidence.statistics["copycat dice"], evidence.statistics["slice dice"].set_index("size")["mean"]
    return table.assign(mean=table["split"].map(claims.copycat(evidence)), readers=readers[ALL_SIZES])


PICTURES = {
    "growth": Picture(growth, lambda e: e.systems, (4.5, 3.4)),
    "dice-carbon": Picture(dice_carbon, lambda e: e.widths),
    "differences": Picture(differences, from_the_best, (4.5, 3.0)),
    "movers": Picture(movers, lambda e: e.answer.movers, (4.5, 3.4)),
    "tornado": Picture(tornado, what_widens, (4.5, 4.0)),
    "frontier": Picture(frontier, lambda e: e.answer.frontier, (4.5, 3.8)),
    "uses": Picture(uses, carbon_by_uses, (4.5, 3.8)),
    "step-sizes": Picture(step_sizes, lambda e: e.answer.step_sizes, (4.5, 4.4)),
    "paths": Picture(paths, lambda e: e.answer.paths_gpu, (4.5, 5.2)),
    "dice-size": Picture(dice_size, lambda e: e.sizes, (4.5, 3.6)),
    "choice-probability": Picture(choice_probability, lambda e: e.likely, (4.5, 3.0)),
    "lidc-sizes": Picture(lidc_sizes, lambda e: e.statistics["diameters"]),
    "lidc-outlines": Picture(lidc_outlines, lambda e: e.statistics["example"], (4.5, 3.4)),
    "lidc-leak": Picture(lidc_leak, copycat),
}
"""Of the chapters."""
SHOWN_PICTURES = {f"shown-{name}": PICTURES[name] for name in ("dice-carbon", "differences")}
"""Of the study in the appendix."""
