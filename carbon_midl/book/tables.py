"""The book's printed tables: a header row and rows of text."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from carbon_midl.book import claims as w
from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE, PAPER_WIDTHS, Evidence
from carbon_midl.book.figures import CRITERION_LABELS, POLICY_LABELS
from carbon_midl.study.results import named_rows
from carbon_midl.training.network import training_bytes

Table = tuple[list[str], list[list[str]]]


def as_csv(table: Table) -> str:
    """A printed table as CSV with its header row."""
    header, rows = table
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def list_table(
    name: str, caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], classes: str = "numbers"
) -> str:
    """A MyST ``list-table``, for text that is made as a whole.

    Args:
        name: to refer to it by.
        caption: below or above it.
        header: of its columns.
        rows: of cells.
        classes: for the style sheet.
    """
    lines = [f":::{{list-table}} {caption}", f":name: {name}", ":header-rows: 1", f":class: {classes}", ""]
    for row in (header, *rows):
        lines += [f"{'* ' if place == 0 else '  '}- {cell}" for place, cell in enumerate(row)]
    return "\n".join([*lines, ":::"]) + "\n"


def family(evidence: Evidence) -> Table:
    """The model family by width; the study's own widths are marked."""
    first, manifest = evidence.family.iloc[0], evidence.results.manifest
    batch, depth, size = int(manifest["options"]["batch_size"]), evidence.depth, int(manifest["crops"]["size"])
    rows = [
        [
            str(row.filters), f"{row.parameters:,}", w.significant(row.macs / 1e9),
            f"{w.significant(row.macs / first.macs)} ×",
            w.significant(training_bytes(row.filters, batch, depth, size) / 1e6),
            "yes" if row.filters in evidence.bootstrap.widths else "",
        ]
        for row in named_rows(evidence.family)
    ]  # fmt: skip
    against = f"against F = {first.filters:.0f}"
    return ["Width F", "Parameters", "GMAC a crop", against, "Memory, MB", "trained here"], rows


def study(evidence: Evidence) -> Table:
    """The whole study, one row a width."""
    rows = [
        [
            str(row.filters), w.dice_cell(row, "dice"),
            w.carbon(row.carbon_g), w.carbon(row.carbon_to_best_g), w.energy(row.energy_kwh),
            w.duration(row.duration_s), f"{w.dice(row.seed_dice_min)}–{w.dice(row.seed_dice_max)}",
        ]
        for row in named_rows(evidence.widths)
    ]  # fmt: skip
    return ["F", "Dice (95 %)", "CO₂eq", "to best", "Energy", "Time", "Dice by seed"], rows


def marginal(evidence: Evidence) -> Table:
    """The marginal cost of a Dice point, step by step."""
    rows = []
    for row in named_rows(evidence.steps):
        whole = row.Index == len(evidence.steps) - 1
        step = f"F = {row.first:.0f} → {row.second:.0f}" + (", overall" if whole else "")
        gain = f"{w.signed(row.points)} ({w.signed(row.points_low)} to {w.signed(row.points_high)})"
        rows.append([step, w.carbon(row.carbon_g), gain, _price(row)])
    return ["Step", "Extra CO₂eq", "Dice points (95 %)", "CO₂eq a point (95 %)"], rows


def _price(row: Any) -> str:
    if row.carbon_g <= 0:
        return "costs no more carbon"
    if math.isnan(row.g_per_point_low):
        return "no price: Dice does not rise"
    if math.isinf(row.g_per_point_high):
        return f"no gain shown; at least {w.carbon(row.g_per_point_low)}"
    return f"{w.carbon(row.g_per_point)} ({w.carbon(row.g_per_point_low)} to {w.carbon(row.g_per_point_high)})"


def sizes(evidence: Evidence) -> Table:
    """Dice of the cheapest and the dearest width by area of the nodule, and the readers' agreement."""
    cheapest, dearest = evidence.extremes
    rows = []
    for label, group in evidence.sizes.groupby("size", sort=False):
        dice, first = group.set_index("filters")["dice"], group.iloc[0]
        scores = (dice[cheapest], dice[dearest], first["readers_dice"])
        rows.append([str(label), str(first["slices"]), str(first["patients"]), *map(w.dice, scores)])
    return ["Area", "Slices", "Patients", f"F = {cheapest}", f"F = {dearest}", "Readers"], rows


def trackers(evidence: Evidence) -> Table:
    """Carbontracker's energy beside our record, by width; no value where carbontracker was off."""
    rows = []
    for row in named_rows(evidence.widths):
        theirs = row.carbontracker_energy_before_pue_kwh
        shown = ["–", "–"] if math.isnan(theirs) else [w.energy(theirs), w.significant(theirs / row.energy_kwh)]
        rows.append([str(row.filters), w.energy(row.energy_kwh), *shown])
    return ["Width F", "Our record", "carbontracker", "carbontracker / ours"], rows


def poster(evidence: Evidence) -> Table:
    """What the poster said, and what was measured here."""
    cheapest, dearest = evidence.extremes
    extra = 100 * (evidence.carbon_g[dearest] / evidence.carbon_g[cheapest] - 1)
    gain = "no per cent of a Dice that is not told from zero"
    if evidence.bootstrap.dice(cheapest).low > 0:
        more, low, high = (100 * value for value in evidence.bootstrap.relative_difference(cheapest, dearest))
        gain = f"{w.signed(more)} % ({w.signed(low)} to {w.signed(high)} %)"
    known = w.how_known(*evidence.results.runs["energy_method"].unique())
    return ["", "Poster", "Here"], [
        ["Images", "CT of LIDC-IDRI", "phantom crops" if evidence.is_phantom else "CT crops of LIDC-IDRI"],
        ["Widths F", w.joined(PAPER_WIDTHS), w.joined(evidence.bootstrap.widths)],
        ["Behind a Dice", "not said", w.n_text(evidence)],
        ["Energy", "carbontracker", f"own record, {known}"],
        [
            "More carbon", f"about {w.POSTER_CARBON_PERCENT_PER_DICE_PERCENT:.0f} %",
            f"{w.signed(extra, 0)} %, F = {cheapest} to {dearest}",
        ],
        ["More Dice", "about 1 %", gain],
    ]  # fmt: skip


def runs(evidence: Evidence) -> Table:
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


def criteria(evidence: Evidence) -> Table:
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


def lidc_readers(evidence: Evidence) -> Table:
    """Nodules by number of readers."""
    rows = [
        [str(row.readers), f"{row.nodules:,}", w.percent_cell(row, "share")]
        for row in named_rows(evidence.statistics["readers"])
    ]
    return ["Readers who outlined it", "Nodules", "Share, % (95 %)"], rows


def lidc_sizes(evidence: Evidence) -> Table:
    """Nodules by size, and how often all four readers outlined one."""
    rows = [
        [
            row.band, f"{row.nodules:,}", f"{row.patients:,}", w.percent_cell(row, "share"),
            w.percent_cell(row, "unanimous"),
        ]
        for row in named_rows(evidence.statistics["bands"])
    ]  # fmt: skip
    return ["Diameter", "Nodules", "Patients", "Share, % (95 %)", "By all four, % (95 %)"], rows


def lidc_quantiles(evidence: Evidence) -> Table:
    """How sizes are spread."""
    rows = [
        [row.quantity, f"{row.n:,}", *map(w.size, (row.p5, row.p25, row.p50, row.p75, row.p95, row.largest))]
        for row in named_rows(evidence.statistics["quantiles"])
    ]
    return ["", "n", "5 %", "25 %", "Median", "75 %", "95 %", "Largest"], rows


def lidc_thickness(evidence: Evidence) -> Table:
    """Scans by slice thickness, with their pixel spacing."""
    rows = [
        [
            f"{row.thickness_mm:g}", f"{row.scans:,}", w.percent(row.share).removesuffix(" %"), f"{row.spacing_mm:.2f}",
            f"{row.spacing_min_mm:.2f}–{row.spacing_max_mm:.2f}",
        ]
        for row in named_rows(evidence.statistics["thickness"])
    ]  # fmt: skip
    return ["Slice thickness (mm)", "Scans", "Share, %", "Pixel, median (mm)", "Range (mm)"], rows


def lidc_ratings(evidence: Evidence) -> Table:
    """How far two readers of one nodule differ in each rating."""
    rows = []
    for rating, group in evidence.statistics["rating differences"].groupby("rating", sort=False):
        found = {row.measure: row for row in named_rows(group)}
        within_one, gap = found.get("within one"), found.get("difference")
        rows.append([
            str(rating).replace("_", " "), w.percent_cell(found["exact"]),
            w.percent(found["chance"].estimate).removesuffix(" %"),
            "–" if within_one is None else w.percent_cell(within_one),
            "–" if gap is None else f"{gap.estimate:.2f} ({gap.low:.2f}–{gap.high:.2f})",
        ])  # fmt: skip
    return ["Rating", "Same", "By chance", "Within one", "Apart"], rows


def lidc_agreement(evidence: Evidence) -> Table:
    """Mean and median Dice of two readers, on slices and in 3D, by size."""
    rows = [
        [
            compared, row.size, f"{row.pairs:,}", f"{row.patients:,}", w.dice_cell(row, "mean"),
            w.dice(row.median),
        ]
        for compared, name in (("a slice", "slice dice"), ("the nodule", "nodule dice"))
        for row in named_rows(evidence.statistics[name])
    ]  # fmt: skip
    return ["On", "Diameter", "Pairs", "Patients", "Mean Dice (95 %)", "Median"], rows


def lidc_copycat(evidence: Evidence) -> Table:
    """The copycat's Dice by split and by what it copied."""
    sources, copycat = evidence.statistics["copycat distance"], evidence.statistics["copycat"]
    everything = copycat[copycat["measure"] == "dice"].assign(source="all")
    rows = []
    for split in (BY_SLICE, BY_PATIENT):
        (every,) = named_rows(everything[everything["split"] == split])
        for row in (*named_rows(sources[sources["split"] == split]), every):
            rows.append([
                split, row.source, f"{row.n:,}", w.percent(row.n / every.n).removesuffix(" %"), f"{row.patients:,}",
                w.dice_cell(row),
            ])  # fmt: skip
    return ["Split", "Copied from", "Slices", "Share, %", "Patients", "Dice (95 %)"], rows


def published_choices(evidence: Evidence) -> Table:
    """The chosen models, a row a data set and model, with the criteria that choose it."""
    rows, by_dataset = [], evidence.published.choices.set_index("dataset")
    for name, label in w.DATASETS.items():
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
            f"{w.DATASETS[row.tuned_on]}: {row.policy}", w.DATASETS[row.on], w.percent(row.within),
            f"{w.significant(100 * row.regret, 2)} ({w.significant(100 * row.regret_high, 2)})",
            w.percent(row.share),
        ]
        for row in named_rows(evidence.published.tuned)
    ]  # fmt: skip
    return ["Chosen on: policy", "Replayed on", "Within", "Regret", "Energy"], rows


TABLES: dict[str, Callable[[Evidence], Table]] = {
    table.__name__.replace("_", "-"): table
    for table in (
        family, study, poster, marginal, sizes, trackers, runs, criteria, replay, lidc_readers, lidc_sizes,
        lidc_quantiles, lidc_thickness, lidc_ratings, lidc_agreement, lidc_copycat, published_choices, published_tuned,
    )
}  # fmt: skip
"""By the name that a chapter shows them by."""
