"""What a choice hangs on: the company a candidate is in, and the factors that make carbon from energy.

One grid and PUE for all scales every cost alike, which changes no choice by performance, frontier, weighted sum, PePR
or non-inferiority; it changes what fits a budget or a price in grams, and an embodied share's part of the whole.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import Criterion, choose, pick
from carbon_midl.selection.cost import Factors
from carbon_midl.selection.sample import observed


def leave_one_out(candidates: Candidates, criterion: Criterion) -> pd.DataFrame:
    """Choose again without each candidate in turn.

    Scores that are scaled by the table, as PePR's and the weighted sum's, move with the cheapest and dearest
    candidates; so can the choice, although the one left out was not chosen.

    Returns:
        Rows with ``left_out``, ``chosen`` (None: none may be), ``changed`` (another than before, and not only because
        the former choice is the one left out) and ``score_change``, the largest change of another candidate's score.

    Raises:
        InputError: fewer than two candidates, or none may be chosen among all.
    """
    if len(candidates) < 2:
        raise InputError(f"candidates: found {len(candidates)}; leaving one out needs at least two.")
    before = choose(candidates, criterion)
    scores = np.array(list(before.scores.values()))
    rows = []
    for place, name in enumerate(candidates.names):
        rest = candidates.without(place)
        sample = observed(rest)
        chosen = int(pick(criterion.utility(sample), sample)[0])
        changes = np.abs(criterion.scores(sample)[0] - np.delete(scores, place))
        changes = changes[np.isfinite(changes)]
        new = None if chosen < 0 else rest.names[chosen]
        rows.append((name, new, new != before.chosen and name != before.chosen, changes.max(initial=0.0)))
    return pd.DataFrame(rows, columns=["left_out", "chosen", "changed", "score_change"])


def across_factors(candidates: Candidates, criterion: Criterion, factors: Mapping[str, Factors]) -> pd.DataFrame:
    """Choose on other grids, with other PUE or embodied shares.

    Args:
        candidates: whose cost was made from energy.
        criterion: whatever it is.
        factors: by a label of each.

    Returns:
        Rows with ``label``, ``g_per_kwh``, ``pue``, ``embodied_g_per_h``, ``chosen`` (None: none may be),
        ``carbon_g`` of the chosen one, ``embodied_fraction`` of that carbon, and ``reason``.

    Raises:
        InputError: the cost was not made from energy, or an embodied share lacks the duration.
    """
    rows = []
    for label, there in factors.items():
        recosted = candidates.recosted(there)
        row = {
            "label": label,
            "g_per_kwh": there.intensity.g_per_kwh,
            "pue": there.pue,
            "embodied_g_per_h": there.embodied_g_per_h,
        }
        try:
            choice = choose(recosted, criterion)
        except InputError as error:
            rows.append(row | {"chosen": None, "carbon_g": np.nan, "embodied_fraction": np.nan, "reason": str(error)})
            continue
        place = recosted.names.index(choice.chosen)
        carbon_g = float(recosted.mean_cost[place])
        energy_kwh = np.nanmean(recosted.energy_kwh[place]) if recosted.energy_kwh is not None else np.nan
        operational_g = float(energy_kwh * there.pue * there.intensity.g_per_kwh)
        fraction = 1 - operational_g / carbon_g if carbon_g > 0 else 0.0
        reason = choice.reason
        rows.append(
            row | {"chosen": choice.chosen, "carbon_g": carbon_g, "embodied_fraction": fraction, "reason": reason}
        )
    return pd.DataFrame(rows)
