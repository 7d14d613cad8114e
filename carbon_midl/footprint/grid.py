"""From energy to carbon: carbon intensity, PUE and the making of the hardware, each factor with its source.

gCO2eq = energy (kWh) × PUE × carbon intensity (gCO2eq/kWh), location-based.

Intensities of places are on one basis, so that they may stand on one axis: CO2eq over the life cycle, from the fuel's
supply to the building of the power stations. The table of countries that ships with carbontracker has Ember's figures
as Our World in Data gives them, so the world's average is Ember's, too. Carbontracker itself takes the IEA's 445 g/kWh
for the world, which is the CO2 of generation alone. Recorded results keep the figure that they were collected with.
"""

import csv
import difflib
import math
import re
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
"""Usual for servers of one's own; in the cloud it is 3 (Green Algorithms)."""
EMBODIED_KG = {"NVIDIA H100 80GB HBM3": 164.0, "NVIDIA A100 80GB PCIe": 181.0}
"""kgCO2e of making a GPU, by its name in NVML; an eighth of 1,312 kg, NVIDIA HGX H100 product carbon footprint; Hubblo
and ADEME, A100 PCIe."""
WATER_L_PER_KWH = {
    "world": 3.91, "CH": 5.66, "DE": 1.95, "DK": 3.19, "FR": 3.67, "GB": 2.33, "IE": 1.48, "NO": 6.66, "PL": 2.51,
    "SE": 6.03, "US": 3.13,
}  # fmt: skip
"""Litres of water that generating a kWh consumes, without the cooling of data centres. World Resources Institute,
Guidance for Calculating Water Use Embedded in Purchased Electricity (2020), as in EcoLogits 0.11.3; the world's is its
own."""
_S_PER_YEAR = 365.25 * 24 * 3600
_UNIT = re.compile(r"\s*g\s*(CO[2₂](eq|e)?)?\s*/\s*kWh", re.IGNORECASE)


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

    A place is "world", a country's code of two letters (ISO 3166-1) or name for the national yearly average that ships
    with carbontracker, or a number in gCO2eq/kWh, also as "445 g/kWh". `InputError` lists near matches of a country
    that is not known.
    """
    if isinstance(where, bool) or not isinstance(where, str | int | float):
        raise InputError(
            f'intensity: found {where!r}, expected "world", a country code such as "DK", or a number in gCO2eq/kWh'
        )
    text = str(where).strip()
    if text.lower() == WORLD.place:
        return WORLD
    try:
        g_per_kwh = float(_UNIT.sub("", text))
    except ValueError:
        return _national_average(text)
    if not 0 <= g_per_kwh < math.inf:
        raise InputError(f"intensity: found {g_per_kwh}, expected gCO2eq/kWh that are finite and not negative")
    return CarbonIntensity(g_per_kwh, "given", GIVEN, None)


@cache
def national_averages() -> dict[str, CarbonIntensity]:
    """The yearly average of every country of the table that ships with carbontracker, by its name in English."""
    averages = {}
    for row in sorted(carbontracker_table("carbon-intensities.csv"), key=lambda row: row["Entity"]):
        source = (
            f"{row['Entity']}, national average of {row['Year']} over the life cycle, "
            f"table that ships with carbontracker {metadata.version('carbontracker')}"
        )
        g_per_kwh = float(row["Carbon intensity of electricity (gCO2eq/kWh)"])
        averages[row["Entity"]] = CarbonIntensity(g_per_kwh, row["alpha-2"], source, int(row["Year"]))
    return averages


def _national_average(country: str) -> CarbonIntensity:
    # What somebody may have meant: countries, as "GB (United Kingdom)", by initials, name and code.
    asked = country.upper()
    spellings: dict[str, str] = {}
    for name, average in national_averages().items():
        if asked in (average.place, name.upper()):
            return average
        initials = "".join(word[0] for word in name.split())
        for spelling in (initials, name.upper(), average.place):
            spellings.setdefault(spelling, f"{average.place} ({name})")
    # Two of three letters are shared by chance.
    alike = difflib.get_close_matches(asked, spellings, n=4, cutoff=1.0 if len(asked) < 3 else 0.7)
    near = dict.fromkeys(spellings[spelling] for spelling in alike)
    hint = f"did you mean {', '.join(near)}?" if near else "the table has countries, one by one."
    raise InputError(
        f'intensity: no country {country!r}; {hint} Expected "world", a country such as "DK" or "Denmark", or a number '
        "in gCO2eq/kWh"
    )


@cache
def carbontracker_table(file_name: str) -> tuple[dict[str, str], ...]:
    """Rows of a table that ships with carbontracker, whose import would take seconds and open log files."""
    path = metadata.distribution("carbontracker").locate_file(f"carbontracker/data/{file_name}")
    with Path(str(path)).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def checked_pue(pue: float) -> float:
    """`pue` as a float; `InputError` unless it is a finite number of at least 1."""
    if not isinstance(pue, int | float) or not 1 <= pue < math.inf:
        raise InputError(
            f"pue: found {pue!r}, expected a number of at least 1; "
            f"give 1.0 for a machine outside a data centre, or leave it out for the average of {DEFAULT_PUE}"
        )
    return float(pue)


def pue_source(pue: float) -> str:
    """Where a PUE comes from: the default's survey, or the user."""
    return DEFAULT_PUE_SOURCE if pue == DEFAULT_PUE else GIVEN


def embodied_g(total_kg: float, duration_s: float, lifetime_years: float = LOCAL_LIFETIME_YEARS) -> float:
    """Grams of CO2eq from making a device, of `total_kg` in all, that fall to so many seconds of its use.

    `M = TE · TiR / EL` of the Software Carbon Intensity specification 1.1 (https://sci.greensoftware.foundation). It is
    never added to operational carbon.
    """
    for name, value in (("kgCO2eq", total_kg), ("years", lifetime_years)):
        if not 0 < value < math.inf:
            raise InputError(f"embodied: found {value!r} {name}, expected a number above 0")
    return 1000 * total_kg * (duration_s / (lifetime_years * _S_PER_YEAR))
