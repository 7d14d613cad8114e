"""What a candidate costs: energy into carbon at one intensity for all, so that ranks do not mix model and hour.

A grid's intensity changes through the day. Carbon that was recorded with the intensity of the hour ranks candidates by
when they ran as well as by what they used; energy does not.
"""

import math
from dataclasses import dataclass

import numpy as np

from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import DEFAULT_PUE, CarbonIntensity, carbon_intensity, checked_pue

KWH_PER_UNIT = {"kWh": 1.0, "Wh": 1e-3, "MJ": 1 / 3.6, "J": 1 / 3.6e6}
"""Units that energy may be given in."""


@dataclass(frozen=True)
class Factors:
    """From energy and time to gCO2eq.

    Attributes:
        intensity: carbon intensity of the electricity.
        pue: power usage effectiveness, applied to the energy only.
        embodied_g_per_h: gCO2eq of making the hardware for each hour of its use; 0 leaves it out. It is a share of
            something already emitted and not comparable one to one: say so where it is included.
    """

    intensity: CarbonIntensity
    pue: float = DEFAULT_PUE
    embodied_g_per_h: float = 0.0

    @classmethod
    def of(cls, grid: str | float = "world", pue: float = DEFAULT_PUE, embodied_g_per_h: float = 0.0) -> "Factors":
        """Factors of a place.

        Args:
            grid: as for :func:`carbon_midl.footprint.grid.carbon_intensity`.
            pue: at least 1.
            embodied_g_per_h: not negative.

        Raises:
            InputError: a factor that cannot be.
        """
        if not math.isfinite(embodied_g_per_h) or embodied_g_per_h < 0:
            raise InputError(f"embodied: found {embodied_g_per_h} g per hour, expected a number that is not negative.")
        return cls(carbon_intensity(grid), checked_pue(pue), float(embodied_g_per_h))

    def carbon_g(self, energy_kwh: np.ndarray, duration_s: np.ndarray | None) -> np.ndarray:
        """Grams of CO2eq of energy before PUE and of the hours of use, of any shape.

        Raises:
            InputError: an embodied share is asked for and no duration is known.
        """
        operational_g = energy_kwh * (self.pue * self.intensity.g_per_kwh)
        if self.embodied_g_per_h == 0:
            return operational_g
        if duration_s is None:
            raise InputError(
                "embodied: a share by the hour needs the duration of each run; name its column (--duration), in s."
            )
        return operational_g + self.embodied_g_per_h / 3600 * duration_s

    def describe(self) -> str:
        """The factors in words, each with its source."""
        text = f"{self.intensity.g_per_kwh:g} gCO2eq/kWh ({self.intensity.source}), PUE {self.pue:g}"
        if self.embodied_g_per_h:
            text += f", {self.embodied_g_per_h:g} gCO2eq embodied per hour of use"
        return text
