"""The five instruments: the real ones on faked sensors, what one reported of recorded runs, and by hand."""

import importlib
import inspect
import itertools
import math
import sys
import time
from dataclasses import replace
from functools import partial
from importlib.resources import files
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.footprint import ComponentEnergy, FootprintRecord, Window
from carbon_midl.footprint.instruments import INSTRUMENTS, Reading, readings
from carbon_midl.study.results import read_results
from tests.footprint.simulated_nvml import SimulatedGpu, SimulatedNvml

LISTED, UNLISTED = "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", "A Processor"
CORES, BUSY, BOARDS_W = 16, 0.25, (300, 100)


def record(cpu: str = LISTED, gpu: str = "Tesla T4", gb: float = 100, rapl: bool = False) -> FootprintRecord:
    """An hour of a processor that is a quarter busy, with two boards."""
    methods = ["measured: RAPL"] * 2 if rapl else ["estimated: W per core", "estimated: W per GB"]
    watts, names = [5 * CORES * BUSY, 0.3725 * gb, *BOARDS_W], ["cpu", "memory", "gpu 0", "gpu 1"]
    parts = map(ComponentEnergy, names, [w / 1000 for w in watts], [*methods, "measured: NVML", "measured: NVML"])
    return FootprintRecord(
        (Window("training", "2026-01-01", 3600.0, tuple(parts)[: 4 if gpu else 2]),), 1,
        hardware={"cpu": cpu} | ({"gpu 0": gpu, "gpu 1": gpu} if gpu else {}),
        notes=("cpu: RAPL" if rapl else f"cpu: CPU time at 5 W for each of {CORES} logical cores",),
    )  # fmt: skip


def told(name: str, **changes: Any) -> tuple[Reading, list[float]]:
    """What an instrument reports of it, and its watts of processor, boards and memory."""
    _, reading = readings(record(**changes), only=[name])
    return reading, [1000 * kwh for kwh in (reading.cpu_kwh, reading.gpu_kwh, reading.memory_kwh)]


class Nvml(SimulatedNvml):
    """Two boards, with what CodeCarbon asks them for."""

    def __init__(self) -> None:
        super().__init__(time.perf_counter, *(SimulatedGpu(f"GPU-{w}", power_w=(w,)) for w in BOARDS_W))

    def nvmlDeviceGetMemoryInfo(self, _: Any) -> Any:
        return SimpleNamespace(total=1)

    def nvmlDeviceGetEnforcedPowerLimit(self, _: Any) -> int:
        return 700_000


@pytest.mark.parametrize(("study", "within"), [("lidc", 0.025), ("lidc-calibration", 0.001)])
def test_carbontracker_reported_that_of_recorded_runs(study: str, within: float) -> None:
    results = read_results(f"results/{study}")
    for run in results.runs.to_dict("records"):
        _, reading = readings(results.footprint(run["run"]), only=["carbontracker"])
        seen_kwh = reading.energy_kwh * run["carbontracker_duration_s"] / run["duration_s"]  # of the epochs alone
        assert seen_kwh == pytest.approx(run["carbontracker_energy_before_pue_kwh"], rel=within)


@pytest.mark.parametrize("cpu", [LISTED, UNLISTED, "AMD EPYC", "Apple M1", "Intel Xeon Gold 6148"])
def test_carbontracker(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("constants", "components.cpu.generic", "components.component")
    constants, generic, component = (importlib.import_module(f"carbontracker.{name}") for name in names)
    monkeypatch.setattr(generic.GenericCPU, "get_cpu_brand", lambda _: cpu)
    processor, boards = generic.GenericCPU([], False), component.Component.__new__(component.Component)
    processor.init()
    vars(boards).update(power_usages=[list(BOARDS_W)])
    reading, watts = told("carbontracker", cpu=cpu)
    assert watts == pytest.approx([*processor.power_usage(), 1000 * boards.energy_usage([3600])[0], 0], rel=0.01)
    assert (reading.pue, reading.g_per_kwh) == (constants.PUE_2023, constants.WORLD_AVG_CARBON_INTENSITY)


@pytest.mark.parametrize("cpu", [LISTED, UNLISTED])
def test_codecarbon(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = {
        "core.cpu.detect_cpu_model": lambda: cpu, "core.cpu.count_cpus": lambda: CORES,
        "core.cpu.is_rapl_available": lambda: False, "core.gpu.is_nvidia_system": lambda: True,
        "core.gpu.PYNVML_AVAILABLE": True, "core.gpu_nvidia.pynvml": Nvml(),
        "external.hardware.SystemCPULoadMeter.percent": lambda _: 100 * BUSY, "core.hardware_cache._plans": {},
        "core.hardware_cache._tdp": None,
    }  # fmt: skip
    for target, fake in fakes.items():
        monkeypatch.setattr(f"codecarbon.{target}", fake)
    codecarbon, ram = (importlib.import_module(name) for name in ("codecarbon", "codecarbon.external.ram"))
    for gb in (4, 12, 30, 60, 125.9, 200, 500, 1000, 3000, 100):
        monkeypatch.setattr(ram.RAM, "machine_memory_GB", gb)
        assert told("CodeCarbon", gb=gb)[1][2] == pytest.approx(ram.RAM().total_power().W)
    tracker = codecarbon.OfflineEmissionsTracker(
        country_iso_code="ZZZ", output_methods=[], allow_multiple_runs=True, log_level="critical", measure_power_secs=60
    )
    tracker.start()
    time.sleep(1)
    tracker.stop()
    reading, watts = told("CodeCarbon", cpu=cpu)
    data = tracker.final_emissions_data
    assert [data.cpu_power, data.ram_power] == pytest.approx(watts[::2], rel=0.01)
    assert data.gpu_energy / data.energy_consumed == pytest.approx(reading.gpu_kwh / reading.energy_kwh, rel=0.01)
    assert (data.pue, 1000 * data.emissions) == pytest.approx((reading.pue, reading.g_per_kwh * data.energy_consumed))


def test_eco2ai(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not required: it asks for pynvml, which is deprecated. pip install --no-deps eco2ai apscheduler tzlocal
    resources = ModuleType("pkg_resources")
    vars(resources)["resource_stream"] = lambda package, name: (files(package) / name).open("rb")
    monkeypatch.setitem(sys.modules, "pkg_resources", resources)
    eco2ai = pytest.importorskip("eco2ai")
    cpu, gpu, ram = (importlib.import_module(f"eco2ai.tools.tools_{name}") for name in ("cpu", "gpu", "ram"))
    fakes = {
        "cpu.get_cpu_info": lambda: {"brand_raw": LISTED}, "cpu.number_of_cpu": lambda _: 1,
        "cpu.CPU.get_cpu_percent": lambda _: BUSY, "gpu.pynvml": Nvml(), "ram.RAM._get_memory_used": lambda _: 8.0,
    }  # fmt: skip
    for name in ("cpu", "gpu", "ram"):
        fakes[f"{name}.time"] = SimpleNamespace(time=partial(next, itertools.count(0, 3600)))
    for target, fake in fakes.items():
        monkeypatch.setattr(f"eco2ai.tools.tools_{target}", fake)
    reading, watts = told("eco2AI")
    theirs = [1000 * device.calculate_consumption() for device in (cpu.CPU(), gpu.GPU(), ram.RAM())]
    assert (theirs[:2], theirs[2]) == (pytest.approx(watts[:2]), pytest.approx(3))
    assert reading.g_per_kwh == eco2ai.utils.define_carbon_index(alpha_2_code="ZZ")[0]
    assert inspect.signature(eco2ai.Tracker).parameters["pue"].default == reading.pue
    for name in ("Intel(R) Xeon(R) Processor", "AMD EPYC"):  # of recorded studies
        monkeypatch.setattr(cpu, "get_cpu_info", lambda name=name: {"brand_raw": name})
        assert told("eco2AI", cpu=name)[1][0] == BUSY * cpu.CPU(ignore_warnings=True).tdp()


def test_web_calculators_by_hand() -> None:
    assert told("Green Algorithms")[1] == pytest.approx([150, 140, 37.25])
    assert told("Green Algorithms", cpu=UNLISTED, gpu="Another")[1] == pytest.approx([12 * CORES, 400, 37.25])
    assert told("Green Algorithms")[0].carbon_g == pytest.approx(0.32725 * 1.56 * 475)
    assert told("ML CO2 Impact")[1] == [0, 140, 0]
    assert told("ML CO2 Impact", gpu="")[1] == [150, 0, 0]
    assert math.isnan(told("ML CO2 Impact", gpu="Another")[0].carbon_g)


def test_what_rapl_measured_is_taken_and_what_it_hides_is_not_known() -> None:
    watts = {name: told(name, rapl=True)[1] for name in INSTRUMENTS}
    assert watts["carbontracker"][0] == watts["CodeCarbon"][0] == pytest.approx(5 * CORES * BUSY)
    assert all(map(math.isnan, (watts["eco2AI"][0], watts["CodeCarbon"][2], watts["Green Algorithms"][2])))


def test_bad_input_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="duration_s: found 0 in window 'training', expected seconds above 0"):
        readings(replace(record(), windows=(Window("training", "2026-01-01", 0.0, ()),)))
    run = "results/lidc/filters-4-seed-0"
    for arguments, said in (
        ([run, "--only", "Greenalgo"], "found 'Greenalgo', expected one of carbontracker, CodeCarbon"),
        ([run, "--water", "ZZ"], "found 'ZZ', expected a place with a figure: world, CH"),
        (["results/lidc/filters-5-seed-0"], "no run 'filters-5-seed-0', expected one of filters-4-seed-0"),
    ):
        assert main(["footprint", "compare", *arguments]) == 2
        assert said in capsys.readouterr().err
    assert main(["footprint", "compare", run, "--only", "eco2AI", "--water", "DK"]) == 0
    assert "≥" in capsys.readouterr().out
