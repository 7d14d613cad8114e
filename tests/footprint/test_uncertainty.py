"""How far grams may be off: closed forms, coverage, sources, and how well a meter repeats."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import GIVEN
from carbon_midl.footprint.meter import FoundSensors
from carbon_midl.footprint.sensors import CpuEstimate, MemoryEstimate, RaplSensor
from carbon_midl.footprint.tracker import PARTS, steadiness
from carbon_midl.footprint.uncertainty import (
    COUNTED_AGAIN,
    METERS,
    PUBLISHED,
    PUE,
    REPEATABILITY,
    CarbonSpread,
    Spread,
    asked_spread,
    carbon_spread,
)
from carbon_midl.study.results import named_rows, spread_of
from tests.footprint.fakes import FakeClock, FakeSensor
from tests.footprint.test_record import example

ROOT = Path(__file__).parents[2]
TWO_CORES = (("cpu", "estimated: W per core"), ("memory", "estimated: W per GB"))


def test_a_product_of_log_normals_is_one_and_a_sum_is_drawn() -> None:
    factors = {"PUE": Spread(0.4, ""), "intensity": Spread(0.5, "")}
    single = CarbonSpread({"cpu": (1.0, Spread(1.8, ""))}, factors, Spread(0.12, ""))
    errors = [math.log(1 + relative) for relative in (0.4, 0.5, 1.8)]
    for runs in (1, 4):
        times = math.exp(math.hypot(*errors, math.log(1.12) / math.sqrt(runs)))
        assert single.limits(runs) == pytest.approx((1 / times, times), rel=1e-9)
    # A sum, which is drawn, in which the other meter has no part agrees with it.
    beside = replace(single, meters={**single.meters, "memory": (0.0, Spread(2.0, ""))})
    assert beside.limits() == pytest.approx(single.limits(), rel=0.03)
    sources = single.parts()
    assert [name for name, _, _ in sources] == ["cpu", "intensity", "PUE", "repeatability"]
    assert sources[2][1:] == pytest.approx((1 / 1.4, 1.4))


@pytest.mark.slow
def test_of_two_thousand_studies_95_percent_cover_the_truth() -> None:
    # A study: true energies of three components, each read by a meter that is off, in five trainings that differ, on a
    # grid and in a data centre whose yearly averages are known alone.
    generator = np.random.default_rng(1)
    kinds = [("gpu", "measured: NVML energy counter"), *TWO_CORES]
    covered = 0
    for _ in range(2000):
        true_kwh = generator.dirichlet((8, 4, 2))
        read_kwh = true_kwh / np.exp([METERS[kind].log_sd for kind in kinds] * generator.standard_normal(3))
        spread = carbon_spread(dict(zip(kinds, read_kwh, strict=True)))
        own = generator.normal(0, spread.own.log_sd, 5)
        rest = [factor.log_sd * generator.standard_normal() for factor in spread.factors.values()]
        estimate = read_kwh.sum() * np.exp(own).mean() / np.exp(sum(rest))
        low, high = spread.limits(5)
        covered += low * estimate <= true_kwh.sum() <= high * estimate
    assert abs(covered / 2000 - 0.95) <= 0.015


def test_every_sensor_has_its_uncertainty_and_what_the_user_gave_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carbon_midl.footprint.sensors.find_tdp", lambda cpu: (65.0, "a table"))
    sensors = [CpuEstimate("a CPU"), CpuEstimate("a CPU", None), MemoryEstimate(16)]
    kinds = {(sensor.component, sensor.method) for sensor in sensors}
    kinds |= {("cpu", RaplSensor.method), ("memory", RaplSensor.method)}
    assert kinds < set(METERS)
    record = example()  # on Denmark's grid, whose hours differ more than the world's average is uncertain
    assert record.recost("world").spread().limits()[1] < record.spread().limits()[1]
    assert record.recost(50.0).spread().factors == {"PUE": PUE}
    assert record.recost(50.0, 1.2).spread().factors == {}
    assert carbon_spread({}).meters == {"energy": (1.0, PUBLISHED)}
    joined = carbon_spread({("memory", "measured: RAPL; estimated: W per core; estimated: W per GB"): 2.0})
    assert joined.meters == {"memory: W per GB": (1.0, METERS["memory", "estimated: W per GB"])}
    text = pd.DataFrame(
        {"energy_cpu_kwh": ["3", ""], "energy_memory_kwh": ["1", "x"], "energy_method": "measured: RAPL"}
    )
    assert [share for share, _ in spread_of(text).meters.values()] == [0.75, 0.25]


@pytest.mark.parametrize(("study", "expected"), [("lidc-calibration", REPEATABILITY), ("lidc", COUNTED_AGAIN)])
def test_repeatability_is_what_was_recorded(study: str, expected: Spread) -> None:
    energies = np.log(pd.read_csv(ROOT / "results" / study / "runs.csv").set_index("filters")["energy_kwh"])
    groups = energies.groupby("filters")
    pooled = (groups.var() * (groups.size() - 1)).sum() / (groups.size() - 1).sum()
    assert expected.log_sd == pytest.approx(math.sqrt(pooled), rel=0.03)


@pytest.mark.parametrize("asked", ["0", "-1", "10.5", "nan", "inf", "much"])
def test_an_uncertainty_that_cannot_be_is_refused(asked: str) -> None:
    assert asked_spread("none") is None
    assert asked_spread("published") == CarbonSpread({"energy": (1.0, PUBLISHED)})
    assert asked_spread("10") == CarbonSpread({"energy": (1.0, Spread(10.0, GIVEN))})
    with pytest.raises(InputError, match=r"found .*, expected one above 0 and at most 10, such as 0\.4"):
        asked_spread(asked)


@pytest.mark.parametrize(("jitter", "shortest_s"), [(0.0, 0.25), (0.035, 4.0), (0.2, math.nan)])
def test_steadiness_finds_the_jitter_of_a_meter(jitter: float, shortest_s: float) -> None:
    clock, generator, worked_j = FakeClock(), np.random.default_rng(0), [0.0]

    def load() -> None:  # 25 of them are a part of 0.25 s, whose 15 J vary by the jitter; 10 W are always drawn
        clock.advance(0.01)
        worked_j[0] += generator.normal(0.5, 0.6 * 5 * jitter)

    counter = FakeSensor("cpu", lambda: worked_j[0] + 10 * clock.time_s, "energy_j", "measured: RAPL")
    sensors, parts = FoundSensors((counter, FakeSensor("memory", lambda: 5.0))), [0]
    found = steadiness(sensors, load, repeats=100, clock=clock, progress=parts.append)
    cpu, memory, total = named_rows(found)
    assert sum(parts) == 2 * 100 * PARTS
    assert (cpu.idle_w, cpu.load_w) == pytest.approx((10, 60), rel=0.02)
    assert (cpu.idle_spread, memory.spread) == pytest.approx((0, 0), abs=1e-9)
    assert cpu.spread == pytest.approx(jitter / math.sqrt(8), rel=0.2, abs=1e-9)
    assert cpu.difference == pytest.approx(1.972 * math.sqrt(2 / 100) * cpu.spread, rel=1e-3)
    assert (total.spread, total.load_w) == pytest.approx((cpu.spread * 60 / 65, 65), rel=0.02, abs=1e-9)
    assert cpu.shortest_s == pytest.approx(shortest_s, nan_ok=True)
    assert counter.closed


def test_the_check_says_for_which_differences_the_meter_is_good_enough(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["footprint", "sensors", "--check", "--seconds", "0.05", "--repeats", "3"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"\nGood enough for differences of [\d.e+]+ % or more between two programs, with 3 windows", shown)
    assert re.search(r"\ntotal +[\d.]+ W ", shown)
    wrong = "expected more than 0 s, and at least 3 windows"
    for options, told in (("--repeats 3", "--check"), ("--check --seconds 0", wrong), ("--check --repeats 2", wrong)):
        assert main(["footprint", "sensors", *options.split()]) == 2
        assert told in capsys.readouterr().err
