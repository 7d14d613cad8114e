"""The book's printed tables, by the name that a chapter shows them by; chapters have their captions."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from carbon_midl.book.claims import extra_carbon, patient_mean
from carbon_midl.book.evidence import Evidence, WidthStudy
from carbon_midl.book.figures import CRITERION_LABELS, DATASETS, POLICY_LABELS
from carbon_midl.book.numbers import (
    carbon,
    cell,
    dice_interval,
    duration,
    energy,
    interval,
    points_interval,
    signed_percent_interval,
)
from carbon_midl.study.results import named_rows
from carbon_midl.training.network import training_bytes, unet_size
from carbon_midl.units import dice, joined, percent, signed, significant

NOTEBOOK = Path("notebooks/train_unet.ipynb")
PAPER_WIDTHS = (4, 8, 16, 24, 32, 48, 64)
"""The widths of the MIDL 2021 poster."""
FORMS: dict[str, Callable[[float], str]] = {
    "g": carbon, "kwh": energy, "s": duration, "dice": dice, "loss": dice, "share": percent, "probability": percent,
}  # fmt: skip
"""How a quantity is printed, by the last word of its name."""


def printed(table: pd.DataFrame, columns: dict[str, str | Callable[[Any], str]]) -> pd.DataFrame:
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


def yardsticks(evidence: Evidence) -> pd.DataFrame:
    """Readers, networks and a threshold, on the slices that all four readers outlined and on all."""
    every, four = evidence.yardsticks, evidence.yardsticks.dropna(subset="reader_dice")
    scores: dict[str, str | int] = {"A reader, with the others": "reader_dice", "Pairs of readers": "readers_dice"}
    scores |= {f"U-Net, F = {width}": width for width in evidence.bootstrap.widths} | {"Threshold": "threshold_dice"}
    return printed(pd.DataFrame(scores.items(), columns=["who", "score"]), {
        " ": "who",
        f"By all four (n = {len(four):,})": lambda row: cell(dice_interval(patient_mean(four, row.score))),
        f"All (n = {len(every):,})": lambda row: (
            "–" if row.score == "reader_dice" else cell(dice_interval(patient_mean(every, row.score)))
        ),
    })  # fmt: skip


def sizes(evidence: Evidence) -> pd.DataFrame:
    """Dice of the cheapest, the best and the dearest width by area of the nodule, and the readers' agreement."""
    by_width = evidence.sizes.pivot(index="size", columns="filters", values="dice")
    widths = dict.fromkeys((evidence.extremes[0], evidence.best, evidence.extremes[1]))
    table = evidence.sizes.drop_duplicates("size").join(by_width.add_prefix("at_").add_suffix("_dice"), on="size")
    return printed(table, {
        "Area": "size", "Slices": "slices", "Patients": "patients",
        **{f"F = {width}": f"at_{width}_dice" for width in widths}, "Readers": "readers_dice",
    })  # fmt: skip


def poster(evidence: Evidence) -> pd.DataFrame:
    """What the poster said, and what was measured here to the best width and to the dearest."""
    (cheapest, dearest), best = evidence.extremes, evidence.best
    return pd.DataFrame({"": ["More carbon", "More Dice"], "Poster": ["about 1500 %", "about 1 %"]} | {
        f"Here, F = {cheapest} to {width}": [
            f"{signed(extra_carbon(evidence, width), 0)} %",
            signed_percent_interval(evidence.bootstrap.relative_difference(cheapest, width)),
        ]
        for width in (best, dearest)
    })  # fmt: skip


def price(step: Any) -> str:
    """What a point of Dice costs in a step, or why it has no price."""
    if step.carbon_g <= 0:
        return "costs no more carbon"
    if math.isnan(step.g_per_point_low):
        return "no price: Dice does not rise"
    if math.isinf(step.g_per_point_high):
        return f"no gain shown; at least {carbon(step.g_per_point_low)}"
    return interval(carbon, step, "g_per_point")


def published_choices(evidence: Evidence) -> pd.DataFrame:
    """The chosen models, a row a data set and model, with the criteria that choose it."""
    choices = evidence.published.choices
    labels = choices["name"].map(CRITERION_LABELS).replace("best Dice", "best accuracy")
    by_model = choices.assign(labels=labels).groupby(["dataset", "chosen"], sort=False)
    models = by_model.first().assign(labels=by_model["labels"].agg(", ".join)).loc[list(DATASETS)].reset_index()
    return printed(models, {
        "Data: criteria": lambda row: f"{DATASETS[row.dataset]}: {row.labels}",
        "Model": lambda row: row.chosen.replace("_", " "), "Accuracy": lambda row: f"{row.performance:.3f}",
        "Rank": "rank", "Energy": lambda row: energy(row.cost), "Share": lambda row: percent(row.share_of_best),
    })  # fmt: skip


SHARED: dict[str, Callable[[WidthStudy], pd.DataFrame]] = {
    "study": lambda study: printed(study.widths, {
        "F": "filters", "Dice (95 %)": lambda row: cell(dice_interval(row, "dice")), "CO₂eq": "carbon_g",
        "to best": "carbon_to_best_g", "Energy": "energy_kwh", "Time": "duration_s",
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
        "Extra CO₂eq": "carbon_g", "Dice points (95 %)": lambda row: interval(signed, row, "points"),
        "CO₂eq a point (95 %)": price,
    }),
    "criteria": lambda study: printed(study.choices, {
        "Criterion": lambda row: CRITERION_LABELS[row.name], "Chosen": lambda row: f"F = {row.chosen}",
        "Dice": lambda row: dice(row.performance), "CO₂eq": lambda row: carbon(row.cost),
        "Repeated in": "probability",
        "Runner-up": lambda row: "–" if row.runner_up is None else f"F = {row.runner_up}",
    }),
    "runs": lambda study: printed(study.runs, {
        "F": "filters", "Seed": "seed", "Epochs": lambda row: f"{row.epochs_trained} of {row.epochs}",
        "Best epoch": "best_epoch", "Dice": lambda row: dice(row.test_dice_patients), "Time": "duration_s",
        "Energy": "energy_kwh", "CO₂eq": "carbon_g",
    }),
}  # fmt: skip
"""Of the study that the chapters speak of, and of that in the appendix."""
SHOWN_TABLES = {f"shown-{name}": table for name, table in SHARED.items()}
TABLES: dict[str, Callable[[Evidence], pd.DataFrame]] = {
    **SHARED,
    "parameters": lambda e: parameters(e.root),
    "family": family,
    "trials": lambda e: printed(e.trials.sort_values(["filters", "learning_rate", "augment"]), {
        "F": "filters", "Step size": lambda row: f"{row.learning_rate:g}",
        "Augmented": lambda row: "yes" if row.augment else "no", "Machine": "machine", "Dice": "val_dice",
        "Energy": "energy_kwh", "How known": "known",
    }),
    "recipes-lidc": lambda e: recipes(e.recipes["lidc"]),
    "recipes-phantom": lambda e: recipes(e.recipes["phantom"]),
    "yardsticks": yardsticks,
    "everything": lambda e: printed(e.everything, {
        "Study": "title", "Runs": "runs", "Attempts": "attempts", "Machine": "machine", "Energy": "energy_kwh",
        "CO₂eq": "carbon_g", "How known": "known",
    }),
    "sizes": sizes,
    "trackers": lambda e: printed(e.widths, {
        "Width F": "filters", "Our record": "energy_kwh",
        "carbontracker": "carbontracker_energy_before_pue_kwh",
        "carbontracker / ours": lambda row: significant(row.carbontracker_energy_before_pue_kwh / row.energy_kwh),
    }),
    "poster": poster,
    "replay": lambda e: printed(e.replays, {
        "Policy": lambda row: POLICY_LABELS[row.name], "Chosen F": lambda row: joined(row.chosen.split(", ")),
        "Points lost": lambda row: f"{100 * row.regret:.1f}", "Energy": "share",
    }),
    "published-choices": published_choices,
    "published-tuned": lambda e: printed(e.published.tuned, {
        "Chosen on: policy": lambda row: f"{DATASETS[row.tuned_on]}: {row.policy}",
        "Replayed on": lambda row: DATASETS[row.on], "Within": lambda row: percent(row.within),
        "Regret": lambda row: f"{significant(100 * row.regret, 2)} ({significant(100 * row.regret_high, 2)})",
        "Energy": "share",
    }),
}  # fmt: skip
