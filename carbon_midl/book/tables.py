"""The book's printed tables: a header row and rows of text."""

import math
from typing import Any

from carbon_midl.book import wording as w
from carbon_midl.book.claims import POSTER_CARBON_PERCENT_PER_DICE_PERCENT, n_text
from carbon_midl.book.evidence import PAPER_WIDTHS, Evidence
from carbon_midl.study.results import named_rows
from carbon_midl.training.network import training_bytes

Table = tuple[list[str], list[list[str]]]


def family(evidence: Evidence) -> Table:
    """The model family by width; the study's own widths are marked."""
    rows = []
    first, manifest = evidence.family.iloc[0], evidence.results.manifest
    batch, depth, size = int(manifest["options"]["batch_size"]), evidence.depth, int(manifest["crops"]["size"])
    for row in named_rows(evidence.family):
        rows.append([
            str(row.filters), f"{row.parameters:,}", w.significant(row.macs / 1e9),
            f"{w.significant(row.macs / first.macs)} ×",
            w.significant(training_bytes(row.filters, batch, depth, size) / 1e6),
            "yes" if row.filters in evidence.bootstrap.widths else "",
        ])  # fmt: skip
    return [
        "Width F",
        "Parameters",
        "GMAC a crop",
        f"against F = {first.filters:.0f}",
        "Memory, MB",
        "trained here",
    ], rows


def study(evidence: Evidence) -> Table:
    """The whole study, one row a width."""
    rows = []
    for row in named_rows(evidence.widths):
        rows.append([
            str(row.filters), f"{w.dice(row.dice)} ({w.dice(row.dice_low)}–{w.dice(row.dice_high)})",
            w.carbon(row.carbon_g), w.carbon(row.carbon_to_best_g), w.energy(row.energy_kwh),
            w.duration(row.duration_s), f"{w.dice(row.seed_dice_min)}–{w.dice(row.seed_dice_max)}",
        ])  # fmt: skip
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
        dice = group.set_index("filters")["dice"]
        first = group.iloc[0]
        rows.append([
            str(label), str(first["slices"]), str(first["patients"]), w.dice(dice[cheapest]), w.dice(dice[dearest]),
            "–" if math.isnan(first["readers_dice"]) else w.dice(first["readers_dice"]),
        ])  # fmt: skip
    return ["Area", "Slices", "Patients", f"F = {cheapest}", f"F = {dearest}", "Readers"], rows


def trackers(evidence: Evidence) -> Table:
    """Carbontracker's energy beside our record, by width; empty cells where carbontracker was off."""
    rows = []
    for row in named_rows(evidence.widths):
        theirs = row.carbontracker_energy_before_pue_kwh
        missing = math.isnan(theirs)
        rows.append([
            str(row.filters), w.energy(row.energy_kwh), "–" if missing else w.energy(theirs),
            "–" if missing else w.significant(theirs / row.energy_kwh),
        ])  # fmt: skip
    return ["Width F", "Our record", "carbontracker", "carbontracker / ours"], rows


def poster(evidence: Evidence) -> Table:
    """What the poster said, and what was measured here."""
    results, (cheapest, dearest) = evidence.results, evidence.extremes
    extra = 100 * (evidence.carbon_g[dearest] / evidence.carbon_g[cheapest] - 1)
    gain = "no per cent of a Dice that is not told from zero"
    if evidence.bootstrap.dice(cheapest).low > 0:
        more, low, high = (100 * value for value in evidence.bootstrap.relative_difference(cheapest, dearest))
        gain = f"{w.signed(more)} % ({w.signed(low)} to {w.signed(high)} %)"
    kind = "phantom crops" if results.manifest["crops"]["kind"] == "phantom" else "CT crops of LIDC-IDRI"
    known = w.how_known(*results.runs["energy_method"].unique())
    poster_percent = f"about {POSTER_CARBON_PERCENT_PER_DICE_PERCENT:.0f} %"
    return ["", "Poster", "Here"], [
        ["Images", "CT of LIDC-IDRI", kind],
        ["Widths F", w.joined(PAPER_WIDTHS), w.joined(evidence.bootstrap.widths)],
        ["Behind a Dice", "not said", n_text(evidence)],
        ["Energy", "carbontracker", f"own record, {known}"],
        ["More carbon", poster_percent, f"{w.signed(extra, 0)} %, F = {cheapest} to {dearest}"],
        ["More Dice", "about 1 %", gain],
    ]  # fmt: skip


def runs(evidence: Evidence) -> Table:
    """Every run of the study, for the appendix."""
    rows = []
    for row in named_rows(evidence.results.runs):
        rows.append([
            str(row.filters), str(row.seed), f"{row.epochs_trained} of {row.epochs}", str(row.best_epoch),
            w.dice(row.test_dice_patients), w.duration(row.duration_s), w.energy(row.energy_kwh),
            w.carbon(row.carbon_g),
        ])  # fmt: skip
    return [
        "F", "Seed", "Epochs", "Best epoch", "Dice", "Time", "Energy", "CO₂eq",
    ], rows  # fmt: skip


TABLES = {
    "family": family,
    "study": study,
    "poster": poster,
    "marginal": marginal,
    "sizes": sizes,
    "trackers": trackers,
    "runs": runs,
}
