"""Energy of NVIDIA GPUs through NVML: by their counter from Volta on, by their sampled power where there is none.

`nvidia-ml-py` (the module `pynvml`) is imported only when sensors are looked for; without it, or without a driver,
there is no GPU.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from carbon_midl.footprint.meter import MAX_POWER_W, FoundSensors, Sensor, SensorError

POWER_INTERVAL_S = 0.25
# The edges of windows would be enough, if counters were never reset.
COUNTER_INTERVAL_S = 1.0
_INSTANCE = "MIG-"
_MILLI = 1e-3
# Boards overshoot their power limit for moments, never so far.
_OVERSHOOT = 2.0


class _GpuSensor(Sensor):
    """What the two sensors of a GPU share."""

    def __init__(self, nvml: Any, handle: Any, component: str, is_instance: bool) -> None:
        self.component = component
        self.hardware = nvml.nvmlDeviceGetName(handle)
        self.coverage = "the whole board, with whatever else runs on it"
        if is_instance:
            self.coverage += "; this program has only an instance (MIG) of it"
        with suppress(nvml.NVMLError):
            _, limit_mw = nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
            self.max_power_w = _OVERSHOOT * limit_mw * _MILLI or MAX_POWER_W
        self._nvml = nvml
        self._handle = handle
        # NVML counts how often it was initialised: each sensor has its own share.
        nvml.nvmlInit()

    def temperature_c(self) -> float | None:
        """Of the board; None where it does not tell."""
        try:
            return float(self._nvml.nvmlDeviceGetTemperature(self._handle, self._nvml.NVML_TEMPERATURE_GPU))
        except self._nvml.NVMLError:
            return None

    def close(self) -> None:
        """Give back this sensor's share of NVML; a driver that has gone away needs nothing back."""
        with suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


class NvmlEnergySensor(_GpuSensor):
    """The energy counter of one GPU."""

    method = "measured: NVML energy counter"
    quantity = "energy_j"
    sample_interval_s = COUNTER_INTERVAL_S

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
    quantity = "power_w"
    sample_interval_s = POWER_INTERVAL_S

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


def find_gpus(nvml: Any = None, environment: Mapping[str, str] = os.environ) -> FoundSensors:
    """A sensor for each GPU that this program may use, "gpu 0", "gpu 1", …

    Args:
        nvml: a module with the functions of `pynvml`; None imports it.
        environment: `CUDA_VISIBLE_DEVICES` in it names the devices.
    """
    sensors: list[Sensor] = []
    missing: list[str] = []
    try:
        with _nvml_and_boards(nvml, environment) as (nvml, boards):
            for number, (handle, is_instance) in enumerate(boards):
                for kind in (NvmlEnergySensor, NvmlPowerSensor):
                    sensor = kind(nvml, handle, f"gpu {number}", is_instance)
                    try:
                        sensor.read()
                    except SensorError:
                        sensor.close()
                    else:
                        sensors.append(sensor)
                        break
                else:
                    missing.append(f"gpu {number}: neither energy nor power can be read")
            if not boards:
                missing.append("GPU: none visible to this program")
    except SensorError as error:
        missing.append(f"GPU: {error}")
    return FoundSensors(tuple(sensors), tuple(missing))


def visible_boards(environment: Mapping[str, str] = os.environ, nvml: Any = None) -> list[str]:
    """UUIDs of the boards that this program may use, in CUDA's order; none where NVML tells none.

    A board has the same UUID in all programs, while its number depends on which boards a program is shown: jobs of a
    cluster that have a GPU each of one machine may all call it 0.

    Args:
        environment: `CUDA_VISIBLE_DEVICES` in it names the devices.
        nvml: a module with the functions of `pynvml`; None imports it.
    """
    try:
        with _nvml_and_boards(nvml, environment) as (nvml, boards):
            return [nvml.nvmlDeviceGetUUID(handle) for handle, _ in boards]
    except SensorError:
        return []


@contextmanager
def _nvml_and_boards(nvml: Any, environment: Mapping[str, str]) -> Iterator[tuple[Any, list[tuple[Any, bool]]]]:
    """NVML for as long as it is needed, and a handle of each visible board, with whether only an instance is visible.

    Raises:
        SensorError: NVML cannot be used; the reason is in words.
    """
    try:
        nvml = nvml or importlib.import_module("pynvml")
    except ImportError:
        raise SensorError("nvidia-ml-py is not installed, so NVIDIA GPUs cannot be seen") from None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise SensorError(f"none seen by NVML ({error})") from None
    try:
        boards: dict[str, tuple[Any, bool]] = {}
        for names in _visible_names(nvml, environment):
            found = next((board for name in names if (board := _board(nvml, name)) is not None), None)
            # As for CUDA, the first entry that names no device ends the list.
            if found is None:
                break
            boards.setdefault(nvml.nvmlDeviceGetUUID(found[0]), found)
        yield nvml, list(boards.values())
    except nvml.NVMLError as error:
        raise SensorError(f"NVML failed ({error})") from None
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _visible_names(nvml: Any, environment: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The devices that a program may use, in CUDA's order, each by the names that it may have with NVML.

    Where torch uses CUDA in this process it knows them by UUID, be they boards or MIG instances. Else they are those of
    `CUDA_VISIBLE_DEVICES`, by UUID or by an index. That is taken for NVML's, which is CUDA's, too, under
    `CUDA_DEVICE_ORDER=PCI_BUS_ID` or where all GPUs are alike. Torch is not imported: it takes seconds.
    """
    torch = sys.modules.get("torch")
    if environment is os.environ and torch is not None and torch.cuda.is_initialized():
        uuids = [torch.cuda.get_device_properties(device).uuid for device in range(torch.cuda.device_count())]
        return [(f"GPU-{uuid}", f"{_INSTANCE}{uuid}") for uuid in uuids]
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return [(str(index),) for index in range(nvml.nvmlDeviceGetCount())]
    return [(entry.strip(),) for entry in listed.split(",")]


def _board(nvml: Any, name: str) -> tuple[Any, bool] | None:
    """Handle of the board that an index or a UUID names, and whether it names only an instance of it; None for none."""
    try:
        if name.isdecimal():
            return nvml.nvmlDeviceGetHandleByIndex(int(name)), False
        handle = nvml.nvmlDeviceGetHandleByUUID(name)
        if name.startswith(_INSTANCE):
            return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle), True
        return handle, False
    except nvml.NVMLError:
        return None
