"""Options of policies chosen on one set of learning curves, to be tested on another.

The rule, fixed before any test: of the policies whose regret stays within the tolerance in at least `LEAST` of the
draws, the one whose mean share of the full sweep's cost is smallest. `LEAST` is above the 90 % that are asked for on
the other set, since the luckiest of many options looks better on the set it was chosen on than it is.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.selection.curves import Curves
from carbon_midl.selection.policies import EarlyStopping, FullSweep, ScreenedHalving, SuccessiveHalving, Widen
from carbon_midl.selection.policy import Policy
from carbon_midl.selection.replay import Summary, replay, summarise

TOLERANCE = 0.005
"""Regret that does not matter: half a point."""
LEAST = 0.95
"""Share of the tuning draws in which the regret must stay within the tolerance."""


def grid() -> list[Policy]:
    """The policies among which is chosen."""
    return [
        FullSweep(),
        *(EarlyStopping(patience) for patience in (1, 2, 3, 5)),
        *(SuccessiveHalving(eta, first) for eta, first in product((2.0, 3.0, 4.0), (1.0, 2.0))),
        *(
            ScreenedHalving(screen, eta, first, trend)
            for screen, eta, first, trend in product((4.0, 6.0, 8.0, 12.0), (1.5, 2.0), (1.0, 2.0), (0.0, 0.5, 1.0))
        ),
        *(Widen(gain, stage, 3) for gain, stage in product((0.0, 0.001, 0.005), (1, 5, 20))),
    ]


def summaries(
    draws: Sequence[Curves],
    policies: Sequence[Policy],
    tolerance: float = TOLERANCE,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[Summary]:
    """Replay each policy on every draw.

    Args:
        draws: of the candidates, see `carbon_midl.selection.replay.drawn`.
        policies: any.
        tolerance: regret that does not matter.
        progress: wraps the policies as they are replayed.
    """
    return [summarise([replay(curves, policy) for curves in draws], policy, tolerance) for policy in progress(policies)]


def cheapest_within(found: Sequence[Summary], least: float = LEAST) -> int:
    """Place of the policy that the rule chooses; of equals the first.

    Raises:
        InputError: none stays within the tolerance often enough.
    """
    kept = [place for place, summary in enumerate(found) if summary.within >= least]
    if not kept:
        most = max((summary.within for summary in found), default=0.0)
        raise InputError(
            f"policies: none keeps the regret within the tolerance in {least:.0%} of draws, at most in {most:.0%}. "
            "Ask for less, or allow more regret."
        )
    return min(kept, key=lambda place: (found[place].share, place))
