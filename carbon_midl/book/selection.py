"""The chapter on selection: criteria side by side, what the grid changes, and what a search that stops early saves."""

import pandas as pd

from carbon_midl.book import selection_figures as figures
from carbon_midl.book import wording as w
from carbon_midl.book.evidence import GRIDS, Evidence
from carbon_midl.book.pictures import Picture
from carbon_midl.book.selection_figures import CRITERION_LABELS, POLICY_LABELS
from carbon_midl.selection.criteria import PRICE_SHARE, all_criteria
from carbon_midl.study.results import named_rows

Table = tuple[list[str], list[list[str]]]
IN_GRAMS = ("budget", "marginal")
"""Criteria whose option is an amount of carbon, so that the grid can change the choice."""


def selection_numbers(evidence: Evidence) -> dict[str, str]:
    """Name to printed text."""
    table, _ = evidence.choices
    by_name = {criterion.name: criterion for criterion in all_criteria(evidence.candidates)}
    return {
        "criteria_budget": f"{w.carbon(by_name['budget'].limit)} CO₂eq",  # type: ignore[attr-defined]
        "criteria_price": f"{w.carbon(by_name['marginal'].limit)} CO₂eq",  # type: ignore[attr-defined]
        "criteria_price_share": f"{100 * PRICE_SHARE:g} %",
        "criteria_margin": w.dice(by_name["noninferior"].margin),  # type: ignore[attr-defined]
        "criteria_agree": agreement(table),
        "criteria_sure": certainty(table),
        "criteria_grid_ratio": w.times(_intensity(evidence, GRIDS[-1]) / _intensity(evidence, GRIDS[0])),
        "criteria_grids": grids(evidence),
        "replay_reading": replay_reading(evidence.replays),
        "replay_seeds": w.plural(int(evidence.replays["draws"].iloc[0]), "seed"),
    }


def agreement(table: pd.DataFrame) -> str:
    """Whether the criteria choose the same width, and which choose which."""
    by_choice = table.groupby("chosen", sort=False)["name"].apply(list)
    if len(by_choice) == 1:
        return f"All {w.count(len(table))} choose F = {by_choice.index[0]}."
    order = sorted(by_choice.index, key=lambda name: (-len(by_choice[name]), float(name)))
    parts = [
        f"F = {name} is chosen by {w.joined([CRITERION_LABELS[one] for one in by_choice[name]])}" for name in order
    ]
    return f"The {w.count(len(table))} criteria choose {w.count(len(order))} different widths: {'; '.join(parts)}."


def certainty(table: pd.DataFrame) -> str:
    """How probable it is that a criterion would choose the same again."""
    likely = table["probability"]
    if likely.isna().all():
        return "With a single replicate of each width, nothing is known about how sure these choices are."
    by_probability = sorted(named_rows(table), key=lambda row: row.probability)
    least, most = (
        f"{w.percent(row.probability)} ({CRITERION_LABELS[row.name]})"
        for row in (by_probability[0], by_probability[-1])
    )
    text = f"On other draws of the patients and seeds, a criterion repeats its choice in {least} to {most} of cases."
    if by_probability[0].probability < 0.5:
        return f"{text} What is repeated in fewer than half of the draws is hardly better founded than its runner-up."
    return text


def grids(evidence: Evidence) -> str:
    """Which criteria choose another width on another grid."""
    table = evidence.choices_on_grids
    counts = table.assign(chosen=table["chosen"].fillna("none")).groupby("name", sort=False)["chosen"].nunique()
    moving = [name for name, count in counts.items() if count > 1]
    clean, dirty = GRIDS[0], GRIDS[-1]
    if not moving:
        return f"Between {clean} and {dirty} no criterion changes its choice."
    parts = []
    for name in moving:
        rows = table[table["name"] == name].set_index("grid")["chosen"]
        first, last = (f"F = {rows[grid]}" if rows[grid] is not None else "none of them" for grid in (clean, dirty))
        parts.append(f"by {CRITERION_LABELS[str(name)]} from {first} to {last}")
    rest = "; no other moves" if len(parts) < len(counts) else ""
    return f"From {clean} to {dirty} the choice moves {w.joined(parts)}{rest}."


def _intensity(evidence: Evidence, grid: str) -> float:
    table = evidence.choices_on_grids
    return float(table.loc[table["grid"] == grid, "g_per_kwh"].iloc[0])


def replay_reading(replays: pd.DataFrame) -> str:
    """Which policy was cheapest among those that lost at most half a point in every seed."""
    safe = replays[replays["within"] == 1.0]
    cheapest = min(named_rows(safe), key=lambda row: row.share)
    if cheapest.share > 0.99:
        return "On these curves no policy saves anything without losing more than half a point in some seed."
    return (
        "Of the policies that lose at most half a point in every seed, the cheapest is "
        f"{POLICY_LABELS[cheapest.name]}, with {w.percent(cheapest.share)} of the full sweep's energy."
    )


def criteria_table(evidence: Evidence) -> Table:
    """What each criterion chooses."""
    table, _ = evidence.choices
    rows = []
    for row in named_rows(table):
        sure = "–" if pd.isna(row.probability) else w.percent(row.probability)
        rows.append([
            CRITERION_LABELS[row.name], f"F = {row.chosen}", w.dice(row.performance), w.carbon(row.cost), sure,
            "–" if row.runner_up is None else f"F = {row.runner_up}",
        ])  # fmt: skip
    return ["Criterion", "Chosen", "Dice", "CO₂eq", "Repeated in", "Runner-up"], rows


def replay_table(evidence: Evidence) -> Table:
    """What each policy would have chosen from the study's own curves."""
    rows = []
    for row in named_rows(evidence.replays):
        rows.append([
            POLICY_LABELS[row.name], w.joined(row.chosen.split(", ")), f"{100 * row.regret:.1f}", w.percent(row.share),
        ])  # fmt: skip
    return ["Policy", "Chosen F", "Points lost", "Energy"], rows


def probability_picture(evidence: Evidence) -> Picture:
    """Probability of choice by criterion."""
    _, likely = evidence.choices
    table = likely.assign(filters=likely["candidate"].astype(int)).drop(columns="candidate")
    parts = []
    for name, rows in table.groupby("name", sort=False):
        shown = rows[rows["probability"] > 0.005].sort_values("probability", ascending=False)
        shares = w.joined([f"F = {row.filters} in {row.probability:.0%}" for row in named_rows(shown)] or ["none"])
        parts.append(f"{CRITERION_LABELS[str(name)]}: {shares}")
    alt = f"Stacked bars, one a criterion: share of draws in which it chooses a width. {'; '.join(parts)}."
    return Picture(figures.choice_probability, table, alt, (5.6, 3.4))


def grid_picture(evidence: Evidence) -> Picture:
    """Criteria by grids."""
    table = evidence.choices_on_grids
    table = table.assign(filters=pd.to_numeric(table["chosen"])).drop(columns="chosen")
    parts = []
    for name, rows in table.sort_values("g_per_kwh").groupby("name", sort=False):
        runs: list[tuple[str, list[str]]] = []
        for grid, width in zip(rows["grid"], rows["filters"], strict=True):
            text = "none" if pd.isna(width) else f"F = {width:.0f}"
            if runs and runs[-1][0] == text:
                runs[-1][1].append(grid)
            else:
                runs.append((text, [grid]))
        shown = "everywhere" if len(runs) == 1 else ""
        chosen = w.joined([f"{text} {shown or 'in ' + w.joined(where)}" for text, where in runs])
        parts.append(f"{CRITERION_LABELS[str(name)]}: {chosen}")
    alt = f"Table of colours: the width that each criterion chooses on {w.count(len(GRIDS))} grids. {'; '.join(parts)}."
    return Picture(figures.choice_by_grid, table, alt, (5.6, 3.4))


TABLES = {"criteria": criteria_table, "replay": replay_table}
PICTURES = {"choice-probability": probability_picture, "choice-by-grid": grid_picture}
