"""The book's printed tables, by the name that a chapter shows them by; chapters have their captions."""

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from carbon_midl.book.claims import longest
from carbon_midl.book.evidence import Evidence, WidthStudy
from carbon_midl.book.figures import CRITERION_LABELS, POLICY_LABELS
from carbon_midl.book.numbers import cell, dice_interval, interval, joules, points_interval
from carbon_midl.study.results import named_rows
from carbon_midl.training.network import training_bytes, unet_size
from carbon_midl.units import dice, joined, percent, signed, significant, times, within

NOTEBOOK = Path("notebooks/train_unet.ipynb")
PAPER_WIDTHS = (4, 8, 16, 24, 32, 48, 64)
"""The widths of the MIDL 2021 poster."""
FORMS: dict[str, Callable[[float], str]] = {
    "ratio": partial(significant, digits=2),
    "g": significant, "kwh": lambda kwh: significant(1000 * kwh), "s": significant,
    "dice": dice, "loss": dice, "share": percent, "probability": percent,
}  # fmt: skip
"""How a quantity is printed, by the last word of its name; all of a column in one unit, energy in Wh."""


def printed(table: pd.DataFrame, columns: Mapping[str, str | Callable[[Any], str]]) -> pd.DataFrame:
    """The table as text, by header: a quantity, which is printed by its `FORMS`, or what is made of a row."""

    def text(row: Any, column: str | Callable[[Any], str]) -> str:
        if callable(column):
            return column(row)
        value = getattr(row, column)
        return "–" if pd.isna(value) else FORMS.get(column.split("_")[-1], str)(value)

    return pd.DataFrame(
        [[text(row, column) for column in columns.values()] for row in named_rows(table)], columns=list(columns)
    )


def parameters(root: Path) -> pd.DataFrame:
    """The notebook's parameters: name, type, default and meaning, as the parameters cell in ``root`` has them."""
    notebook = nbformat.read(root / NOTEBOOK, as_version=4)
    source = next(cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    # A line: name: type = default  # meaning
    rows = [list(map(str.strip, re.split(r": | = |  # ", line, maxsplit=3))) for line in source.splitlines()]
    return pd.DataFrame(rows, columns=["Parameter", "Type", "Default", "Meaning"])


def family(evidence: Evidence) -> pd.DataFrame:
    """The model family by width, with parameters and multiply-accumulates at the study's crop size."""
    batch, size = int(evidence.manifest["options"]["batch_size"]), int(evidence.manifest["crops"]["size"])
    sizes = pd.DataFrame([unet_size(width, depth=evidence.depth, size=size) for width in PAPER_WIDTHS])
    return printed(sizes.assign(filters=PAPER_WIDTHS), {
        "Width F": "filters", "Parameters": lambda row: f"{row.parameters:,}",
        "GMAC a crop": lambda row: significant(row.macs / 1e9),
        f"against F = {PAPER_WIDTHS[0]}": lambda row: f"{significant(row.macs / sizes['macs'][0])} ×",
        "Memory, MB": lambda row: significant(training_bytes(row.filters, batch, evidence.depth, size) / 1e6),
    })  # fmt: skip


def recipes(comparison: pd.DataFrame) -> pd.DataFrame:
    """Both recipes, width by width."""
    return printed(comparison, {
        "F": "filters", "Reference": "reference_dice", "Efficient": "efficient_dice",
        "Difference (95 %)": lambda row: points_interval(row, "difference").replace(" points", ""),
        "Energy, Wh": lambda row: f"{significant(1e3 * row.reference_kwh)} → {significant(1e3 * row.efficient_kwh)}",
        "Share, %": lambda row: "–".join(
            dict.fromkeys(percent(share).removesuffix(" %") for share in (row.share_low, row.share_high))
        ),
    })  # fmt: skip


def yardsticks(table: pd.DataFrame) -> pd.DataFrame:
    """Readers, networks and a threshold, on the slices that all four readers outlined and on all."""
    n = table.max()
    return printed(table.iloc[:-2], {
        " ": "who",
        f"By all four (n = {n['four_n']:,})": lambda row: cell(dice_interval(row, "four")),
        f"All (n = {n['every_n']:,})": lambda row: "–" if row.Index == 0 else cell(dice_interval(row, "every")),
    })  # fmt: skip


def price(step: Any) -> str:
    """What a point of Dice costs in a step, or why it has no price."""
    if step.carbon_g <= 0:
        return "costs no more carbon"
    if math.isnan(step.g_per_point_low):
        return "no price: Dice does not rise"
    if math.isinf(step.g_per_point_high):
        return f"no gain shown; at least {significant(step.g_per_point_low)}"
    return interval(significant, step, "g_per_point")


SHARED: dict[str, Callable[[WidthStudy], pd.DataFrame]] = {
    "study": lambda study: printed(study.widths, {
        "F": "filters", "Dice (95 %)": lambda row: cell(dice_interval(row, "dice")),
        "CO₂eq, g (95 %)": lambda row: within(row.carbon_g, study.spread.limits()),
        "to best, g": "carbon_to_best_g", "Energy, Wh": "energy_kwh", "Time, s": "duration_s",
        "Dice by seed": lambda row: f"{dice(row.seed_dice_min)}–{dice(row.seed_dice_max)}",
    }),
    "losses": lambda study: printed(
        study.last_epochs.groupby("filters")[["train_loss", "val_loss"]].mean().reset_index(),
        {"F": "filters", "Training loss": "train_loss", "Validation loss": "val_loss"},
    ),
    "marginal": lambda study: printed(study.steps, {
        "Step": lambda row: (
            f"F = {row.first} → {row.second}{', overall' if row.Index == study.steps.index[-1] else ''}"
        ),
        "Extra CO₂eq, g": "carbon_g", "Dice points (95 %)": lambda row: interval(signed, row, "points"),
        "g CO₂eq a point (95 %)": price,
    }),
    "criteria": lambda study: printed(study.choices, {
        "Criterion": lambda row: CRITERION_LABELS[row.name], "Chosen": lambda row: f"F = {row.chosen}",
        "Dice": lambda row: dice(row.performance), "CO₂eq, g": lambda row: significant(row.cost),
        "Repeated in": "probability",
        "Runner-up": lambda row: "–" if row.runner_up is None else f"F = {row.runner_up}",
    }),
    "runs": lambda study: printed(study.runs, {
        "F": "filters", "Seed": "seed", "Epochs": lambda row: f"{row.epochs_trained} of {row.epochs}",
        "Best epoch": "best_epoch", "Dice": lambda row: dice(row.test_dice_patients), "Time, s": "duration_s",
        "Energy, Wh": "energy_kwh", "CO₂eq, g (95 %)": lambda row: within(row.carbon_g, study.spread.limits()),
    }),
}  # fmt: skip
"""Of the study that the chapters speak of, and of that in the appendix."""
SHOWN_TABLES = {f"shown-{name}": table for name, table in SHARED.items()}
TABLES: dict[str, Callable[[Evidence], pd.DataFrame]] = {
    **SHARED,
    "parameters": lambda e: parameters(e.root).assign(Default=lambda table: "`" + table["Default"] + "`"),
    "family": family,
    "trials": lambda e: printed(e.answer.trials.sort_values(["filters", "learning_rate", "augment"]), {
        "F": "filters", "Step size": lambda row: f"{row.learning_rate:g}",
        "Augmented": lambda row: "yes" if row.augment else "no", "Machine": "machine", "Dice": "val_dice",
        "Energy, Wh": "energy_kwh", "How known": "known",
    }),
    "recipes-lidc": lambda e: recipes(e.answer.recipes_lidc),
    "recipes-phantom": lambda e: recipes(e.answer.recipes_phantom),
    "yardsticks": lambda e: yardsticks(e.answer.yardsticks),
    "everything": lambda e: printed(e.answer.everything, {
        "Study": "title", "Runs": "runs", "Attempts": "attempts", "Machine": "machine", "Energy, Wh": "energy_kwh",
        "CO₂eq, g": "carbon_g", "How known": "known",
    }),
    "instruments": lambda e: printed(e.answer.instruments, {
        "": "instrument", "CPU": "cpu_kwh", "GPU": "gpu_kwh", "Memory": "memory_kwh", "Sum": "energy_kwh",
        "PUE": lambda row: f"{row.pue:g}", "g/kWh": lambda row: f"{row.g_per_kwh:.4g}", "g": "carbon_g",
        "{1} : {0}".format(*e.extremes): lambda row: significant(row.growth),
    }),
    "frontier": lambda e: printed(e.answer.frontier, {
        "F": "filters", "Epochs": "epochs", "n": "n",
        "Loss": "train_loss", "Val.": "val_dice",
        "Test (95 %)": lambda row: cell(dice_interval(row, "test_dice")),
        "Wh": lambda row: significant(row.energy_wh), "Best?": lambda row: "maybe" if row.could_be_best else "no",
        "Wh/point": lambda row: "–" if not row.wh_per_point > 0 else significant(row.wh_per_point, 2),
    }),
    "wide-or-long": lambda e: printed(e.answer.wide_or_long, {
        "From": lambda row: f"F = {row.filters}, {row.epochs} epochs",
        "To": lambda row: f"F = {2 * row.filters}, {row.epochs // 2} epochs",
        "Energy": lambda row: times(row.energy), "Points (95 %)": lambda row: interval(signed, row, "gain"),
    }),
    "splits": lambda e: printed(e.answer.splits, {
        "Split": "split", "Patients": "patients", "F = 4": "narrow_dice", "F = 16": "wide_dice",
        "Difference, points (95 %)": lambda row: points_interval(row, "difference").replace(" points", ""),
    }),
    "patients": lambda e: printed(e.answer.patients, {
        "F": lambda row: f"{row.from_filters} → {row.to_filters}",
        "Patients, %": lambda row: f"{100 * row.from_training_share:.0f} → {100 * row.to_training_share:.0f}",
        "Dice": lambda row: f"{dice(row.from_dice)} → {dice(row.to_dice)}",
        "Points (95 %)": lambda row: interval(signed, row, "gain"),
    }),
    "deciding": lambda e: printed(e.answer.deciding, {
        "Decision": lambda row: {"summary": "mean or median", "target": "readers"}.get(row.decision, row.decision),
        "GPU": "gpu_share", "Two cores": "cores_share", "Three networks": "readers_share",
    }),
    "counted": lambda e: printed(e.answer.counted, {"Counted": "counted"} | {
        f"{width} : 4": f"F{width}_ratio" for width in (8, 16, 32, 64)
    }),
    "efficiency": lambda e: printed(e.answer.efficiency.merge(e.answer.trackers, on="filters"), {
        "F": "filters", "J per 10¹² operations": lambda row: significant(row.j_per_tflop),
        "Share of the peak, %": lambda row: significant(100 * row.share_of_peak, 2),
        "GPU, W": lambda row: f"{row.gpu_w:.0f}",
        "carbontracker / ours": lambda row: f"{row.mean:.2f} ({row.min:.2f}–{row.max:.2f})",
    }),
    "metrics": lambda e: printed(pd.concat([
        e.answer.metrics_gpu.assign(study="GPU, 10"),
        e.answer.metrics_frontier.assign(study=lambda t: "cores, " + t["epochs"].astype(str)),
    ]), {
        "Epochs": "study", "F": "filters", "Slices": lambda row: dice(row.dice_slice_mean),
        "Nodules": lambda row: dice(row.dice_nodule_mean), "Patients": lambda row: dice(row.dice_patient_mean),
        "Median": lambda row: dice(row.dice_patient_median),
        "Volume, %": lambda row: signed(100 * row.volume_error_median),
        "Missed, %": lambda row: f"{100 * row.missed:.1f}", "< 0.5, %": lambda row: f"{100 * row.below_half:.1f}",
    }),
    "uses": lambda e: printed(longest(e), {
        "F": "filters", "J per crop (95 %)": lambda row: cell(joules(e.uses.loc[(64, row.filters)])).removesuffix(" J"),
        "Alone, J": lambda row: joules(e.uses.loc[(1, row.filters)]).partition(" ")[0],
        "= training": lambda row: significant(row.until_training, 2),
        "= selection": lambda row: significant(row.until_repaid, 2).replace("∞", "–"),
    }),
    "replay": lambda e: printed(e.replays, {
        "Policy": lambda row: POLICY_LABELS[row.name], "Chosen F": lambda row: joined(row.chosen.split(", ")),
        "Points lost": lambda row: f"{100 * row.regret:.1f}", "Energy": "share",
    }),
}  # fmt: skip
