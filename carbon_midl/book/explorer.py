"""What the explorer computes from in the browser: the study's candidates in full, grids, embodied shares, criteria.

The explorer's page is one of the book's, so it shows the study that the book shows. Nothing is chosen here; the page
does that by the definitions of ``carbon_midl.selection``, which a test holds it to.
"""

import math
from typing import Any

import numpy as np

from carbon_midl.book.claims import n_text
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.selection_figures import CRITERION_LABELS
from carbon_midl.footprint.grid import (
    LOCAL_LIFETIME_YEARS,
    WORLD,
    carbon_intensity,
    embodied_of,
    national_averages,
)
from carbon_midl.footprint.sensors import how_known
from carbon_midl.selection.candidates import Candidates, Factors
from carbon_midl.selection.criteria import CRITERIA, Budget, Criterion, Marginal, NonInferior, Weighted, all_criteria

CLEAN_GRID, DIRTY_GRID = "NO", "PL"
"""Between their carbon intensities, and half as much again, the slider of the budget has room."""
DEVICES = ("NVIDIA H100 80GB HBM3", "NVIDIA A100 80GB PCIe")
"""Whose embodied carbon an hour is named as a yardstick; as NVML names them."""
START = "budget"
"""The criterion that a reader finds."""


def explorer_data(evidence: Evidence) -> dict[str, Any]:
    """Everything the page needs, as JSON holds it."""
    candidates = evidence.candidates
    factors = candidates.factors
    assert factors is not None, "the book costs candidates from their energy"
    return {
        "title": evidence.results.manifest["title"],
        "n": n_text(evidence),
        "energy": how_known(*evidence.results.runs["energy_method"]),
        "recorded": {"g_per_kwh": factors.intensity.g_per_kwh, "pue": factors.pue},
        "widths": widths(evidence),
        "below": below(candidates),
        "grids": grids(),
        "devices": devices(),
        "criteria": [
            {"name": name, "label": label, "assumption": CRITERIA[name].assumption, "source": CRITERIA[name].source}
            for name, label in CRITERION_LABELS.items()
        ],
        "start": start(candidates, factors),
        "grams": grams(candidates, factors),
    }


def widths(evidence: Evidence) -> list[dict[str, Any]]:
    """By width: the interval of its Dice, and each training's energy, time and Dice by patient."""
    candidates = evidence.candidates
    assert candidates.energy_kwh is not None, "the book costs candidates from their energy"
    assert candidates.duration_s is not None, "a recorded study has durations"
    found = []
    for place, name in enumerate(candidates.names):
        interval = evidence.bootstrap.dice(int(name))
        found.append(
            {
                "name": name,
                "low": interval.low,
                "high": interval.high,
                "trainings": [
                    {
                        "energy_kwh": float(candidates.energy_kwh[place, 0, training]),
                        "duration_s": float(candidates.duration_s[place, 0, training]),
                        "dice": candidates.performance[place, :, training].tolist(),
                    }
                    for training in range(candidates.trainings[place])
                ],
            }
        )
    return found


def below(candidates: Candidates) -> list[list[float]]:
    """How far each width's one-sided limit lies below its difference in Dice from a reference, a row a reference."""
    dice = candidates.mean_performance
    return [
        (dice - dice[place] - candidates.lower_limits(place, NonInferior.confidence)).tolist()
        for place in range(len(candidates))
    ]


def grids() -> list[dict[str, Any]]:
    """The world's average, then each country's."""
    places = {"World": WORLD, **national_averages()}
    return [
        {"code": there.place, "name": name, "g_per_kwh": there.g_per_kwh, "year": there.year}
        for name, there in places.items()
    ]


def devices() -> list[dict[str, Any]]:
    """Embodied carbon of an hour of some devices, for as long as a server of one's own lives."""
    known = [embodied_of({"gpu 0": name}) for name in DEVICES]
    return [
        {"name": device.hardware, "years": LOCAL_LIFETIME_YEARS, "g_per_h": device.carbon_g(3600.0)} for device in known
    ]


def start(candidates: Candidates, factors: Factors) -> dict[str, Any]:
    """The settings that a reader finds: those of the chapter on selection, in at most three digits."""
    by_kind: dict[type[Criterion], Any] = {type(criterion): criterion for criterion in all_criteria(candidates)}
    return {
        "grid": _grid(factors.intensity.g_per_kwh),
        "pue": factors.pue,
        "embodied": 0.0,
        "criterion": START,
        "budget": rounded_up(by_kind[Budget].limit),
        "margin": by_kind[NonInferior].margin,
        "weight": by_kind[Weighted].weight,
        "price": rounded_up(by_kind[Marginal].limit),
    }


def _grid(g_per_kwh: float) -> str:
    """The code of the place with this intensity; the number where there is none."""
    return next((place["code"] for place in grids() if place["g_per_kwh"] == g_per_kwh), f"{g_per_kwh:g}")


def grams(candidates: Candidates, factors: Factors) -> dict[str, float]:
    """From where to where a budget makes a difference, on clean grids and dirty ones."""
    clean, dirty = (carbon_intensity(place).g_per_kwh for place in (CLEAN_GRID, DIRTY_GRID))
    here = factors.intensity.g_per_kwh
    low = np.nanmin(candidates.mean_cost) * min(1.0, clean / here) / 1.5
    high = np.nanmax(candidates.mean_cost) * max(1.0, dirty / here) * 1.5
    return {"low": float(low), "high": float(high)}


def rounded_up(value: float, digits: int = 3) -> float:
    """To so many significant digits and not below ``value``, so that what fitted a budget still fits."""
    if value <= 0:
        return value
    unit = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    found = float(f"{math.ceil(value / unit) * unit:.{digits}g}")
    return found if found >= value else float(f"{found + unit:.{digits}g}")
