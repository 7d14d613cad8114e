"""The format of a study's results, and whether this version reads it."""

from typing import Any

from carbon_midl.errors import InputError

RESULTS_FORMAT = "carbon-midl results"
RESULTS_VERSION = 1


def check_format(manifest: Any, where: str) -> None:
    """Refuse the manifest of something else, or of another version.

    Args:
        manifest: as read from JSON.
        where: its file, for the message.

    Raises:
        InputError: it is no manifest of results, or not of this version.
    """
    if not isinstance(manifest, dict) or manifest.get("format") != RESULTS_FORMAT:
        raise InputError(f"{where}: not the manifest of a study's results. Collect the study again.")
    version = manifest.get("version")
    if version != RESULTS_VERSION:
        newer = isinstance(version, int) and version > RESULTS_VERSION
        way_out = "Update carbon-midl to read it." if newer else "Collect the study again with this version."
        raise InputError(
            f"{where}: version {version!r} of the format; this carbon-midl has {RESULTS_VERSION}. {way_out}"
        )
