"""Two readings of "cost to convergence", for tables that give the cost of a whole training and the epoch of its best.

With total cost T of E epochs and the best epoch k, counted from 1:

- *per epoch to the best*: T / k, as published with PePR;
- *up to the best epoch*: T · k / E, what had been spent when the kept checkpoint was reached.

The first falls with k, the second rises with it: a model that converges later is cheaper by one, dearer by the other.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import choose
from carbon_midl.selection.criteria import Pepr

DRAWS = 10_000
TOP = 10


def up_to_best(total: np.ndarray, best_epoch: np.ndarray, epochs: int) -> np.ndarray:
    """``(n,)`` cost up to the best epoch, every epoch taken to cost the same."""
    return np.asarray(total) * np.asarray(best_epoch) / epochs


def per_epoch_to_best(total: np.ndarray, best_epoch: np.ndarray) -> np.ndarray:
    """``(n,)`` total cost divided by the best epoch."""
    return np.asarray(total) / np.asarray(best_epoch)


def readings(sets: Mapping[str, pd.DataFrame], epochs: int = 10, seed: int = 0) -> pd.DataFrame:
    """Compare both readings of energy to convergence on tables with a row a model.

    Args:
        sets: by a name of each, with columns ``model``, ``energy`` (kWh of all epochs), ``conv_idx`` (best epoch,
            counted from 1) and ``best_test`` (accuracy, 0–1).
        epochs: of every training.
        seed: of the bootstrap over models.

    Returns:
        A row a set: ``models``; Spearman's rank correlation of the two costs with its 95 % percentile interval over
        `DRAWS` draws of the models; what PePR chooses with each cost, and with that of the whole training; and how
        many of the ten models with the best score are the same by both.
    """
    rows = []
    for name, table in sets.items():
        total, best_epoch = table["energy"].to_numpy(float), table["conv_idx"].to_numpy(float)
        divided, spent = per_epoch_to_best(total, best_epoch), up_to_best(total, best_epoch, epochs)
        generator = np.random.default_rng(seed)
        drawn = generator.integers(len(table), size=(DRAWS, len(table)))
        low, high = np.quantile(_spearman(divided[drawn], spent[drawn]), [0.025, 0.975]).tolist()
        performance = table["best_test"].to_numpy(float)
        scores = {}
        for reading, cost in (("per_epoch", divided), ("up_to_best", spent), ("whole", total)):
            candidates = Candidates(tuple(table["model"]), performance[:, None], cost[:, None], paired=False)
            scores[reading] = choose(candidates, Pepr())
        first = [set(sorted(scores[key].scores, key=scores[key].scores.__getitem__)[-TOP:]) for key in scores]
        rows.append(
            {
                "dataset": name,
                "models": len(table),
                "spearman": float(_spearman(divided[None], spent[None])[0]),
                "spearman_low": low,
                "spearman_high": high,
                **{f"pepr_{reading}": choice.chosen for reading, choice in scores.items()},
                "top": TOP,
                "top_shared": len(first[0] & first[1]),
            }
        )
    return pd.DataFrame(rows)


def _spearman(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Rank correlation of each row, ``(draws, n)`` → ``(draws,)``; ties get their mean rank."""
    ranks = [rankdata(values, axis=1) for values in (left, right)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    norm = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    return (centred[0] * centred[1]).sum(axis=1) / norm
