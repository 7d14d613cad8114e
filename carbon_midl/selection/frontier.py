"""The Pareto frontier: candidates that no other beats in performance without costing more.

A candidate is *dominated* where another performs at least as well and costs at most as much, one of the two strictly.
Equal candidates do not dominate one another: all of them are on the frontier, or none is. NaN is never on it.
"""

import numpy as np

from carbon_midl.errors import InputError

POINT = 0.01
"""Performance that counts as a point."""


def on_frontier(performance: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Which candidates are not dominated (larger performance and smaller cost are better).

    Args:
        performance: shape (..., n); each set along the last axis is a set of its own.
        cost: the same shape.

    Returns:
        Booleans of that shape.

    Raises:
        InputError: the shapes differ.
    """
    performance, cost = np.asarray(performance, dtype=float), np.asarray(cost, dtype=float)
    if performance.shape != cost.shape or performance.ndim == 0:
        raise InputError(
            f"frontier: performance of shape {performance.shape}, cost of {cost.shape}; expected one of each "
            "a candidate."
        )
    absent = np.isnan(performance) | np.isnan(cost)
    # Absent candidates cost more than any other and are worse, so that they change nothing for those present.
    performance = np.where(absent, -np.inf, performance)
    cost = np.where(absent, np.inf, cost)
    order = np.argsort(cost, axis=-1, kind="stable")
    sorted_cost = np.take_along_axis(cost, order, axis=-1)
    if (sorted_cost[..., 1:] == sorted_cost[..., :-1]).any():
        # Among equal costs the best comes first.
        by_performance = np.argsort(-performance, axis=-1, kind="stable")
        by_cost = np.argsort(np.take_along_axis(cost, by_performance, axis=-1), axis=-1, kind="stable")
        order = np.take_along_axis(by_performance, by_cost, axis=-1)
        sorted_cost = np.take_along_axis(cost, order, axis=-1)
    sorted_performance = np.take_along_axis(performance, order, axis=-1)
    best_so_far = np.maximum.accumulate(sorted_performance, axis=-1)
    new = np.ones(performance.shape, dtype=bool)
    new[..., 1:] = sorted_performance[..., 1:] > best_so_far[..., :-1]
    # Equal to the one before it in both, and so on the frontier exactly if that one is: the first of the run decides.
    equal = (sorted_performance[..., 1:] == sorted_performance[..., :-1]) & (
        sorted_cost[..., 1:] == sorted_cost[..., :-1]
    )
    if equal.any():
        places = np.broadcast_to(np.arange(performance.shape[-1]), performance.shape).copy()
        places[..., 1:][equal] = 0
        first_of_run = np.maximum.accumulate(places, axis=-1)
        new = np.take_along_axis(new, first_of_run, axis=-1)
    result = np.empty_like(new)
    np.put_along_axis(result, order, new, axis=-1)
    return result & ~absent


def step_prices(performance: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Price of a point in the step to each corner of the frontier's upper convex hull, shape (n,).

    On the hull the price of a point only rises. A frontier point below it would buy less for its cost than the step
    across it (extended dominance). 0 for the cheapest corner, NaN for candidates that are none.
    """
    prices = np.full(len(cost), np.nan)
    corners: list[int] = []
    frontier = np.flatnonzero(on_frontier(performance, cost))
    for place in frontier[np.argsort(cost[frontier], kind="stable")].tolist():
        if corners and cost[place] == cost[corners[-1]]:
            continue
        price = 0.0
        while corners:
            last = corners[-1]
            price = (cost[place] - cost[last]) * POINT / (performance[place] - performance[last])
            if len(corners) == 1 or price > prices[last]:
                break
            prices[corners.pop()] = np.nan  # the step across it is cheaper
        prices[place] = price
        corners.append(place)
    return prices
