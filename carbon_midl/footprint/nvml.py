"""Energy of NVIDIA GPUs through NVML.

Volta and later count their energy; their power is sampled beside it, as a check. For older ones sampled power is all
there is. `nvidia-ml-py` (the module `pynvml`) is imported only when sensors are looked for; without it, or without a
driver, there is no GPU.
"""

import importlib
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from carbon_midl.footprint.cuda_visible import VisibleGpu, as_text, visible_gpus
from carbon_midl.footprint.sensors import MAX_POWER_W, Found, Sensor, SensorError

POWER_INTERVAL_S = 0.25
# The edges of windows would be enough, if counters were never reset.
COUNTER_INTERVAL_S = 1.0
_MILLI = 1e-3
# Boards overshoot their power limit for moments, never so far.
_OVERSHOOT = 2.0


class _GpuSensor:
    """What the two sensors of a GPU share."""

    def __init__(self, nvml: Any, gpu: VisibleGpu, component: str, hardware: str) -> None:
        self.component = component
        self.hardware = hardware
        self.coverage = "the whole board, with whatever else runs on it"
        if gpu.is_shared:
            self.coverage += "; this program has only an instance (MIG) of it"
        self.max_power_w = _max_power_w(nvml, gpu.handle)
        self._nvml = nvml
        self._handle = gpu.handle

    def temperature_c(self) -> float | None:
        """Of the board; None where it does not tell."""
        try:
            return float(self._nvml.nvmlDeviceGetTemperature(self._handle, self._nvml.NVML_TEMPERATURE_GPU))
        except self._nvml.NVMLError:
            return None

    def close(self) -> None:
        """Give back this sensor's share of NVML."""
        _shut_down(self._nvml)


class NvmlEnergySensor(_GpuSensor):
    """The energy counter of one GPU."""

    method = "measured: NVML energy counter"
    quantity: Literal["energy_j", "power_w"] = "energy_j"
    sample_interval_s: float | None = COUNTER_INTERVAL_S

    def read(self) -> float:
        """Joules since the driver was loaded.

        Raises:
            SensorError: NVML gave an error.
        """
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) * _MILLI
        except self._nvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error


class NvmlPowerSensor(_GpuSensor):
    """The power of one GPU, to be sampled."""

    method = "sampled: NVML power"
    quantity: Literal["energy_j", "power_w"] = "power_w"
    sample_interval_s: float | None = POWER_INTERVAL_S

    def read(self) -> float:
        """Watts of this instant.

        Where the driver does not offer them as `NVML_FI_DEV_POWER_INSTANT`, what `nvmlDeviceGetPowerUsage` gives: up to
        the A100 the same, on other Ampere boards and later ones, such as Hopper, the mean of the last second (by NVML's
        reference).

        Raises:
            SensorError: NVML gave an error.
        """
        nvml = self._nvml
        try:
            with suppress(nvml.NVMLError):
                (field,) = nvml.nvmlDeviceGetFieldValues(self._handle, [nvml.NVML_FI_DEV_POWER_INSTANT])
                if field.nvmlReturn == nvml.NVML_SUCCESS:
                    return float(field.value.uiVal) * _MILLI
            return float(nvml.nvmlDeviceGetPowerUsage(self._handle)) * _MILLI
        except nvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error


def gpu_temperature_c(sensor: Sensor) -> float | None:
    """Temperature of the board that ``sensor`` reads; None for sensors of something else."""
    return sensor.temperature_c() if isinstance(sensor, _GpuSensor) else None


def find_gpus(nvml: Any = None, environment: Mapping[str, str] = os.environ) -> Found:
    """A sensor for each GPU that this program may use, "gpu 0", "gpu 1", …

    Args:
        nvml: a module with the functions of `pynvml`; None imports it.
        environment: `CUDA_VISIBLE_DEVICES` in it names the devices.
    """
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return Found((), ("GPU: nvidia-ml-py is not installed, so NVIDIA GPUs cannot be seen",))
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Found((), (f"GPU: none seen by NVML ({error})",))
    sensors: list[NvmlEnergySensor | NvmlPowerSensor] = []
    checks: list[NvmlPowerSensor] = []
    missing: list[str] = []
    try:
        gpus = visible_gpus(nvml, environment.get("CUDA_VISIBLE_DEVICES"))
        for number, gpu in enumerate(gpus):
            counts = _can(nvml.nvmlDeviceGetTotalEnergyConsumption, gpu, nvml)
            has_power = _can(nvml.nvmlDeviceGetPowerUsage, gpu, nvml)
            if not counts and not has_power:
                missing.append(f"gpu {number}: neither energy nor power can be read")
            if counts:
                sensors.append(_open(NvmlEnergySensor, nvml, gpu, number))
            if has_power:
                (checks if counts else sensors).append(_open(NvmlPowerSensor, nvml, gpu, number))
        if not gpus:
            missing.append("GPU: none visible to this program")
    except nvml.NVMLError as error:
        missing.append(f"GPU: NVML failed ({error})")
    finally:
        # NVML counts how often it was initialised: each sensor has its own share.
        _shut_down(nvml)
    return Found(tuple(sensors), tuple(missing), tuple(checks))


def visible_boards(environment: Mapping[str, str] = os.environ, nvml: Any = None) -> list[str]:
    """UUIDs of the boards that this program may use, in CUDA's order; none where NVML tells none.

    A board has the same UUID in all programs, while its number depends on which boards a program is shown: jobs of a
    cluster that have a GPU each of one machine may all call it 0.

    Args:
        environment: `CUDA_VISIBLE_DEVICES` in it names the devices.
        nvml: a module with the functions of `pynvml`; None imports it.
    """
    try:
        nvml = nvml or importlib.import_module("pynvml")
    except ImportError:
        return []
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    try:
        gpus = visible_gpus(nvml, environment.get("CUDA_VISIBLE_DEVICES"))
        return [as_text(nvml.nvmlDeviceGetUUID(gpu.handle)) for gpu in gpus]
    except nvml.NVMLError:
        return []
    finally:
        _shut_down(nvml)


def _can(read: Any, gpu: VisibleGpu, nvml: Any) -> bool:
    try:
        read(gpu.handle)
    except nvml.NVMLError:
        return False
    return True


def _open(kind: Any, nvml: Any, gpu: VisibleGpu, number: int) -> Any:
    sensor = kind(nvml, gpu, f"gpu {number}", as_text(nvml.nvmlDeviceGetName(gpu.handle)))
    nvml.nvmlInit()
    return sensor


def _max_power_w(nvml: Any, handle: Any) -> float:
    try:
        _, limit_mw = nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
    except nvml.NVMLError:
        return MAX_POWER_W
    return _OVERSHOOT * float(limit_mw) * _MILLI or MAX_POWER_W


def _shut_down(nvml: Any) -> None:
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError:
        # The driver has gone away; there is nothing left to give back.
        return
