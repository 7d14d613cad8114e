"""From energy to carbon: carbon intensity, PUE and the making of the hardware, each factor with its source.

gCO2eq = energy (kWh) × PUE × carbon intensity (gCO2eq/kWh), location-based.

Intensities of places are on one basis, so that they may stand on one axis: CO2eq over the life cycle, from the fuel's
supply to the building of the power stations. The table of countries that ships with carbontracker has Ember's figures
as Our World in Data gives them, so the world's average is Ember's, too. Carbontracker itself takes the IEA's 445 g/kWh
for the world, which is the CO2 of generation alone. Recorded results keep the figure that they were collected with.

The share of making the hardware that a run is responsible for (embodied carbon) follows the Software Carbon Intensity
specification 1.1 (Green Software Foundation, https://sci.greensoftware.foundation): `M = TE · (TiR / EL) · (RR / ToR)`,
with the device's total embodied emissions TE, the time that it was reserved TiR, its expected lifespan EL, and the
resources reserved RR out of all it has ToR. It is never added to operational carbon.
"""

import csv
import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from pydantic import NonNegativeFloat

from carbon_midl.errors import InputError

GIVEN = "given by the user"

# Power usage effectiveness: energy of the whole data centre over energy of its computers. Later surveys found 1.56
# (2024) and 1.54 (2025). The default stays what carbontracker 2.4.7 takes, so that grams compare with its and with
# recorded ones; 1.54 would take 2.5 % off.
DEFAULT_PUE = 1.58
DEFAULT_PUE_SOURCE = "world average of data centres, Uptime Institute Global Data Center Survey 2023 (as carbontracker)"

LOCAL_LIFETIME_YEARS = 5.0
CLOUD_LIFETIME_YEARS = 3.0
_LIFETIME_SOURCE = "Green Algorithms: 5 years for local servers, 3 for the cloud"
_S_PER_YEAR = 365.25 * 24 * 3600
# Each device with its names by NVML, such as "NVIDIA H100 80GB HBM3", the kgCO2e of making one, and the source.
_DEVICES = (
    (
        "NVIDIA H100 (SXM)",
        r"\bH100\b(?!.*\b(PCIe|NVL)\b)",  # the cards for PCIe are another product
        164.0,
        "an eighth of 1,312 kgCO2e, NVIDIA HGX H100 product carbon footprint",
    ),
    ("NVIDIA A100 PCIe", r"\bA100\b.*\bPCIe\b", 181.0, "Hubblo and ADEME, A100 PCIe"),
)


@dataclass(frozen=True)
class CarbonIntensity:
    """Grams of CO2-equivalent emitted for one kWh of electricity, and where the number comes from."""

    g_per_kwh: NonNegativeFloat  #: gCO2eq/kWh over the life cycle, unless `source` says otherwise.
    place: str  #: "world", an ISO 3166-1 alpha-2 country code, or "given" for a number of the user's.
    source: str  #: who says so, in words.
    year: int | None  #: the year that the number describes; None where it is not known.


WORLD = CarbonIntensity(
    473.0, "world", "world average of 2024 over the life cycle, Ember Global Electricity Review 2025", 2024
)


def carbon_intensity(where: str | float) -> CarbonIntensity:
    """The carbon intensity of a place.

    >>> carbon_intensity("world").g_per_kwh, carbon_intensity("FR").year, carbon_intensity(50).source
    (473.0, 2024, 'given by the user')

    Args:
        where: "world"; an ISO 3166-1 country code, "DK" or "DNK", for the national yearly average that ships with
            carbontracker; or a number in gCO2eq/kWh.

    Raises:
        InputError: the code is not known (near matches are listed), or the number is negative or not finite.
    """
    if isinstance(where, bool) or not isinstance(where, str | int | float):
        raise InputError(
            f'intensity: found {where!r}, expected "world", a country code such as "DK", or a number in gCO2eq/kWh'
        )
    text = str(where).strip()
    if text.lower() == WORLD.place:
        return WORLD
    try:
        g_per_kwh = float(text)
    except ValueError:
        return _national_average(text)
    if not 0 <= g_per_kwh < math.inf:
        raise InputError(f"intensity: found {g_per_kwh}, expected gCO2eq/kWh that are finite and not negative")
    return CarbonIntensity(g_per_kwh, "given", GIVEN, None)


def national_averages() -> dict[str, CarbonIntensity]:
    """The yearly average of every country of the table that ships with carbontracker, by its name in English."""
    rows = sorted(carbontracker_table("carbon-intensities.csv"), key=lambda row: row["Entity"])
    return {row["Entity"]: _average(row) for row in rows}


def _national_average(code: str) -> CarbonIntensity:
    # What somebody may have meant: countries, as "GB (United Kingdom)", by initials, name and codes.
    labels: dict[str, list[str]] = {}
    for row in carbontracker_table("carbon-intensities.csv"):
        if code.upper() in (row["alpha-2"], row["Code"]):
            return _average(row)
        name = row["Entity"].upper()
        for spelling in {"".join(word[0] for word in name.split()), name, row["alpha-2"], row["Code"]}:
            labels.setdefault(spelling, []).append(f"{row['alpha-2']} ({row['Entity']})")
    close = difflib.get_close_matches(code.upper(), labels, n=12)
    near = list(dict.fromkeys(label for spelling in close for label in labels[spelling]))[:4]
    raise InputError(
        f"intensity: no country code {code!r}; "
        + (f"did you mean {', '.join(near)}? " if near else "")
        + 'Expected "world", an ISO 3166-1 code such as "DK" or "DNK", or a number in gCO2eq/kWh'
    )


def _average(row: dict[str, str]) -> CarbonIntensity:
    year = int(row["Year"])
    source = (
        f"{row['Entity']}, national average of {year} over the life cycle, "
        f"table that ships with carbontracker {metadata.version('carbontracker')}"
    )
    return CarbonIntensity(float(row["Carbon intensity of electricity (gCO2eq/kWh)"]), row["alpha-2"], source, year)


@cache
def carbontracker_table(file_name: str) -> tuple[dict[str, str], ...]:
    """Rows of a table that ships with carbontracker, one dict a row.

    Carbontracker is not imported, which takes seconds and opens log files.
    """
    path = metadata.distribution("carbontracker").locate_file(f"carbontracker/data/{file_name}")
    with Path(str(path)).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def checked_pue(pue: float) -> float:
    """`pue` as a float.

    Raises:
        InputError: it is no finite number of at least 1.
    """
    if isinstance(pue, bool) or not isinstance(pue, int | float) or not 1 <= pue < math.inf:
        raise InputError(
            f"pue: found {pue!r}, expected a number of at least 1; "
            f"give 1.0 for a machine outside a data centre, or leave it out for the average of {DEFAULT_PUE}"
        )
    return float(pue)


@dataclass(frozen=True)
class Embodied:
    """Embodied carbon of devices, and how it is shared out.

    Raises:
        InputError: a number that cannot be.
    """

    hardware: str
    total_kg: float  #: kgCO2eq of making one device (TE).
    devices: int = 1  #: how many the run had.
    lifetime_years: float = LOCAL_LIFETIME_YEARS  #: expected lifespan (EL).
    share: float = 1.0  #: of each device's resources that were reserved for the run (RR/ToR), above 0 and at most 1.
    source: str = GIVEN  #: of `total_kg` and `lifetime_years`.

    def __post_init__(self) -> None:
        for name in ("total_kg", "devices", "lifetime_years", "share"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InputError(f"embodied: found {name} = {value!r}, expected a number above 0")
        if self.share > 1:
            raise InputError(f"embodied: found share = {self.share!r}, expected at most 1, the whole device")

    def carbon_g(self, duration_s: float) -> float:
        """Grams of CO2eq from making the devices that fall to a run of so many seconds (M)."""
        reserved = duration_s / (self.lifetime_years * _S_PER_YEAR)
        return 1000 * self.devices * self.total_kg * reserved * self.share


def embodied_of(
    hardware: Mapping[str, str], total_kg: float | None = None, lifetime_years: float = LOCAL_LIFETIME_YEARS
) -> Embodied:
    """Embodied carbon of all GPUs of a record, or of its processor where it has none.

    Args:
        hardware: names by component, as in a record.
        total_kg: kgCO2eq of making one such device; None looks it up in a table: NVIDIA H100 (SXM), NVIDIA A100 PCIe.
        lifetime_years: 5 for a server of one's own, 3 in the cloud.

    Raises:
        InputError: several kinds of GPU, a device that is not in the table, or a number that cannot be.
    """
    gpus = [name for component, name in hardware.items() if component.startswith("gpu")]
    devices = gpus or [hardware.get("cpu", "this machine")]
    kinds = list(dict.fromkeys(devices))
    if len(kinds) > 1:
        raise InputError(
            f"embodied: found {' and '.join(kinds)}, expected GPUs of one kind; make one visible at a time"
        )
    if total_kg is not None:
        return Embodied(kinds[0], total_kg, len(devices), lifetime_years)
    for _, pattern, known_kg, source in _DEVICES:
        if re.search(pattern, kinds[0], re.IGNORECASE):
            usual = lifetime_years in (LOCAL_LIFETIME_YEARS, CLOUD_LIFETIME_YEARS)
            source += f"; lifetime: {_LIFETIME_SOURCE if usual else GIVEN}"
            return Embodied(kinds[0], known_kg, len(devices), lifetime_years, source=source)
    raise InputError(
        f"embodied: no figure for {kinds[0]!r}, only for {' and '.join(name for name, *_ in _DEVICES)}; "
        "give the kgCO2eq of making one device (its maker's product carbon footprint)"
    )
