"""What five instruments would report for a load that was recorded, each with its own defaults.

None of them runs here: their formulas are written down from the sources that `INSTRUMENTS` names, and take what a
record knows (`Load`). What that does not hold is nan, and stays so. Alike for all, the load is taken as even and as the
only one on the machine, processors that RAPL measured as one package, and the place as unknown, so that each takes its
average of the world (ML CO2 Impact, of the OECD); carbontracker, CodeCarbon and eco2AI would look it up by network.
"""

import math
import re
from collections.abc import Callable, Sequence
from statistics import mean
from typing import NamedTuple

from carbon_midl.errors import InputError
from carbon_midl.footprint.meter import J_PER_KWH
from carbon_midl.footprint.record import FootprintRecord, Window
from carbon_midl.footprint.sensors import CORE_POWER_W, WATTS_PER_GB, find_tdp, is_estimate, tdp_table

_CORES = re.compile(r"^cpu: .* at ([\d.]+) W for each of (\d+) logical cores", re.MULTILINE)
# By NVML's name, and by the processors' names of recorded studies, which are virtual machines.
_GREEN_GPU_W = {"NVIDIA A100 80GB PCIe": 300.0, "Tesla V100-SXM2-32GB": 300.0, "Tesla T4": 70.0}
_ML_CO2_GPU_W = _GREEN_GPU_W | {"NVIDIA A100 80GB PCIe": 250.0, "NVIDIA H100 80GB HBM3": 700.0}
_ECO2AI_W = {"Intel(R) Xeon(R) Processor": 61.0, "Intel(R) Xeon(R) Processor @ 2.50GHz": 61.0, "AMD EPYC": 500.0}


class Load(NamedTuple):
    """What a record knows of a load; nan for what it does not know."""

    duration_s: float
    cpu: str  #: the processor's name.
    tdp_w: float  #: of all processors, 0 where carbontracker's table does not list exactly that name.
    cores: float  #: logical ones.
    busy: float  #: the share of their time that the run used, which RAPL does not tell.
    rapl_w: float  #: of the processors, 0 where it was estimated.
    gpus: tuple[str, ...]
    gpu_w: float  #: of all together.
    memory_gb: float

    @staticmethod
    def of(record: FootprintRecord, window: str) -> "Load":
        """That of one window of a record; `InputError` where that has no duration."""
        chosen = record.window(window)
        if chosen.duration_s <= 0:
            raise InputError(
                f"duration_s: found {chosen.duration_s:g} in window {window!r}, expected seconds above 0, by which "
                f"{', '.join(INSTRUMENTS)} multiply a power; name another window"
            )
        cpu_w, gpu_w, memory_w = (kwh * J_PER_KWH / chosen.duration_s for kwh in _parts_kwh(chosen))
        estimated = {part.component for part in chosen.components if is_estimate(part.method)}
        count, _, cpu = record.hardware.get("cpu", "").rpartition(" × ")
        tdp, counted = find_tdp(cpu, exact=True), _CORES.search("\n".join(record.notes))
        core_w, cores = map(float, counted.groups() if counted else ("nan", "nan"))
        busy, rapl_w = (cpu_w / core_w / cores, 0.0) if "cpu" in estimated else (math.nan, cpu_w)
        gpus = tuple(name for component, name in record.hardware.items() if component.startswith("gpu"))
        memory_gb = memory_w / WATTS_PER_GB if "memory" in estimated else math.nan
        tdp_w = int(count or 1) * tdp[0] if tdp else 0.0
        return Load(chosen.duration_s, cpu, tdp_w, cores, busy, rapl_w, gpus, gpu_w, memory_gb)


Watts = tuple[float, float, float]
"""Of processor, GPU and memory, 0 where an instrument does not count it, nan where it would need more than a load."""


def _carbontracker(load: Load) -> Watts:
    table, name = tdp_table(), load.cpu.split("@")[0].strip()
    listed = [table[load.cpu]] if load.cpu in table else [tdp_w for entry, tdp_w in table.items() if name in entry]
    half_w = (listed[0] if listed else mean(table.values())) / 2
    return load.rapl_w or half_w, load.gpu_w / max(1, len(load.gpus)), 0.0


def _codecarbon(load: Load) -> Watts:
    cpu_w = load.rapl_w or (load.tdp_w or 4 * load.cores) * (0.1 + 0.9 * load.busy**3)
    gb = load.memory_gb
    largest_gb = max(size for size in (16, 32, 64, 128) if size <= max(16, gb / 8))
    modules = next((count for most_gb, count in ((16, 2), (64, 4), (128, 8)) if gb <= most_gb), gb / largest_gb)
    module_w = [5 * (1, 0.9, 0.8, 0.8, 0.7, 0.7, 0.7, 0.7)[number // 4] for number in range(32) if number < modules]
    return cpu_w, load.gpu_w, sum(module_w) or math.nan


def _eco2ai(load: Load) -> Watts:
    return load.busy * (_ECO2AI_W.get(load.cpu) or load.tdp_w or math.nan), load.gpu_w, math.nan


def _green_algorithms(load: Load) -> Watts:
    gpu_w = sum(_GREEN_GPU_W.get(name, 200) for name in load.gpus)
    return load.tdp_w or CORE_POWER_W * load.cores, gpu_w, WATTS_PER_GB * load.memory_gb


def _ml_co2(load: Load) -> Watts:
    gpu_w = sum(_ML_CO2_GPU_W.get(name, math.nan) for name in load.gpus)
    return 0.0 if load.gpus else load.tdp_w or math.nan, gpu_w, 0.0


INSTRUMENTS: dict[str, tuple[Callable[[Load], Watts], float, float, str]] = {
    "carbontracker": (_carbontracker, 1.58, 445.0, "2.4.7, components/: RAPL, or half of the TDP, of the mean one "
        "where not listed; NVML's power; several devices averaged; PUE Uptime 2023; world IEA 2024"),
    "CodeCarbon": (_codecarbon, 1.0, 475.0, "3.3.2, external/: RAPL, or TDP (4 W per thread where not listed) × "
        "(0.1 + 0.9 load³); NVML's counter; 5 W per memory module, less beyond four; world IEA 2019"),
    "eco2AI": (_eco2ai, 1.0, 436.529, "0.3.12, tools/: TDP × the process's share of the cores' time; NVML's power; 3 W "
        "per 8 GB that the process holds, which no record knows; world of its data/carbon_index.csv"),
    "Green Algorithms": (_green_algorithms, 1.56, 475.0, "v3.0, doi:10.1002/advs.202100707: TDP (12 W per core, 200 W "
        "per GPU where not listed), fully used; 0.3725 W per GB; PUE Uptime 2024; world IEA 2019"),
    "ML CO2 Impact": (_ml_co2, 1.0, 432.0, "js/grayscale.js of March 2026, arXiv:1910.09700: TDP of the GPU alone; "
        "OECD 2014; its page rounds to 0.01 kWh and 0.01 kg"),
}  # fmt: skip
"""By name, its mean powers, PUE and g/kWh, and in words its version, place in its source, and where these come from."""


class Reading(NamedTuple):
    """What an instrument would report. What it does not count is 0, what cannot be known nan."""

    instrument: str
    cpu_kwh: float  #: before PUE, as the next two.
    gpu_kwh: float
    memory_kwh: float
    energy_kwh: float  #: before PUE, of all that is known.
    pue: float
    g_per_kwh: float
    carbon_g: float  #: energy × PUE × intensity.
    how: str


def readings(record: FootprintRecord, window: str = "training", only: Sequence[str] = ()) -> list[Reading]:
    """What a record says, then what each instrument, or those named in `only`, would report for its load.

    Raises:
        InputError: an instrument is not known, or the window has no duration.
    """
    if unknown := [name for name in only if name not in INSTRUMENTS]:
        raise InputError(f"only: found {unknown[0]!r}, expected one of {', '.join(INSTRUMENTS)}")
    load, chosen = Load.of(record, window), record.window(window)
    sources = f"{chosen.method}; PUE {record.pue_source}; {record.intensity.source}"
    told = [("this record", _parts_kwh(chosen), record.pue, record.intensity.g_per_kwh, sources)]
    for name in only or INSTRUMENTS:
        watts, pue, g_per_kwh, how = INSTRUMENTS[name]
        told.append((name, [w * load.duration_s / J_PER_KWH for w in watts(load)], pue, g_per_kwh, how))
    found = []
    for name, (cpu_kwh, gpu_kwh, memory_kwh), pue, g_per_kwh, how in told:
        energy_kwh = sum(kwh for kwh in (cpu_kwh, gpu_kwh, memory_kwh) if not math.isnan(kwh)) or math.nan
        grams = energy_kwh * pue * g_per_kwh
        found.append(Reading(name, cpu_kwh, gpu_kwh, memory_kwh, energy_kwh, pue, g_per_kwh, grams, how))
    return found


def _parts_kwh(window: Window) -> list[float]:
    return [window.component_kwh(name) or 0.0 for name in ("cpu", "gpu", "memory")]
