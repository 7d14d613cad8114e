"""What leaves a machine says nothing of where it stands and whose it is: no local paths, no names, no passwords."""

import getpass
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from carbon_midl.errors import InputError

# Two names or more behind a slash that no word, unit or address stands before; what every system has is left alone.
_UNIX = r"(?<![\w/:.)~-])(?:~|/(?!sys/|proc/|dev/)[\w.~-]+)/[^\s\"',;]*"
_WINDOWS = r"(?<!\w)[A-Za-z]:[\\/](?!/)[^\s\"',;]*"
_PATH = re.compile(f"{_UNIX}|{_WINDOWS}")
# Forms that tokens have, a password in an address, and what is called one.
_SECRET = re.compile(
    r"\b(?:gh[oprsu]_|github_pat_|glpat-|hf_|xox[abprs]-|AKIA)\w{8,}|://[^/\s:@]+:[^/\s@]+@"
    r"|\b(?:password|secret|token|api[-_]?key)\s*[=:]\s*[^\s]{6,}",
    re.IGNORECASE,
)
_HARDWARE = ("cpu", "cores", "threads", "memory_gb", "gpu", "system")
_LEAST_NAME = 4
"""Characters of a name that is looked for; shorter ones are found in other words."""
_ANYONE = (
    "localhost",
    "root",
    "user",
    "admin",
    "runner",
    "ubuntu",
    "debian",
    "jovyan",
    "test",
    "data",
    "demo",
    "study",
)
"""Names of hosts and users that tell nothing, or are words of studies."""


def machines(environments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hardware, versions and commit of each environment, and nothing else that it may say."""
    return [
        {
            "hardware": {name: value for name, value in one.get("hardware", {}).items() if name in _HARDWARE},
            "versions": one.get("versions", {}),
            "commit": one.get("commit"),
        }
        for one in environments
    ]


def without_paths(text: str) -> str:
    """The text of a study file, each local path shortened to its last name."""
    return _PATH.sub(lambda found: re.split(r"[\\/]", found[0].rstrip("\\/"))[-1], text)


def refuse_local(where: str, content: Any) -> None:
    """Refuse texts that name a local path, this host or this user, or hold what looks like a password.

    Args:
        where: the file, for the message.
        content: a text, or what JSON gives.

    Raises:
        InputError: there is such a text.
    """
    names = _local_names()
    for key, text in _texts("", content):
        at = f"{where}{f', {key}' if key else ''}"
        if _SECRET.search(text):
            raise InputError(f"{at}: looks like a password or token. Take it out of the file by hand, then pack again.")
        found = _PATH.search(text) or (names and names.search(text))
        if found:
            raise InputError(
                f"{at}: {found[0]!r} names this machine, its user or a place on it, which a shared file should not. "
                "Take it out of the file by hand, then pack again."
            )


def _local_names() -> re.Pattern[str] | None:
    names = {socket.gethostname().split(".")[0]}
    with suppress(KeyError, OSError):  # a container may run as a user without a name
        names.add(getpass.getuser())
    told = [re.escape(name) for name in sorted(names) if len(name) >= _LEAST_NAME and name.lower() not in _ANYONE]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(told)})(?![\w-])", re.IGNORECASE) if told else None


def _texts(key: str, content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield key, content
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _texts(f"{key}.{name}".lstrip("."), value)
    elif isinstance(content, list):
        for value in content:
            yield from _texts(key, value)
