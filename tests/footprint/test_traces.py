"""The whole tracker on simulated GPUs, whose true energy is known."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from carbon_midl.footprint import FootprintRecord, Tracker, describe
from carbon_midl.footprint.nvml import find_gpus
from tests.footprint.fakes import FakeClock
from tests.footprint.simulated_nvml import SimulatedGpu, SimulatedNvml

J_PER_KWH = 3.6e6
STEP_S = 0.05
TIMES_S = np.arange(0.0, 400.0, 0.5)


def trace(seed: int) -> list[float]:
    """A training's power, W: a slow wave, a batch's rhythm and noise."""
    chance = np.random.default_rng(seed)
    wave = 350 + 150 * np.sin(TIMES_S / 15) + 60 * np.sign(np.sin(TIMES_S * 2))
    return (wave + chance.normal(0, 20, len(TIMES_S))).clip(60).tolist()


def gpu(number: int, **faults: Any) -> SimulatedGpu:
    return SimulatedGpu(f"GPU-{number}", times_s=TIMES_S.tolist(), power_w=trace(number), **faults)


def train(
    monkeypatch: pytest.MonkeyPatch, gpus: list[SimulatedGpu], epochs_s: list[float], idle_s: float = 0.0
) -> tuple[FootprintRecord, Callable[[str], float]]:
    """Train on simulated time; the record, and the true energy of an epoch (or of all) in kWh."""
    monkeypatch.setattr(Tracker, "_sample", lambda self: None)  # sampling follows the simulated clock instead

    class SamplingClock(FakeClock):
        next_s = 0.0

        def sleep(self, seconds: float) -> None:
            end_s = self.time_s + seconds
            while self.time_s < end_s - 1e-9:
                self.time_s = min(end_s, self.time_s + STEP_S)
                if self.time_s >= self.next_s:
                    self.next_s = self.time_s + min(s.sample_interval_s or math.inf for s in found.sensors)
                    tracker._read(tracker._meters)

    clock = SamplingClock()
    nvml = SimulatedNvml(clock, *gpus)
    spans: dict[str, tuple[float, float]] = {}
    found = find_gpus(nvml, {})
    tracker = Tracker("unused", len(epochs_s), carbontracker=False, sensors=found, clock=clock, idle_s=idle_s)
    with tracker, tracker.window("training"):
        start_s = clock.time_s
        for number, epoch_s in enumerate(epochs_s, start=1):
            began_s = clock.time_s
            with tracker.epoch(number):
                clock.sleep(epoch_s)
            spans[f"epoch {number}"] = (began_s, clock.time_s)
        spans["training"] = (start_s, clock.time_s)
    assert nvml.initialised == 0
    return tracker.record, lambda name: sum(one.true_energy_j(*spans[name]) for one in gpus) / J_PER_KWH


FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "no counter": {"has_counter": False},
    "no power": {"has_power": False},
    "slow counter": {"tick_s": 0.1},
    "drop-outs": {"silent": [(12.0, 15.0), (40.0, 40.6), (77.7, 81.0)]},
    "drop-outs without a counter": {"has_counter": False, "silent": [(12.0, 13.0), (40.0, 40.6), (77.7, 78.5)]},
    "reset": {"resets_s": [33.3, 70.1]},
    "jumps": {"jumps": [(20.0, 1e6), (60.0, 5e8)]},
    "jump backwards": {"jumps": [(50.0, -1e5)]},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("devices", [1, 2])
def test_the_integral_is_right_within_one_percent(fault: str, devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [gpu(number, **FAULTS[fault]) for number in range(devices)]
    record, true_kwh = train(monkeypatch, gpus, [25.0] * 4)
    assert record.window("training").energy_kwh == pytest.approx(true_kwh("training"), rel=0.01)
    for number in range(1, 5):
        # A drop-out of a few seconds is a larger part of an epoch than of the training.
        assert record.epoch(number).energy_kwh == pytest.approx(true_kwh(f"epoch {number}"), rel=0.03)
    assert len(record.window("training").components) == devices


@pytest.mark.parametrize("epoch_s", [0.05, 0.11, 0.2])
@pytest.mark.parametrize("fault", ["none", "no counter", "slow counter"])
def test_epochs_shorter_than_a_sampling_interval(fault: str, epoch_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    record, true_kwh = train(monkeypatch, [gpu(0, **FAULTS[fault]), gpu(1, **FAULTS[fault])], [epoch_s] * 200)
    assert record.window("training").energy_kwh == pytest.approx(true_kwh("training"), rel=0.01)
    epochs_kwh = sum(epoch.energy_kwh for epoch in record.finished_epochs.values())
    assert epochs_kwh == pytest.approx(true_kwh("training"), rel=0.01)
    assert record.epochs == 200


def test_an_epoch_inside_a_drop_out_gets_its_share_but_not_one_after_a_gpu_is_lost_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flat = SimulatedGpu("GPU-0", power_w=[200.0], silent=[(9.0, 41.0)])
    record, true_kwh = train(monkeypatch, [flat], [10.0] * 5)
    for number in range(1, 6):
        assert record.epoch(number).energy_kwh == pytest.approx(true_kwh(f"epoch {number}"), rel=0.01)
    assert any("readings failed, last with: NVML: GPU is lost" in note for note in record.notes)
    flat.silent = [(25.5, math.inf)]
    record, true_kwh = train(monkeypatch, [flat], [10.0] * 5)
    assert record.window("training").energy_kwh == pytest.approx(200 * 25 / J_PER_KWH, rel=0.03)
    assert record.epoch(2).energy_kwh == pytest.approx(true_kwh("epoch 2"), rel=0.01)
    assert record.epoch(5).component_kwh("gpu") is None
    assert any(re.search(r"its last 2[45]\.\d s are not counted", note) for note in record.notes)


def test_idle_power_is_measured_before_so_that_net_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    # 50 W for ten seconds, then 250 W.
    steps: dict[str, Any] = {"times_s": [0.0, 10.0, 10.001], "power_w": [50.0, 50.0, 250.0]}
    gpus = [SimulatedGpu("GPU-0", **steps), SimulatedGpu("GPU-1", **steps)]
    record, _ = train(monkeypatch, gpus, [20.0], idle_s=10.0)
    assert record.names == ("idle", "training", "epoch 1")
    assert record.idle_w == pytest.approx({"gpu 0": 50.0, "gpu 1": 50.0}, rel=0.01)
    assert record.window("training").energy_kwh == pytest.approx(2 * 250 * 20 / J_PER_KWH, rel=0.01)
    assert record.net_kwh() == pytest.approx(2 * 200 * 20 / J_PER_KWH, rel=0.01)
    assert record.energy_kwh == pytest.approx(2 * (250 * 20 + 50 * 10) / J_PER_KWH, rel=0.01)
    assert record.start_temperature_c == {"gpu 0": 34.0, "gpu 1": 34.0}
    assert FootprintRecord.from_dict(record.to_dict()) == record
    assert "Idle before the training: gpu 0 50 W, gpu 1 50 W" in describe(record)
