"""Which sensors this machine has: for each component the best one available."""

from carbon_midl.footprint.cpu_estimate import CpuEstimate, cpu_name, estimate_cpu
from carbon_midl.footprint.memory_estimate import MemoryEstimate, usable_memory_gb
from carbon_midl.footprint.nvml import find_gpus
from carbon_midl.footprint.rapl import find_rapl
from carbon_midl.footprint.sensors import Found, Sensor


def discover_sensors(cpu_estimate: CpuEstimate = "TDP × utilisation") -> Found:
    """GPUs by NVML, processor and memory by RAPL, and an estimate for those of the last two that nothing measures.

    Args:
        cpu_estimate: how to estimate the processor where nothing measures it.

    Raises:
        InputError: there is no such estimate.
    """
    cpu = cpu_name()
    estimate = estimate_cpu(cpu, cpu_estimate)
    rapl = find_rapl(cpu)
    gpus = find_gpus()
    sensors: list[Sensor] = [*rapl.sensors, *gpus.sensors]
    measured = {sensor.component for sensor in sensors}
    if "cpu" not in measured:
        sensors.insert(0, estimate)
    if "memory" not in measured:
        sensors.append(MemoryEstimate(usable_memory_gb()))
    return Found(tuple(sensors), (*rapl.missing, *gpus.missing), gpus.checks)
