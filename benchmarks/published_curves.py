"""Selection replayed on the published curves of 131 models: what do policies save, and what do criteria choose?

    python -m benchmarks.published_curves pepr-lidc-derma.csv [--draws 400] [--test-draws 2000]

The table is ``data/full_data_pepr.csv`` of raghavian/MIA-Energy (Selvan et al., PePR, arXiv:2403.12562) without what
the repository adds to it: a row a model and data set with its energy for ten epochs and its test accuracy after each.
Recorded are summaries only: ``policies.csv`` with every policy of the grid on draws of either data set, ``tuned.csv``
with the one that the rule of `carbon_midl.selection.tuning` chooses on a data set, on new draws of the other,
``choices.csv`` with what each criterion chooses, and ``convergence.csv`` with two readings of cost to convergence.
"""

import argparse
import hashlib
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from carbon_midl.environment import describe_environment
from carbon_midl.files import write_json, write_text
from carbon_midl.selection.convergence import readings
from carbon_midl.selection.curves import curves_of_table
from carbon_midl.selection.published import RECORDED, choices
from carbon_midl.selection.replay import drawn
from carbon_midl.selection.tuning import LEAST, TOLERANCE, cheapest_within, grid, summaries

TUNING_SEED, TEST_SEED = 0, 1


def main() -> None:
    """Replay, choose, compare and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="the published table as CSV")
    parser.add_argument("--draws", type=int, default=400, help="on which options are chosen (default: %(default)s)")
    parser.add_argument("--test-draws", type=int, default=2000, help="of the other set (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RECORDED, help="(default: %(default)s)")
    options = parser.parse_args()
    table = pd.read_csv(options.table)
    sets = {str(name): part.reset_index(drop=True) for name, part in table.groupby("dataset")}
    curves = {
        name: curves_of_table(part, ("model",), "num_param", "energy", r"test_\d+") for name, part in sets.items()
    }
    policies = grid()
    on = {
        name: summaries(
            drawn(part, options.draws, TUNING_SEED), policies, progress=lambda each: tqdm(each, leave=False)
        )
        for name, part in curves.items()
    }
    rows = [
        {"dataset": name, "name": policy.name, **summary._asdict()}
        for name, found in on.items()
        for policy, summary in zip(policies, found, strict=True)
    ]
    tuned = []
    for here, found in on.items():
        chosen = cheapest_within(found)
        for there in curves:
            if there == here:
                continue
            tested = summaries(drawn(curves[there], options.test_draws, TEST_SEED), [policies[chosen]])[0]
            tuned += [
                {"tuned_on": here, "on": here, "draws_seed": TUNING_SEED, **found[chosen]._asdict()},
                {"tuned_on": here, "on": there, "draws_seed": TEST_SEED, **tested._asdict()},
            ]
    tables = {
        "policies": pd.DataFrame(rows),
        "tuned": pd.DataFrame(tuned),
        "choices": choices(sets),
        "convergence": readings(sets),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, made in tables.items():
        write_text(options.out / f"{name}.csv", made.to_csv(index=False))
        print(made.to_string())
    write_json(
        options.out / "manifest.json",
        {
            "format": "carbon-midl published curves",
            "version": 1,
            "source": "raghavian/MIA-Energy (MIT licence), data/full_data_pepr.csv; Selvan et al., arXiv:2403.12562",
            "sha256": hashlib.sha256(options.table.read_bytes()).hexdigest(),
            "models": {name: len(part) for name, part in curves.items()},
            "epochs": {name: part.epochs for name, part in curves.items()},
            "tolerance": TOLERANCE,
            "least": LEAST,
            "tuning_draws": options.draws,
            "test_draws": options.test_draws,
            **describe_environment(),
        },
    )


if __name__ == "__main__":
    main()
