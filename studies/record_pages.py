"""What the book prints of what scripts recorded (published curves, transfer, search): numbers by name, and tables.

    python -m studies.record_pages

Run it after one of those scripts has recorded anew, or when the wording changes.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.book.evidence import PUBLISHED, SEARCHED, TRANSFER, read_record
from carbon_midl.book.figures import CRITERION_LABELS, DATASETS, POLICY_LABELS
from carbon_midl.book.numbers import dice_interval, energy, interval, percent_interval
from carbon_midl.book.tables import printed
from carbon_midl.files import write_json, write_text
from carbon_midl.footprint.sensors import how_known
from carbon_midl.study.results import named_rows
from carbon_midl.units import count, percent, plural, signed, significant, span


def main() -> None:
    """Write ``page/numbers.json``, and each table as CSV beside it, in the directory of each record."""
    for where, numbers in ((PUBLISHED, published), (TRANSFER, transfer), (SEARCHED, search)):
        record, out = read_record(Path(), where), where / "page"
        write_json(out / "numbers.json", numbers(record))
        if where == PUBLISHED:
            for name, table in {"published-choices": choices(record), "published-tuned": tuned(record)}.items():
                write_text(out / f"{name}.csv", table.to_csv(index=False))


def transfer(record: Any) -> dict[str, str]:
    """What training on the phantom is worth on real crops."""
    on_real = {row.trained_on: row for row in named_rows(record.summary.query("tested_on == 'real'"))}
    real, phantom = on_real["real"], on_real["phantom"]
    return {
        "transfer_filters": str(record.manifest["filters"]),
        "transfer_training": str(record.manifest["training_patients"]),
        "transfer_patients": str(real.patients),
        "transfer_slices": f"{real.slices:,}",
        "transfer_seeds": plural(real.seeds, "seed"),
        "transfer_real": dice_interval(real, "dice"),
        "transfer_phantom": dice_interval(phantom, "dice"),
        "transfer_share": percent_interval(phantom, "share"),
    }


def search(record: Any) -> dict[str, str]:
    """The recorded search beside the full sweep."""
    chosen = next(row for row in named_rows(record.sweep) if row.run == record.search["chosen"])
    return {
        "search_candidates": count(len(record.search["candidates"])),
        "search_steps": count(record.search["steps"]),
        "search_policy": POLICY_LABELS[record.search["policy"]],
        "search_chosen": str(chosen.filters),
        "search_energy": energy(record.search["energy_kwh"]),
        "sweep_energy": energy(record.sweep["energy_whole_run_kwh"].sum()),
        "search_known": how_known(*record.sweep["energy_method"].unique()),
        "search_patients": str(int(record.sweep["test_patients"].max())),
    }


def published(record: Any) -> dict[str, str]:
    """Criteria and policies on the published curves."""
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
    return numbers


def numbers_of(record: Any, dataset: str) -> dict[str, str]:
    """The numbers of one data set."""
    chosen = record.choices.groupby("dataset").get_group(dataset).sort_values("cost")
    spearman = record.convergence.set_index("dataset").loc[dataset]
    tested = record.tuned[(record.tuned["on"] == dataset) & (record.tuned["tuned_on"] != dataset)].iloc[0]
    lost = 100 * (chosen["performance"].max() - chosen["performance"].iloc[0])
    return {
        f"published_{dataset}_cheapest_share": percent(chosen["share_of_best"].iloc[0]),
        f"published_{dataset}_cheapest_lost": f"{lost:.1f}",
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
        "Rank": "rank", "Wh": lambda row: significant(1000 * row.cost), "Share": lambda row: percent(row.share_of_best),
    })  # fmt: skip


def tuned(record: Any) -> pd.DataFrame:
    """The policy that was chosen on each data set, there and on the other."""
    return printed(record.tuned, {
        "Chosen on: policy": lambda row: f"{DATASETS[row.tuned_on]}: {row.policy.replace('%', ' %')}",
        "Replayed on": lambda row: DATASETS[row.on], "Within": lambda row: percent(row.within),
        "Regret": lambda row: f"{100 * row.regret:.2f} ({100 * row.regret_high:.2f})",
        "Energy": "share",
    })  # fmt: skip


if __name__ == "__main__":
    main()
