"""Where nothing measures the memory: a constant power for each GB of it."""

from pathlib import Path
from typing import Literal

from carbon_midl.footprint.sensors import MAX_POWER_W

# Lannelongue, Grealey and Inouye, "Green Algorithms: Quantifying the Carbon Footprint of Computation",
# Advanced Science 8 (2021) 2100707, doi:10.1002/advs.202100707.
WATTS_PER_GB = 0.3725
_SOURCE = "Green Algorithms, doi:10.1002/advs.202100707"
_CGROUP_ROOT = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


class MemoryEstimate:
    """W per GB of the memory that this program may use, in use or not.

    Args:
        memory_gb: the memory's size in GB (of 2^30 bytes).
    """

    component = "memory"
    method = "estimated: W per GB"
    quantity: Literal["energy_j", "power_w"] = "power_w"
    sample_interval_s: float | None = None
    max_power_w = MAX_POWER_W

    def __init__(self, memory_gb: float) -> None:
        self.hardware = f"{memory_gb:.1f} GB"
        self.power_w = WATTS_PER_GB * memory_gb
        self.coverage = f"{memory_gb:.1f} GB at {WATTS_PER_GB} W per GB ({_SOURCE}), in use or not"

    def read(self) -> float:
        """Watts, always the same."""
        return self.power_w

    def close(self) -> None:
        """Nothing to let go of."""


def usable_memory_gb(own_cgroup: Path = _OWN_CGROUP, cgroup_root: Path = _CGROUP_ROOT) -> float:
    """GB (of 2^30 bytes) of this machine, or of the share that a container or scheduler gives this program."""
    import psutil

    return min([psutil.virtual_memory().total, *_cgroup_limits(own_cgroup, cgroup_root)]) / 2**30


def _cgroup_limits(own_cgroup: Path, cgroup_root: Path) -> list[int]:
    """Memory limits in bytes of this program's control group (version 2) and of those around it."""
    try:
        entries = own_cgroup.read_text().splitlines()
    except OSError:
        return []
    limits = []
    for entry in entries:
        hierarchy, _, relative = entry.partition("::")
        if hierarchy != "0":
            continue
        folder = cgroup_root / relative.lstrip("/")
        for group in [folder, *folder.parents]:
            if not group.is_relative_to(cgroup_root):
                break
            try:
                limits.append(int((group / "memory.max").read_text()))
            except (OSError, ValueError):
                # The root has no such file, and "max" is no limit.
                continue
    return limits
