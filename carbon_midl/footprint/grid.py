"""From energy to carbon: the carbon intensity of electricity, and PUE, each with its source.

gCO2eq = energy (kWh) × PUE × carbon intensity (gCO2eq/kWh), location-based.

Intensities of places are on one basis, so that they may stand on one axis: CO2eq over the life cycle, from the fuel's
supply to the building of the power stations. The table of countries that ships with carbontracker has Ember's figures
as Our World in Data gives them, so the world's average is Ember's, too. Carbontracker itself takes the IEA's 445 g/kWh
for the world, which is the CO2 of generation alone. Recorded results keep the figure that they were collected with.
"""

import difflib
import math
from dataclasses import dataclass

from carbon_midl.errors import InputError
from carbon_midl.footprint.bundled import bundled_table, carbontracker_version

# Power usage effectiveness: energy of the whole data centre over energy of its computers. Later surveys found 1.56
# (2024) and 1.54 (2025). The default stays what carbontracker 2.4.7 takes, so that grams compare with its and with
# recorded ones; 1.54 would take 2.5 % off.
DEFAULT_PUE = 1.58
DEFAULT_PUE_SOURCE = "world average of data centres, Uptime Institute Global Data Center Survey 2023 (as carbontracker)"
GIVEN = "given by the user"

_INTENSITY_TABLE = "carbon-intensities.csv"
_INTENSITY_COLUMN = "Carbon intensity of electricity (gCO2eq/kWh)"


@dataclass(frozen=True)
class CarbonIntensity:
    """Grams of CO2-equivalent emitted for one kWh of electricity, and where the number comes from.

    Attributes:
        g_per_kwh: gCO2eq/kWh over the life cycle, unless `source` says otherwise.
        place: "world", an ISO 3166-1 alpha-2 country code, or "given" for a number of the user's.
        source: who says so, in words.
        year: the year that the number describes; None where it is not known.
    """

    g_per_kwh: float
    place: str
    source: str
    year: int | None


LIVE = "live:"
WORLD = CarbonIntensity(
    473.0, "world", "world average of 2024 over the life cycle, Ember Global Electricity Review 2025", 2024
)


def carbon_intensity(where: str | float) -> CarbonIntensity:
    """The carbon intensity of a place.

    Args:
        where: "world"; an ISO 3166-1 country code, "DK" or "DNK", for the national yearly average that ships with
            carbontracker; a number in gCO2eq/kWh; or "live:DK" for what Electricity Maps says now, by network and with
            a key from the environment (see `carbon_midl.footprint.live`).

    Raises:
        InputError: the code is not known (near matches are listed), the number is negative or not finite, or there is
            no live value.
    """
    if isinstance(where, str):
        text = where.strip()
        if text.lower().startswith(LIVE):
            from carbon_midl.footprint.live import live_intensity

            return live_intensity(text[len(LIVE) :])
        if text.lower() == WORLD.place:
            return WORLD
        try:
            g_per_kwh = float(text)
        except ValueError:
            return _national_average(text)
        return _given(g_per_kwh)
    if isinstance(where, bool) or not isinstance(where, int | float):
        raise InputError(
            f'intensity: found {where!r}, expected "world", a country code such as "DK", or a number in gCO2eq/kWh'
        )
    return _given(float(where))


def checked_pue(pue: float) -> float:
    """`pue` as a float.

    Raises:
        InputError: it is no finite number of at least 1.
    """
    if isinstance(pue, bool) or not isinstance(pue, int | float) or not math.isfinite(pue) or pue < 1:
        raise InputError(
            f"pue: found {pue!r}, expected a number of at least 1; "
            f"give 1.0 for a machine outside a data centre, or leave it out for the average of {DEFAULT_PUE}"
        )
    return float(pue)


def _given(g_per_kwh: float) -> CarbonIntensity:
    if not math.isfinite(g_per_kwh) or g_per_kwh < 0:
        raise InputError(f"intensity: found {g_per_kwh}, expected gCO2eq/kWh that are finite and not negative")
    return CarbonIntensity(g_per_kwh, "given", GIVEN, None)


def _national_average(code: str) -> CarbonIntensity:
    try:
        rows = bundled_table(_INTENSITY_TABLE)
    except FileNotFoundError as error:
        raise InputError(
            f"intensity: the national average for {code!r} comes with carbontracker, whose table is not there "
            f'({error}); install carbontracker, or give "world" or a number in gCO2eq/kWh'
        ) from error
    for row in rows:
        if code.upper() in (row["alpha-2"], row["Code"]):
            return _average(row)
    near = _near_matches(code, rows)
    raise InputError(
        f"intensity: no country code {code!r}; "
        + (f"did you mean {', '.join(near)}? " if near else "")
        + 'Expected "world", an ISO 3166-1 code such as "DK" or "DNK", or a number in gCO2eq/kWh'
    )


def national_averages() -> dict[str, CarbonIntensity]:
    """The yearly average of every country of the table that ships with carbontracker, by its name in English.

    Raises:
        FileNotFoundError: carbontracker is not installed.
    """
    rows = sorted(bundled_table(_INTENSITY_TABLE), key=lambda row: row["Entity"])
    return {row["Entity"]: _average(row) for row in rows}


def _average(row: dict[str, str]) -> CarbonIntensity:
    year = int(row["Year"])
    source = (
        f"{row['Entity']}, national average of {year} over the life cycle, "
        f"table that ships with carbontracker {carbontracker_version()}"
    )
    return CarbonIntensity(float(row[_INTENSITY_COLUMN]), row["alpha-2"], source, year)


def _near_matches(text: str, rows: tuple[dict[str, str], ...], most: int = 4) -> list[str]:
    """Countries whose initials, name or code come near to `text`, as "GB (United Kingdom)", best first."""
    sought = text.upper()
    spellings: dict[str, list[str]] = {}
    for row in rows:
        name = row["Entity"].upper()
        initials = "".join(word[0] for word in name.split())
        label = f"{row['alpha-2']} ({row['Entity']})"
        for spelling in {initials, name, row["alpha-2"], row["Code"]}:
            spellings.setdefault(spelling, []).append(label)
    close = difflib.get_close_matches(sought, spellings, n=3 * most, cutoff=0.6)
    labels = [label for spelling in close for label in spellings[spelling]]
    return list(dict.fromkeys(labels))[:most]
