"""The explorer's page: markup, data and program in one, so that it opens from a disk as well as from a server.

It is one of the book's pages, so it shows the study that the book shows. Its data are the study's candidates in full,
grids, embodied shares and criteria. Nothing is chosen here; the page does that by the definitions of
``carbon_midl.selection``, which a test holds it to. The markup has the criteria's assumptions, in the chapter's words.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carbon_midl.book.evidence import WidthStudy
from carbon_midl.book.figures import CRITERION_LABELS
from carbon_midl.book.numbers import n_text
from carbon_midl.footprint import grid
from carbon_midl.footprint.sensors import how_known
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.criteria import NonInferior
from carbon_midl.selection.frontier import on_frontier
from carbon_midl.study.results import named_rows

CLEAN_GRID, DIRTY_GRID = "NO", "PL"
"""Between their carbon intensities, and half as much again, the slider of the budget has room."""
START = "budget"
"""The criterion that a reader finds."""
COMMON = ("Norway", "France", "Denmark", "United States", "Poland", "World")
"""The grids that are listed first."""
MARKUP = Path("book/explorer.html")
PROGRAM = Path("book/_static/explorer.js")


def explorer_data(study: WidthStudy, use_kwh: Sequence[float] | None = None) -> dict[str, Any]:
    """Everything the page needs, as JSON holds it; ``use_kwh`` is the energy of analysing one crop by width."""
    cost, criteria, here = study.candidates.mean_cost, study.criteria, study.factors.intensity.g_per_kwh
    places = {"World": grid.WORLD, **grid.national_averages()}
    device, device_kg = next(iter(grid.EMBODIED_KG.items()))
    clean, dirty = (grid.carbon_intensity(place).g_per_kwh / here for place in (CLEAN_GRID, DIRTY_GRID))
    recorded = {"code": f"{here:g}", "name": "As recorded", "g_per_kwh": here}
    names = [*COMMON, *(name for name in places if name not in COMMON)]
    grids = [{"code": places[name].place, "name": name, "g_per_kwh": places[name].g_per_kwh} for name in names]
    return {
        "title": study.manifest["title"],
        "n": n_text(study),
        "energy": how_known(*study.runs["energy_method"]),
        "recorded": {"g_per_kwh": here, "pue": study.factors.pue},
        "widths": widths(study, use_kwh),
        "below": below(study.candidates),
        "grids": [recorded, *grids],
        "common": 1 + len(COMMON),
        "device": {"name": device, "years": grid.LOCAL_LIFETIME_YEARS, "g_per_h": grid.embodied_g(device_kg, 3600.0)},
        "criteria": [{"name": name, "label": label} for name, label in CRITERION_LABELS.items()],
        # What a reader finds: the settings of the chapter on selection, in at most three digits, but for the budget.
        "start": {
            "grid": recorded["code"],
            "pue": study.factors.pue,
            "embodied": 0.0,
            "criterion": START,
            "budget": between(study.candidates),
            "margin": criteria["noninferior"].margin,
            "weight": criteria["weighted"].weight,
            "price": float(f"{criteria['marginal'].limit:.3g}"),
        }
        | ({} if use_kwh is None else {"uses": 0}),
        # From where to where a budget makes a difference, on clean grids and dirty ones.
        "grams": {"low": cost.min() * min(1.0, clean) / 1.5, "high": cost.max() * max(1.0, dirty) * 1.5},
    }


def widths(study: WidthStudy, use_kwh: Sequence[float] | None) -> list[dict[str, Any]]:
    """By width: the interval of its Dice, energy of a use, and each training's energy, time and Dice by patient."""
    rows = []
    used = list(use_kwh) if use_kwh is not None else [None] * len(study.widths)
    for row, scores, kwh in zip(named_rows(study.widths), study.candidates.performance, used, strict=True):
        runs = named_rows(study.runs[study.runs["filters"] == row.filters])
        trainings = [
            {"energy_kwh": run.energy_kwh, "duration_s": run.duration_s, "dice": dice.tolist()}
            for run, dice in zip(runs, scores.T, strict=False)
        ]
        of_dice = {"low": row.dice_low, "high": row.dice_high}
        rows.append({"name": str(row.filters), **of_dice, "use_kwh": kwh, "trainings": trainings})
    return rows


def below(candidates: Candidates) -> list[list[float]]:
    """How far each width's one-sided limit lies below its difference in Dice from a reference, a row a reference."""
    dice = candidates.mean_performance
    return [
        (dice - dice[place] - candidates.lower_limits(place, NonInferior.confidence)).tolist()
        for place in range(len(candidates))
    ]


def between(candidates: Candidates) -> float:
    """A budget between the frontier's best and the one before it, which lies on no candidate."""
    cost = candidates.mean_cost[on_frontier(candidates.mean_performance, candidates.mean_cost)]
    return float(f"{math.sqrt(math.prod(sorted(cost)[-2:])) if len(cost) > 1 else 1.5 * cost[0]:.3g}")


def explorer_page(root: Path, data: dict[str, Any]) -> str:
    """The markup of the repository ``root`` with its program and the data of :func:`explorer_data`."""
    # In a script's text "</script" would end it; "\u003c" is the same to a reader of JSON.
    embedded = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    markup, program = ((root / path).read_text(encoding="utf-8") for path in (MARKUP, PROGRAM))
    return (
        f'{markup}<script type="application/json" id="explorer-data">{embedded}</script>\n'
        f'<script type="module">\n{program}</script>\n'
    )
