"""Whose state a checkpoint holds; read without torch, so that who only looks need not wait for it to load."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from carbon_midl.errors import InputError

FORMAT = "carbon-midl checkpoint"
VERSION = 1
WAY_OUT = "Remove the file to begin again, or name another directory."


def checkpointed_run(path: Path) -> str | None:
    """The fingerprint of the run whose state is stored, or None where nothing usable is."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
        check_format(path, metadata)
    except (OSError, SafetensorError, InputError):
        return None
    return metadata.get("run")


def check_format(path: Path, metadata: dict[str, str]) -> None:
    """Refuse a file that is no checkpoint, or one of another version.

    Raises:
        InputError: it is.
    """
    found = (metadata.get("format"), metadata.get("version"))
    if found != (FORMAT, str(VERSION)):
        raise InputError(f"{path}: found {found[0]} {found[1]}, expected {FORMAT} {VERSION}. {WAY_OUT}")
