"""Energy of processor packages and memory from RAPL counters, through Linux's powercap files.

Intel and recent AMD processors count the energy of each package, and some the energy of the memory beside it (DRAM).
See https://docs.kernel.org/power/powercap/powercap.html.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from carbon_midl.footprint.meter import FoundSensors, Sensor, SensorError

POWERCAP = Path("/sys/class/powercap")
# A package's counter wraps at about 262 kJ, older ones at 65 kJ, a minute at 1 kW: read it well within that.
SAMPLE_INTERVAL_S = 10.0
# No package draws more; a counter that was reset looks like a wrap, and stands out by this.
_MAX_ZONE_POWER_W = 1000.0
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")
_MICRO = 1e-6


@dataclass
class _Zone:
    energy_file: Path
    range_uj: int
    last_uj: int

    def advance_uj(self) -> int:
        """Microjoules since the last call; the counter starts again from zero after `range_uj`."""
        now_uj = int(self.energy_file.read_text())
        step_uj = now_uj - self.last_uj
        if step_uj < 0:
            step_uj += self.range_uj
        self.last_uj = now_uj
        return step_uj


class RaplSensor(Sensor):
    """The sum of several RAPL zones: all packages ("cpu") or all memory ("memory")."""

    method = "measured: RAPL"
    quantity = "energy_j"
    sample_interval_s = SAMPLE_INTERVAL_S

    def __init__(self, component: str, hardware: str, coverage: str, zones: list[_Zone]) -> None:
        self.component = component
        self.hardware = hardware
        self.coverage = coverage
        self.max_power_w = _MAX_ZONE_POWER_W * len(zones)
        self._zones = zones
        self._total_uj = 0

    def read(self) -> float:
        """Joules since the sensor was made.

        Raises:
            SensorError: a counter can no longer be read.
        """
        for zone in self._zones:
            try:
                self._total_uj += zone.advance_uj()
            except (OSError, ValueError) as error:
                raise SensorError(f"{zone.energy_file}: {error}") from error
        return self._total_uj * _MICRO


def find_rapl(cpu: str, root: Path = POWERCAP) -> FoundSensors:
    """RAPL sensors for "cpu" and, where the processor counts it, "memory".

    Args:
        cpu: the processor's name, for the record.
        root: the folder of powercap zones.
    """
    packages: list[_Zone] = []
    memories: list[_Zone] = []
    reason = ""
    try:
        # intel-rapl-mmio:* counts the same packages a second time, and psys a whole laptop: neither is added.
        for folder in sorted(path for path in root.glob("intel-rapl:*") if _ZONE.fullmatch(path.name)):
            name = (folder / "name").read_text().strip()
            if name.startswith("package"):
                packages.append(_open_zone(folder))
            elif name == "dram":
                memories.append(_open_zone(folder))
        if not packages:
            reason = f"no processor package counts its energy under {root}"
        elif all(zone.last_uj == 0 for zone in packages):
            reason = "the counters of the processor packages stand at zero, as in some virtual machines"
    except PermissionError as error:
        reason = f"no permission to read {error.filename}; {_permit(root)}"
    except (OSError, ValueError) as error:
        reason = str(error)
    if reason:
        return FoundSensors(missing=(f"RAPL: {reason}",))
    sensors = [RaplSensor("cpu", cpu, "all processor packages, with whatever else runs on them", packages)]
    if memories:
        sensors.append(RaplSensor("memory", "DRAM", "memory beside all processor packages", memories))
    return FoundSensors(tuple(sensors))


def _open_zone(folder: Path) -> _Zone:
    energy_file = folder / "energy_uj"
    return _Zone(
        energy_file,
        range_uj=int((folder / "max_energy_range_uj").read_text()),
        last_uj=int(energy_file.read_text()),
    )


def _permit(root: Path) -> str:
    return (
        f"to allow it until the next start: sudo chmod a+r {root}/intel-rapl:*/energy_uj; "
        "for good, as root, put into /etc/udev/rules.d/70-rapl.rules the line "
        'SUBSYSTEM=="powercap", RUN+="/bin/chmod a+r %S%p/energy_uj"'
    )
