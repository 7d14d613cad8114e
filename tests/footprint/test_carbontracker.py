import contextlib
import importlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carbon_midl.footprint import FootprintRecord, carbon_intensity
from carbon_midl.footprint.record import CarbontrackerFigures
from tests.footprint.fakes import constant, make_tracker


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every attempt to connect or to look up a name fails, and fails the test even if it is swallowed."""
    attempts: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        attempts.append(arguments[-1])
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert attempts == []


def train(
    log_dir: Path, epochs_s: list[float], planned: int | None = None, error: BaseException | None = None, **options: Any
) -> tuple[FootprintRecord, CarbontrackerFigures]:
    """Train beside carbontracker, to the end or to an error in the last epoch."""
    epochs = planned or len(epochs_s)
    tracker = make_tracker(time, constant("cpu", 1), epochs=epochs, carbontracker=True, log_dir=log_dir, **options)
    with contextlib.suppress(KeyboardInterrupt), tracker, tracker.window("training"):
        for number, duration_s in enumerate(epochs_s, start=1):
            with tracker.epoch(number):
                time.sleep(duration_s)
                if error is not None and number == len(epochs_s):
                    raise error
    assert tracker.record.carbontracker is not None
    return tracker.record, tracker.record.carbontracker


def test_figures_are_those_of_its_own_log_parser(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from carbontracker import constants, parser

    record, figures = train(tmp_path / "logs", [0.15, 0.1], intensity=carbon_intensity("FR"))
    (log,) = parser.parse_all_logs(str(tmp_path / "logs"))
    assert figures.energy_before_pue_kwh == pytest.approx(log["actual"]["energy (kWh)"] / constants.PUE_2023, rel=1e-12)
    assert figures.carbon_g == log["actual"]["co2eq (g)"]
    (component,) = log["components"].values()
    assert figures.duration_s == pytest.approx(component["epoch_durations (s)"].sum())
    assert figures.measured_epochs == len(component["epoch_durations (s)"]) == 2
    assert figures.duration_s == pytest.approx(sum(record.epoch(n).duration_s for n in (1, 2)), abs=0.05)
    assert log["early_stop"] is False
    assert capfd.readouterr().out == ""
    # It takes the place of the run.
    assert figures.carbon_g == pytest.approx(log["actual"]["energy (kWh)"] * 44.179085, rel=1e-4)
    assert "cannot be given a number" not in figures.note
    assert "epochs shorter than its sampling interval of 1 s: 2" in figures.note


def test_it_is_said_that_a_number_cannot_be_passed_on(tmp_path: Path) -> None:
    assert "its gCO2eq stand on 445 g/kWh" in train(tmp_path, [0.1], intensity=carbon_intensity(100))[1].note


@pytest.mark.parametrize(("trained", "planned", "error"), [(3, 10, None), (3, 2, None), (2, 5, KeyboardInterrupt())])
def test_however_a_training_ends_the_planned_epochs_are_measured(
    trained: int, planned: int, error: BaseException | None, tmp_path: Path
) -> None:
    record, figures = train(tmp_path, [0.1] * trained, planned, error)
    assert (record.epochs, figures.measured_epochs) == (trained - (error is not None), min(trained, planned))
    assert (figures.energy_before_pue_kwh or 0) > 0


@pytest.mark.parametrize(
    ("method", "error"),
    [("__init__", SystemExit(70)), ("epoch_start", RuntimeError()), ("epoch_end", SystemExit()), ("stop", OSError())],
)
def test_its_failures_never_cost_a_training(
    method: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(importlib.import_module("carbontracker.tracker").CarbonTracker, method, fail)
    record, figures = train(tmp_path, [0.02], planned=2)
    assert record.epochs == 1
    assert "failed at" in figures.note


def test_a_version_that_may_use_the_network_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("carbontracker.tracker"), "IntensityService", object)
    assert "perhaps by network" in train(tmp_path, [0.01])[1].note


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
def test_no_epoch_gives_no_figures_and_log_files_are_closed(tmp_path: Path) -> None:
    _, figures = train(tmp_path, [], planned=2)
    assert figures.energy_before_pue_kwh is None
    assert "no epoch was measured" in figures.note
    still_open = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            still_open.add(str(descriptor.readlink()))
    assert not [path for path in still_open if str(tmp_path) in path]
