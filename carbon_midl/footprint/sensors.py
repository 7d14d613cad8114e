"""Which sensors this machine has: GPUs by NVML, processor and memory by RAPL or else by an estimate.

RAPL, the energy counters of Intel and recent AMD processors, is read through Linux's powercap files, see
https://docs.kernel.org/power/powercap/powercap.html. They count each package, and some the memory (DRAM) beside it.
"""

import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from carbon_midl.footprint.grid import carbontracker_table
from carbon_midl.footprint.meter import FoundSensors, Sensor, SensorError
from carbon_midl.footprint.nvml import find_gpus

# The TDP per core of "Any" processor of Green Algorithms, whose servers (EPYC and Xeon) have 4.2 to 23.8 W per core:
# data/v3.0/CPUs.csv in github.com/GreenAlgorithms/green-algorithms-tool.
CORE_POWER_W = 12.0
# Lannelongue, Grealey and Inouye, "Green Algorithms: Quantifying the Carbon Footprint of Computation",
# Advanced Science 8 (2021) 2100707, doi:10.1002/advs.202100707.
WATTS_PER_GB = 0.3725
# A package's counter wraps at about 262 kJ, older ones at 65 kJ, a minute at 1 kW: read it well within that.
_RAPL_INTERVAL_S = 10.0
# No package draws more; a counter that was reset looks like a wrap, and stands out by this.
_MAX_PACKAGE_POWER_W = 1000.0
_CPUINFO = Path("/proc/cpuinfo")
# Dies of one package with counters closer than this show one counter, as on Zen 1 and 2; two would drift apart.
_SAME_COUNTER_UJ = 1_000_000
# What a kernel writes around a processor's model, and a table of processors does not.
_AROUND_MODEL = re.compile(
    r"\((?:R|TM)\)|@.*|\b\d+th Gen\b|\bCPU\b|\b\d+-Core\b|\bProcessor\b|\b(?:with|w/) Radeon.*", re.IGNORECASE
)


def is_estimate(method: str) -> bool:
    """Whether a figure obtained by `method` comes from no sensor at all."""
    return method.startswith("estimated")


def how_known(*methods: str) -> str:
    """Whether an energy is "measured", "estimated" or "partly estimated".

    Args:
        methods: by which it was obtained; each may be several, joined by ``;``.

    >>> how_known("estimated: TDP × utilisation; measured: NVML energy counter")
    'partly estimated'
    """
    estimated = [is_estimate(method.strip()) for joined in methods for method in joined.split(";")]
    if all(estimated):
        return "estimated"
    return "partly estimated" if any(estimated) else "measured"


def discover_sensors() -> FoundSensors:
    """The best sensor of each component of this machine."""
    cpu = cpu_name()
    rapl, gpus = find_rapl(cpu), find_gpus()
    sensors = [*rapl.sensors, *gpus.sensors]
    measured = {sensor.component for sensor in sensors}
    if "cpu" not in measured:
        sensors.insert(0, CpuEstimate(cpu, processor_count()))
    if "memory" not in measured:
        sensors.append(MemoryEstimate(usable_memory_gb()))
    return FoundSensors(tuple(sensors), (*rapl.missing, *gpus.missing))


class RaplSensor(Sensor):
    """The sum of several RAPL zones: all packages ("cpu") or all memory ("memory").

    A zone is a folder with a counter of microjoules and the value at which that starts again from zero.
    """

    method = "measured: RAPL"
    quantity = "energy_j"
    sample_interval_s = _RAPL_INTERVAL_S

    def __init__(self, component: str, hardware: str, coverage: str, zones: Sequence[Path]) -> None:
        self.component = component
        self.hardware = hardware
        self.coverage = coverage
        self.max_power_w = _MAX_PACKAGE_POWER_W * len(zones)
        self._ranges_uj = {zone / "energy_uj": int((zone / "max_energy_range_uj").read_text()) for zone in zones}
        self._last_uj = {counter: int(counter.read_text()) for counter in self._ranges_uj}
        self._total_uj = 0

    def read(self) -> float:
        """Joules since the sensor was made.

        Raises:
            SensorError: a counter can no longer be read.
        """
        for counter, range_uj in self._ranges_uj.items():
            try:
                now_uj = int(counter.read_text())
            except (OSError, ValueError) as error:
                raise SensorError(f"{counter}: {error}") from error
            self._total_uj += (now_uj - self._last_uj[counter]) % range_uj
            self._last_uj[counter] = now_uj
        return self._total_uj * 1e-6


def find_rapl(cpu: str, root: Path = Path("/sys/class/powercap")) -> FoundSensors:
    """RAPL sensors for "cpu", a processor of that name, and, where it counts that, "memory"."""
    try:
        # intel-rapl-mmio:* counts the same packages a second time, and psys a whole laptop: neither is added.
        names = {zone: (zone / "name").read_text().strip() for zone in sorted(root.glob("intel-rapl:*"))}
        packages = _distinct_counters({zone: name for zone, name in names.items() if name.startswith("package")})
        memories = [zone for zone, name in names.items() if name == "dram"]
        if counting := [zone for zone in packages if int((zone / "energy_uj").read_text())]:
            at_zero = [names[zone] for zone in packages if zone not in counting]
            coverage = "all processor packages, with whatever else runs on them"
            sensor = RaplSensor(
                "cpu", cpu, coverage if not at_zero else f"{len(counting)} processor packages", counting
            )
            memory = RaplSensor("memory", "DRAM", "memory beside all processor packages", memories)
            missing = [f"RAPL: {', '.join(at_zero)}: the counter stands at zero, so its energy is not counted"]
            return FoundSensors((sensor, memory) if memories else (sensor,), tuple(missing if at_zero else ()))
        reason = f"no processor package counts its energy under {root}"
        if packages:
            reason = "the counters of the processor packages stand at zero, as in some virtual machines"
    except PermissionError as error:
        reason = (
            f"no permission to read {error.filename}; to allow it until the next start: "
            f"sudo chmod a+r {root}/intel-rapl:*/energy_uj; "
            "for good, as root, put into /etc/udev/rules.d/70-rapl.rules the line "
            'SUBSYSTEM=="powercap", RUN+="/bin/chmod a+r %S%p/energy_uj"'
        )
    except (OSError, ValueError) as error:
        reason = str(error)
    return FoundSensors(missing=(f"RAPL: {reason}",))


def _distinct_counters(packages: dict[Path, str]) -> list[Path]:
    """The zones without those that show the counter of another die of their package once more."""
    kept: dict[Path, tuple[str, int]] = {}
    for zone, name in packages.items():
        package, die, _ = name.partition("-die-")
        counter_uj = int((zone / "energy_uj").read_text())
        shown = [uj for other, uj in kept.values() if other == package]
        if not (die and any(abs(counter_uj - uj) < _SAME_COUNTER_UJ for uj in shown)):
            kept[zone] = package, counter_uj
    return list(kept)


class CpuEstimate(Sensor):
    """TDP times the share of the processor's logical cores that this program and its child processes keep busy.

    It follows the load, does not charge a run for its neighbours, and leaves out what the processor draws when idle.
    Where the processor is not known, as on a virtual machine, which has some cores of a larger one, each core has a
    typical power instead of its share of a thermal design power (TDP).

    Args:
        cpu: the processor's name as the operating system gives it.
        processors: how many of them the machine has; None on a virtual machine, which does not know.
    """

    component = "cpu"
    quantity = "energy_j"

    def __init__(self, cpu: str, processors: int | None = 1) -> None:
        cores = psutil.cpu_count() or 1
        self.hardware = cpu
        if processors is None or (found := find_tdp(cpu)) is None:
            self.method = "estimated: W per core"
            # Threads of one core share its power.
            self.core_power_w = CORE_POWER_W * (psutil.cpu_count(logical=False) or cores) / cores
            origin = (
                f"the {CORE_POWER_W:g} W per core that Green Algorithms takes for any processor (its servers have 4.2 "
                "to 23.8 W, and a virtual machine's core may be half of one)"
            )
        else:
            self.method = "estimated: TDP × utilisation"
            tdp_w, origin = found
            self.core_power_w = processors * tdp_w / cores
            if processors > 1:
                self.hardware = f"{processors} × {cpu}"
                origin += f" in each of {processors} processors"
        self.coverage = (
            f"CPU time of this program and its child processes at {self.core_power_w:.3g} W for each of {cores} "
            f"logical cores, from {origin}; leaves out what the processor draws when idle"
        )
        self._last_s = self._cpu_time_s()
        self._total_s = 0.0

    def read(self) -> float:
        """Joules since the sensor was made."""
        now_s = self._cpu_time_s()
        # A process that ended without being waited for takes its time with it.
        self._total_s += max(0.0, now_s - self._last_s)
        self._last_s = now_s
        return self.core_power_w * self._total_s

    def _cpu_time_s(self) -> float:
        # Of this program and of its children that have ended, which psutil is not told on macOS.
        try:
            import resource

            usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
            total_s = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        except ImportError:  # Windows, where children that have ended are not known
            total_s = time.process_time()
        with suppress(psutil.Error, OSError):  # without /proc those that run count once they have ended
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):  # it has ended in this moment
                    total_s += sum(process.cpu_times()[:4])  # with its own children that have ended
        return total_s


class MemoryEstimate(Sensor):
    """A constant power for each GB (of 2^30 bytes) of the memory that this program may use, in use or not."""

    component = "memory"
    method = "estimated: W per GB"
    quantity = "power_w"

    def __init__(self, memory_gb: float) -> None:
        self.hardware = f"{memory_gb:.1f} GB"
        self.power_w = WATTS_PER_GB * memory_gb
        source = "Green Algorithms, doi:10.1002/advs.202100707"
        self.coverage = f"{memory_gb:.1f} GB at {WATTS_PER_GB} W per GB ({source}), in use or not"

    def read(self) -> float:
        """Watts, always the same."""
        return self.power_w


def find_tdp(cpu: str, exact: bool = False) -> tuple[float, str] | None:
    """TDP of a processor in W, and in words where it comes from; None where carbontracker's table does not list it.

    Looked up by the model, without what a kernel writes around it; else, unless it is to be exact, the first entry that
    contains it, as carbontracker does.
    """
    table, model = tdp_table(), _model(cpu)
    names = [name for name in table if _model(name) == model]
    names = names or [name for name in table if model and model in name and not exact]
    if not names:
        return None
    first = f", the first of {len(names)} that contain the name" if len(names) > 1 else ""
    tdp_w = table[names[0]]
    return tdp_w, f"the TDP of {tdp_w:g} W of {names[0]!r} in carbontracker's table{first}"


@cache
def tdp_table() -> dict[str, float]:
    """TDP in W by a processor's name in carbontracker's table, which writes ``27.29.5`` for 27.29 to 27.5."""
    split = {row["Name"]: row["TDP"].split(".") for row in carbontracker_table("cpu_power.csv")}
    return {
        name: sum(float(f"{whole}.{end}") for end in ends) / len(ends) if ends else float(whole)
        for name, (whole, *ends) in split.items()
    }


def _model(cpu: str) -> str:
    return " ".join(_AROUND_MODEL.sub(" ", cpu).split())


def cpu_name(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's name from Linux's cpuinfo, or else from Python's `platform`, or else "unknown processor"."""
    return next(iter(_cpuinfo_values("model name", cpuinfo)), "") or platform.processor() or "unknown processor"


def processor_count(cpuinfo: Path = _CPUINFO) -> int | None:
    """Processors (sockets) from Linux's cpuinfo; None on virtual machines, where they are made up; 1 elsewhere."""
    flags = _cpuinfo_values("flags", cpuinfo)
    if flags and "hypervisor" in flags[0].split():
        return None
    return len(set(_cpuinfo_values("physical id", cpuinfo))) or 1


def _cpuinfo_values(key: str, cpuinfo: Path) -> list[str]:
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [value.strip() for value in re.findall(rf"^{key}[ \t]*:(.*\S.*)$", text, re.MULTILINE)]


def usable_cores() -> int:
    """Logical cores that this process may use: by its affinity and, from Python 3.13 on, by PYTHON_CPU_COUNT."""
    if hasattr(os, "sched_getaffinity"):
        return getattr(os, "process_cpu_count", lambda: len(os.sched_getaffinity(0)))() or 1
    return os.cpu_count() or 1  # macOS has no affinity


def memory_bytes() -> int:
    """Memory of this machine, also where psutil finds no /proc to read it from."""
    with suppress(OSError):
        return psutil.virtual_memory().total
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def usable_memory_gb(
    own_cgroup: Path = Path("/proc/self/cgroup"),
    cgroup_root: Path = Path("/sys/fs/cgroup"),
    environment: Mapping[str, str] = os.environ,
) -> float:
    """GB (of 2^30 bytes) of this machine, or of the share that a container or scheduler gives this program."""
    limits = [memory_bytes()]
    with suppress(OSError):
        # This program's control group and those around it may each have a limit: in version 2, and in 1 by controller.
        for controllers, relative in re.findall(r"^\d+:(.*?):/(.*)$", own_cgroup.read_text(), re.MULTILINE):
            if controllers not in ("", "memory"):
                continue
            root, file = (
                (cgroup_root / controllers, "memory.limit_in_bytes") if controllers else (cgroup_root, "memory.max")
            )
            for group in (root / relative, *(root / relative).parents):
                with suppress(OSError, ValueError):  # the root has no such file, and "max" is no limit
                    limits.append(int((group / file).read_text()))
    with suppress(KeyError, ValueError):  # MB, of a job of SLURM
        limits.append(int(environment["SLURM_MEM_PER_NODE"]) * 2**20)
    with suppress(KeyError, ValueError):
        limits.append(int(environment["SLURM_MEM_PER_CPU"]) * int(environment["SLURM_CPUS_ON_NODE"]) * 2**20)
    return min(limit for limit in limits if limit > 0) / 2**30
