"""Where nothing measures the processor: half of its thermal design power (TDP), whatever the load.

That is how carbontracker estimates it, with the same table of processors, so that the two figures can be compared. It
knows nothing of the load, nor of how many of the processor's cores the program has: an estimate, and called one.
"""

import platform
from pathlib import Path
from typing import Literal

from carbon_midl.footprint.bundled import bundled_table

# The mean of the 3,923 processors in carbontracker 2.4.7's table, which it also takes for an unknown processor.
DEFAULT_TDP_W = 71.22
_UTILISATION = 0.5
_CPUINFO = Path("/proc/cpuinfo")
_TDP_TABLE = "cpu_power.csv"


class HalfTdpSensor:
    """Half of the TDP of one processor, as a constant power.

    Args:
        cpu: the processor's name as the operating system gives it.
    """

    component = "cpu"
    method = "estimated: half TDP"
    quantity: Literal["energy_j", "power_w"] = "power_w"
    sample_interval_s: float | None = None

    def __init__(self, cpu: str) -> None:
        self.hardware = cpu
        tdp_w, origin = find_tdp(cpu)
        self.power_w = _UTILISATION * tdp_w
        self.coverage = f"one whole processor at {self.power_w:g} W whatever its load: half of {origin}"

    def read(self) -> float:
        """Watts, always the same."""
        return self.power_w

    def close(self) -> None:
        """Nothing to let go of."""


def cpu_name(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's name from Linux's cpuinfo, or else from Python's `platform`, or else "unknown processor"."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or "unknown processor"


def find_tdp(cpu: str) -> tuple[float, str]:
    """TDP of a processor in W, and in words where it comes from.

    As carbontracker looks it up: the very name, else the first entry that contains the name without its frequency,
    else the mean of the table.
    """
    try:
        table = _tdp_table()
    except FileNotFoundError:
        return (
            DEFAULT_TDP_W,
            f"{DEFAULT_TDP_W:g} W, the mean TDP of carbontracker 2.4.7's table, which is not installed",
        )
    if cpu in table:
        return table[cpu], f"the TDP of {table[cpu]:g} W in carbontracker's table"
    model = cpu.split("@")[0].strip()
    containing = [name for name in table if model and model in name]
    if not containing:
        return DEFAULT_TDP_W, f"{DEFAULT_TDP_W:g} W, the mean TDP of carbontracker's table, which does not list it"
    first = containing[0]
    origin = f"the TDP of {table[first]:g} W of {first!r} in carbontracker's table"
    if len(containing) > 1:
        least, most = min(table[name] for name in containing), max(table[name] for name in containing)
        origin += f", the first of {len(containing)} that contain the name ({least:g} to {most:g} W)"
    return table[first], origin


def _tdp_table() -> dict[str, float]:
    return {row["Name"]: _parse_tdp(row["TDP"]) for row in bundled_table(_TDP_TABLE)}


def _parse_tdp(text: str) -> float:
    """Watts; carbontracker reads an entry such as "27.29.5" as the middle of 27.29 and 27.5, and so do we."""
    parts = text.split(".")
    if len(parts) == 3:
        return (float(f"{parts[0]}.{parts[1]}") + float(f"{parts[0]}.{parts[2]}")) / 2
    return float(text)
