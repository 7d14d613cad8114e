"""Stand-ins for clocks, sensors and NVML, so that no test needs hardware or waits."""

from collections.abc import Callable
from typing import Any, Literal

from carbon_midl.footprint import SensorError


class FakeClock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def __call__(self) -> float:
        return self.time_s

    def advance(self, seconds: float) -> None:
        self.time_s += seconds


class FakeSensor:
    """A sensor that gives `value()`; an exception in it stands for a drop-out."""

    coverage = "a fake"

    def __init__(
        self,
        component: str,
        value: Callable[[], float],
        quantity: Literal["energy_j", "power_w"] = "power_w",
        method: str = "estimated: half TDP",
        sample_interval_s: float | None = None,
    ) -> None:
        self.component = component
        self.hardware = f"fake {component}"
        self.method = method
        self.quantity: Literal["energy_j", "power_w"] = quantity
        self.sample_interval_s = sample_interval_s
        self.closed = False
        self._value = value

    def read(self) -> float:
        return self._value()

    def close(self) -> None:
        self.closed = True


def constant(component: str, power_w: float, method: str = "estimated: half TDP") -> FakeSensor:
    return FakeSensor(component, lambda: power_w, method=method)


def silent() -> float:
    raise SensorError("no answer")


class FakeNvml:
    """The functions of `pynvml` that are used here, over GPUs given as dicts: uuid, power_mw, energy_mj (or None)."""

    class NVMLError(Exception):
        pass

    def __init__(self, *gpus: dict[str, Any], driver: bool = True) -> None:
        self.gpus = list(gpus)
        self.driver = driver
        self.initialised = 0

    def nvmlInit(self) -> None:
        if not self.driver:
            raise self.NVMLError("Driver Not Loaded")
        self.initialised += 1

    def nvmlShutdown(self) -> None:
        self.initialised -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> dict[str, Any]:
        raise self.NVMLError(f"Not Found: {uuid}")

    def nvmlDeviceGetUUID(self, gpu: dict[str, Any]) -> str:
        return str(gpu["uuid"])

    def nvmlDeviceGetName(self, gpu: dict[str, Any]) -> bytes:
        return b"NVIDIA Fake"

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: dict[str, Any]) -> int:
        return self._value(gpu, "energy_mj")

    def nvmlDeviceGetPowerUsage(self, gpu: dict[str, Any]) -> int:
        return self._value(gpu, "power_mw")

    def _value(self, gpu: dict[str, Any], name: str) -> int:
        value = gpu.get(name)
        if value is None:
            raise self.NVMLError("Not Supported")
        return int(value)
