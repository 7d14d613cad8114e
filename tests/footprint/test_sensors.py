import os
import resource
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_midl.footprint import sensors
from carbon_midl.footprint.meter import FoundSensors, SensorError
from carbon_midl.footprint.sensors import (
    CpuEstimate,
    cpu_name,
    discover_sensors,
    find_rapl,
    processor_count,
    usable_memory_gb,
)
from tests.footprint.fakes import constant

RANGE_UJ = 262_143_328_850
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


@pytest.mark.parametrize(
    ("cpu", "tdp_w"),
    [
        ("AMD EPYC 7763 64-Core Processor", 280),
        ("AMD Ryzen 7 5800H with Radeon Graphics", 54),
        ("12th Gen Intel(R) Core(TM) i7-1270P", 64),
        ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 120),
    ],
)
def test_a_processor_is_found_by_its_kernel_s_name(cpu: str, tdp_w: float) -> None:
    found = sensors.find_tdp(cpu)
    assert found is not None
    assert found[0] == tdp_w


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


def test_time_is_known_without_proc_and_that_of_children_where_psutil_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container without /proc, or on macOS, where psutil has no time of children that have ended."""
    be(own := Process(1.0), monkeypatch)
    monkeypatch.setattr(psutil, "PROCFS_PATH", "/nowhere")
    monkeypatch.setattr(psutil, "Process", (tmp_path / "stat").read_text)  # there is none
    sensor = CpuEstimate(XEON)
    own.ended_s = 60.0
    assert sensor.read() == pytest.approx(60 * sensor.core_power_w)
    assert sensors.memory_bytes() > 2**28


def test_cores_are_those_that_a_scheduler_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "process_cpu_count", raising=False)  # of Python 3.13 and later
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 6}, raising=False)
    assert sensors.usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert sensors.usable_cores() == os.cpu_count()


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
    machine_gb = sensors.memory_bytes() / 2**30
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
    own.write_text("5:cpu,cpuacct:/slurm/job1\n4:memory:/slurm/job1\n")  # version 1
    (root / "memory" / "slurm" / "job1").mkdir(parents=True)
    (root / "memory" / "slurm" / "job1" / "memory.limit_in_bytes").write_text(f"{2**27}\n")
    assert usable_memory_gb(own, root, {}) == 0.125
    assert usable_memory_gb(tmp_path / "absent", root, {"SLURM_MEM_PER_NODE": "512"}) == 0.5
    of_cores = {"SLURM_MEM_PER_CPU": "128", "SLURM_CPUS_ON_NODE": "4"}
    assert usable_memory_gb(tmp_path / "absent", root, of_cores) == 0.5


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


def make_zone(root: Path, zone: str, name: str, energy_uj: int = 1_000_000) -> Path:
    folder = root / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    return folder / "energy_uj"


def advance(file: Path, by_uj: int) -> None:
    file.write_text(f"{(int(file.read_text()) + by_uj) % RANGE_UJ}\n")


def test_packages_are_summed_and_memory_is_apart(tmp_path: Path) -> None:
    packages = [make_zone(tmp_path, f"intel-rapl:{n}", f"package-{n}") for n in range(2)]
    memories = [make_zone(tmp_path, f"intel-rapl:{n}:1", "dram") for n in range(2)]
    core = make_zone(tmp_path, "intel-rapl:0:0", "core")
    psys = make_zone(tmp_path, "intel-rapl:2", "psys")
    twice = make_zone(tmp_path, "intel-rapl-mmio:0", "package-0")
    found = find_rapl("A CPU", tmp_path)
    assert found.missing == ()
    cpu, memory = found.sensors
    assert (cpu.component, memory.component) == ("cpu", "memory")
    assert (cpu.method, cpu.hardware) == ("measured: RAPL", "A CPU")
    assert cpu.read() == 0
    for file in packages:
        advance(file, 5_000_000)
    for file in memories:
        advance(file, 1_000_000)
    for file in (core, psys, twice):
        advance(file, 77_000_000)
    assert cpu.read() == pytest.approx(10)
    assert memory.read() == pytest.approx(2)


@settings(max_examples=50)
@given(start=st.integers(1, RANGE_UJ - 1), steps=st.lists(st.integers(0, RANGE_UJ - 1), max_size=8))
def test_the_counter_may_wrap_around(start: int, steps: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("powercap")
    file = make_zone(root, "intel-rapl:0", "package-0", start)
    (sensor,) = find_rapl("A CPU", root).sensors
    for step in steps:
        advance(file, step)
        sensor.read()
    assert sensor.read() == pytest.approx(sum(steps) * 1e-6)


@pytest.mark.parametrize(
    ("zones", "joules", "missing"),
    [
        ({"package-0-die-0": 5_000_000, "package-0-die-1": 5_000_012}, 68, ""),  # Zen 1: one counter, shown twice
        ({f"package-0-die-{die}": 5_000_000 + die for die in range(4)}, 68, ""),
        ({"package-0-die-0": 5_000_000, "package-0-die-1": 905_000_000}, 136, ""),  # two counters of one package
        ({"package-0": 5_000_000, "package-1": 5_000_001}, 136, ""),  # two sockets, near each other by chance
        ({"package-0": 0, "package-1": 7_000_000}, 68, "package-0: the counter stands at zero"),
    ],
)
def test_a_counter_counts_once(tmp_path: Path, zones: dict[str, int], joules: float, missing: str) -> None:
    counters = [make_zone(tmp_path, f"intel-rapl:{n}", name, uj) for n, (name, uj) in enumerate(zones.items())]
    found = find_rapl("A CPU", tmp_path)
    for counter, before in zip(counters, zones.values(), strict=True):
        advance(counter, 68_000_000 * bool(before))
    (sensor,) = found.sensors
    assert sensor.read() == pytest.approx(joules)
    assert missing in " ".join(found.missing)
    assert bool(found.missing) == bool(missing)


def test_permission_denied_says_which_command_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make_zone(tmp_path, "intel-rapl:0", "package-0")
    read_text = Path.read_text

    def refuse(path: Path) -> str:  # root may read everything
        if path == file:
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    found = find_rapl("A CPU", tmp_path)
    assert found.sensors == ()
    assert str(file) in found.missing[0]
    assert "sudo chmod a+r" in found.missing[0]


def test_what_is_no_counter_is_a_reason_at_first_and_a_drop_out_later(tmp_path: Path) -> None:
    assert "no processor package" in find_rapl("A CPU", tmp_path / "absent").missing[0]
    file = make_zone(tmp_path, "intel-rapl:0", "package-0", energy_uj=0)
    assert "zero" in find_rapl("A CPU", tmp_path).missing[0]
    file.write_text("1000000")
    (sensor,) = find_rapl("A CPU", tmp_path).sensors
    assert (sensor.sample_interval_s or 0) * 1000 < RANGE_UJ * 1e-6  # before it can wrap at 1 kW
    file.write_text("garbage")
    with pytest.raises(SensorError, match="energy_uj"):
        sensor.read()
    assert find_rapl("A CPU", tmp_path).sensors == ()
