import statistics
from pathlib import Path

import psutil
import pytest

from carbon_midl.footprint import cpu_estimate, discovery
from carbon_midl.footprint.cpu_estimate import DEFAULT_TDP_W, HalfTdpSensor, cpu_name, find_tdp
from carbon_midl.footprint.discovery import discover_sensors
from carbon_midl.footprint.memory_estimate import WATTS_PER_GB, MemoryEstimate, usable_memory_gb
from carbon_midl.footprint.sensors import Found
from tests.footprint.fakes import constant


def carbontracker_power_w(cpu: str) -> float:
    """What carbontracker itself takes for a processor of that name."""
    from carbontracker.components.cpu.generic import GenericCPU

    handler = GenericCPU.__new__(GenericCPU)
    handler.cpu_brand = cpu
    handler.cpu_power_data = handler.load_cpu_power_data()
    handler.average_tdp = handler.calculate_average_tdp()
    handler.init()
    return float(handler.power_usage()[0])


@pytest.mark.parametrize(
    "cpu",
    [
        "Intel Xeon Gold 6140",
        "Intel Core i7-8650U",
        "Intel Core i7-8650U @ 1.90GHz",
        "Intel Celeron 1000A",
        "AMD EPYC",
        "A processor nobody has made",
    ],
)
def test_half_tdp_is_what_carbontracker_takes(cpu: str) -> None:
    assert HalfTdpSensor(cpu).read() == pytest.approx(carbontracker_power_w(cpu), rel=1e-4)


def test_half_of_the_tdp() -> None:
    sensor = HalfTdpSensor("Intel Xeon Gold 6140")
    assert sensor.power_w == 70
    assert sensor.method == "estimated: half TDP"
    assert "140 W" in sensor.coverage


def test_an_ambiguous_name_says_how_wide_the_choice_is() -> None:
    _, origin = find_tdp("AMD EPYC")
    assert "the first of" in origin


def test_the_default_is_the_mean_of_the_table() -> None:
    table = cpu_estimate._tdp_table()
    assert pytest.approx(statistics.mean(table.values()), abs=0.01) == DEFAULT_TDP_W
    tdp_w, origin = find_tdp("unknown processor")
    assert tdp_w == DEFAULT_TDP_W
    assert "mean" in origin


def test_without_the_table_the_default_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(file_name: str) -> None:
        raise FileNotFoundError(file_name)

    monkeypatch.setattr(cpu_estimate, "bundled_table", absent)
    tdp_w, origin = find_tdp("Intel Xeon Gold 6140")
    assert tdp_w == DEFAULT_TDP_W
    assert "not installed" in origin


def test_name_of_the_processor(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: AMD EPYC 7232P 8-Core Processor\nflags : a b\n")
    assert cpu_name(cpuinfo) == "AMD EPYC 7232P 8-Core Processor"
    assert cpu_name(tmp_path / "absent") != ""


def test_memory_power_is_watts_per_gb() -> None:
    sensor = MemoryEstimate(16.0)
    assert sensor.read() == pytest.approx(16 * WATTS_PER_GB)
    assert sensor.method == "estimated: W per GB"


def test_memory_is_that_of_the_machine_or_of_the_share_given(tmp_path: Path) -> None:
    machine_gb = psutil.virtual_memory().total / 2**30
    own = tmp_path / "cgroup"
    root = tmp_path / "fs"
    job = root / "slurm" / "job1"
    job.mkdir(parents=True)
    own.write_text("0::/slurm/job1\n")
    assert usable_memory_gb(tmp_path / "absent", root) == pytest.approx(machine_gb)
    (job / "memory.max").write_text("max\n")
    assert usable_memory_gb(own, root) == pytest.approx(machine_gb)
    (root / "slurm" / "memory.max").write_text(f"{2**28}\n")
    assert usable_memory_gb(own, root) == pytest.approx(0.25)


def test_estimates_stand_in_only_for_what_nothing_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "find_gpus", lambda: Found((constant("gpu 0", 9.0, "sampled: NVML power"),)))
    monkeypatch.setattr(discovery, "find_rapl", lambda cpu: Found((), ("RAPL: no permission",)))
    found = discover_sensors()
    assert [s.component for s in found.sensors] == ["cpu", "gpu 0", "memory"]
    assert [s.method.split(":")[0] for s in found.sensors] == ["estimated", "sampled", "estimated"]
    assert found.missing == ("RAPL: no permission",)

    measured = Found((constant("cpu", 1.0, "measured: RAPL"), constant("memory", 1.0, "measured: RAPL")))
    monkeypatch.setattr(discovery, "find_rapl", lambda cpu: measured)
    assert [s.method for s in discover_sensors().sensors] == ["measured: RAPL", "measured: RAPL", "sampled: NVML power"]
