"""Energy of NVIDIA GPUs through NVML: by their counter from Volta on, by their sampled power where there is none.

Either counts everybody on a board, so trainings on a metered board are made one after the other.
"""

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from carbon_midl.files import is_locked, locked
from carbon_midl.footprint.meter import MAX_POWER_W, FoundSensors, Sensor, SensorError

POWER_INTERVAL_S = 0.25
# The edges of windows would be enough, if counters were never reset.
COUNTER_INTERVAL_S = 1.0
_INSTANCE = "MIG-"
_MILLI = 1e-3
# Boards overshoot their power limit for moments, never so far.
_OVERSHOOT = 2.0


class GpuSensor(Sensor):
    """One GPU by its energy counter or, to be sampled, by its power; `SensorError` if NVML does not tell it.

    Power is of the instant where the driver offers that as a field of its own. `nvmlDeviceGetPowerUsage` is the same up
    to the A100; on other Ampere boards and later ones, such as Hopper, it is the mean of the last second (NVML
    reference).
    """

    def __init__(self, nvml: Any, handle: Any, component: str, is_instance: bool, counts: bool) -> None:
        self.method = "measured: NVML energy counter" if counts else "sampled: NVML power"
        self.quantity = "energy_j" if counts else "power_w"
        self.sample_interval_s = COUNTER_INTERVAL_S if counts else POWER_INTERVAL_S
        self.component = component
        self.uuid = nvml.nvmlDeviceGetUUID(handle)
        self.hardware = nvml.nvmlDeviceGetName(handle)
        self.coverage = "the whole board, with whatever else runs on it"
        if is_instance:
            self.coverage += "; this program has only an instance (MIG) of it"
        with suppress(nvml.NVMLError):
            _, limit_mw = nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
            self.max_power_w = _OVERSHOOT * limit_mw * _MILLI or MAX_POWER_W
        self._nvml = nvml
        self._handle = handle
        self.read()
        # NVML counts how often it was initialised: each sensor has its own share.
        nvml.nvmlInit()

    def read(self) -> float:
        """Joules since the driver was loaded, or watts."""
        nvml = self._nvml
        try:
            if self.quantity == "energy_j":
                return float(nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) * _MILLI
            with suppress(nvml.NVMLError):
                (field,) = nvml.nvmlDeviceGetFieldValues(self._handle, [nvml.NVML_FI_DEV_POWER_INSTANT])
                if field.nvmlReturn == nvml.NVML_SUCCESS:
                    return float(field.value.uiVal) * _MILLI
            return float(nvml.nvmlDeviceGetPowerUsage(self._handle)) * _MILLI
        except nvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error

    def temperature_c(self) -> float | None:
        """Of the board; None where it does not tell."""
        with suppress(self._nvml.NVMLError):
            return float(self._nvml.nvmlDeviceGetTemperature(self._handle, self._nvml.NVML_TEMPERATURE_GPU))
        return None

    def close(self) -> None:
        """Give back this sensor's share of NVML; a driver that has gone away needs nothing back."""
        with suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


def find_gpus(nvml: Any = None, environment: Mapping[str, str] = os.environ) -> FoundSensors:
    """A sensor for each GPU that a program with this environment may use, "gpu 0", "gpu 1", …; ``nvml`` is `pynvml`."""
    nvml = nvml or importlib.import_module("pynvml")
    sensors: list[Sensor] = []
    missing: list[str] = []
    try:
        nvml.nvmlInit()
        for number, (handle, is_instance) in enumerate(_visible_boards(nvml, environment, missing)):
            for counts in (True, False):
                with suppress(SensorError):
                    sensors.append(GpuSensor(nvml, handle, f"gpu {number}", is_instance, counts))
                    break
            else:
                missing.append(f"gpu {number}: neither energy nor power can be read")
        nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        missing.append(f"GPU: {'not all' if sensors else 'none'} seen by NVML ({error})")
    if not sensors and not missing:
        missing.append("GPU: none visible to this program")
    return FoundSensors(tuple(sensors), tuple(missing))


def _visible_boards(nvml: Any, environment: Mapping[str, str], missing: list[str]) -> list[tuple[Any, bool]]:
    """Handles of the boards that a program may use, in CUDA's order, and whether it may use only an instance of each.

    One that is there and does not answer, as a GPU that has fallen off the bus, is named in ``missing``.

    Where torch uses CUDA in this process it knows them by UUID, be they boards or MIG instances. Else they are those of
    `CUDA_VISIBLE_DEVICES`, by UUID or by an index. That is taken for NVML's, which is CUDA's, too, under
    `CUDA_DEVICE_ORDER=PCI_BUS_ID` or where all GPUs are alike. Torch is not imported: it takes seconds.
    """
    torch = sys.modules.get("torch")
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    if environment is os.environ and torch is not None and torch.cuda.is_initialized():
        uuids = [torch.cuda.get_device_properties(device).uuid for device in range(torch.cuda.device_count())]
        spellings: list[tuple[str, ...]] = [(f"GPU-{uuid}", f"{_INSTANCE}{uuid}") for uuid in uuids]
    elif listed is not None:
        spellings = [(name.strip(),) for name in listed.split(",")]
    else:
        spellings = [(str(index),) for index in range(nvml.nvmlDeviceGetCount())]
    boards: dict[str, tuple[Any, bool]] = {}
    for names in spellings:
        try:
            board = next((board for board in (_board(nvml, name) for name in names) if board is not None), None)
        except nvml.NVMLError as error:
            missing.append(f"GPU {names[0]}: {error}")
            continue
        if board is None:
            break  # as for CUDA, the first entry that names no device ends the list
        boards.setdefault(nvml.nvmlDeviceGetUUID(board[0]), board)
    return list(boards.values())


def _board(nvml: Any, name: str) -> tuple[Any, bool] | None:
    with suppress(nvml.NVMLError_NotFound, nvml.NVMLError_InvalidArgument):
        if name.isdecimal():
            return nvml.nvmlDeviceGetHandleByIndex(int(name)), False
        handle = nvml.nvmlDeviceGetHandleByUUID(name)
        if name.startswith(_INSTANCE):
            return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle), True
        return handle, False
    return None


def visible_boards(environment: Mapping[str, str] = os.environ, nvml: Any = None) -> list[str]:
    """UUIDs of the boards of `find_gpus`, the same in all programs, while their numbers depend on which are shown."""
    sensors = [sensor for sensor in find_gpus(nvml, environment).sensors if isinstance(sensor, GpuSensor)]
    for sensor in sensors:
        sensor.close()
    return [sensor.uuid for sensor in sensors]


def machine_lock(name: str) -> Path:
    """The lock's file for what this machine has one of, such as a GPU; the same for all programs of this user."""
    return Path(tempfile.gettempdir()) / f"carbon-midl-{os.getuid()}-{name}.lock"


@contextmanager
def gpu_lock(boards: Sequence[str], on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Wait until no training is on these `visible_boards`, said once by `on_wait`, and keep others off them."""
    # In one order, so that two who want the same two boards do not wait for each other.
    paths = [machine_lock(f"{board}-training") for board in sorted(set(boards))]
    if any(is_locked(path) for path in paths):
        on_wait()
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(locked(path))
        yield
