import resource
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from carbon_midl.footprint import sensors
from carbon_midl.footprint.meter import FoundSensors
from carbon_midl.footprint.sensors import CpuEstimate, cpu_name, discover_sensors, processor_count, usable_memory_gb
from tests.footprint.fakes import constant

XEON = "Intel Xeon Gold 6140"  # TDP 140 W


@pytest.mark.parametrize(
    "cpu", [XEON, "Intel Core i7-8650U", "Intel Core i7-8650U @ 1.90GHz", "Intel Celeron 1000A", "AMD EPYC"]
)
def test_a_tdp_is_looked_up_as_carbontracker_does(cpu: str) -> None:
    from carbontracker.components.cpu.generic import GenericCPU

    handler = GenericCPU.__new__(GenericCPU)
    handler.cpu_brand = cpu
    handler.cpu_power_data = handler.load_cpu_power_data()
    found = sensors.find_tdp(cpu)
    assert found is not None
    assert found[0] == pytest.approx(handler.find_matching_tdp(), rel=1e-4)
    assert ("the first of" in found[1]) == (cpu == "AMD EPYC")


class Process:
    """Stands for a `psutil.Process`; without CPU time it has just ended."""

    def __init__(self, cpu_s: float | None, *children: "Process") -> None:
        self.cpu_s, self.ended_s, self.descendants = cpu_s, 0.0, list(children)

    def children(self, recursive: bool) -> list["Process"]:
        assert recursive
        return self.descendants

    def cpu_times(self) -> tuple[float, ...]:
        if self.cpu_s is None:
            raise psutil.NoSuchProcess(1)
        return self.cpu_s - 1, 1.0, self.ended_s, 0.0


def be(own: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this program be ``own``."""

    def getrusage(who: int) -> SimpleNamespace:
        return SimpleNamespace(ru_utime=own.cpu_s if who == resource.RUSAGE_SELF else own.ended_s, ru_stime=0.0)

    monkeypatch.setattr(psutil, "Process", lambda: own)
    monkeypatch.setattr(resource, "getrusage", getrusage)


def test_tdp_times_utilisation_follows_the_cpu_time_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    waited_for, lost = Process(3.0), Process(100.0)
    own = Process(15.0, waited_for, lost)
    be(own, monkeypatch)
    monkeypatch.setattr(psutil, "cpu_count", lambda: 36)
    sensor = CpuEstimate(XEON)
    assert sensor.read() == 0.0
    own.cpu_s = 33.0  # 18 core-seconds more: half of 36 cores for one second
    assert sensor.read() == pytest.approx(70.0)
    waited_for.cpu_s = 21.0
    assert sensor.read() == pytest.approx(140.0)
    own.descendants, own.ended_s = [lost], 21.0
    assert sensor.read() == pytest.approx(140.0)
    lost.cpu_s = None  # it takes its time with it, but no energy
    assert sensor.read() == pytest.approx(140.0)
    own.cpu_s = 69.0
    assert sensor.read() == pytest.approx(280.0)
    assert sensor.method == "estimated: TDP × utilisation"
    assert "140 W" in sensor.coverage
    assert "leaves out what the processor draws when idle" in sensor.coverage


def test_name_and_sockets_but_not_those_that_a_virtual_machine_makes_up(tmp_path: Path) -> None:
    cores = "".join(f"model name\t: A CPU\nphysical id\t: {n // 2}\nflags\t\t: fpu vme\n\n" for n in range(4))
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(cores)
    assert (cpu_name(cpuinfo), processor_count(cpuinfo)) == ("A CPU", 2)
    cpuinfo.write_text(cores.replace("vme", "hypervisor"))
    assert processor_count(cpuinfo) is None
    assert processor_count(tmp_path / "absent") == 1
    assert cpu_name(tmp_path / "absent") != ""
    assert CpuEstimate(XEON, 2).core_power_w == 2 * CpuEstimate(XEON).core_power_w


@pytest.mark.parametrize(("logical_cores", "core_power_w"), [(2, 12.0), (4, 6.0)])
@pytest.mark.parametrize(("cpu", "processors"), [("AMD EPYC", None), ("A processor nobody has made", 1)])
def test_two_cores_of_a_processor_that_is_not_known_are_not_a_whole_one(
    monkeypatch: pytest.MonkeyPatch, cpu: str, processors: int | None, logical_cores: int, core_power_w: float
) -> None:
    own = Process(1.0)
    be(own, monkeypatch)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: logical_cores if logical else 2)
    sensor = CpuEstimate(cpu, processors)
    assert sensor.method == "estimated: W per core"
    own.cpu_s = 1.0 + 10 * logical_cores  # all cores for 10 s
    assert sensor.read() == pytest.approx(10 * 24.0)
    assert f"{core_power_w:g} W for each of {logical_cores} logical cores" in sensor.coverage
    assert "4.2 to 23.8 W" in sensor.coverage


def test_memory_is_that_of_the_machine_or_of_the_share_given(tmp_path: Path) -> None:
    machine_gb = psutil.virtual_memory().total / 2**30
    own, root = tmp_path / "cgroup", tmp_path / "fs"
    job = root / "slurm" / "job1"
    job.mkdir(parents=True)
    own.write_text("0::/slurm/job1\n")
    assert usable_memory_gb(tmp_path / "absent", root) == pytest.approx(machine_gb)
    (job / "memory.max").write_text("max\n")
    assert usable_memory_gb(own, root) == pytest.approx(machine_gb)
    (root / "slurm" / "memory.max").write_text(f"{2**28}\n")
    assert usable_memory_gb(own, root) == pytest.approx(0.25)
    assert sensors.MemoryEstimate(16.0).read() == pytest.approx(16 * sensors.WATTS_PER_GB)


def test_estimates_stand_in_only_for_what_nothing_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "find_gpus", lambda: FoundSensors((constant("gpu 0", 9.0, "sampled: NVML power"),)))
    monkeypatch.setattr(sensors, "find_rapl", lambda cpu: FoundSensors((), ("RAPL: no permission",)))
    found = discover_sensors()
    assert [s.component for s in found.sensors] == ["cpu", "gpu 0", "memory"]
    assert [s.method.split(":")[0] for s in found.sensors] == ["estimated", "sampled", "estimated"]
    assert found.missing == ("RAPL: no permission",)

    measured = FoundSensors((constant("cpu", 1.0, "measured: RAPL"), constant("memory", 1.0, "measured: RAPL")))
    monkeypatch.setattr(sensors, "find_rapl", lambda cpu: measured)
    assert [s.method for s in discover_sensors().sensors] == ["measured: RAPL", "measured: RAPL", "sampled: NVML power"]
