"""The share of making the hardware that a run is responsible for (embodied carbon), on request.

By the Software Carbon Intensity specification 1.1 (Green Software Foundation, https://sci.greensoftware.foundation):
`M = TE · (TiR / EL) · (RR / ToR)`, with the device's total embodied emissions TE, the time that it was reserved TiR,
its expected lifespan EL, and the resources reserved RR out of all it has ToR. It is never added to operational carbon.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import GIVEN

LOCAL_LIFETIME_YEARS = 5.0
CLOUD_LIFETIME_YEARS = 3.0
_LIFETIME_SOURCE = "Green Algorithms: 5 years for local servers, 3 for the cloud"
_S_PER_YEAR = 365.25 * 24 * 3600


@dataclass(frozen=True)
class _Known:
    name: str
    pattern: re.Pattern[str]
    total_kg: float
    source: str


_TABLE = (
    _Known(
        "NVIDIA H100 (SXM)",
        # As NVML names it: "NVIDIA H100 80GB HBM3"; the cards for PCIe are another product.
        re.compile(r"\bH100\b(?!.*\b(PCIe|NVL)\b)", re.IGNORECASE),
        164.0,
        "an eighth of 1,312 kgCO2e, NVIDIA HGX H100 product carbon footprint",
    ),
    _Known(
        "NVIDIA A100 PCIe",
        re.compile(r"\bA100\b.*\bPCIe\b", re.IGNORECASE),
        181.0,
        "Hubblo and ADEME, A100 PCIe",
    ),
)


@dataclass(frozen=True)
class Embodied:
    """Embodied carbon of devices, and how it is shared out.

    Attributes:
        hardware: the device.
        total_kg: kgCO2eq of making one device (TE).
        devices: how many the run had.
        lifetime_years: expected lifespan (EL).
        share: of each device's resources that were reserved for the run (RR/ToR), above 0 and at most 1.
        source: where `total_kg` and `lifetime_years` come from.

    Raises:
        InputError: a number that cannot be.
    """

    hardware: str
    total_kg: float
    devices: int = 1
    lifetime_years: float = LOCAL_LIFETIME_YEARS
    share: float = 1.0
    source: str = GIVEN

    def __post_init__(self) -> None:
        for name in ("total_kg", "lifetime_years", "share"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
                raise InputError(f"embodied: found {name} = {value!r}, expected a number above 0")
        if self.share > 1:
            raise InputError(f"embodied: found share = {self.share!r}, expected at most 1, the whole device")
        if isinstance(self.devices, bool) or not isinstance(self.devices, int) or self.devices < 1:
            raise InputError(f"embodied: found devices = {self.devices!r}, expected a whole number of at least 1")

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
        total_kg: kgCO2eq of making one such device; None looks it up.
        lifetime_years: expected lifespan.

    Raises:
        InputError: several kinds of GPU, a device that is not in the table, or a number that cannot be.
    """
    gpus = [name for component, name in hardware.items() if component.startswith("gpu")]
    kinds = list(dict.fromkeys(gpus)) or [hardware.get("cpu", "this machine")]
    if len(kinds) > 1:
        raise InputError(
            f"embodied: found {' and '.join(kinds)}, expected GPUs of one kind; make one visible at a time"
        )
    if total_kg is None:
        return known_embodied(kinds[0], max(1, len(gpus)), lifetime_years)
    return Embodied(kinds[0], total_kg, max(1, len(gpus)), lifetime_years)


def known_embodied(
    hardware: str, devices: int = 1, lifetime_years: float = LOCAL_LIFETIME_YEARS, share: float = 1.0
) -> Embodied:
    """Embodied carbon of a device in the table: NVIDIA H100 (SXM) 164 kg, NVIDIA A100 PCIe 181 kg.

    Args:
        hardware: the device's name as NVML gives it.
        devices: how many the run had.
        lifetime_years: 5 for a server of one's own, 3 in the cloud.
        share: of each device that was reserved for the run.

    Raises:
        InputError: the device is not in the table, or a number cannot be.
    """
    for known in _TABLE:
        if known.pattern.search(hardware):
            source = f"{known.source}; lifetime: {_LIFETIME_SOURCE}"
            if lifetime_years not in (LOCAL_LIFETIME_YEARS, CLOUD_LIFETIME_YEARS):
                source = f"{known.source}; lifetime {GIVEN}"
            return Embodied(hardware, known.total_kg, devices, lifetime_years, share, source)
    raise InputError(
        f"embodied: no figure for {hardware!r}, only for {' and '.join(known.name for known in _TABLE)}; "
        "give the kgCO2eq of making one device (its maker's product carbon footprint)"
    )
