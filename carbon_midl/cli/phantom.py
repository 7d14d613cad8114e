"""``carbon-midl phantom``: the phantom as DICOM series."""

import argparse
import os
from pathlib import Path
from typing import Any

from carbon_midl.cli.parsing import action, positive

_EPILOG = """\
The series carry LIDC-IDRI's own identifiers, geometry and slice positions, so that pylidc and 'carbon-midl crops build'
take them for the collection. A series takes about a minute on one core and 60 to 300 MB of disk.

example, from a phantom to crops without any download:
  carbon-midl phantom data/phantom-dicom --patients 12 --nodule-slices-only
  carbon-midl crops build --dicom data/phantom-dicom data/phantom-crops
"""


def add_actions(rooms: Any) -> None:
    """Add the action ``phantom``."""
    phantom = action(
        rooms, "phantom", _write, "write synthetic CT series around real LIDC-IDRI outlines, as DICOM", _EPILOG
    )
    phantom.add_argument("root", type=Path, metavar="DIR", help="gets a directory a patient; series there are kept")
    phantom.add_argument(
        "--patients", type=int, default=4, metavar="N", help="patients, drawn by the seed (default: %(default)s)"
    )
    phantom.add_argument("--seed", type=int, default=0, metavar="S", help="seed (default: %(default)s)")
    phantom.add_argument(
        "--nodule-slices-only",
        action="store_true",
        help="leave out the slices that no nodule touches: much faster, but no whole volumes",
    )
    phantom.add_argument(
        "--jobs", type=positive, default=os.cpu_count() or 1, metavar="N", help="processes (default: %(default)s)"
    )


def _write(options: argparse.Namespace) -> None:
    from functools import partial

    from tqdm import tqdm

    from carbon_midl.lidc.phantom.dicom import write_phantom

    progress = partial(tqdm, unit="series", disable=None)
    count = write_phantom(
        options.root, options.patients, options.seed, options.nodule_slices_only, options.jobs, progress
    )
    print(
        f"{count} phantom series in {options.root}. Cut crops with: carbon-midl crops build --dicom {options.root} OUT"
    )
