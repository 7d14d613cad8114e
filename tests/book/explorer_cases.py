"""Studies and settings for the explorer, and the library's side of each."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np

from carbon_midl.book.explorer import below
from carbon_midl.footprint.grid import carbon_intensity
from carbon_midl.selection.candidates import Candidates, Factors
from carbon_midl.selection.criteria import CRITERIA, Criterion

Settings = dict[str, Any]

OPTIONS = {"budget": "limit", "noninferior": "margin", "weighted": "weight", "marginal": "limit"}
SETTINGS = {"budget": "budget", "noninferior": "margin", "weighted": "weight", "marginal": "price"}
"""What the library and the page call the option of a criterion."""


def criterion_of(name: str, settings: Settings) -> Criterion:
    options = {OPTIONS[name]: settings[SETTINGS[name]]} if name in OPTIONS else {}
    return CRITERIA[name](**options)


def candidates_of(study: dict[str, Any]) -> Candidates:
    """The study as the library holds it."""
    most = max(len(width["trainings"]) for width in study["widths"])

    def array(values: Callable[[Any], Any]) -> np.ndarray:
        """By width, patient or none, and training; NaN where a width has fewer trainings."""
        rows = [[np.atleast_1d(values(training)) for training in width["trainings"]] for width in study["widths"]]
        filled = [np.pad(np.transpose(row), ((0, 0), (0, most - len(row))), constant_values=np.nan) for row in rows]
        return np.array(filled)

    dice, energy_kwh, duration_s = (array(itemgetter(name)) for name in ("dice", "energy_kwh", "duration_s"))
    names = tuple(width["name"] for width in study["widths"])
    return Candidates(names, dice, energy_kwh, energy_kwh=energy_kwh, duration_s=duration_s)


def costed(candidates: Candidates, study: dict[str, Any], settings: Settings) -> Candidates:
    """Under these factors and after so many uses, as the page shows them."""
    factors = Factors.of(settings["grid"], settings["pue"], settings["embodied"])
    use_kwh = np.array([width["use_kwh"] for width in study["widths"]], dtype=float)
    return candidates.recosted(factors).with_uses(use_kwh, settings["uses"])


def some_study(random: np.random.Generator) -> dict[str, Any]:
    """Widths, trainings and patients in any number; some widths are equal to another, some trainings cost the same."""
    patients = int(random.integers(1, 16))
    ease = random.normal(0, 0.08, patients)
    widths: list[dict[str, Any]] = []
    for place in range(int(random.integers(1, 8))):
        trainings = [
            {
                "energy_kwh": float(random.choice([1e-4, 1e-3, *random.lognormal(-6, 1.5, 8)])),
                "duration_s": float(random.lognormal(5, 1)),
                "dice": np.clip(0.6 + 0.02 * place + ease + random.normal(0, 0.05, patients), 0, 1).tolist(),
            }
            for _ in range(int(random.integers(1, 5)))
        ]
        if widths and random.random() < 0.15:
            trainings = widths[-1]["trainings"]
        use_kwh = float(random.lognormal(-16, 1.5))
        of_dice = {"low": 0.0, "high": 1.0}
        widths.append({"name": str(2 ** (place + 1)), **of_dice, "use_kwh": use_kwh, "trainings": trainings})
    grids = [{"code": code, "g_per_kwh": carbon_intensity(code).g_per_kwh} for code in ("world", "NO", "PL")]
    study: dict[str, Any] = {"widths": widths, "grids": grids}
    return {**study, "below": below(candidates_of(study))}


def some_settings(random: np.random.Generator) -> Settings:
    return {
        "grid": str(random.choice(["world", "NO", "PL", "0", "37.5"])),
        "pue": float(random.choice([1.0, 1.2, 1.58])),
        "embodied": float(random.choice([0.0, 3.7, 40.0])),
        "budget": float(random.lognormal(0, 2)),
        "margin": float(random.choice([0.0, 0.01, 0.03, 0.1])),
        "weight": float(random.choice([0.0, 0.3, 0.5, 1.0])),
        "price": float(random.choice([0.0, 0.05, 0.5, 5.0])),
        "uses": int(random.choice([0, 0, 1, 10**4, 10**9])),
    }
