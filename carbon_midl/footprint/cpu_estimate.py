"""Where nothing measures the processor: an estimate from its thermal design power (TDP).

Ours is TDP × utilisation: the CPU time that the program and the processes it started have used, as a share of all the
processor's logical cores. It follows the load and does not charge a run for its neighbours. It leaves out what the
processor draws when idle. Where the processor is not known, as on a virtual machine, which has some cores of a larger
one, each core has a typical power instead of its share of a TDP.

Carbontracker takes half of the TDP whatever the load, with the same table of processors; `HalfTdpSensor` does that, so
that the two figures can be compared. Both are estimates, and called so.
"""

import platform
import re
from pathlib import Path
from typing import Any, Literal, get_args

from carbon_midl.errors import InputError
from carbon_midl.footprint.bundled import bundled_table
from carbon_midl.footprint.sensors import MAX_POWER_W

CpuEstimate = Literal["TDP × utilisation", "half TDP"]

# The mean of the 3,923 processors in carbontracker 2.4.7's table, which it also takes for an unknown processor.
DEFAULT_TDP_W = 71.22
# The TDP per core of "Any" processor of Green Algorithms, whose servers (EPYC and Xeon) have 4.2 to 23.8 W per core:
# data/v3.0/CPUs.csv in github.com/GreenAlgorithms/green-algorithms-tool.
CORE_POWER_W = 12.0
PER_CORE = "estimated: W per core"
_HALF = 0.5
_CPUINFO = Path("/proc/cpuinfo")
_TDP_TABLE = "cpu_power.csv"


def estimate_cpu(cpu: str, how: CpuEstimate = "TDP × utilisation") -> "UtilisationSensor | HalfTdpSensor":
    """The estimate of that kind for the processor of that name.

    Raises:
        InputError: there is no such kind.
    """
    if how not in get_args(CpuEstimate):
        raise InputError(f"cpu_estimate: found {how!r}, expected {' or '.join(map(repr, get_args(CpuEstimate)))}")
    return HalfTdpSensor(cpu) if how == "half TDP" else UtilisationSensor(cpu, processor_count())


class UtilisationSensor:
    """TDP times the share of the processor's logical cores that this program and its child processes keep busy.

    Args:
        cpu: the processor's name as the operating system gives it.
        processors: how many of them the machine has; None on a virtual machine, which does not know.
    """

    component = "cpu"
    method = "estimated: TDP × utilisation"
    quantity: Literal["energy_j", "power_w"] = "energy_j"
    sample_interval_s: float | None = None
    max_power_w = MAX_POWER_W

    def __init__(self, cpu: str, processors: int | None = 1) -> None:
        import psutil

        cores = psutil.cpu_count() or 1
        several = processors is not None and processors > 1
        self.hardware = f"{processors} × {cpu}" if several else cpu
        tdp_w, origin = find_tdp(cpu)
        if processors is None or tdp_w == DEFAULT_TDP_W:
            self.method = PER_CORE
            # Threads of one core share its power.
            self.core_power_w = CORE_POWER_W * (psutil.cpu_count(logical=False) or cores) / cores
            origin = (
                f"the {CORE_POWER_W:g} W per core that Green Algorithms takes for any processor (its servers have 4.2 "
                "to 23.8 W, and a virtual machine's core may be half of one)"
            )
        else:
            self.core_power_w = processors * tdp_w / cores
            origin += f" in each of {processors} processors" if several else ""
        self.coverage = (
            f"CPU time of this program and its child processes at {self.core_power_w:.3g} W for each of {cores} "
            f"logical cores, from {origin}; leaves out what the processor draws when idle"
        )
        self._process = psutil.Process()
        self._last_s = self._cpu_time_s()
        self._total_s = 0.0

    def read(self) -> float:
        """Joules since the sensor was made."""
        now_s = self._cpu_time_s()
        # A process that ended without being waited for takes its time with it.
        self._total_s += max(0.0, now_s - self._last_s)
        self._last_s = now_s
        return self.core_power_w * self._total_s

    def close(self) -> None:
        """Nothing to let go of."""

    def _cpu_time_s(self) -> float:
        import psutil

        total_s = 0.0
        for process in [self._process, *self._process.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue  # it has ended in this moment
            total_s += times.user + times.system + _waited_for_s(times)
        return total_s


class HalfTdpSensor:
    """Half of the TDP of one processor, as a constant power.

    Args:
        cpu: the processor's name as the operating system gives it.
    """

    component = "cpu"
    method = "estimated: half TDP"
    quantity: Literal["energy_j", "power_w"] = "power_w"
    sample_interval_s: float | None = None
    max_power_w = MAX_POWER_W

    def __init__(self, cpu: str) -> None:
        self.hardware = cpu
        tdp_w, origin = find_tdp(cpu)
        self.power_w = _HALF * tdp_w
        self.coverage = f"one whole processor at {self.power_w:g} W whatever its load: half of {origin}"

    def read(self) -> float:
        """Watts, always the same."""
        return self.power_w

    def close(self) -> None:
        """Nothing to let go of."""


def cpu_name(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's name from Linux's cpuinfo, or else from Python's `platform`, or else "unknown processor"."""
    return linux_cpu_name(cpuinfo) or platform.processor() or "unknown processor"


def linux_cpu_name(cpuinfo: Path = _CPUINFO) -> str | None:
    """The processor's name from Linux's cpuinfo; None where there is none in it."""
    return next(iter(_cpuinfo_values("model name", cpuinfo)), None)


def processor_count(cpuinfo: Path = _CPUINFO) -> int | None:
    """Processors (sockets) from Linux's cpuinfo; None on virtual machines, where they are made up; 1 elsewhere."""
    flags = _cpuinfo_values("flags", cpuinfo)
    if flags and "hypervisor" in flags[0].split():
        return None
    return len(set(_cpuinfo_values("physical id", cpuinfo))) or 1


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


def _waited_for_s(times: Any) -> float:
    """CPU time of children that have ended, which not every system counts."""
    return float(getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0))


def _cpuinfo_values(key: str, cpuinfo: Path) -> list[str]:
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [value.strip() for value in re.findall(rf"^{key}[ \t]*:(.*\S.*)$", text, re.MULTILINE)]


def _tdp_table() -> dict[str, float]:
    return {row["Name"]: _parse_tdp(row["TDP"]) for row in bundled_table(_TDP_TABLE)}


def _parse_tdp(text: str) -> float:
    """Watts; carbontracker reads an entry such as "27.29.5" as the middle of 27.29 and 27.5, and so do we."""
    parts = text.split(".")
    if len(parts) == 3:
        return (float(f"{parts[0]}.{parts[1]}") + float(f"{parts[0]}.{parts[2]}")) / 2
    return float(text)
