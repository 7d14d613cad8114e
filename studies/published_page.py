"""What the book prints of the published curves: numbers by name and tables, from their record.

    python -m studies.published_page

``studies/published_curves.py`` does it, too, once it has recorded them; this is for a change of wording alone.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.book.evidence import PUBLISHED, read_record
from carbon_midl.book.figures import CRITERION_LABELS, DATASETS
from carbon_midl.book.numbers import energy, interval, percent_interval
from carbon_midl.book.tables import printed
from carbon_midl.files import write_json, write_text
from carbon_midl.units import percent, signed, significant, span


def write(root: Path) -> None:
    """Write ``page/numbers.json``, and each table as CSV beside it, in the directory of the record."""
    record, out = read_record(root, PUBLISHED), root / PUBLISHED / "page"
    numbers = {
        "published_models": span(*record.manifest["models"].values()),
        "published_epochs": span(*record.manifest["epochs"].values()),
        "published_tolerance": f"{100 * record.manifest['tolerance']:g}",
        "published_least": f"{100 * record.manifest['least']:g} %",
        "published_policies": f"{record.policies['policy'].nunique()}",
        "published_draws": f"{record.manifest['test_draws']:,}",
    }
    for dataset in DATASETS:
        numbers |= numbers_of(record, dataset)
    write_json(out / "numbers.json", numbers)
    for name, table in {"published-choices": choices(record), "published-tuned": tuned(record)}.items():
        write_text(out / f"{name}.csv", table.to_csv(index=False))


def numbers_of(record: Any, dataset: str) -> dict[str, str]:
    """The numbers of one data set."""
    chosen = record.choices.groupby("dataset").get_group(dataset).sort_values("cost")
    spearman = record.convergence.set_index("dataset").loc[dataset]
    tested = record.tuned[(record.tuned["on"] == dataset) & (record.tuned["tuned_on"] != dataset)].iloc[0]
    lost = 100 * (chosen["performance"].max() - chosen["performance"].iloc[0])
    return {
        f"published_{dataset}_cheapest_share": percent(chosen["share_of_best"].iloc[0]),
        f"published_{dataset}_cheapest_lost": significant(lost, 2),
        f"published_{dataset}_spearman": interval(partial(signed, decimals=2), spearman, "spearman"),
        f"published_{dataset}_within": percent(tested["within"]),
        f"published_{dataset}_share": percent_interval(tested, "share"),
    }


def choices(record: Any) -> pd.DataFrame:
    """The chosen models, a row a data set and model, with the criteria that choose it."""
    labels = record.choices["name"].map(CRITERION_LABELS).replace("best Dice", "best accuracy")
    by_model = record.choices.assign(labels=labels).groupby(["dataset", "chosen"], sort=False)
    models = by_model.first().assign(labels=by_model["labels"].agg(", ".join)).loc[list(DATASETS)].reset_index()
    return printed(models, {
        "Data: criteria": lambda row: f"{DATASETS[row.dataset]}: {row.labels}",
        "Model": lambda row: row.chosen.replace("_", " "), "Accuracy": lambda row: f"{row.performance:.3f}",
        "Rank": "rank", "Energy": lambda row: energy(row.cost), "Share": lambda row: percent(row.share_of_best),
    })  # fmt: skip


def tuned(record: Any) -> pd.DataFrame:
    """The policy that was chosen on each data set, there and on the other."""
    return printed(record.tuned, {
        "Chosen on: policy": lambda row: f"{DATASETS[row.tuned_on]}: {row.policy}",
        "Replayed on": lambda row: DATASETS[row.on], "Within": lambda row: percent(row.within),
        "Regret": lambda row: f"{significant(100 * row.regret, 2)} ({significant(100 * row.regret_high, 2)})",
        "Energy": "share",
    })  # fmt: skip


if __name__ == "__main__":
    write(Path())
