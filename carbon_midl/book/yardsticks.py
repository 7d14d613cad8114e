"""The results chapter's yardsticks: readers, a threshold, and what a leaky split would have shown."""

from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.book import wording as w
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.list_table import list_table
from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.measures import Estimate, Interval, mean_over_patients
from carbon_midl.study.results import named_rows, read_results

RECORDED = Path("results/lidc-yardsticks")
FORMAT, VERSION = "carbon-midl yardsticks", 1
COLUMNS = ("patient_id", "nodule", "slice", "readers_with_mask", "threshold_dice", "reader_dice", "readers_dice")
LEAK, TRIALS = Path("results/lidc-leak"), Path("results/lidc-trials")
NOT_RECORDED = (
    "Readers and a threshold have not been scored on the test patients of this study. "
    "`python studies/yardsticks.py` does it.\n"
)
_SLICE = ["patient_id", "nodule", "slice"]


def yardsticks_text(evidence: Evidence, root: Path) -> str:
    """Sentences and a table: networks, readers and a threshold on the same slices; or that there is no record.

    Args:
        evidence: the study.
        root: the repository, with what was recorded in it.
    """
    if not (root / RECORDED).is_dir():
        return NOT_RECORDED
    table, record = read_yardsticks(root / RECORDED)
    manifest = evidence.results.manifest
    if (record["crops"]["fingerprint"], record["split_seed"], record["readers"]) != (
        manifest["crops"]["fingerprint"],
        manifest["options"].get("split_seed"),
        manifest["options"]["readers"],
    ):
        return NOT_RECORDED
    joined = with_networks(table, evidence.results.slices_of("test"))
    four = joined[joined["reader_dice"].notna()]
    widths = evidence.bootstrap.widths
    best = max(widths, key=lambda width: four[width].mean())
    rows = [
        ["A reader, with the others", _cell(four, "reader_dice"), "–"],
        [
            "Pairs of readers",
            _cell(four, "readers_dice"),
            _cell(joined[joined["readers_dice"].notna()], "readers_dice"),
        ],
        *([f"U-Net, F = {width}", _cell(four, width), _cell(joined, width)] for width in widths),
        ["Threshold", _cell(four, "threshold_dice"), _cell(joined, "threshold_dice")],
    ]
    reader, network = _mean(four, "reader_dice"), _mean(four, best)
    difference = beside_reader(four, best)
    said = (
        f"On the {reader.n:,} test slices that all four readers outlined ({w.plural(reader.patients, 'patient')}), a "
        f"reader's Dice with the majority of the other three is {_dice(reader)}. The best width there, F = {best}, "
        f"reaches {_dice(network)} with the consensus of the four: {reader_verdict(difference)}. A threshold at "
        f"{record['threshold']['level']:g} of a crop's range, chosen on the validation patients, reaches "
        f"{_dice(_mean(joined, 'threshold_dice'))} on all test slices."
    )
    caption = (
        "Dice with its 95 % interval over patients, on the test slices that all four readers outlined and on all; each "
        "slice counts alike, and a network has the mean of its seeds."
    )
    header = [" ", f"By all four (n = {reader.n:,})", f"All (n = {len(joined):,})"]
    return f"{w.unbroken(said)}\n\n{list_table('table-yardsticks', caption, header, rows)}"


def read_yardsticks(directory: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read what ``studies/yardsticks.py`` recorded.

    Raises:
        InputError: a file is missing, of another version, or lacks a column.
    """
    directory = Path(directory)
    manifest = read_json(directory / "manifest.json")
    if not isinstance(manifest, dict) or (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
        raise InputError(f"{directory / 'manifest.json'}: not of yardsticks, version {VERSION}. Record them again.")
    path = directory / "slices.csv.gz"
    try:
        table = pd.read_csv(path)
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(
            f"{path}: no readable record ({error}). Make it: python studies/yardsticks.py data/lidc {directory}"
        ) from None
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise InputError(f"{path}: no column {', '.join(missing)}. Record them again.")
    return table, manifest


def with_networks(table: pd.DataFrame, slices: pd.DataFrame) -> pd.DataFrame:
    """The table of yardsticks with a column for each width: its Dice on each slice, the mean of its seeds."""
    networks = slices.groupby(["filters", *_SLICE])["dice"].mean().unstack("filters")
    return table.merge(networks.reset_index(), on=_SLICE, validate="one_to_one")


def beside_reader(four: pd.DataFrame, width: int) -> Estimate:
    """Network less reader on the slices that all four readers outlined."""
    return mean_over_patients(four[width] - four["reader_dice"], four["patient_id"])


def leak_text(root: Path) -> str:
    """One sentence: the same training on a split by slice and on one by patient; or that there is no record."""
    if not (root / LEAK).is_dir() or not (root / TRIALS).is_dir():
        return "What a network would gain by such a split has not been recorded in this copy of the book."
    leak, trials = read_results(root / LEAK), read_results(root / TRIALS)
    leaky, scores, runs = leak.slices_of("test"), trials.slices_of("test"), trials.runs
    (made,) = named_rows(leak.runs)
    alike = {"filters": made.filters, "seed": made.seed} | {
        name: leak.manifest["options"][name] for name in ("learning_rate", "augment")
    }
    (run,) = runs.loc[(runs[list(alike)] == pd.Series(alike)).all(axis=1), "run"]
    honest = scores[scores["run"] == run]
    # The archive for the leak names its patients by slice; the patient is the first part.
    by_slice = mean_over_patients(leaky["dice"], leaky["patient_id"].str.rsplit("-", n=2).str[0])
    by_patient = mean_over_patients(honest["dice"], honest["patient_id"])
    return w.unbroken(
        f"A network gains, too: a U-Net of F = {made.filters}, trained once each way and alike, reached a Dice of "
        f"{_dice(by_slice)} on a split by slice and {_dice(by_patient)} on one by patient ({by_slice.n:,} and "
        f"{by_patient.n:,} test slices)."
    )


def reader_verdict(difference: Estimate) -> str:
    """Such as "−1.3 points (−5.9 to +2.6), no difference from a reader is shown", of a network less a reader."""
    points = w.points_interval(Interval(*difference[:3]))
    if difference.low > 0:
        return f"{points}, more than a reader"
    if difference.high < 0:
        return f"{points}, less than a reader"
    return f"{points}, no difference from a reader is shown"


def _mean(table: pd.DataFrame, column: Any) -> Estimate:
    return mean_over_patients(table[column], table["patient_id"])


def _dice(found: Estimate) -> str:
    return w.dice_interval(Interval(*found[:3]))


def _cell(table: pd.DataFrame, column: Any) -> str:
    found = _mean(table, column)
    return w.unbroken(f"{w.dice(found.estimate)} ({w.dice(found.low)}–{w.dice(found.high)})")
