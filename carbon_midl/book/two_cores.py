"""The results chapter's second study of the same crops: narrow widths without a GPU and without augmentation."""

from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.book import wording as w
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.list_table import list_table
from carbon_midl.book.yardsticks import beside_reader, reader_verdict, with_networks
from carbon_midl.lidc.bootstrap import Estimate, mean_over_patients
from carbon_midl.lidc.yardsticks import RECORDED as YARDSTICKS
from carbon_midl.lidc.yardsticks import read_yardsticks
from carbon_midl.selection.by_width import by_width, draw_bootstrap, read_widths
from carbon_midl.selection.patients import Interval
from carbon_midl.study.results import Results, named_rows

RECORDED = Path("results/lidc-cpu")
_WHY = """\
## Without a GPU, without augmentation

Turned and mirrored crops help a network that sees the same ones again and again; our epochs are few. A trial without
them ({numref}`table-trials`) came when the study had already been run with them. So narrow widths were trained once
more, without them and without a GPU, everything else alike, as a study of their own. By then the test Dice of the first
study was known. And since both the machine and the augmentation differ, a difference may come from either.
"""


def two_cores_text(evidence: Evidence, root: Path) -> str:
    """A section: the second study beside a reader and beside the book's own; nothing where it is not recorded.

    `carbon-midl study run studies/lidc-cpu.toml` makes it.

    Args:
        evidence: the book's study.
        root: the repository, with what was recorded in it.
    """
    if not all((root / record).is_dir() for record in (RECORDED, YARDSTICKS)):
        return ""
    other, own = read_widths(root / RECORDED), evidence.results
    yardsticks, record = read_yardsticks(root / YARDSTICKS)
    if not _crops(own.manifest) == _crops(other.manifest) == (record["crops"]["fingerprint"], record["split_seed"]):
        return ""
    known = w.how_known(*other.runs["energy_method"].unique())
    table = by_width(other, draw_bootstrap(other)).set_index("filters")
    four = with_networks(yardsticks[yardsticks["reader_dice"].notna()], other.slices_of("test"))
    against_reader = {width: beside_reader(four, width) for width in table.index}
    against_own = {width: _against(other, own, width) for width in table.index if width in set(own.runs["filters"])}
    rows = [
        [
            *(str(row.Index), str(row.runs)),
            w.unbroken(f"{w.dice(row.dice)} ({w.dice(row.dice_low)}–{w.dice(row.dice_high)})"),
            _points(against_reader[row.Index]),
            _points(against_own[row.Index]) if row.Index in against_own else "–",
            *map(w.unbroken, (w.energy(row.energy_kwh), w.carbon(row.carbon_g), w.duration(row.duration_s))),
        ]
        for row in named_rows(table)
    ]
    best = max(against_reader, key=lambda width: against_reader[width].estimate)
    count = against_reader[best]
    said = " ".join(
        [
            f"On the {count.n:,} test slices that all four readers outlined, the best of these widths, F = {best}, "
            f"compares with a reader like this: {reader_verdict(count)}.",
            _energies(table["energy_kwh"], known, evidence, list(against_own)),
        ]
    )
    patients = int(other.runs["test_patients"].iloc[0])
    caption = (
        f"Narrow widths on {w.machine(other.manifest['hardware'])}, not augmented: Dice with its 95 % interval over "
        f"{patients} test patients and seeds; points against a reader, on the slices of all four; points against the "
        "same width of the study above, patient by patient (95 % over patients); energy of one training before PUE, "
        f"{known}; its carbon; its time."
    )
    header = ["F", "Seeds", "Dice", "Against a reader", "Against the study", "Energy", "CO₂eq", "Time"]
    return f"{_WHY}\n{w.unbroken(said)}\n\n{list_table('table-two-cores', caption, header, rows, 'numbers wrapped')}"


def _crops(manifest: dict[str, Any]) -> tuple[Any, Any]:
    return manifest["crops"]["fingerprint"], manifest["options"]["split_seed"]


def _against(other: Results, own: Results, width: int) -> Estimate:
    """The other study less the book's, on each patient's mean over slices and seeds."""
    means = [
        slices[slices["filters"] == width].groupby("patient_id")["dice"].mean()
        for slices in (other.slices_of("test"), own.slices_of("test"))
    ]
    difference = (means[0] - means[1]).dropna()
    return mean_over_patients(difference, difference.index)


def _energies(energy_kwh: "pd.Series[float]", known: str, evidence: Evidence, widths: list[int]) -> str:
    own = evidence.widths.set_index("filters")["energy_kwh"]
    told = [f"{w.energy(energy_kwh[width])} in place of {w.energy(own[width])} at F = {width}" for width in widths]
    if not told:
        return ""
    there = w.how_known(*evidence.results.runs["energy_method"].unique())
    machine = w.machine(evidence.results.manifest["hardware"])
    return f"One training took {w.joined(told)}: here {known}, there, on the {machine}, {there}."


def _points(found: Estimate) -> str:
    return w.unbroken(w.points_interval(Interval(*found[:3])).replace(" points", ""))
