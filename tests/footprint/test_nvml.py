import sys

import pytest

from carbon_midl.footprint import SensorError
from carbon_midl.footprint.nvml import find_gpus
from tests.footprint.fakes import FakeNvml


def machine() -> FakeNvml:
    return FakeNvml(
        {"uuid": "GPU-aaaa-1", "energy_mj": 5_000, "power_mw": 100_000},
        {"uuid": "GPU-bbbb-2", "energy_mj": None, "power_mw": 250_000},
        {"uuid": "GPU-cccc-3", "energy_mj": 9_000, "power_mw": 300_000},
    )


def test_energy_counter_where_there_is_one_and_power_where_not() -> None:
    nvml = machine()
    found = find_gpus(nvml, {})
    assert [sensor.component for sensor in found.sensors] == ["gpu 0", "gpu 1", "gpu 2"]
    assert [sensor.method for sensor in found.sensors] == [
        "measured: NVML energy counter",
        "sampled: NVML power",
        "measured: NVML energy counter",
    ]
    assert [sensor.quantity for sensor in found.sensors] == ["energy_j", "power_w", "energy_j"]
    assert [sensor.read() for sensor in found.sensors] == [5.0, 250.0, 9.0]
    assert [sensor.sample_interval_s is None for sensor in found.sensors] == [True, False, True]
    assert found.sensors[0].hardware == "NVIDIA Fake"


def test_nvml_is_held_while_sensors_are_open_and_given_back_after() -> None:
    nvml = machine()
    found = find_gpus(nvml, {})
    assert nvml.initialised == 3
    for sensor in found.sensors:
        sensor.close()
    assert nvml.initialised == 0


@pytest.mark.parametrize(
    ("visible", "energies"),
    [
        ("2", [9.0]),
        ("2,0", [9.0, 5.0]),
        ("GPU-cccc-3", [9.0]),
        ("GPU-aaaa, GPU-cccc", [5.0, 9.0]),
        ("0,-1,2", [5.0]),
        ("0,7,2", [5.0]),
        ("", []),
        ("-1", []),
    ],
)
def test_only_visible_devices_count(visible: str, energies: list[float]) -> None:
    found = find_gpus(machine(), {"CUDA_VISIBLE_DEVICES": visible})
    assert [sensor.read() for sensor in found.sensors] == energies
    assert [sensor.component for sensor in found.sensors] == [f"gpu {n}" for n in range(len(energies))]


def test_a_share_of_a_gpu_is_not_available_and_says_so() -> None:
    found = find_gpus(machine(), {"CUDA_VISIBLE_DEVICES": "MIG-1234"})
    assert found.sensors == ()
    assert "MIG-1234" in found.missing[0]


def test_no_driver_no_gpu() -> None:
    found = find_gpus(FakeNvml(driver=False), {})
    assert found.sensors == ()
    assert "Driver Not Loaded" in found.missing[0]


def test_no_library_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = find_gpus(environment={})
    assert found.sensors == ()
    assert "not installed" in found.missing[0]


def test_a_gpu_that_gives_neither_is_named() -> None:
    nvml = FakeNvml({"uuid": "GPU-x", "energy_mj": None, "power_mw": None})
    found = find_gpus(nvml, {})
    assert found.sensors == ()
    assert "gpu 0" in found.missing[0]
    assert nvml.initialised == 0


def test_failure_in_mid_run_is_a_drop_out() -> None:
    nvml = machine()
    counter, power, _ = find_gpus(nvml, {}).sensors
    for gpu in nvml.gpus:
        gpu["energy_mj"] = gpu["power_mw"] = None
    for sensor in (counter, power):
        with pytest.raises(SensorError, match="NVML"):
            sensor.read()
