"""Record a live search beside the full sweep of the same candidates, for the chapter on selection.

    carbon-midl study run studies/demo.toml
    carbon-midl search studies/demo.toml --policy widen
    python -m benchmarks.search runs/demo/results runs/demo-search-widen-seed-0

Both have to be made on one machine that does nothing else. Recorded are the trail and the outcome of the search
(without names of machines) and the runs of the sweep with the search's seed.
"""

import argparse
from pathlib import Path

import pandas as pd

from carbon_midl.book.evidence import SEARCHED
from carbon_midl.errors import InputError
from carbon_midl.files import read_json, write_json, write_text
from carbon_midl.study.results import read_results
from carbon_midl.units import energy


def main() -> None:
    """Copy what is to be recorded, and print what follows from it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="tables of the full sweep")
    parser.add_argument("search", type=Path, help="directory of the search, which has ended")
    parser.add_argument("--out", type=Path, default=SEARCHED, help="(default: %(default)s)")
    options = parser.parse_args()
    outcome, trail = read_json(options.search / "search.json"), pd.read_csv(options.search / "trail.csv")
    runs = read_results(options.results).runs
    sweep = runs[runs["run"].isin(outcome["candidates"])]
    if missing := sorted(set(outcome["candidates"]) - set(sweep["run"])):
        raise InputError(f"{options.results}: no run {missing[0]}; make the full sweep first.")
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "search.json", outcome)
    write_text(options.out / "trail.csv", trail.to_csv(index=False))
    write_text(options.out / "sweep.csv", sweep.to_csv(index=False))
    dice = dict(zip(sweep["run"], sweep["val_dice"], strict=True))
    for said, run in (("chosen", outcome["chosen"]), ("best of the sweep", max(dice, key=lambda run: dice[run]))):
        print(f"{said}: {run}, validation Dice {dice[run]:.3f}")
    print(f"energy: {energy(outcome['energy_kwh'])}; of the sweep: {energy(sweep['energy_whole_run_kwh'].sum())}")


if __name__ == "__main__":
    main()
