"""How fast the uncertainty of a choice is found.

    python -m benchmarks.selection [--candidates 1000] [--replicates 10] [--draws 10000] [--record]

Draws of the bootstrap and of the grams' uncertainty on made-up candidates, with shared replicates and without, on one
core: the criterion (here the most laborious one, non-inferiority with its interval on every draw), the frontier and the
ranks on each of them, and intervals on both axes.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy loads

import argparse
import resource
from dataclasses import replace
from time import perf_counter

import numpy as np

from benchmarks.record import Finding, record
from carbon_midl.footprint.uncertainty import carbon_spread
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import uncertainty
from carbon_midl.selection.criteria import CRITERIA, NonInferior


def made_up(count: int, replicates: int, seed: int = 0) -> Candidates:
    """Dearer candidates tend to perform better; every replicate has a part in common."""
    generator = np.random.default_rng(seed)
    cost = np.exp(generator.uniform(0, 5, count))[:, None] * generator.uniform(0.9, 1.1, (count, replicates))
    common = generator.normal(0, 0.02, replicates)
    performance = 0.5 + 0.05 * np.log(cost) + common + generator.normal(0, 0.02, (count, replicates))
    spread = carbon_spread({("gpu", "measured: NVML energy counter"): 0.8, ("memory", "estimated: W per GB"): 0.2})
    names = tuple(map(str, range(count)))
    return Candidates(names, performance.clip(0, 1)[:, :, None], cost[:, :, None], spread=spread)


def main() -> None:
    """Time both ways of drawing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--replicates", type=int, default=10)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument(
        "--criterion", choices=["noninferior", "best", "weighted", "pepr", "knee"], default="noninferior"
    )
    parser.add_argument("--record", action="store_true", help="put the finding into the table of README.md")
    options = parser.parse_args()

    shared = made_up(options.candidates, options.replicates)
    criterion = NonInferior() if options.criterion == "noninferior" else CRITERIA[options.criterion]()
    findings = []
    for name, candidates in (
        ("shared", shared),
        ("not shared", replace(shared, performance=shared.performance.swapaxes(1, 2), cost=shared.cost.swapaxes(1, 2))),
    ):
        start = perf_counter()
        uncertainty(candidates, criterion, options.draws)
        duration_s = perf_counter() - start
        found = f"{duration_s:.1f} s"
        print(f"{options.criterion}, replicates {name}: {found} on one core")
        what = (
            f"{options.criterion}: {options.candidates:,} candidates × {options.replicates} replicates ({name}) × "
            f"{options.draws:,} draws"
        )
        findings.append(Finding(what, "–", found))
    peak = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB"
    print(f"memory at most {peak}")
    if options.record:
        findings.append(Finding("memory at most, interpreter included", "–", peak))
        record("selection.py", findings, "one core")


if __name__ == "__main__":
    main()
