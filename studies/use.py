"""Record what a use takes: energy and time of segmenting a crop, by width and batch size, with nothing else running.

    python -m studies.use [--out results/lidc-use]

Untrained U-Nets will do, since the energy does not depend on the weights. It takes about three minutes on two cores.
Where no sensor measures, the energy is an estimate by the cores' time, as that of a training is. The book holds it
against `results/lidc-calibration`, so record it on a machine of that kind and in that number format (``precision``).
"""

import argparse
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from carbon_midl.book.evidence import USE
from carbon_midl.book.tables import PAPER_WIDTHS
from carbon_midl.files import replaced_directory, write_json, write_text
from carbon_midl.selection.candidates import USES
from carbon_midl.study.results import MANIFEST
from carbon_midl.study.run import describe_environment
from carbon_midl.training.evaluate import WINDOW_S, measure_use
from carbon_midl.training.options import SLICES_PER_SCAN, USE_BATCHES, USE_LIMIT, USE_REPEATS
from carbon_midl.training.unet import UNet
from carbon_midl.units import plural

SIZE_PX = 64
"""Of the crops that the networks of `results/lidc-length` were trained on."""


def record(out: Path, widths: tuple[int, ...] = PAPER_WIDTHS, size: int = SIZE_PX) -> None:
    """Write the table and its manifest into the directory ``out``, anew."""
    environment = describe_environment()
    hardware = environment["hardware"]
    device = " and ".join(hardware["gpu"]) or f"{hardware['cpu']}, {plural(hardware['threads'], 'core')}"
    about = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"), "size_px": size, "limit": USE_LIMIT,
        "most_repeats": USE_REPEATS, "window_s": WINDOW_S, "slices_per_scan": SLICES_PER_SCAN,
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    for filters in tqdm(widths, unit="width", disable=None):
        for batch in USE_BATCHES:
            found = measure_use(UNet(filters), torch.rand(batch, 1, size, size), USE_LIMIT, USE_REPEATS)
            row = {"device": device, "filters": filters, **asdict(found)}
            for name in ("energy_kwh", "duration_s"):
                row[name], row[f"{name}_low"], row[f"{name}_high"] = getattr(found, name)
            rows.append(row)
            if found.spread > USE_LIMIT:
                print(
                    f"F = {filters}, {batch} at a time: not steady, ± {found.spread:.1%}. Record it on a quiet machine."
                )
    with replaced_directory(out) as staging:
        write_text(staging / USES, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
        write_json(staging / MANIFEST, {"format": "carbon-midl uses", "version": 1, **about, **environment})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=USE, help="the record to make (default: %(default)s)")
    record(parser.parse_args().out)
