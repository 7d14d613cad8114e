import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from carbon_midl.errors import InputError
from carbon_midl.footprint import cpu_estimate, discovery
from carbon_midl.footprint.cpu_estimate import (
    DEFAULT_TDP_W,
    HalfTdpSensor,
    UtilisationSensor,
    cpu_name,
    estimate_cpu,
    find_tdp,
    processor_count,
)
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


class Times(NamedTuple):
    user: float
    system: float
    children_user: float = 0.0
    children_system: float = 0.0


class Process:
    """Stands for a `psutil.Process`; times of None stand for one that has just ended."""

    def __init__(self, times: Times | None, *children: "Process") -> None:
        self.times = times
        self.descendants = list(children)

    def children(self, recursive: bool) -> list["Process"]:
        assert recursive
        return self.descendants

    def cpu_times(self) -> Times:
        if self.times is None:
            raise psutil.NoSuchProcess(1)
        return self.times


def utilisation_sensor(monkeypatch: pytest.MonkeyPatch, process: Process, cores: int = 36) -> UtilisationSensor:
    monkeypatch.setattr(psutil, "Process", lambda: process)
    monkeypatch.setattr(psutil, "cpu_count", lambda: cores)
    return UtilisationSensor("Intel Xeon Gold 6140")  # TDP 140 W


def test_tdp_times_utilisation_follows_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Process(Times(2.0, 1.0))
    own = Process(Times(10.0, 5.0), child)
    sensor = utilisation_sensor(monkeypatch, own)
    assert sensor.read() == 0.0
    own.times = Times(28.0, 5.0)  # 18 core-seconds more: half of 36 cores for one second
    assert sensor.read() == pytest.approx(70.0)
    child.times = Times(20.0, 1.0)
    assert sensor.read() == pytest.approx(140.0)
    assert sensor.method == "estimated: TDP × utilisation"
    assert "140 W" in sensor.coverage
    assert "leaves out what the processor draws when idle" in sensor.coverage


def test_a_child_that_has_ended_stays_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Process(Times(18.0, 0.0))
    own = Process(Times(0.0, 0.0), child)
    sensor = utilisation_sensor(monkeypatch, own)
    child.times = Times(36.0, 0.0)
    assert sensor.read() == pytest.approx(70.0)
    own.descendants = []
    own.times = Times(0.0, 0.0, children_user=36.0)  # it was waited for
    assert sensor.read() == pytest.approx(70.0)
    own.times = Times(18.0, 0.0, children_user=36.0)
    assert sensor.read() == pytest.approx(140.0)


def test_a_child_that_is_lost_never_makes_energy_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Process(Times(100.0, 0.0))
    own = Process(Times(0.0, 0.0), child)
    sensor = utilisation_sensor(monkeypatch, own)
    child.times = None
    assert sensor.read() == 0.0
    own.times = Times(36.0, 0.0)
    assert sensor.read() == pytest.approx(140.0)


def test_work_of_this_process_and_its_children_is_seen() -> None:
    sensor = UtilisationSensor("Intel Xeon Gold 6140")
    before_s = time.process_time()
    while time.process_time() < before_s + 0.3:
        pass
    own_j = sensor.read()
    assert own_j == pytest.approx(0.3 * sensor.core_power_w, rel=0.25)
    code = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert sensor.read() - own_j == pytest.approx(0.3 * sensor.core_power_w, rel=0.25)


def test_sockets_are_counted_but_not_those_a_virtual_machine_makes_up(tmp_path: Path) -> None:
    cores = "".join(f"processor\t: {n}\nphysical id\t: {n // 2}\nflags\t\t: fpu vme{{}}\n\n" for n in range(4))
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(cores.format("", "", "", ""))
    assert processor_count(cpuinfo) == 2
    cpuinfo.write_text(cores.replace("{}", " hypervisor"))
    assert processor_count(cpuinfo) is None
    assert processor_count(tmp_path / "absent") == 1
    xeon = "Intel Xeon Gold 6140"
    assert UtilisationSensor(xeon, 2).core_power_w == 2 * UtilisationSensor(xeon).core_power_w


@pytest.mark.parametrize(("logical_cores", "core_power_w"), [(2, 12.0), (4, 6.0)])
@pytest.mark.parametrize(("cpu", "processors"), [("AMD EPYC", None), ("A processor nobody has made", 1)])
def test_two_cores_of_a_processor_that_is_not_known_are_not_a_whole_one(
    monkeypatch: pytest.MonkeyPatch, cpu: str, processors: int | None, logical_cores: int, core_power_w: float
) -> None:
    own = Process(Times(0.0, 0.0))
    monkeypatch.setattr(psutil, "Process", lambda: own)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: logical_cores if logical else 2)
    monkeypatch.setattr(cpu_estimate, "processor_count", lambda: processors)
    sensor = estimate_cpu(cpu)
    assert sensor.method == "estimated: W per core"
    own.times = Times(10.0 * logical_cores, 0.0)  # all cores for 10 s
    assert sensor.read() == pytest.approx(10 * 24.0)
    assert f"{core_power_w:g} W for each of {logical_cores} logical cores" in sensor.coverage
    assert "4.2 to 23.8 W" in sensor.coverage


def test_the_kind_of_estimate_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "find_rapl", lambda cpu: Found(()))
    monkeypatch.setattr(discovery, "cpu_name", lambda: "Intel Xeon Gold 6140")
    monkeypatch.setattr(cpu_estimate, "processor_count", lambda: 1)
    assert discover_sensors().sensors[0].method == "estimated: TDP × utilisation"
    assert discover_sensors("half TDP").sensors[0].method == "estimated: half TDP"
    with pytest.raises(InputError, match="cpu_estimate: found 'TDP'"):
        discover_sensors("TDP")  # type: ignore[arg-type]


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
