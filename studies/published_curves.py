"""Selection replayed on the published curves of 131 models: what do policies save, and what do criteria choose?

    python -m studies.published_curves pepr-lidc-derma.csv [--draws 400] [--test-draws 2000]

The table is ``data/full_data_pepr.csv`` of raghavian/MIA-Energy (Selvan et al., PePR, arXiv:2403.12562) without what
the repository adds to it: a row a model and data set with its energy for ten epochs and its test accuracy after each.
Recorded are summaries only, for the chapter on selection:

- ``policies.csv``: every policy of a grid on draws of either data set;
- ``tuned.csv``: the policy that a rule, fixed before any test, chooses on a data set, and that policy on new draws of
  the other. Of the policies whose regret stays within the tolerance in at least `LEAST` of the draws it is the one
  whose mean share of the full sweep's cost is smallest. `LEAST` is above the 90 % that are asked for on the other set,
  since the luckiest of many options looks better on the set it was chosen on than it is;
- ``choices.csv``: what each criterion chooses;
- ``convergence.csv``: two readings of "cost to convergence", for a total cost T of E epochs and the best epoch k,
  counted from 1. Per epoch to the best, T / k, is published with PePR; up to the best epoch, T · k / E, is what had
  been spent when the kept checkpoint was reached. The first falls with k, the second rises with it: a model that
  converges later is cheaper by one, dearer by the other.

What the book prints of them is made by ``python -m studies.record_pages``.

Draws are of the candidates, with replacement, as many as there are; one drawn twice is in the draw once. They tell how
much a policy's regret and cost depend on which models happened to be in the table.
"""

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from tqdm import tqdm

from carbon_midl.book.evidence import PUBLISHED
from carbon_midl.errors import InputError
from carbon_midl.files import write_json, write_text
from carbon_midl.selection.candidates import Candidates, Columns, read_candidates
from carbon_midl.selection.choice import choose
from carbon_midl.selection.criteria import Pepr, all_criteria
from carbon_midl.selection.policies import (
    EarlyStopping,
    FullSweep,
    Policy,
    ScreenedHalving,
    SuccessiveHalving,
    Trial,
    Widen,
)
from carbon_midl.selection.replay import TOLERANCE, Curves, replay_all
from carbon_midl.study.run import describe_environment

TUNING_SEED, TEST_SEED = 0, 1
LEAST = 0.95
"""Share of the tuning draws in which the regret must stay within the tolerance."""
MARGIN = 0.005
CONVERGENCE_DRAWS = 10_000
TOP = 10


def main() -> None:
    """Replay, choose, compare and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="the published table as CSV")
    parser.add_argument("--draws", type=int, default=400, help="on which options are chosen (default: %(default)s)")
    parser.add_argument("--test-draws", type=int, default=2000, help="of the other set (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=PUBLISHED, help="(default: %(default)s)")
    options = parser.parse_args()
    table = pd.read_csv(options.table)
    sets = {str(name): part.reset_index(drop=True) for name, part in table.groupby("dataset")}
    curves = {name: curves_of(part) for name, part in sets.items()}
    policies = grid()
    on = {name: replayed(drawn(part, options.draws, TUNING_SEED), policies) for name, part in curves.items()}
    tuned = []
    for here, found in on.items():
        chosen = cheapest_within(found)
        for there in curves:
            if there == here:
                continue
            tested = replayed(drawn(curves[there], options.test_draws, TEST_SEED), [policies[chosen]]).iloc[0]
            tuned += [
                {"tuned_on": here, "on": here, "draws_seed": TUNING_SEED, **found.iloc[chosen].drop("name")},
                {"tuned_on": here, "on": there, "draws_seed": TEST_SEED, **tested.drop("name")},
            ]
    tables = {
        "policies": pd.concat(on, names=["dataset"]).reset_index("dataset"),
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
            "models": {name: len(part.trials) for name, part in curves.items()},
            "epochs": {name: part.trials[0].epochs for name, part in curves.items()},
            "tolerance": TOLERANCE,
            "least": LEAST,
            "tuning_draws": options.draws,
            "test_draws": options.test_draws,
            **describe_environment(),
        },
    )


def curves_of(table: pd.DataFrame) -> Curves:
    """The learning curves of a table with a row a model; every epoch is taken to cost the same share of the energy."""
    accuracies = table.filter(regex=r"^test_\d+$").to_numpy(float)
    epochs = accuracies.shape[1]
    rows = zip(table["model"], table["num_param"], table["energy"] / epochs, accuracies.tolist(), strict=True)
    return Curves(tuple(Trial(name, size, epochs, tuple(curve), (cost,) * epochs) for name, size, cost, curve in rows))


def drawn(curves: Curves, draws: int, seed: int = 0) -> list[Curves]:
    """Draws of the candidates, in the table's order."""
    generator = np.random.default_rng(seed)
    each = [np.unique(generator.integers(len(curves.trials), size=len(curves.trials))) for _ in range(draws)]
    return [Curves(tuple(curves.trials[index] for index in places)) for places in each]


def grid() -> list[Policy]:
    """The policies among which is chosen."""
    return [
        FullSweep(),
        *(EarlyStopping(patience) for patience in (1, 2, 3, 5)),
        *(SuccessiveHalving(eta, first) for eta, first in product((2.0, 3.0, 4.0), (1.0, 2.0))),
        *(
            ScreenedHalving(eta, first, screen, trend)
            for screen, eta, first, trend in product((4.0, 6.0, 8.0, 12.0), (1.5, 2.0), (1.0, 2.0), (0.0, 0.5, 1.0))
        ),
        *(Widen(gain, stage, 3) for gain, stage in product((0.0, 0.001, 0.005), (1, 5, 20))),
    ]


def replayed(draws: Sequence[Curves], policies: Sequence[Policy]) -> pd.DataFrame:
    """Replay each policy on every draw of the candidates."""
    tables = [replay_all(draws, [policy]) for policy in tqdm(policies, leave=False, disable=None)]
    return pd.concat(tables, ignore_index=True).drop(columns="chosen")


def cheapest_within(found: pd.DataFrame) -> int:
    """Place of the policy that the rule chooses; of equals the first.

    Raises:
        InputError: none stays within the tolerance often enough.
    """
    within = found["within"].to_numpy()
    if within.max() < LEAST:
        raise InputError(
            f"policies: none keeps the regret within the tolerance in {LEAST:.0%} of draws, at most in "
            f"{within.max():.0%}. Ask for less, or allow more regret."
        )
    return int(np.where(within >= LEAST, found["share"], np.inf).argmin())


def choices(sets: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What each criterion chooses from the published tables, by energy.

    Args:
        sets: by a name of each, with columns ``model``, ``best_test`` (accuracy, 0–1) and ``energy`` (kWh).

    Returns:
        A row a set and criterion: ``criterion`` with its options, ``chosen``, its ``performance`` and ``cost`` (kWh),
        its ``rank`` by performance among ``models``, and its energy as ``share_of_best``, of the best model's.
    """
    columns = Columns(candidate=("model",), replicate="none", performance="best_test", cost="energy")
    rows = []
    for name, table in sets.items():
        candidates = read_candidates(table, columns)
        for criterion in all_criteria(candidates, MARGIN):
            choice = choose(candidates, criterion)
            place = candidates.names.index(choice.chosen)
            performance, cost = candidates.mean_performance, candidates.mean_cost
            rows.append(
                {
                    "dataset": name,
                    "criterion": choice.criterion,
                    "name": criterion.name,
                    "chosen": choice.chosen,
                    "performance": float(performance[place]),
                    "cost": float(cost[place]),
                    "rank": int((performance > performance[place]).sum()) + 1,
                    "models": len(candidates),
                    "share_of_best": float(cost[place] / cost[int(np.argmax(performance))]),
                }
            )
    return pd.DataFrame(rows)


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
        `CONVERGENCE_DRAWS` draws of the models; what PePR chooses with each cost, and with that of the whole training;
        and how many of the ten models with the best score are the same by both.
    """
    rows = []
    for name, table in sets.items():
        total, best_epoch = table["energy"].to_numpy(float), table["conv_idx"].to_numpy(float)
        divided, spent = per_epoch_to_best(total, best_epoch), up_to_best(total, best_epoch, epochs)
        generator = np.random.default_rng(seed)
        drawn = generator.integers(len(table), size=(CONVERGENCE_DRAWS, len(table)))
        low, high = np.quantile(_spearman(divided[drawn], spent[drawn]), [0.025, 0.975]).tolist()
        performance = table["best_test"].to_numpy(float)
        scores = {}
        for reading, cost in (("per_epoch", divided), ("up_to_best", spent), ("whole", total)):
            candidates = Candidates(tuple(table["model"]), performance[:, None, None], cost[:, None, None])
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


if __name__ == "__main__":
    main()
