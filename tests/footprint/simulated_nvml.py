"""A stand-in for the module `pynvml`: GPUs that follow a power trace on a clock, with the faults of real ones."""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np


@dataclass
class SimulatedGpu:
    """One GPU, whose power follows straight lines between points; its counter gives their integral."""

    uuid: str  # as NVML writes it
    times_s: Sequence[float] = (0.0,)  # of the points, rising from 0; after them power is constant
    power_w: Sequence[float] = (100.0,)  # at these points
    has_counter: bool = True
    has_power: bool = True
    averages: bool = False  # its power is the mean of the last second, that of the instant a field of its own (Hopper)
    tick_s: float = 0.02  # how often the counter advances
    limit_w: float | None = 700.0  # the greatest power limit that can be set; None where NVML gives none
    silent: Sequence[tuple[float, float]] = ()  # stretches of time, (from, to), in which NVML gives errors
    resets_s: Sequence[float] = ()  # moments at which the counter starts again from zero
    jumps: Sequence[tuple[float, float]] = ()  # moments and joules by which the counter jumps
    lost: bool = False  # it has fallen off the bus
    offset_j: float = 123_456.0  # what the counter stood at when the clock was 0

    def __post_init__(self) -> None:
        steps_j = np.diff(self.times_s) * (np.array(self.power_w[1:]) + self.power_w[:-1]) / 2
        self._until_j = [0.0, *np.cumsum(steps_j).tolist()]

    def true_power_w(self, time_s: float) -> float:
        return float(np.interp(time_s, self.times_s, self.power_w))

    def true_energy_j(self, start_s: float, end_s: float) -> float:
        return self._energy_until_j(end_s) - self._energy_until_j(start_s)

    def _energy_until_j(self, time_s: float) -> float:
        before = max(0, bisect.bisect_right(self.times_s, time_s) - 1)
        since_s = time_s - self.times_s[before]
        return self._until_j[before] + since_s * (self.power_w[before] + self.true_power_w(time_s)) / 2

    def counter_j(self, time_s: float) -> float:
        ticked_s = math.floor(time_s / self.tick_s + 1e-9) * self.tick_s
        last_reset_s = max((reset_s for reset_s in self.resets_s if reset_s <= ticked_s), default=None)
        jumped_j = sum(joules for moment_s, joules in self.jumps if (last_reset_s or 0) < moment_s <= ticked_s)
        if last_reset_s is None:
            return self.offset_j + self.true_energy_j(0.0, ticked_s) + jumped_j
        return self.true_energy_j(last_reset_s, ticked_s) + jumped_j


class SimulatedNvml:
    """The functions of `pynvml` that are used here, over simulated GPUs that follow a clock, in s.

    `instances` are MIG instances by UUID, each with the number of its board; `driver`: whether one is loaded; `fields`:
    whether it knows `nvmlDeviceGetFieldValues`, which the oldest do not.
    """

    NVML_TEMPERATURE_GPU = 0
    NVML_SUCCESS = 0
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_FI_DEV_POWER_INSTANT = 186

    class NVMLError(Exception):
        pass

    class NVMLError_NotFound(NVMLError):
        pass

    class NVMLError_InvalidArgument(NVMLError):
        pass

    def __init__(
        self,
        clock: Callable[[], float],
        *gpus: SimulatedGpu,
        instances: dict[str, int] | None = None,
        driver: bool = True,
        fields: bool = True,
    ) -> None:
        self.gpus = gpus
        self.initialised = 0
        self._clock = clock
        self._instances = instances or {}
        self._driver = driver
        self._fields = fields

    def nvmlInit(self) -> None:
        if not self._driver:
            raise self.NVMLError("Driver Not Loaded")
        self.initialised += 1

    def nvmlShutdown(self) -> None:
        self.initialised -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> SimulatedGpu:
        if index >= len(self.gpus):
            raise self.NVMLError_InvalidArgument
        if self.gpus[index].lost:
            raise self.NVMLError("GPU is lost")
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any:
        if uuid in self._instances:
            return uuid
        if uuid not in (gpu.uuid for gpu in self.gpus):
            raise self.NVMLError_NotFound
        return next(gpu for gpu in self.gpus if gpu.uuid == uuid)

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, migDevice: str) -> SimulatedGpu:
        return self.gpus[self._instances[migDevice]]

    def nvmlDeviceGetUUID(self, handle: SimulatedGpu) -> str:
        return handle.uuid

    def nvmlDeviceGetName(self, handle: SimulatedGpu) -> str:
        return "NVIDIA Simulated"

    def nvmlDeviceGetPowerManagementLimitConstraints(self, handle: SimulatedGpu) -> list[int]:
        if handle.limit_w is None:
            raise self.NVMLError("Not Supported")
        return [100_000, round(handle.limit_w * 1e3)]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: SimulatedGpu) -> int:
        self._answer(handle, handle.has_counter)
        return round(handle.counter_j(self._clock()) * 1e3)

    def nvmlDeviceGetPowerUsage(self, handle: SimulatedGpu) -> int:
        self._answer(handle, handle.has_power)
        now_s = self._clock()
        mean_w = handle.true_energy_j(now_s - 1, now_s) if handle.averages else handle.true_power_w(now_s)
        return round(mean_w * 1e3)

    def nvmlDeviceGetFieldValues(self, handle: SimulatedGpu, fieldIds: list[int]) -> list[SimpleNamespace]:
        self._answer(handle, self._fields)
        assert fieldIds == [self.NVML_FI_DEV_POWER_INSTANT]
        if not handle.averages:
            return [SimpleNamespace(nvmlReturn=self.NVML_ERROR_NOT_SUPPORTED, value=SimpleNamespace(uiVal=0))]
        milliwatts = round(handle.true_power_w(self._clock()) * 1e3)
        return [SimpleNamespace(nvmlReturn=self.NVML_SUCCESS, value=SimpleNamespace(uiVal=milliwatts))]

    def nvmlDeviceGetTemperature(self, handle: SimulatedGpu, sensorType: int) -> int:
        return 34

    def _answer(self, handle: SimulatedGpu, supported: bool) -> None:
        if not supported:
            raise self.NVMLError("Not Supported")
        if any(start_s <= self._clock() < end_s for start_s, end_s in handle.silent):
            raise self.NVMLError("GPU is lost")
