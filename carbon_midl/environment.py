"""What a run was made with: hardware, versions, commit."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from carbon_midl import __version__
from carbon_midl.footprint.sensors import cpu_name

PACKAGES = ("torch", "numpy", "carbontracker", "pylidc", "papermill", "pandas", "jupyter-book")


def describe_environment() -> dict[str, Any]:
    """Return hardware, versions and the code's commit, as they go into a run's result."""
    return {"hardware": hardware(), "versions": versions(), "commit": commit()}


def hardware() -> dict[str, Any]:
    """Return processor, logical cores in use, memory in GB, and the GPUs that torch sees."""
    import psutil
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": gpus,
        "system": platform.system(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and those that decide its numbers."""
    found = {"python": platform.python_version(), "carbon_midl": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the code's git commit, with ``-dirty`` when files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
