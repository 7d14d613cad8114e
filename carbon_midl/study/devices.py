"""On which devices the runs of a study are made, and whether each run's energy can be told apart."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from carbon_midl.errors import InputError
from carbon_midl.files import locked_or_refused
from carbon_midl.footprint.nvml import machine_lock, visible_boards
from carbon_midl.footprint.sensors import find_rapl

_VISIBLE = "CUDA_VISIBLE_DEVICES"


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
        ahead: a second place on each GPU, for the next run to start at while one trains. It waits until the GPU is free
            (see :func:`carbon_midl.footprint.nvml.gpu_lock`), so that the meter counts one at a time.

    Raises:
        InputError: a device that does not exist, runs that would share a metered device, or ``ahead`` where the start
            of the next run would be counted, too.
    """
    named = list(devices) or [""]
    if repeated := [name for name in named if named.count(name) > 1]:
        raise InputError(
            f"devices: {repeated[0]} is named {named.count(repeated[0])} times; name it once, and see --jobs."
        )
    environments = {name: _environment(name) for name in named}
    used = [named[place % len(named)] for place in range(jobs or len(named))]
    # Whoever allows it with one run here expects another beside it, started by somebody else, such as a scheduler.
    shared = {name for name in used if (used.count(name) > 1 or share_meter) and _is_metered(environments[name])}
    if shared and not share_meter:
        name = min(shared)
        raise InputError(
            f"devices: {used.count(name)} runs at once on {_described(name)}, whose meter counts all of them together, "
            "so the energy of each would be unknown. Name as many devices as there are jobs, or add --share-meter, "
            "which marks their energy as not separable."
        )
    # Threads of runs side by side would otherwise get into each other's way.
    threads = {}
    if len(used) > 1 and "OMP_NUM_THREADS" not in os.environ:
        threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // len(used)))}
    places = [Slot(name, environments[name] | threads, name not in shared) for name in used]
    if not ahead:
        return places
    if shared:
        raise InputError("--ahead keeps one run on the meter, and --share-meter does not; choose one of the two.")
    if without := [place.name for place in places if not _boards(place.environment)]:
        raise InputError(
            f"--ahead: {_described(without[0])} is no GPU that NVML meters, and two runs at once would slow each other "
            "down. Leave it out, or see --jobs."
        )
    if _cpu_is_measured():
        raise InputError(
            "--ahead: RAPL measures the whole processor, so the start of the next run would count in the training "
            "beside it. Leave it out."
        )
    return places * 2


@contextmanager
def reserved(places: Sequence[Slot], share_meter: bool = False) -> Iterator[None]:
    """Keep other runners on this machine from the metered devices of these places.

    Raises:
        InputError: one of them is in use.
    """
    metered = {}
    for place in places:
        if not share_meter and _is_metered(place.environment):
            # A GPU's name is known to all processes; numbers depend on which GPUs a scheduler gave to a process.
            device = next(iter(_boards(place.environment)), "cpu")
            doing = f"training on {_described(place.name)}, whose meter would count both (--share-meter allows it)"
            metered[device] = doing
    with ExitStack() as stack:
        for device in sorted(metered):
            stack.enter_context(locked_or_refused(machine_lock(device), metered[device]))
        yield


def _environment(name: str) -> dict[str, str]:
    if name == "":
        return {}
    if name == "cpu":
        return {_VISIBLE: ""}
    found = re.fullmatch(r"cuda:(\d+)", name)
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


def _is_metered(environment: Mapping[str, str]) -> bool:
    """Whether a meter of the device counts all programs on it.

    A GPU's counter does, and RAPL, which counts the whole processor. The estimate from CPU time follows each program's
    own processes.
    """
    return bool(_boards(environment)) or _cpu_is_measured()


def _boards(environment: Mapping[str, str]) -> list[str]:
    return visible_boards({**os.environ, **environment})


def _cpu_is_measured() -> bool:
    return bool(find_rapl("").sensors)


def _described(name: str) -> str:
    return name or "the default device"
