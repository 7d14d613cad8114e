"""The devices that runs of a study are made on, and whether the energy of each run can be measured separately."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from carbon_midl.errors import InputError
from carbon_midl.files import locked_or_refused
from carbon_midl.footprint.nvml import machine_lock, visible_boards
from carbon_midl.footprint.sensors import find_rapl, usable_cores

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_DEFAULT = "the default device"


@dataclass(frozen=True)
class Slot:
    """A place for one run at a time."""

    name: str  #: such as "cuda:1" or "cpu", or "" where torch may choose.
    environment: dict[str, str] = field(default_factory=dict)  #: variables that a run's process gets in addition.
    metered_alone: bool = True  #: whether no other run is made on the same metered device.


def slots(
    devices: Sequence[str] = (), jobs: int | None = None, share_meter: bool = False, ahead: bool = False
) -> list[Slot]:
    """Return a place for each run that is made at the same time; `InputError` for what cannot be metered.

    Args:
        devices: such as "cuda:0", "cuda:1" or "cpu"; none lets torch choose.
        jobs: how many runs at the same time; one per device by default.
        share_meter: allow several runs on one meter; their records say that their energies are not separable.
        ahead: add a second place on each GPU, where the next run starts while one trains. It waits until the GPU is
            free (see :func:`carbon_midl.footprint.nvml.gpu_lock`), so that the meter counts one training at a time.
    """
    named = list(devices) or [""]
    if repeated := [name for name in named if named.count(name) > 1]:
        raise InputError(f"devices: {repeated[0]} is named {named.count(repeated[0])} times; name it once; see --jobs.")
    environments = {name: _environment(name) for name in named}
    used = [named[place % len(named)] for place in range(jobs or len(named))]
    # With share_meter even a single run counts as sharing: a scheduler may start another one beside it.
    shared = {name for name in used if (used.count(name) > 1 or share_meter) and _meters(environments[name])}
    if shared and not share_meter:
        name = min(shared)
        raise InputError(
            f"devices: {used.count(name)} runs at once on {name or _DEFAULT}, whose meter counts all of them together, "
            "so the energy of each would be unknown. Name as many devices as there are jobs, or add --share-meter, "
            "which marks their energy as not separable."
        )
    # Runs side by side share the cores; otherwise each would use as many threads as there are cores.
    threads = {}
    if len(used) > 1 and "OMP_NUM_THREADS" not in os.environ:
        threads = {"OMP_NUM_THREADS": str(max(1, usable_cores() // len(used)))}
    places = [Slot(name, environments[name] | threads, name not in shared) for name in used]
    if ahead and share_meter:
        raise InputError("--ahead keeps one run on the meter, and --share-meter does not; choose one of the two.")
    if ahead and any("cpu" in meters or not meters for meters in map(_meters, environments.values())):
        raise InputError(
            "--ahead: wants GPUs that NVML meters, or two runs at once would slow each other down, and a processor "
            "that RAPL does not measure, or the start of the next run would count in the training beside it. Leave it "
            "out, or see --jobs."
        )
    return places * 2 if ahead else places


@contextmanager
def reserved(places: Sequence[Slot]) -> Iterator[None]:
    """Keep other runners here off the devices that are to be metered alone; `InputError` if one is in use."""
    # Numbers such as cuda:0 depend on the GPUs that a scheduler gave to a process; a GPU's name does not.
    metered = {
        meters[0]: place.name or _DEFAULT
        for place in places
        if place.metered_alone and (meters := _meters(place.environment))
    }
    with ExitStack() as stack:
        for device, name in sorted(metered.items()):
            training = f"training on {name}, whose meter would count both (--share-meter allows it)"
            stack.enter_context(locked_or_refused(machine_lock(device), training))
        yield


def number_format(recipe: str) -> str:
    """Tell in which number format a recipe's convolutions compute on this machine, and why; loads torch."""
    from carbon_midl.training.recipes import RECIPES, computes_in_bf16, device

    where = device()
    has = f"the {'GPU' if where.type == 'cuda' else 'processor'} has {'' if computes_in_bf16(where) else 'no '}units"
    why = "as was usual in 2021" if recipe == "reference" else f"since {has} for bf16"
    return f"{RECIPES[recipe](where).precision}, {why}"


def _environment(name: str) -> dict[str, str]:
    if name == "":
        return {}
    if name == "cpu":
        return {_VISIBLE: ""}
    match = re.fullmatch(r"cuda:(\d+)", name)
    if match is None:
        raise InputError(f"devices: found {name!r}; expected cpu, or cuda: and a number, such as cuda:0,cuda:1.")
    import torch

    count, number = torch.cuda.device_count(), int(match[1])
    if number >= count:
        known = ", ".join([*(f"cuda:{place}" for place in range(count)), "cpu"])
        raise InputError(f"devices: no {name} on this machine; there is {known}.")
    # A scheduler may have given this process only some of the machine's GPUs; numbers count among those.
    visible = os.environ.get(_VISIBLE)
    return {_VISIBLE: visible.split(",")[number].strip() if visible else str(number)}


def _meters(environment: Mapping[str, str]) -> list[str]:
    """Names of the device's meters that count all programs on it: of its GPUs, and "cpu" where RAPL measures that.

    The estimate from CPU time counts only the processes of one program.
    """
    return [*visible_boards({**os.environ, **environment}), *(["cpu"] if find_rapl("").sensors else [])]
