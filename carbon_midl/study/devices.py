"""On which devices the runs of a study are made, and whether each run's energy can be told apart."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from carbon_midl.errors import InputError
from carbon_midl.locks import machine_lock, sole_holder

_CUDA = re.compile(r"cuda:(\d+)")
_VISIBLE = "CUDA_VISIBLE_DEVICES"
# Of NVIDIA, of AMD, and of either under Windows. Without one there is no GPU, and no need to load torch to ask it.
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class Slot:
    """A place for one run at a time.

    Attributes:
        name: such as "cuda:1" or "cpu", or "" where torch may choose.
        environment: what a run's process gets beside the runner's own.
        metered_alone: whether no other run is made on the same metered device.
    """

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    metered_alone: bool = True


def slots(
    devices: Sequence[str] = (), jobs: int | None = None, share_meter: bool = False, ahead: bool = False
) -> list[Slot]:
    """Places for runs that are made at the same time.

    Args:
        devices: such as "cuda:0", "cuda:1" or "cpu"; none lets torch choose.
        jobs: how many runs at the same time; one a device by default.
        share_meter: allow runs whose energy cannot be told apart; their records say so.
        ahead: a second place on each GPU, for the next run to start at while one trains. It waits for its turn (see
            :mod:`carbon_midl.footprint.turn`), so the meter counts one at a time.

    Raises:
        InputError: a device that does not exist, runs that would share a metered device, or ``ahead`` where the start
            of the next run would be counted, too.
    """
    named = list(devices) or [""]
    if repeated := [name for name in named if named.count(name) > 1]:
        raise InputError(
            f"devices: {repeated[0]} is named {named.count(repeated[0])} times; name it once, and see --jobs."
        )
    jobs = len(named) if jobs is None else jobs
    environments = {name: _environment(name) for name in named}
    users = {name: len(range(place, jobs, len(named))) for place, name in enumerate(named)}
    # Whoever allows it with one run here expects another beside it, started by somebody else, such as a scheduler.
    shared = {name for name, count in users.items() if (count > 1 or share_meter) and _meter_is_shared(name)}
    if shared and not share_meter:
        raise InputError(
            f"devices: {max(users.values())} runs at once on {_described(min(shared))}, whose meter counts all "
            "of them together, so the energy of each would be unknown. Name as many devices as there are jobs, or add "
            "--share-meter, which marks their energy as not separable."
        )
    # Threads of runs side by side would otherwise get into each other's way.
    cores = max(1, (os.cpu_count() or 1) // jobs)
    threads = {"OMP_NUM_THREADS": str(cores)} if jobs > 1 and "OMP_NUM_THREADS" not in os.environ else {}
    used = [named[place % len(named)] for place in range(jobs)]
    places = [Slot(name, environments[name] | threads, name not in shared) for name in used]
    if ahead:
        _check_ahead(places)
    return places * 2 if ahead else places


@contextmanager
def reserved(places: Sequence[Slot], share_meter: bool = False) -> Iterator[None]:
    """Keep other runners on this machine from the metered devices of these places.

    Raises:
        InputError: one of them is in use.
    """
    with ExitStack() as stack:
        metered = {} if share_meter else {_board(place): place.name for place in places if _meter_is_shared(place.name)}
        for board, name in sorted(metered.items()):
            what = f"training on {_described(name)}, whose meter would count both (--share-meter allows it)"
            stack.enter_context(sole_holder(machine_lock(board), what))
        yield


def _check_ahead(places: Sequence[Slot]) -> None:
    if any(not place.metered_alone for place in places):
        raise InputError("--ahead takes turns on the meter, and --share-meter does not; choose one of the two.")
    if without := [place.name for place in places if not _boards(place)]:
        raise InputError(
            f"--ahead: {_described(without[0])} is no GPU that NVML meters, and two runs at once would slow each other "
            "down. Leave it out, or see --jobs."
        )
    if _cpu_is_measured():
        raise InputError(
            "--ahead: RAPL measures the whole processor, so the start of the next run would count in the training "
            "beside it. Leave it out."
        )


def _boards(place: Slot) -> list[str]:
    from carbon_midl.footprint.nvml import visible_boards

    return visible_boards({**os.environ, **place.environment})


def _board(place: Slot) -> str:
    """The GPU that a run is made on, by a name that all processes of this machine know it by, where NVML tells one."""
    boards = _boards(place)
    return boards[0] if boards else place.name.replace(":", "-") or "cpu"


def _environment(name: str) -> dict[str, str]:
    if name == "":
        return {}
    if name == "cpu":
        return {_VISIBLE: ""}
    found = _CUDA.fullmatch(name)
    if found is None:
        raise InputError(f"devices: found {name!r}; expected cpu, or cuda: and a number, such as cuda:0,cuda:1.")
    import torch

    count, number = torch.cuda.device_count(), int(found.group(1))
    if number >= count:
        known = ", ".join([*(f"cuda:{place}" for place in range(count)), "cpu"])
        raise InputError(f"devices: no {name} on this machine; there is {known}.")
    # A scheduler may have given this process some of the machine's GPUs only; numbers count among those.
    visible = os.environ.get(_VISIBLE)
    return {_VISIBLE: visible.split(",")[number].strip() if visible else str(number)}


def _meter_is_shared(name: str) -> bool:
    """Whether the meter of this device counts all programs on it.

    A GPU's counter does, and RAPL, which counts the whole processor. The estimate from CPU time follows each program's
    own processes.
    """
    return name.startswith("cuda") or (name == "" and _torch_would_choose_a_gpu()) or _cpu_is_measured()


def _torch_would_choose_a_gpu() -> bool:
    if not any(Path(driver).exists() for driver in _DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


def _cpu_is_measured() -> bool:
    from carbon_midl.footprint.sensors import discover_sensors

    sensors = discover_sensors().sensors
    try:
        return any(sensor.component == "cpu" and sensor.method.startswith("measured") for sensor in sensors)
    finally:
        for sensor in sensors:
            sensor.close()


def _described(name: str) -> str:
    return name or "the default device"
