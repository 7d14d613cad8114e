"""What the record of the published curves says: criteria, cost to convergence, policies tuned and tested.

``studies/published_curves.py`` makes the record.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from carbon_midl.book import selection_figures as figures
from carbon_midl.book import wording as w
from carbon_midl.book.pictures import Picture
from carbon_midl.book.selection_figures import CRITERION_LABELS, POLICY_LABELS
from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.study.results import named_rows

Table = tuple[list[str], list[list[str]]]
RECORDED = Path("results/published-curves")
_FILES = ("policies", "tuned", "choices", "convergence")
DATASETS = {"lidc": "LIDC-IDRI", "derma": "DermaMNIST"}
AIM_WITHIN, AIM_SHARE = 0.9, 0.2
"""The aim: a regret within the tolerance in nine draws of ten, for a fifth of the full sweep's energy."""


class Record(NamedTuple):
    """The tables and what is known about how they were made."""

    policies: pd.DataFrame
    tuned: pd.DataFrame
    choices: pd.DataFrame
    convergence: pd.DataFrame
    manifest: dict[str, Any]


def read_published(directory: Path) -> Record:
    """Read the record.

    Raises:
        InputError: a file is missing.
    """
    try:
        tables = {name: pd.read_csv(directory / f"{name}.csv") for name in _FILES}
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename}: no such file. Record it with: python -m studies.published_curves TABLE"
        ) from None
    return Record(**tables, manifest=read_json(directory / "manifest.json"))


def published_numbers(record: Record) -> dict[str, str]:
    """Name to printed text."""
    manifest = record.manifest
    models = sorted({int(value) for value in manifest["models"].values()})
    epochs = sorted({int(value) for value in manifest["epochs"].values()})
    return {
        "published_models": w.span(models[0], models[-1]),
        "published_epochs": w.span(epochs[0], epochs[-1]),
        "published_tolerance": f"{100 * manifest['tolerance']:g}",
        "published_least": f"{100 * manifest['least']:g} %",
        "published_policies": f"{record.policies['policy'].nunique()}",
        "published_draws": f"{manifest['test_draws']:,}",
        "published_tuned": " ".join(tuned_sentence(record, there) for there in DATASETS),
        "published_choices": choices_sentence(record.choices),
        "published_convergence": convergence_sentences(record.convergence),
    }


def tuned_sentence(record: Record, there: str) -> str:
    """How a policy that was chosen on the other data set fared on this one, against the aim."""
    row = record.tuned[(record.tuned["on"] == there) & (record.tuned["tuned_on"] != there)].iloc[0]
    here = DATASETS[row["tuned_on"]]
    met = row["within"] >= AIM_WITHIN and row["share"] <= AIM_SHARE
    verdict = "which meets the aim" if met else "which misses the aim"
    interval = f"{w.percent(row['share_low'])} to {w.percent(row['share_high'])}"
    return (
        f"The one chosen on {here} ({row['policy']}) kept the regret within half a point in "
        f"{w.percent(row['within'])} of the draws of {DATASETS[there]}, for {w.percent(row['share'])} of the full "
        f"sweep's energy ({interval}): {verdict}."
    )


def choices_sentence(table: pd.DataFrame) -> str:
    """How many different models the criteria choose on each data set, and what the cheapest choice gives up."""
    parts = []
    for name, label in DATASETS.items():
        rows = table[table["dataset"] == name]
        cheapest = min(named_rows(rows), key=lambda row: row.cost)
        lost = 100 * float(rows["performance"].max() - cheapest.performance)
        different = w.count(rows["chosen"].nunique())
        behind = w.significant(lost, 2)
        parts.append(
            f"On {label} the {w.count(len(rows))} criteria choose {different} different models; the cheapest of them "
            f"takes {w.percent(cheapest.share_of_best)} of the energy of the most accurate and is {behind} points "
            "behind it"
        )
    return "; ".join(parts).replace("; On", "; on") + "."


def convergence_sentences(table: pd.DataFrame) -> str:
    """How the two readings of cost to convergence agree in rank and in what PePR chooses."""
    parts = []
    for name, label in DATASETS.items():
        row: Any = table[table["dataset"] == name].iloc[0]
        interval = f"95 % interval {_signed(row['spearman_low'])} to {_signed(row['spearman_high'])}"
        same = row["pepr_per_epoch"] == row["pepr_up_to_best"]
        choice = (
            f"PePR chooses the same model by both, {row['pepr_per_epoch']}"
            if same
            else f"PePR chooses {row['pepr_per_epoch']} by the first and {row['pepr_up_to_best']} by the second"
        )
        shared = w.count(int(row["top_shared"])) if row["top_shared"] else "none"
        best = w.count(int(row["top"]))
        parts.append(
            f"On {label} their ranks correlate with {_signed(row['spearman'])} (Spearman; {interval}; "
            f"{row['models']} models); {choice}, and {shared} of the {best} best by PePR are the same."
        )
    return " ".join(parts)


def published_choices(record: Record) -> Table:
    """The chosen models, a row a data set and model, with the criteria that choose it."""
    rows = []
    for name, label in DATASETS.items():
        for _, group in record.choices[record.choices["dataset"] == name].groupby("chosen", sort=False):
            row: Any = group.iloc[0]
            criteria = ", ".join(CRITERION_LABELS[one] for one in group["name"]).replace("best Dice", "best accuracy")
            rows.append([
                f"{label}: {criteria}", row["chosen"].replace("_", " "), f"{row['performance']:.3f}",
                str(row["rank"]), w.energy(row["cost"]), w.percent(row["share_of_best"]),
            ])  # fmt: skip
    return ["Data: criteria", "Model", "Accuracy", "Rank", "Energy", "Share"], rows


def published_tuned(record: Record) -> Table:
    """The policies that were chosen on one data set, there and on the other."""
    rows = []
    for row in named_rows(record.tuned):
        rows.append([
            f"{DATASETS[row.tuned_on]}: {row.policy}", DATASETS[row.on], w.percent(row.within),
            f"{w.significant(100 * row.regret, 2)} ({w.significant(100 * row.regret_high, 2)})",
            w.percent(row.share),
        ])  # fmt: skip
    return ["Chosen on: policy", "Replayed on", "Within", "Regret", "Energy"], rows


def policies_picture(record: Record) -> Picture:
    """Reliability against price of every policy."""
    columns = ["dataset", "name", "policy", "share", "within"]
    names = dict(zip(record.policies["policy"], record.policies["name"], strict=True))
    tested = record.tuned[record.tuned["on"] != record.tuned["tuned_on"]]
    tested = tested.assign(dataset=tested["on"], name=tested["policy"].map(names), role="tested")
    table = pd.concat([record.policies[columns].assign(role="grid"), tested[[*columns, "role"]]], ignore_index=True)
    table = table.assign(dataset=table["dataset"].map(DATASETS))
    parts = []
    for name, label in POLICY_LABELS.items():
        rows = table[(table["name"] == name) & (table["role"] == "grid")]
        parts.append(
            f"{label}: {_range(rows['share'])} of the energy, {_range(rows['within'])} of draws within half a point"
        )
    rings = [
        f"on {row.dataset} {row.share:.0%} of the energy and {row.within:.0%} of draws"
        for row in named_rows(table[table["role"] == "tested"])
    ]
    alt = (
        "Points, one a policy and data set: share of draws with a regret of at most half a point against energy of the "
        f"search as share of the full sweep's. {'; '.join(parts)}. Ringed, chosen on the other data set: "
        f"{w.joined(rings)}."
    )
    return Picture(figures.policies, table, alt, (5.6, 4.2))


def _range(values: "pd.Series[float]") -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"{low:.0%} to {high:.0%}"


def _signed(value: float) -> str:
    return w.signed(value, 2)


TABLES = {"published-choices": published_choices, "published-tuned": published_tuned}
PICTURES = {"policies": policies_picture}
