"""The book's printed tables: a header row and rows of text."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from carbon_midl.book import numbers as w
from carbon_midl.book.evidence import Evidence, WidthStudy
from carbon_midl.book.figures import CRITERION_LABELS, DATASETS, POLICY_LABELS
from carbon_midl.measures import mean_over_patients
from carbon_midl.study.results import named_rows
from carbon_midl.training.network import training_bytes, unet_size

Table = tuple[list[str], list[list[str]]]
NOTEBOOK = Path("notebooks/train_unet.ipynb")
PAPER_WIDTHS = (4, 8, 16, 24, 32, 48, 64)
"""The widths of the MIDL 2021 poster."""


def as_csv(table: Table) -> str:
    """A printed table as CSV with its header row."""
    header, rows = table
    return pd.DataFrame(rows, columns=header).to_csv(index=False)


def parameters(root: Path) -> Table:
    """The notebook's parameters: name, type, default and meaning, as the parameters cell in ``root`` has them."""
    notebook = nbformat.read(root / NOTEBOOK, as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    # A line: name: type = default  # meaning
    rows = [list(map(str.strip, re.split(r": | = |  # ", line, maxsplit=3))) for line in cell.source.splitlines()]
    return ["Parameter", "Type", "Default", "Meaning"], rows


def family(evidence: Evidence) -> Table:
    """The model family by width, with parameters and multiply-accumulates at the study's crop size."""
    manifest, depth = evidence.results.manifest, evidence.depth
    batch, size = int(manifest["options"]["batch_size"]), int(manifest["crops"]["size"])
    sizes = {width: unet_size(width, depth=depth, size=size) for width in PAPER_WIDTHS}
    rows = [
        [
            str(width), f"{own.parameters:,}", w.significant(own.macs / 1e9),
            f"{w.significant(own.macs / sizes[PAPER_WIDTHS[0]].macs)} ×",
            w.significant(training_bytes(width, batch, depth, size) / 1e6),
        ]
        for width, own in sizes.items()
    ]  # fmt: skip
    return ["Width F", "Parameters", "GMAC a crop", f"against F = {PAPER_WIDTHS[0]}", "Memory, MB"], rows


def study(evidence: WidthStudy) -> Table:
    """The whole study, one row a width."""
    rows = [
        [
            str(row.filters), w.cell(w.dice_interval(row, "dice")),
            w.carbon(row.carbon_g), w.carbon(row.carbon_to_best_g), w.energy(row.energy_kwh),
            w.duration(row.duration_s), f"{w.dice(row.seed_dice_min)}–{w.dice(row.seed_dice_max)}",
        ]
        for row in named_rows(evidence.widths)
    ]  # fmt: skip
    return ["F", "Dice (95 %)", "CO₂eq", "to best", "Energy", "Time", "Dice by seed"], rows


def losses(evidence: WidthStudy) -> Table:
    """Loss after the last epoch by width, on the training crops and on the validation crops."""
    mean = evidence.last_epochs.groupby("filters")[["train_loss", "val_loss"]].mean().reset_index()
    rows = [[str(row.filters), f"{row.train_loss:.3f}", f"{row.val_loss:.3f}"] for row in named_rows(mean)]
    return ["F", "Training loss", "Validation loss"], rows


def trials(evidence: Evidence) -> Table:
    """Step sizes and augmentation on the validation patients."""
    rows = [
        [
            str(row.filters), f"{row.learning_rate:g}", "yes" if row.augment else "no", row.machine,
            w.dice(row.val_dice), w.energy(row.energy_kwh), row.known,
        ]
        for row in named_rows(evidence.trials.sort_values(["filters", "learning_rate", "augment"]))
    ]  # fmt: skip
    return ["F", "Step size", "Augmented", "Machine", "Dice", "Energy", "How known"], rows


def recipes(evidence: Evidence, crops: str) -> Table:
    """Both recipes on CT ("lidc") or on phantoms ("phantom")."""
    rows = [
        [
            str(pair.filters), w.dice(pair.reference.estimate), w.dice(pair.efficient.estimate),
            w.points_interval(pair.difference).replace(" points", ""),
            f"{w.significant(1000 * pair.reference_kwh)} → {w.significant(1000 * pair.efficient_kwh)}",
            "–".join(dict.fromkeys(w.percent(part).removesuffix(" %") for part in pair.energy_share[1:])),
        ]
        for pair in evidence.recipes[crops]
    ]  # fmt: skip
    return ["F", "Reference", "Efficient", "Difference (95 %)", "Energy, Wh", "Share, %"], rows


def yardsticks(evidence: Evidence) -> Table:
    """Readers, networks and a threshold, on the slices that all four readers outlined and on all."""
    every, four = evidence.yardsticks, evidence.yardsticks.dropna(subset="reader_dice")

    def cell(slices: pd.DataFrame, column: Any) -> str:
        known = slices.dropna(subset=column)
        return w.cell(w.dice_interval(mean_over_patients(known[column], known["patient_id"])))

    rows = [
        ["A reader, with the others", cell(four, "reader_dice"), "–"],
        ["Pairs of readers", cell(four, "readers_dice"), cell(every, "readers_dice")],
        *([f"U-Net, F = {width}", cell(four, width), cell(every, width)] for width in evidence.bootstrap.widths),
        ["Threshold", cell(four, "threshold_dice"), cell(every, "threshold_dice")],
    ]
    return [" ", f"By all four (n = {len(four):,})", f"All (n = {len(every):,})"], rows


def everything(evidence: Evidence) -> Table:
    """What was recorded on the study's crops, a row a study."""
    rows = [
        [
            row.title, str(row.runs), str(row.attempts), row.machine, w.energy(row.energy_kwh), w.carbon(row.carbon_g),
            row.known,
        ]
        for row in named_rows(evidence.whole_price)
    ]  # fmt: skip
    return ["Study", "Runs", "Attempts", "Machine", "Energy", "CO₂eq", "How known"], rows


def marginal(evidence: WidthStudy) -> Table:
    """The marginal cost of a Dice point, step by step."""
    rows = []
    for row in named_rows(evidence.steps):
        whole = row.Index == len(evidence.steps) - 1
        step = f"F = {row.first:.0f} → {row.second:.0f}" + (", overall" if whole else "")
        rows.append([step, w.carbon(row.carbon_g), w.interval(w.signed, row, "points"), _price(row)])
    return ["Step", "Extra CO₂eq", "Dice points (95 %)", "CO₂eq a point (95 %)"], rows


def _price(row: Any) -> str:
    if row.carbon_g <= 0:
        return "costs no more carbon"
    if math.isnan(row.g_per_point_low):
        return "no price: Dice does not rise"
    if math.isinf(row.g_per_point_high):
        return f"no gain shown; at least {w.carbon(row.g_per_point_low)}"
    return w.interval(w.carbon, row, "g_per_point")


def sizes(evidence: Evidence) -> Table:
    """Dice of the cheapest, the best and the dearest width by area of the nodule, and the readers' agreement."""
    widths = dict.fromkeys((evidence.extremes[0], evidence.best, evidence.extremes[1]))
    rows = []
    for label, group in evidence.sizes.groupby("size", sort=False):
        dice, first = group.set_index("filters")["dice"], group.iloc[0]
        scores = (*(dice[width] for width in widths), first["readers_dice"])
        rows.append([str(label), str(first["slices"]), str(first["patients"]), *map(w.dice, scores)])
    return ["Area", "Slices", "Patients", *(f"F = {width}" for width in widths), "Readers"], rows


def trackers(evidence: Evidence) -> Table:
    """Carbontracker's energy beside our record, by width; no value where carbontracker was off."""
    rows = []
    for row in named_rows(evidence.widths):
        theirs = row.carbontracker_energy_before_pue_kwh
        shown = ["–", "–"] if math.isnan(theirs) else [w.energy(theirs), w.significant(theirs / row.energy_kwh)]
        rows.append([str(row.filters), w.energy(row.energy_kwh), *shown])
    return ["Width F", "Our record", "carbontracker", "carbontracker / ours"], rows


def poster(evidence: Evidence) -> Table:
    """What the poster said, and what was measured here to the best width and to the dearest."""
    (cheapest, dearest), best = evidence.extremes, evidence.best
    columns = []
    for width in (best, dearest):
        extra = 100 * (evidence.carbon_g[width] / evidence.carbon_g[cheapest] - 1)
        gain = w.signed_percent_interval(evidence.bootstrap.relative_difference(cheapest, width))
        columns.append([f"{w.signed(extra, 0)} %", gain])
    return ["", "Poster", *(f"Here, F = {cheapest} to {width}" for width in (best, dearest))], [
        ["More carbon", "about 1500 %", *(carbon for carbon, _ in columns)],
        ["More Dice", "about 1 %", *(gain for _, gain in columns)],
    ]


def runs(evidence: WidthStudy) -> Table:
    """Every run of the study, for the appendix."""
    rows = [
        [
            str(row.filters), str(row.seed), f"{row.epochs_trained} of {row.epochs}", str(row.best_epoch),
            w.dice(row.test_dice_patients), w.duration(row.duration_s), w.energy(row.energy_kwh),
            w.carbon(row.carbon_g),
        ]
        for row in named_rows(evidence.results.runs)
    ]  # fmt: skip
    return ["F", "Seed", "Epochs", "Best epoch", "Dice", "Time", "Energy", "CO₂eq"], rows


def criteria(evidence: WidthStudy) -> Table:
    """What each criterion chooses."""
    rows = [
        [
            CRITERION_LABELS[row.name], f"F = {row.chosen}", w.dice(row.performance), w.carbon(row.cost),
            "–" if pd.isna(row.probability) else w.percent(row.probability),
            "–" if row.runner_up is None else f"F = {row.runner_up}",
        ]
        for row in named_rows(evidence.choices[0])
    ]  # fmt: skip
    return ["Criterion", "Chosen", "Dice", "CO₂eq", "Repeated in", "Runner-up"], rows


def replay(evidence: Evidence) -> Table:
    """What each policy would have chosen from the study's own curves."""
    rows = [
        [POLICY_LABELS[row.name], w.joined(row.chosen.split(", ")), f"{100 * row.regret:.1f}", w.percent(row.share)]
        for row in named_rows(evidence.replays)
    ]
    return ["Policy", "Chosen F", "Points lost", "Energy"], rows


def published_choices(evidence: Evidence) -> Table:
    """The chosen models, a row a data set and model, with the criteria that choose it."""
    rows, by_dataset = [], evidence.published.choices.set_index("dataset")
    for name, label in DATASETS.items():
        for model, group in by_dataset.loc[name].groupby("chosen", sort=False):
            row: Any = group.iloc[0]
            labels = ", ".join(CRITERION_LABELS[one] for one in group["name"]).replace("best Dice", "best accuracy")
            rows.append([
                f"{label}: {labels}", str(model).replace("_", " "), f"{row['performance']:.3f}",
                str(row["rank"]), w.energy(row["cost"]), w.percent(row["share_of_best"]),
            ])  # fmt: skip
    return ["Data: criteria", "Model", "Accuracy", "Rank", "Energy", "Share"], rows


def published_tuned(evidence: Evidence) -> Table:
    """The policies that were chosen on one data set, there and on the other."""
    rows = [
        [
            f"{DATASETS[row.tuned_on]}: {row.policy}", DATASETS[row.on], w.percent(row.within),
            f"{w.significant(100 * row.regret, 2)} ({w.significant(100 * row.regret_high, 2)})",
            w.percent(row.share),
        ]
        for row in named_rows(evidence.published.tuned)
    ]  # fmt: skip
    return ["Chosen on: policy", "Replayed on", "Within", "Regret", "Energy"], rows


TABLES: dict[str, Callable[[Evidence], Table]] = {
    "parameters": lambda evidence: parameters(evidence.root),
    "recipes-lidc": lambda evidence: recipes(evidence, "lidc"),
    "recipes-phantom": lambda evidence: recipes(evidence, "phantom"),
} | {
    table.__name__.replace("_", "-"): table
    for table in (
        family, trials, study, losses, poster, marginal, everything, yardsticks, sizes, trackers, runs, criteria,
        replay, published_choices, published_tuned,
    )
}  # fmt: skip
"""By the name that a chapter shows them by."""
SHOWN_TABLES: dict[str, Callable[[WidthStudy], Table]] = {
    f"shown-{table.__name__}": table for table in (study, losses, marginal, criteria, runs)
}
"""The same of the study in the appendix."""
