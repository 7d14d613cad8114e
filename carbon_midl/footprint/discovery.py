"""Which sensors this machine has: for each component the best one available."""

from carbon_midl.footprint.cpu_estimate import HalfTdpSensor, cpu_name
from carbon_midl.footprint.memory_estimate import MemoryEstimate, usable_memory_gb
from carbon_midl.footprint.nvml import find_gpus
from carbon_midl.footprint.rapl import find_rapl
from carbon_midl.footprint.sensors import Found, Sensor


def discover_sensors() -> Found:
    """GPUs by NVML, processor and memory by RAPL, and an estimate for those of the last two that nothing measures."""
    cpu = cpu_name()
    gpus = find_gpus()
    rapl = find_rapl(cpu)
    sensors: list[Sensor] = [*rapl.sensors, *gpus.sensors]
    measured = {sensor.component for sensor in sensors}
    if "cpu" not in measured:
        sensors.insert(0, HalfTdpSensor(cpu))
    if "memory" not in measured:
        sensors.append(MemoryEstimate(usable_memory_gb()))
    return Found(tuple(sensors), (*rapl.missing, *gpus.missing))
