"""Join the tables of runs as text, one run after the other.

Nothing is parsed that is only passed on, so that every number keeps its digits, and memory does not grow with the
study.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from carbon_midl.errors import InputError
from carbon_midl.files import gzip_stream, replaced


class Joined:
    """One table of all runs, with the columns ``run``, ``filters`` and ``seed`` in front of those that runs have.

    Args:
        out: where it goes.
        last: name of a column that is added behind them; "" for none.
    """

    def __init__(self, out: BinaryIO, last: str = "") -> None:
        self._out, self._last = out, last
        self._columns, self._first = "", ""

    def add(self, run: str, filters: int, seed: int, text: str, values: Sequence[float] = ()) -> None:
        """Add the table of a run.

        Args:
            run: its name.
            filters: its width.
            seed: its seed.
            text: the table as CSV.
            values: of the last column, one a row.

        Raises:
            InputError: it has other columns than the runs before it.
        """
        header, *rows = text.splitlines()
        if not self._columns:
            self._columns, self._first = header, run
            self._write([f"run,filters,seed,{header}{f',{self._last}' if self._last else ''}"])
        if header != self._columns:
            raise InputError(
                f"{run}: its table has columns {header}; expected {self._columns}, as {self._first} has. "
                "They were made with different versions; move the older one away and run the study again."
            )
        start = f"{run},{filters},{seed},"
        if self._last:
            self._write([f"{start}{row},{value!r}" for row, value in zip(rows, values, strict=True)])
        else:
            self._write([start + row for row in rows])

    def _write(self, lines: list[str]) -> None:
        if lines:
            self._out.write("\n".join(lines).encode() + b"\n")


@contextmanager
def joined(path: Path, last: str = "") -> Iterator[Joined]:
    """A table that takes its place at ``path`` when it is complete; compressed where the name ends in ``.gz``."""
    with replaced(path) as temporary, temporary.open("wb") as file:
        if path.suffix == ".gz":
            with gzip_stream(file) as packed:
                yield Joined(packed, last)
        else:
            yield Joined(file, last)
