"""Machines that are not as the textbook has them: nothing is counted twice, and what is missing is said."""

import os
import resource
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from carbon_midl.footprint.nvml import find_gpus
from carbon_midl.footprint.sensors import (
    CpuEstimate,
    find_rapl,
    find_tdp,
    memory_bytes,
    usable_cores,
    usable_memory_gb,
)
from tests.footprint.fakes import FakeClock
from tests.footprint.simulated_nvml import SimulatedGpu, SimulatedNvml


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
    for number, (name, counter_uj) in enumerate(zones.items()):
        zone = tmp_path / f"intel-rapl:{number}"
        zone.mkdir()
        (zone / "name").write_text(f"{name}\n")
        (zone / "energy_uj").write_text(f"{counter_uj}\n")
        (zone / "max_energy_range_uj").write_text("262143328850\n")
    found = find_rapl("A CPU", tmp_path)
    for counter in tmp_path.glob("*/energy_uj"):
        if before := int(counter.read_text()):
            counter.write_text(f"{before + 68_000_000}\n")
    (sensor,) = found.sensors
    assert sensor.read() == pytest.approx(joules)
    assert missing in " ".join(found.missing)
    assert bool(found.missing) == bool(missing)


def test_a_lost_gpu_hides_no_sound_one() -> None:
    nvml = SimulatedNvml(FakeClock(), SimulatedGpu("GPU-a", lost=True), SimulatedGpu("GPU-b"))
    found = find_gpus(nvml, {})
    assert [sensor.component for sensor in found.sensors] == ["gpu 0"]
    assert found.missing == ("GPU 0: GPU is lost",)


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
    found = find_tdp(cpu)
    assert found is not None
    assert found[0] == tdp_w


def test_memory_is_the_job_s(tmp_path: Path) -> None:
    own, job = tmp_path / "cgroup", tmp_path / "memory" / "slurm" / "job1"
    job.mkdir(parents=True)
    own.write_text("5:cpu,cpuacct:/slurm/job1\n4:memory:/slurm/job1\n")
    (job / "memory.limit_in_bytes").write_text(f"{2**28}\n")
    assert usable_memory_gb(own, tmp_path, {}) == 0.25
    assert usable_memory_gb(tmp_path / "absent", tmp_path, {"SLURM_MEM_PER_NODE": "512"}) == 0.5
    of_cores = {"SLURM_MEM_PER_CPU": "128", "SLURM_CPUS_ON_NODE": "4"}
    assert usable_memory_gb(tmp_path / "absent", tmp_path, of_cores) == 0.5


def test_time_is_known_without_proc_and_that_of_children_where_psutil_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container without /proc, or on macOS, where psutil has no time of children that have ended."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", "/nowhere")
    used_s = {resource.RUSAGE_SELF: 1.0, resource.RUSAGE_CHILDREN: 0.0}
    usage = lambda who: SimpleNamespace(ru_utime=used_s[who], ru_stime=0.0)  # noqa: E731
    monkeypatch.setattr(resource, "getrusage", usage)
    sensor = CpuEstimate("some processor")
    used_s[resource.RUSAGE_CHILDREN] = 60.0
    assert sensor.read() == pytest.approx(60 * sensor.core_power_w)
    assert memory_bytes() > 2**28


def test_cores_are_those_that_a_scheduler_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "process_cpu_count", raising=False)  # of Python 3.13 and later
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 6}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert usable_cores() == os.cpu_count()
