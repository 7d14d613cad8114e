"""The experiment chapter's trials: how step size and augmentation fared on the validation patients.

Some trial is the same training as a run of the study, made a second time: it tells how far a run can be repeated.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.book import wording as w
from carbon_midl.book.claims import best_and_enough
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.list_table import list_table
from carbon_midl.study.results import named_rows, read_results

TRIALS = (Path("results/lidc-tuning"), Path("results/lidc-trials"))
TOLERANCE = 0.01
"""Within which the test Dice of a training is to agree when it is made again on a machine of the same kind."""
NOT_RECORDED = (
    "No trials on the validation patients were recorded for this study: its options are the notebook's own.\n"
)
_VARIED = ("learning_rate", "augment")


def trials_text(evidence: Evidence, root: Path) -> str:
    """Sentences and a table of the trials on the study's crops, as Markdown, or that there are none.

    Args:
        evidence: the study.
        root: the repository, with what was recorded in it.
    """
    own = evidence.results.manifest
    trials = _read(root, own["crops"]["fingerprint"])
    if trials.empty:
        return NOT_RECORDED
    rows = [
        [
            str(row.filters), f"{row.learning_rate:g}", "yes" if row.augment else "no", row.machine,
            w.dice(row.val_dice), w.unbroken(w.energy(row.energy_kwh)), row.known,
        ]
        for row in named_rows(trials.sort_values(["filters", "learning_rate", "augment"]))
    ]  # fmt: skip
    caption = (
        "Trials, one seed each: Dice on the validation patients of the epoch that was kept, energy of the training "
        "before PUE, and how that is known."
    )
    header = ["F", "Step size", "Augmented", "Machine", "Dice", "Energy", "Known"]
    said = " ".join([_step_size(trials, own["options"]), _augmentation(trials, own["options"])]).strip()
    return f"{w.unbroken(said)}\n\n{list_table('table-trials', caption, header, rows)}"


def reruns_text(evidence: Evidence, root: Path) -> str:
    """How far trainings that were made twice agree, or that none was.

    Args:
        evidence: the study.
        root: the repository, with what was recorded in it.
    """
    own = evidence.results.manifest
    trials = _read(root, own["crops"]["fingerprint"])
    runs = evidence.results.runs
    told = []
    for row in named_rows(trials):
        # The same options on the same crops; the code may have changed in what decides no number.
        alike = runs[runs["fingerprint"].str.rsplit("-", n=1).str[0] == row.fingerprint.rpartition("-")[0]]
        for first in named_rows(alike):
            here = row.machine == w.machine(own["hardware"])
            gap = row.test_dice_patients - first.test_dice_patients
            within = "within" if abs(gap) <= TOLERANCE else "not within"
            where = "a machine of the same kind" if here else f"a {row.machine}"
            told.append(
                f"F = {row.filters}, seed {row.seed}, made again on {where}, gave "
                f"{w.dice(row.test_dice_patients)} in place of {w.dice(first.test_dice_patients)}"
                + (f": {within} the tolerance of {w.significant(100 * TOLERANCE, 1)} point." if here else ".")
            )
    return w.unbroken(" ".join(told)) if told else "None was made twice here."


def home_width_text(evidence: Evidence, root: Path) -> str:
    """At which width the step size was chosen, and whether that width came out best; empty where none was recorded.

    Args:
        evidence: the study.
        root: the repository, with what was recorded in it.
    """
    trials = _read(root, evidence.results.manifest["crops"]["fingerprint"])
    if trials.empty or (alike := _most_alike(trials))["learning_rate"].nunique() < 2:
        return ""
    home, (best, _) = int(alike["filters"].iloc[0]), best_and_enough(evidence)
    text = f"The step size was chosen at F = {home}"
    if home != best:
        return f"{text}."
    return f"{text}, the width that then came out best: part of its lead may be that the protocol was made for it."


def _read(root: Path, fingerprint: str) -> pd.DataFrame:
    tables = []
    for directory in TRIALS:
        if not (root / directory).is_dir():
            continue
        results = read_results(root / directory)
        runs, manifest = results.runs, results.manifest
        if manifest["crops"]["fingerprint"] == fingerprint:
            given = {name: manifest["options"][name] for name in _VARIED if name not in runs}
            known = runs["energy_method"].map(w.how_known)
            tables.append(runs.assign(**given, machine=w.machine(manifest["hardware"]), known=known))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _step_size(trials: pd.DataFrame, options: dict[str, Any]) -> str:
    """Which step size was best where several were tried with everything else alike."""
    used, alike = options["learning_rate"], _most_alike(trials)
    rates = sorted(alike["learning_rate"])
    if len(rates) < 2 or alike.sort_values("val_dice")["learning_rate"].iloc[-1] != used:
        return ""
    (filters,) = set(alike["filters"])
    edge = {rates[0]: "smallest", rates[-1]: "largest"}.get(used)
    beyond = {"smallest": "a smaller", "largest": "a larger"}
    text = f"At F = {filters}, a step size of {used:g} was the best of {w.count(len(rates))}, and all widths got it."
    return text + (f" It is the {edge} that was tried: {beyond[edge]} one may be better still." if edge else "")


def _most_alike(trials: pd.DataFrame) -> pd.DataFrame:
    """The most trials that differ in nothing but the step size."""
    _, alike = max(trials.groupby(["filters", "augment", "machine"]), key=lambda group: len(group[1]))
    return alike


def _augmentation(trials: pd.DataFrame, options: dict[str, Any]) -> str:
    """What augmentation did where it was tried both ways with everything else alike."""
    pairs = trials.pivot_table(index=["filters", "learning_rate", "machine"], columns="augment", values="val_dice")
    pairs = pairs.dropna() if pairs.shape[1] == 2 else pairs.iloc[:0]
    if pairs.empty:
        return ""
    gains = [100 * float(pair[True] - pair[False]) for _, pair in pairs.iterrows()]
    found = [
        f"{w.signed(gain)} points at F = {filters}" for (filters, _, _), gain in zip(pairs.index, gains, strict=True)
    ]
    text = f"Flips and quarter turns changed the validation Dice by {w.joined(found)} (one seed each)."
    worse = all(gain < 0 for gain in gains)
    if worse == bool(options["augment"]):
        text += (
            f" The study was run {'with' if options['augment'] else 'without'} them, which may not be the better way "
            "in so few epochs."
        )
    return text
