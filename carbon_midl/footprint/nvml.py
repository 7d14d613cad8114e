"""Energy of NVIDIA GPUs through NVML.

Volta and later count their energy; for older ones power is sampled. `nvidia-ml-py` (the module `pynvml`) is imported
only when sensors are looked for; without it, or without a driver, there is no GPU.
"""

import importlib
import os
from collections.abc import Mapping
from typing import Any, Literal

from carbon_midl.footprint.sensors import Found, SensorError

POWER_INTERVAL_S = 0.25
_MILLI = 1e-3
_COVERAGE = "the whole board, with whatever else runs on it"


class NvmlEnergySensor:
    """The energy counter of one GPU."""

    method = "measured: NVML energy counter"
    coverage = _COVERAGE
    quantity: Literal["energy_j", "power_w"] = "energy_j"
    sample_interval_s: float | None = None

    def __init__(self, nvml: Any, handle: Any, component: str, hardware: str) -> None:
        self.component = component
        self.hardware = hardware
        self._nvml = nvml
        self._handle = handle

    def read(self) -> float:
        """Joules since the driver was loaded.

        Raises:
            SensorError: NVML gave an error.
        """
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) * _MILLI
        except self._nvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error

    def close(self) -> None:
        """Give back this sensor's share of NVML."""
        _shut_down(self._nvml)


class NvmlPowerSensor:
    """The power of one GPU, to be sampled."""

    method = "sampled: NVML power"
    coverage = _COVERAGE
    quantity: Literal["energy_j", "power_w"] = "power_w"
    sample_interval_s: float | None = POWER_INTERVAL_S

    def __init__(self, nvml: Any, handle: Any, component: str, hardware: str) -> None:
        self.component = component
        self.hardware = hardware
        self._nvml = nvml
        self._handle = handle

    def read(self) -> float:
        """Watts now.

        Raises:
            SensorError: NVML gave an error.
        """
        try:
            return float(self._nvml.nvmlDeviceGetPowerUsage(self._handle)) * _MILLI
        except self._nvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error

    def close(self) -> None:
        """Give back this sensor's share of NVML."""
        _shut_down(self._nvml)


def find_gpus(nvml: Any = None, environment: Mapping[str, str] = os.environ) -> Found:
    """A sensor for each GPU that this program may use, "gpu 0", "gpu 1", …

    Args:
        nvml: a module with the functions of `pynvml`; None imports it.
        environment: `CUDA_VISIBLE_DEVICES` in it names the devices, by index or by (a beginning of) UUID. An index is
            NVML's, which is CUDA's too under `CUDA_DEVICE_ORDER=PCI_BUS_ID` or where all GPUs are alike.
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
    missing: list[str] = []
    try:
        handles = _visible_handles(nvml, environment.get("CUDA_VISIBLE_DEVICES"))
        for number, handle in enumerate(handles):
            try:
                sensors.append(_open_sensor(nvml, handle, f"gpu {number}"))
            except nvml.NVMLError as error:
                missing.append(f"gpu {number}: neither energy nor power can be read ({error})")
        if not handles:
            missing.append("GPU: none visible to this program")
    except nvml.NVMLError as error:
        missing.append(f"GPU: NVML failed ({error})")
    finally:
        # NVML counts how often it was initialised: each sensor has its own share.
        _shut_down(nvml)
    return Found(tuple(sensors), tuple(missing))


def _visible_handles(nvml: Any, visible: str | None) -> list[Any]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    if visible is None:
        return handles
    uuids = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    chosen: list[Any] = []
    for entry in (part.strip() for part in visible.split(",")):
        if entry.isdecimal() and int(entry) < len(handles):
            chosen.append(handles[int(entry)])
        elif entry.startswith("MIG-"):
            chosen.append(nvml.nvmlDeviceGetHandleByUUID(entry))
        elif entry.startswith("GPU-") and any(uuid.startswith(entry) for uuid in uuids):
            chosen.append(next(h for h, uuid in zip(handles, uuids, strict=True) if uuid.startswith(entry)))
        else:
            # CUDA, too, ignores everything from the first invalid entry on.
            break
    return chosen


def _open_sensor(nvml: Any, handle: Any, component: str) -> NvmlEnergySensor | NvmlPowerSensor:
    hardware = _text(nvml.nvmlDeviceGetName(handle))
    kind: type[NvmlEnergySensor] | type[NvmlPowerSensor]
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        kind = NvmlEnergySensor
    except nvml.NVMLError:
        nvml.nvmlDeviceGetPowerUsage(handle)
        kind = NvmlPowerSensor
    nvml.nvmlInit()
    return kind(nvml, handle, component, hardware)


def _shut_down(nvml: Any) -> None:
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError:
        # The driver has gone away; there is nothing left to give back.
        return


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
