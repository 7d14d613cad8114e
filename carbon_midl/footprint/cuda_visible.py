"""Which GPUs CUDA shows to this program, by its rules for `CUDA_VISIBLE_DEVICES`, from NVML's point of view."""

import re
from dataclasses import dataclass
from typing import Any

_LEADING_NUMBER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class VisibleGpu:
    """One GPU board; `is_shared` where the program has only a MIG instance of it."""

    handle: Any
    is_shared: bool = False


def visible_gpus(nvml: Any, visible: str | None) -> list[VisibleGpu]:
    """The boards that a program may use, in CUDA's order, each once.

    As CUDA and torch read the list: an entry is an index (what follows the digits is ignored), a UUID or the beginning
    of just one, or the UUID of a MIG instance; the first invalid entry ends the list, and one that is repeated empties
    it. An index is NVML's, which is CUDA's too under `CUDA_DEVICE_ORDER=PCI_BUS_ID` or where all GPUs are alike.

    Args:
        nvml: a module with the functions of `pynvml`, initialised.
        visible: the value of `CUDA_VISIBLE_DEVICES`; None when it is not set.
    """
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    uuids = [as_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    if visible is None:
        return [VisibleGpu(handle) for handle in handles]
    entries: list[str] = []
    boards: dict[str, VisibleGpu] = {}
    for entry in (part.strip() for part in visible.split(",")):
        key, uuid = _resolve(nvml, entry, uuids)
        if uuid is None:
            break
        if key in entries:
            return []
        entries.append(key)
        boards.setdefault(uuid, VisibleGpu(handles[uuids.index(uuid)], is_shared=key.startswith("MIG-")))
    return list(boards.values())


def as_text(name: str | bytes) -> str:
    """NVML's names, which are bytes in old releases of `pynvml`."""
    return name.decode() if isinstance(name, bytes) else name


def _resolve(nvml: Any, entry: str, uuids: list[str]) -> tuple[str, str | None]:
    """What an entry names, so that repeats are seen, and the UUID of its board; None for an invalid entry."""
    if entry.startswith("GPU-"):
        matching = [uuid for uuid in uuids if uuid.startswith(entry)]
        return (matching[0], matching[0]) if len(matching) == 1 else (entry, None)
    if entry.startswith("MIG-"):
        return entry, _board_of(nvml, entry, uuids)
    number = _LEADING_NUMBER.match(entry)
    if number is None or not 0 <= int(number.group()) < len(uuids):
        return entry, None
    uuid = uuids[int(number.group())]
    return uuid, uuid


def _board_of(nvml: Any, mig_uuid: str, uuids: list[str]) -> str | None:
    try:
        instance = nvml.nvmlDeviceGetHandleByUUID(mig_uuid)
        uuid = as_text(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance)))
    except nvml.NVMLError:
        return None
    return uuid if uuid in uuids else None
