"""How far grams of CO2eq may be off, and what that comes from.

Carbon is energy × PUE × intensity, and the energy a sum over components. Every factor has a log-normal error of median
1: a relative uncertainty u says that, with 95 %, the truth is within a factor of 1 + u either way. A product of
log-normals is one again, in closed form; a sum over several meters is drawn. Nothing of this is recorded.

The error of a meter or a TDP, PUE and intensity are *shared* by all runs on a machine: they move all candidates alike,
but for their mix of components, which is left out. What another run would change is *own*, and averages out.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import DEFAULT_PUE, GIVEN, WORLD

_NORMAL_97_5 = 1.959963984540054


@dataclass(frozen=True)
class Spread:
    """The uncertainty of one factor."""

    relative: float  #: 0.4 is ± 40 %: 95 % within a factor of 1.4, from 0.71 to 1.4 times.
    source: str  #: who says so, or why it is assumed.

    @property
    def log_sd(self) -> float:
        """Standard deviation of the factor's logarithm."""
        return math.log1p(self.relative) / _NORMAL_97_5


PUBLISHED = Spread(0.4, "errors of up to 40 % against external meters, Fischer 2025, arXiv:2509.22092")
_PER_CORE = Spread(1.8, "12 W against the TDP per core of the 39 server processors in Green Algorithms' table, v3.0")
METERS = {
    ("gpu", "measured: NVML energy counter"): Spread(0.05, "NVML: ± 5 % for Fermi and Kepler; for others assumed"),
    ("gpu", "sampled: NVML power"): Spread(0.35, "mean gain of correct sampling, Yang et al. 2023, arXiv:2312.02741"),
    ("cpu", "measured: RAPL"): Spread(0.1, "assumed: a sensor since Haswell-EP, doi:10.1109/IPDPSW.2015.70"),
    ("memory", "measured: RAPL"): Spread(0.2, "assumed: offsets differ by machine, doi:10.1145/2989081.2989088"),
    ("cpu", "estimated: TDP × utilisation"): PUBLISHED,
    ("cpu", "estimated: W per core"): _PER_CORE,
    ("cpu", "estimated, calibrated: epochs × energy of an epoch on a quiet machine"): _PER_CORE,
    ("memory", "estimated: W per GB"): Spread(2.0, "assumed: far less was measured, green-algorithms-tool issue 14"),
}
"""By component and the method that its energy was obtained by; any other is as uncertain as `PUBLISHED`."""
PUE = Spread(0.4, "assumed: 1.1 in large clouds to above 2 in old rooms; Uptime Institute's averages are 1.54 to 1.59")
NATIONAL_AVERAGE = Spread(0.5, "assumed: Germany's hours, in groups, are -34 to +22 % off, Kono et al. 2017")
WORLD_AVERAGE = Spread(0.1, "445 (IEA) against 473 g/kWh (Ember) for 2024, and a year's change; for no place on it")
REPEATABILITY = Spread(0.12, "12 trainings on two quiet cores, by width, results/lidc-calibration")
COUNTED_AGAIN = Spread(0.035, "35 trainings on one GPU, by width, results/lidc")
"""Of a run whose largest part a counter measured, in place of `REPEATABILITY`."""


@dataclass(frozen=True)
class CarbonSpread:
    """How far grams may be off: meters of the energy, factors that make carbon of it, and repeatability.

    >>> low, high = CarbonSpread({"cpu": (1.0, Spread(0.4, ""))}, own=Spread(0.3, "")).limits()
    >>> f"{low:.3f} {high:.3f}"
    '0.653 1.532'
    """

    meters: Mapping[str, tuple[float, Spread]]  #: share of the energy and error, by component and method.
    factors: Mapping[str, Spread] = field(default_factory=dict)  #: PUE and intensity, unless they were given.
    own: Spread = REPEATABILITY  #: of a single run.

    def shared(self, draws: int, seed: int = 0, own_log_sd: float = 0.0) -> Any:
        """Draws of the error that all runs share, shape (draws,), in multiples of the grams."""
        import numpy as np

        # A stream of its own, so that draws of patients and trainings stay what they are without it.
        normal = np.random.default_rng([seed, 1]).standard_normal((len(self.meters) + 1, draws))
        product = np.exp(math.hypot(own_log_sd, *(factor.log_sd for factor in self.factors.values())) * normal[0])
        meters = zip(self.meters.values(), normal[1:], strict=True)
        return product * sum(share * np.exp(meter.log_sd * error) for (share, meter), error in meters)

    def limits(self, runs: int = 1) -> tuple[float, float]:
        """95 % interval of the truth in multiples of the estimate, a mean or sum of so many runs."""
        import numpy as np

        own_log_sd = self.own.log_sd / math.sqrt(runs)
        if len(self.meters) > 1:
            low, high = np.quantile(self.shared(20_000, own_log_sd=own_log_sd), (0.025, 0.975)).tolist()
            return low, high
        one = [*self.factors.values(), *(meter for _, meter in self.meters.values())]
        times = math.exp(_NORMAL_97_5 * math.hypot(own_log_sd, *(factor.log_sd for factor in one)))
        return 1 / times, times

    def parts(self) -> list[tuple[str, float, float]]:
        """What each source alone would do to a run, the widest first: its name and limits as of `limits`."""
        whole = {**self.factors, "repeatability": self.own}
        shares = {**self.meters, **{name: (1.0, factor) for name, factor in whole.items()}}
        ends = ((name, 1 - s + s / (1 + one.relative), 1 + s * one.relative) for name, (s, one) in shares.items())
        return sorted(ends, key=lambda part: part[1] - part[2])

    def describe(self) -> str:
        """The interval and what it comes from, in a line."""
        parts = ", ".join(f"{name} {low:.2f}–{high:.2f}" for name, low, high in self.parts())
        least, most = self.limits()
        return f"{least:.2f} to {most:.2f} times the estimate (95 %), from {parts}"


def carbon_spread(
    energies_kwh: Mapping[tuple[str, str], float], pue: float = DEFAULT_PUE, intensity_source: str = WORLD.source
) -> CarbonSpread:
    """The spread of grams from energies by component ("cpu", "gpu", "memory") and method, PUE and intensity.

    Of several methods, joined by semicolons, a component has the least certain of its own.
    """
    energies_kwh = {meter: kwh for meter, kwh in energies_kwh.items() if kwh} or {("energy", ""): 1.0}
    total_kwh, meters = sum(energies_kwh.values()), dict[str, tuple[float, Spread]]()
    for (component, methods), kwh in energies_kwh.items():
        known = [method for method in map(str.strip, methods.split(";")) if (component, method) in METERS]
        method = max(known, key=lambda one: METERS[component, one].relative, default="")
        name = f"{component}: {method.partition(': ')[2]}" if method else component
        share, _ = meters.get(name, (0.0, None))
        meters[name] = share + kwh / total_kwh, METERS.get((component, method), PUBLISHED)
    _, largest = max(meters.values(), key=lambda meter: meter[0])
    own = COUNTED_AGAIN if largest.relative < REPEATABILITY.relative else REPEATABILITY
    return CarbonSpread(meters, factor_spreads(pue, intensity_source), own)


def factor_spreads(pue: float, intensity_source: str) -> dict[str, Spread]:
    """The spread of PUE and intensity where they are averages; what the user gave is known."""
    average = WORLD_AVERAGE if intensity_source.startswith("world") else NATIONAL_AVERAGE
    return ({"PUE": PUE} if pue == DEFAULT_PUE else {}) | ({"intensity": average} if intensity_source != GIVEN else {})


def asked_spread(asked: str) -> CarbonSpread | None:
    """What a user asks for: "none", "published", or a number above 0 and at most 10; else an `InputError`."""
    if asked == "none":
        return None
    with suppress(ValueError):
        spread = PUBLISHED if asked == "published" else Spread(float(asked), GIVEN)
        if 0 < spread.relative <= 10:
            return CarbonSpread({"energy": (1.0, spread)})
    raise InputError(
        f"uncertainty of grams: found {asked!r}, expected one above 0 and at most 10, such as 0.4 for ± 40 %, or "
        '"published" for that of arXiv:2509.22092, or "none"'
    )
