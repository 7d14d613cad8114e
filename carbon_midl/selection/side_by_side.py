"""All criteria on the same candidates: what each chooses, how surely, and what the grid changes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import Criterion, choose
from carbon_midl.selection.cost import Factors
from carbon_midl.selection.criteria import Best, Budget, Pepr, Weighted
from carbon_midl.selection.frontier_criteria import Knee, Marginal
from carbon_midl.selection.noninferiority import NonInferior
from carbon_midl.selection.sensitivity import across_factors
from carbon_midl.selection.uncertainty import DRAWS, uncertainty

PRICE_SHARE = 0.1
"""Of the median candidate's cost, for another point (0.01) of performance."""


def all_criteria(candidates: Candidates, margin: float = 0.01) -> list[Criterion]:
    """Every criterion, with a budget and a price that follow from the candidates for lack of anyone who would pay.

    Args:
        candidates: the budget is their median cost, the price of a point `PRICE_SHARE` of it.
        margin: of the non-inferiority, 0–1.
    """
    median = float(np.median(candidates.mean_cost))
    return [Best(), Budget(median), NonInferior(margin), Weighted(), Pepr(), Knee(), Marginal(PRICE_SHARE * median)]


def side_by_side(
    candidates: Candidates, criteria: Sequence[Criterion], draws: int = DRAWS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each criterion chooses.

    Returns:
        A row a criterion: ``name``, ``criterion`` with its options, ``chosen``, ``runner_up`` (None: there is none),
        ``performance`` and ``cost`` of the chosen one, its ``probability`` over draws of the replicates (NaN where
        nothing could be drawn) and the ``reason``.
        A row a criterion and candidate: ``name``, ``candidate``, ``probability`` of being chosen.

    Raises:
        InputError: a criterion may choose none of them.
    """
    rows, probabilities = [], []
    for criterion in criteria:
        choice = choose(candidates, criterion)
        found = uncertainty(candidates, criterion, draws)
        place = candidates.names.index(choice.chosen)
        rows.append(
            {
                "name": criterion.name,
                "criterion": choice.criterion,
                "chosen": choice.chosen,
                "runner_up": choice.runner_up,
                "performance": float(candidates.mean_performance[place]),
                "cost": float(candidates.mean_cost[place]),
                "probability": found.chosen_probability(choice.chosen),
                "reason": choice.reason,
            }
        )
        probabilities.append(found.table[["candidate", "chosen_probability"]].assign(name=criterion.name))
    likely = pd.concat(probabilities, ignore_index=True).rename(columns={"chosen_probability": "probability"})
    return pd.DataFrame(rows), likely[["name", "candidate", "probability"]]


def on_grids(candidates: Candidates, criteria: Sequence[Criterion], factors: Mapping[str, Factors]) -> pd.DataFrame:
    """What each criterion chooses on each grid, a budget and a price kept in grams.

    Returns:
        A row a criterion and grid: ``name``, ``grid``, ``g_per_kwh``, ``chosen`` (None: none may be).

    Raises:
        InputError: the cost was not made from energy.
    """
    parts = [across_factors(candidates, criterion, factors).assign(name=criterion.name) for criterion in criteria]
    return pd.concat(parts, ignore_index=True).rename(columns={"label": "grid"})[
        ["name", "grid", "g_per_kwh", "chosen"]
    ]
