import importlib
import inspect
import os
import sys
from types import SimpleNamespace

import pytest

from carbon_midl.footprint.meter import MAX_POWER_W
from carbon_midl.footprint.nvml import find_gpus, visible_boards
from tests.footprint.fakes import FakeClock
from tests.footprint.simulated_nvml import SimulatedGpu, SimulatedNvml


def machine() -> SimulatedNvml:
    return SimulatedNvml(
        FakeClock(),
        SimulatedGpu("GPU-aaaa", power_w=[100.0], offset_j=5.0),
        SimulatedGpu("GPU-bbbb", power_w=[250.0], has_counter=False, limit_w=None),
        SimulatedGpu("GPU-cccc", power_w=[300.0], offset_j=9.0),
        instances={"MIG-1": 2, "MIG-2": 2},
    )


def test_the_stand_in_has_the_functions_of_the_real_module() -> None:
    real = importlib.import_module("pynvml")
    simulated = [name for name in vars(SimulatedNvml) if name.startswith("nvml")]
    for name in simulated:
        ours = list(inspect.signature(getattr(SimulatedNvml, name)).parameters)[1:]
        theirs = inspect.signature(inspect.unwrap(getattr(real, name))).parameters
        required = [parameter.name for parameter in theirs.values() if parameter.default is parameter.empty]
        # Decorated functions show only *args.
        assert len(ours) == len(required) or "args" in theirs, name
    assert issubclass(real.NVMLError, Exception)
    for name in [name for name in vars(SimulatedNvml) if name.startswith("NVML_")]:
        assert getattr(SimulatedNvml, name) == getattr(real, name), name
    field = real.c_nvmlFieldValue_t()
    assert (field.nvmlReturn, field.value.uiVal) == (real.NVML_SUCCESS, 0)


def test_the_energy_counter_or_else_sampled_power() -> None:
    nvml = machine()
    sensors = find_gpus(nvml, {}).sensors
    assert [(s.component, s.method, s.quantity, s.read(), s.max_power_w) for s in sensors] == [
        ("gpu 0", "measured: NVML energy counter", "energy_j", 5.0, 1400.0),
        ("gpu 1", "sampled: NVML power", "power_w", 250.0, MAX_POWER_W),
        ("gpu 2", "measured: NVML energy counter", "energy_j", 9.0, 1400.0),
    ]
    assert sensors[0].hardware == "NVIDIA Simulated"
    # NVML is held while sensors are open, and given back after.
    assert nvml.initialised == 3
    for sensor in sensors:
        sensor.close()
    assert nvml.initialised == 0


@pytest.mark.parametrize(
    ("averages", "fields", "power_w"),
    [(True, True, 400.0), (True, False, 175.0), (False, True, 400.0), (False, False, 400.0)],
)
def test_power_is_of_the_instant_wherever_the_driver_offers_it(averages: bool, fields: bool, power_w: float) -> None:
    clock = FakeClock()
    # From 100 to 400 W at 10 s, read a quarter of a second later; a mean of the last second sees three quarters of 100.
    gpu = SimulatedGpu("GPU-h", (0.0, 10.0, 10.0), (100.0, 100.0, 400.0), has_counter=False, averages=averages)
    (sensor,) = find_gpus(SimulatedNvml(clock, gpu, fields=fields), {}).sensors
    clock.advance(10.25)
    assert sensor.read() == power_w


@pytest.mark.parametrize(
    ("visible", "energies"),
    [
        (None, [5.0, 250.0, 9.0]),
        ("2", [9.0]),
        (" 2 , 0 ", [9.0, 5.0]),
        ("GPU-cccc,GPU-aaaa", [9.0, 5.0]),
        ("MIG-1,MIG-2", [9.0]),  # two instances of one board
        ("GPU-aaaa,GPU-dddd,GPU-cccc", [5.0]),  # the first that is none ends the list
        ("0,7,2", [5.0]),
        ("-1", []),
    ],
)
def test_only_visible_devices_count(visible: str | None, energies: list[float]) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = find_gpus(machine(), environment)
    assert [sensor.read() for sensor in found.sensors] == energies
    assert [sensor.component for sensor in found.sensors] == [f"gpu {n}" for n in range(len(energies))]
    assert bool(energies) == (found.missing == ())
    # A share of a GPU counts the whole board, and says so.
    assert all(("an instance (MIG)" in sensor.coverage) == ("MIG" in str(visible)) for sensor in found.sensors)


@pytest.mark.parametrize(
    ("uuids", "boards"), [(["cccc", "aaaa"], ["GPU-cccc", "GPU-aaaa"]), (["1"], ["GPU-cccc"]), ([], [])]
)
def test_torch_names_the_boards_it_uses(uuids: list[str], boards: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: len(uuids),
        get_device_properties=lambda device: SimpleNamespace(uuid=uuids[device]),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")  # in an order that is not NVML's
    assert visible_boards(nvml=machine()) == boards
    # Of another program it knows nothing.
    assert visible_boards(dict(os.environ), machine()) == ["GPU-bbbb", "GPU-aaaa"]
    assert visible_boards({"CUDA_VISIBLE_DEVICES": "MIG-1"}, machine()) == ["GPU-cccc"]
    assert visible_boards({}, SimulatedNvml(FakeClock(), driver=False)) == []


def test_a_lost_gpu_hides_no_sound_one() -> None:
    nvml = SimulatedNvml(FakeClock(), SimulatedGpu("GPU-a", lost=True), SimulatedGpu("GPU-b"))
    found = find_gpus(nvml, {})
    assert [sensor.component for sensor in found.sensors] == ["gpu 0"]
    assert found.missing == ("GPU 0: GPU is lost",)


@pytest.mark.parametrize(
    ("driver", "reason"), [(True, "gpu 0: neither energy nor power"), (False, "Driver Not Loaded")]
)
def test_why_there_is_no_gpu_is_told(driver: bool, reason: str) -> None:
    nvml = SimulatedNvml(FakeClock(), SimulatedGpu("GPU-x", has_counter=False, has_power=False), driver=driver)
    found = find_gpus(nvml, {})
    assert (found.sensors, nvml.initialised) == ((), 0)
    assert reason in found.missing[0]
