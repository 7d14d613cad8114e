import importlib
import inspect
import sys

import pytest

from carbon_midl.footprint import SensorError
from carbon_midl.footprint.nvml import find_gpus, visible_boards
from carbon_midl.footprint.sensors import MAX_POWER_W
from tests.footprint.fakes import FakeClock
from tests.footprint.simulated_nvml import SimulatedGpu, SimulatedNvml


def machine(clock: FakeClock | None = None) -> SimulatedNvml:
    return SimulatedNvml(
        clock or FakeClock(),
        SimulatedGpu("GPU-aaaa-1", power_w=[100.0], offset_j=5.0),
        SimulatedGpu("GPU-bbbb-2", power_w=[250.0], has_counter=False, limit_w=None),
        SimulatedGpu("GPU-cccc-3", power_w=[300.0], offset_j=9.0),
        instances={"MIG-1": 2, "MIG-2": 2},
    )


def test_the_stand_in_has_the_functions_of_the_real_module() -> None:
    real = importlib.import_module("pynvml")
    simulated = [name for name in vars(SimulatedNvml) if name.startswith("nvml")]
    assert len(simulated) >= 10
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


def test_energy_counter_with_power_beside_it_and_power_alone_where_there_is_no_counter() -> None:
    found = find_gpus(machine(), {})
    assert [(s.component, s.method, s.quantity, s.read()) for s in found.sensors] == [
        ("gpu 0", "measured: NVML energy counter", "energy_j", 5.0),
        ("gpu 1", "sampled: NVML power", "power_w", 250.0),
        ("gpu 2", "measured: NVML energy counter", "energy_j", 9.0),
    ]
    assert [(s.component, s.method, s.read()) for s in found.checks] == [
        ("gpu 0", "sampled: NVML power", 100.0),
        ("gpu 2", "sampled: NVML power", 300.0),
    ]
    assert found.sensors[0].hardware == "NVIDIA Simulated"
    assert [sensor.max_power_w for sensor in found.sensors] == [1400.0, MAX_POWER_W, 1400.0]


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


def test_nvml_is_held_while_sensors_are_open_and_given_back_after() -> None:
    nvml = machine()
    found = find_gpus(nvml, {})
    assert nvml.initialised == 5
    for sensor in (*found.sensors, *found.checks):
        sensor.close()
    assert nvml.initialised == 0


@pytest.mark.parametrize(
    ("visible", "energies"),
    [
        ("2", [9.0]),
        ("2,0", [9.0, 5.0]),
        (" 2 , 0 ", [9.0, 5.0]),
        ("GPU-cccc-3", [9.0]),
        ("GPU-aaaa,GPU-cccc", [5.0, 9.0]),
        ("GPU-a", [5.0]),
        ("GPU-", []),  # it may be any of them
        ("GPU-aaaa,GPU-dddd,GPU-cccc", [5.0]),
        ("0,-1,2", [5.0]),
        ("0,7,2", [5.0]),
        ("0,no,2", [5.0]),
        ("0gpu,2gpu", [5.0, 9.0]),
        ("", []),
        ("-1", []),
        ("0,2,0", []),
        ("GPU-aaaa,GPU-aaaa-1", []),
        ("MIG-1", [9.0]),
        ("MIG-1,MIG-2", [9.0]),  # two instances of one board
        ("MIG-9,MIG-1", []),
        ("0,MIG-9", [5.0]),
    ],
)
def test_only_visible_devices_count(visible: str, energies: list[float]) -> None:
    found = find_gpus(machine(), {"CUDA_VISIBLE_DEVICES": visible})
    assert [sensor.read() for sensor in found.sensors] == energies
    assert [sensor.component for sensor in found.sensors] == [f"gpu {n}" for n in range(len(energies))]
    assert [bool(energies)] == [found.missing == ()]


@pytest.mark.parametrize("visible", ["", "1", "2,0", "0,9", "-1", "1x,0", "0,0", "GPU-aaaa", "GPU-cccc,GPU-aaaa"])
def test_the_list_is_read_as_torch_reads_it(visible: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    uuids = [gpu.uuid for gpu in machine().gpus]
    parsed = torch.cuda._parse_visible_devices()
    if parsed and isinstance(parsed[0], str):
        parsed = torch.cuda._transform_uuid_to_ordinals(parsed, uuids)
    theirs = []
    for index in parsed:
        if not 0 <= int(index) < 3:
            break
        theirs.append([5.0, 250.0, 9.0][int(index)])
    assert [sensor.read() for sensor in find_gpus(machine()).sensors] == theirs


def test_a_share_of_a_gpu_counts_the_whole_board_and_says_so() -> None:
    (sensor,) = find_gpus(machine(), {"CUDA_VISIBLE_DEVICES": "MIG-1"}).sensors
    assert "only an instance (MIG)" in sensor.coverage


def test_no_driver_no_gpu() -> None:
    found = find_gpus(SimulatedNvml(FakeClock(), driver=False), {})
    assert found.sensors == ()
    assert "Driver Not Loaded" in found.missing[0]


def test_no_library_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = find_gpus(environment={})
    assert found.sensors == ()
    assert "not installed" in found.missing[0]


def test_a_gpu_that_gives_neither_is_named() -> None:
    nvml = SimulatedNvml(FakeClock(), SimulatedGpu("GPU-x", has_counter=False, has_power=False))
    found = find_gpus(nvml, {})
    assert found.sensors == ()
    assert "gpu 0" in found.missing[0]
    assert nvml.initialised == 0


def test_failure_in_mid_run_is_a_drop_out() -> None:
    clock = FakeClock()
    nvml = machine(clock)
    found = find_gpus(nvml, {})
    for gpu in nvml.gpus:
        gpu.silent = [(5.0, float("inf"))]
    clock.advance(10)
    for sensor in (*found.sensors, *found.checks):
        with pytest.raises(SensorError, match="NVML: GPU is lost"):
            sensor.read()


def test_a_board_has_one_name_whichever_boards_a_program_is_shown() -> None:
    nvml = machine()
    assert visible_boards({}, nvml) == ["GPU-aaaa-1", "GPU-bbbb-2", "GPU-cccc-3"]
    assert visible_boards({"CUDA_VISIBLE_DEVICES": "2,0"}, nvml) == ["GPU-cccc-3", "GPU-aaaa-1"]
    assert visible_boards({"CUDA_VISIBLE_DEVICES": "MIG-1"}, nvml) == ["GPU-cccc-3"]
    assert visible_boards({"CUDA_VISIBLE_DEVICES": ""}, nvml) == []
    assert visible_boards({}, SimulatedNvml(FakeClock(), driver=False)) == []
    assert nvml.initialised == 0
