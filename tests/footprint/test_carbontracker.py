import contextlib
import importlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carbon_midl.footprint import FootprintRecord, Tracker, carbon_intensity, describe
from carbon_midl.footprint.carbontracker import Carbontracker
from carbon_midl.footprint.grid import WORLD, CarbonIntensity
from carbon_midl.footprint.meter import FoundSensors
from carbon_midl.footprint.record import CarbontrackerFigures
from carbon_midl.footprint.sensors import linux_cpu_name
from tests.footprint.fakes import constant


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every attempt to connect or to look up a name fails, and fails the test even if it is swallowed."""
    attempts: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        attempts.append(arguments[-1])
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield attempts
    assert attempts == []


@pytest.fixture(autouse=True)
def known_processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds that carbontracker takes to find the processor's name."""
    if "real_processor" not in request.fixturenames:
        generic = importlib.import_module("carbontracker.components.cpu.generic")
        monkeypatch.setattr(generic.GenericCPU, "get_cpu_brand", lambda _: "Intel Xeon Gold 6140")


@pytest.fixture
def real_processor() -> None:
    """Ask for this machine's own processor."""


def make_tracker(log_dir: Path, epochs: int, intensity: CarbonIntensity = WORLD) -> Tracker:
    return Tracker(log_dir, epochs, intensity=intensity, sensors=FoundSensors((constant("cpu", 1),)))


def train(
    log_dir: Path, epochs_s: list[float], planned: int | None = None, intensity: CarbonIntensity = WORLD
) -> FootprintRecord:
    tracker = make_tracker(log_dir, planned or len(epochs_s), intensity)
    with tracker, tracker.window("training"):
        for number, duration_s in enumerate(epochs_s, start=1):
            with tracker.epoch(number):
                time.sleep(duration_s)
    return tracker.record


def figures_of(record: FootprintRecord) -> CarbontrackerFigures:
    assert record.carbontracker is not None
    return record.carbontracker


@pytest.mark.usefixtures("real_processor")
def test_figures_are_those_of_its_own_log_parser(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from carbontracker import constants, parser

    record = train(tmp_path / "logs", [0.15, 0.1], intensity=carbon_intensity("DK"))
    figures = figures_of(record)
    (log,) = parser.parse_all_logs(str(tmp_path / "logs"))
    assert figures.energy_before_pue_kwh == pytest.approx(log["actual"]["energy (kWh)"] / constants.PUE_2023, rel=1e-12)
    assert figures.carbon_g == log["actual"]["co2eq (g)"]
    (component,) = log["components"].values()
    assert figures.duration_s == pytest.approx(component["epoch_durations (s)"].sum())
    assert figures.measured_epochs == len(component["epoch_durations (s)"]) == 2
    assert figures.duration_s == pytest.approx(sum(record.epoch(n).duration_s for n in (1, 2)), abs=0.05)
    assert figures.version is not None
    assert log["early_stop"] is False
    assert capfd.readouterr().out == ""


def test_its_difference_to_our_record_is_recorded(tmp_path: Path) -> None:
    record = train(tmp_path, [0.1, 0.1])
    figures = figures_of(record)
    assert figures.energy_before_pue_kwh is not None
    ours_kwh = record.epoch(1).energy_kwh + record.epoch(2).energy_kwh
    assert figures.difference_kwh == pytest.approx(figures.energy_before_pue_kwh - ours_kwh)
    assert "more than ours over the same epochs" in describe(record)


def test_it_takes_the_place_of_the_run(tmp_path: Path) -> None:
    figures = figures_of(train(tmp_path, [0.1, 0.02], intensity=carbon_intensity("FR")))
    assert figures.energy_before_pue_kwh is not None
    assert figures.carbon_g == pytest.approx(figures.energy_before_pue_kwh * 1.58 * 44.179085, rel=1e-4)
    assert "cannot be given a number" not in figures.note
    assert "epochs shorter than its sampling interval of 1 s: 2" in figures.note


def test_it_is_said_that_a_number_cannot_be_passed_on(tmp_path: Path) -> None:
    assert "its gCO2eq stand on 445 g/kWh" in figures_of(train(tmp_path, [0.1], intensity=carbon_intensity(100))).note


@pytest.mark.parametrize(("trained", "planned", "measured"), [(3, 10, 3), (3, 2, 2)])
def test_of_a_training_that_ends_early_or_late_the_planned_epochs_are_measured(
    trained: int, planned: int, measured: int, tmp_path: Path
) -> None:
    record = train(tmp_path, [0.1] * trained, planned)
    figures = figures_of(record)
    assert (record.epochs, figures.measured_epochs) == (trained, measured)
    assert figures.energy_before_pue_kwh is not None
    assert figures.energy_before_pue_kwh > 0


def test_an_interrupted_epoch_counts(tmp_path: Path) -> None:
    tracker = make_tracker(tmp_path, 5)
    with pytest.raises(KeyboardInterrupt), tracker, tracker.window("training"):
        with tracker.epoch(1):
            time.sleep(0.1)
        with tracker.epoch(2):
            time.sleep(0.1)
            raise KeyboardInterrupt
    assert figures_of(tracker.record).measured_epochs == 2


def test_no_epoch_no_figures(tmp_path: Path) -> None:
    tracker = make_tracker(tmp_path, 2)
    with tracker, tracker.window("test"):
        pass
    figures = figures_of(tracker.record)
    assert figures.energy_before_pue_kwh is None
    assert "no epoch was measured" in figures.note


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(70)])
@pytest.mark.parametrize("method", ["__init__", "epoch_start", "epoch_end", "stop"])
def test_its_failures_never_cost_a_training(
    method: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    implementation = importlib.import_module("carbontracker.tracker")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(implementation.CarbonTracker, method, fail)
    record = train(tmp_path, [0.02], planned=2)
    assert record.epochs == 1
    assert "failed at" in figures_of(record).note


def test_a_version_that_cannot_be_kept_off_the_network_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    implementation = importlib.import_module("carbontracker.tracker")

    class AnotherService:
        pass

    monkeypatch.setattr(implementation, "IntensityService", AnotherService)
    assert "perhaps by network" in figures_of(train(tmp_path, [0.01])).note


def test_a_sensor_that_it_may_not_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from carbontracker import exceptions
    from carbontracker.components.cpu.generic import GenericCPU

    def refuse(_: Any) -> list[float]:
        raise exceptions.IntelRaplPermissionError(["/sys/class/powercap/intel-rapl:0/energy_uj"])

    monkeypatch.setattr(GenericCPU, "power_usage", refuse)
    assert "lack of read-permissions" in figures_of(train(tmp_path, [0.1])).note


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
def test_log_files_are_closed(tmp_path: Path) -> None:
    train(tmp_path, [0.01])
    still_open = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            still_open.add(str(descriptor.readlink()))
    assert not [path for path in still_open if str(tmp_path) in path]


@pytest.mark.usefixtures("real_processor")
def test_carbontracker_is_given_the_name_that_it_would_find(tmp_path: Path) -> None:
    generic = importlib.import_module("carbontracker.components.cpu.generic")
    name = linux_cpu_name()
    if name is None:
        pytest.skip("this system has no processor's name in /proc/cpuinfo")
    assert generic.cpuinfo.get_cpu_info()["brand_raw"] == name
    beside = Carbontracker(tmp_path, 1, WORLD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generic.cpuinfo, "get_cpu_info", lambda: pytest.fail("it asks"))
        beside.start()
    beside.finish([])
    told = "".join(path.read_text() for path in tmp_path.glob("*_carbontracker.log"))
    assert f"CPU with device(s) {name}." in told
