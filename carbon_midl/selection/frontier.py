"""The Pareto frontier: candidates that no other beats in performance without costing more.

A candidate is *dominated* where another performs at least as well and costs at most as much, one of the two strictly.
Equal candidates do not dominate one another: all of them are on the frontier, or none is.

Training is paid once, a use each time: from some number of uses on, another candidate is the cheaper one. Energies are
before PUE; a factor that is common to all, as PUE, carbon intensity or watts of an estimate, changes no such number.
"""

import numpy as np
import pandas as pd

POINT = 0.01
"""Performance that counts as a point."""


def on_frontier(performance: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Which candidates are not dominated (larger performance and smaller cost are better).

    Args:
        performance: shape (..., n); each set along the last axis is a set of its own.
        cost: the same shape.

    Returns:
        Booleans of that shape.
    """
    order = np.lexsort((-performance, cost), axis=-1)  # from cheap to dear, among equal costs the best first
    performance, cost = (np.take_along_axis(values, order, axis=-1) for values in (performance, cost))
    best = np.maximum.accumulate(performance, axis=-1)
    rises = np.diff(best, axis=-1, prepend=-np.inf) > 0
    # The first that is as good as the best so far; those that equal it in both are on the frontier as well.
    first = np.maximum.accumulate(np.where(rises, np.arange(performance.shape[-1]), 0), axis=-1)
    kept = (performance == best) & (cost == np.take_along_axis(cost, first, axis=-1))
    result = np.empty_like(kept)
    np.put_along_axis(result, order, kept, axis=-1)
    return result


def step_prices(performance: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Price of a point in the step to each corner of the frontier's upper convex hull, shape (n,).

    On the hull the price of a point only rises. A frontier point below it would buy less for its cost than the step
    across it (extended dominance). 0 for the cheapest corner, NaN for candidates that are none.
    """
    prices = np.full(len(cost), np.nan)
    corners: list[int] = []
    frontier = np.flatnonzero(on_frontier(performance, cost))
    for index in frontier[np.argsort(cost[frontier], kind="stable")].tolist():
        if corners and cost[index] == cost[corners[-1]]:
            continue
        price = 0.0
        while corners:
            last = corners[-1]
            price = (cost[index] - cost[last]) * POINT / (performance[index] - performance[last])
            if len(corners) == 1 or price > prices[last]:
                break
            prices[corners.pop()] = np.nan  # the step across it is cheaper
        prices[index] = price
        corners.append(index)
    return prices


def use_counts(training_kwh: np.ndarray, use_kwh: np.ndarray, selection_kwh: float) -> pd.DataFrame:
    """From how many uses on a candidate's uses take as much as was spent before them, a row a candidate.

    ``until_training``: as much as its training; ``until_repaid``: they have saved the energy of the whole selection
    against the candidate that takes most for a use. Infinite where a use takes, or saves, nothing.
    """
    with np.errstate(divide="ignore"):
        until = {"until_training": training_kwh / use_kwh, "until_repaid": selection_kwh / (use_kwh.max() - use_kwh)}
    return pd.DataFrame({"training_kwh": training_kwh, "use_kwh": use_kwh, **until})


def crossings(training_kwh: np.ndarray, use_kwh: np.ndarray) -> pd.DataFrame:
    """Pairs of candidates of which one takes less to train and the other less to use.

    A row has the places of both (``trained``, ``used``), the number of ``uses`` by which both take as much, and that
    energy.
    """
    trained, used = np.nonzero((training_kwh[:, None] < training_kwh) & (use_kwh[:, None] > use_kwh))
    uses = (training_kwh[used] - training_kwh[trained]) / (use_kwh[trained] - use_kwh[used])
    energy_kwh = training_kwh[used] + uses * use_kwh[used]
    return pd.DataFrame({"trained": trained, "used": used, "uses": uses, "energy_kwh": energy_kwh})
