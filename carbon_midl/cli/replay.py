"""``carbon-midl replay``: what would a policy that decides while training have chosen, and what would it have saved?"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action, bar, equations, positive
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    from carbon_midl.selection.replay import Curves

_EPILOG = """\
Every epoch that a policy asks for is taken from the recorded curves, and the chosen candidate is trained to its end.
regret: score of the full sweep's choice minus that of the policy's; cost: of the search, as share of the full sweep's.

TABLE is the directory of a recorded study (each of its seeds is a search, which decides by validation Dice and energy
of each epoch; the score is the candidate's mean test Dice over the seeds), or a CSV file with a row a candidate and a
column an epoch (candidates are drawn again, with replacement; the score is the best of a curve).
Which policies there are, and their options: carbon-midl replay --policies

examples:
  carbon-midl replay runs/demo/results
  carbon-midl replay results/recipes --candidate recipe,filters
  carbon-midl replay pepr-lidc-derma.csv --where dataset=derma --candidate model --size num_param --cost energy \\
      --curve 'test_[0-9]+' --draws 200
  carbon-midl replay runs/demo/results --policy halving --option eta=3
"""


def add_actions(rooms: Any) -> None:
    """Add the action ``replay``."""
    replay = action(
        rooms, "replay", _replay, "replay on recorded learning curves how a search would have gone", _EPILOG
    )
    replay.add_argument(
        "table", type=Path, nargs="?", metavar="TABLE", help="directory of a recorded study, or a CSV file"
    )
    replay.add_argument("--policies", action="store_true", help="list the policies and their options, and end")
    replay.add_argument("--policy", metavar="NAME", help="replay this one (default: each with its default options)")
    replay.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of --policy, may be repeated"
    )
    replay.add_argument(
        "--tolerance", type=float, default=0.005, metavar="P", help="regret that does not matter (default: %(default)s)"
    )
    replay.add_argument(
        "--candidate", default="filters", metavar="COLUMN[,…]", help="names a candidate (default: %(default)s)"
    )
    tables = replay.add_argument_group("of a CSV file")
    tables.add_argument("--size", metavar="COLUMN", help="known before training and growing with the cost; needed")
    tables.add_argument("--cost", metavar="COLUMN", help="of the whole training; needed")
    tables.add_argument("--curve", metavar="REGEX", help="names of the epochs' performance columns; needed")
    tables.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="keep only such rows (default: all)"
    )
    tables.add_argument("--draws", type=positive, default=200, metavar="N", help="of candidates (default: %(default)s)")
    tables.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: %(default)s)")


def _replay(options: argparse.Namespace) -> None:
    from collections import Counter

    from carbon_midl.selection.candidates import is_test
    from carbon_midl.selection.policies import POLICIES, described, policy_of
    from carbon_midl.selection.replay import replay, summarise

    if options.policies:
        print(f"policies:\n{described()}")
        return
    if options.table is None:
        raise InputError("TABLE: missing; expected a recorded study or a CSV file. See: carbon-midl replay --help")
    if options.option and options.policy is None:
        raise InputError("--option: belongs to --policy NAME, and there is none.")
    searches, what = _curves(options)
    names = [options.policy] if options.policy else list(POLICIES)
    policies = [policy_of(name, options.option) for name in names]
    score = "best of the curve" if searches[0].score is None else "test Dice"
    print(what)
    rows = [("policy", "regret", "within", "cost", "chosen")]
    for policy in bar("policy")(policies):
        replays = [replay(curves, policy) for curves in searches]
        found = summarise(replays, policy, options.tolerance)
        (name, times), *_ = Counter(one.chosen for one in replays).most_common(1)
        regret, cost = f"{found.regret:.4f}", f"{found.share:.1%}"
        if len(replays) > 1:
            regret += f" [{found.regret_low:.4f}, {found.regret_high:.4f}]"
            cost += f" [{found.share_low:.1%}, {found.share_high:.1%}]"
        rows.append((policy.describe(), regret, f"{found.within:.0%}", cost, f"{name} ({times / len(replays):.0%})"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for cells in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())
    print(
        f"regret: mean{' and range of 95 %' if len(searches) > 1 else ''} in {score}; within: share of searches with a "
        f"regret of at most {options.tolerance:g}; cost: share of the full sweep's; chosen: most often."
    )
    if options.curve and is_test(options.curve):
        print(f"Note: --curve {options.curve} are test scores, and deciding by them uses the test up.")


def _curves(options: argparse.Namespace) -> tuple[list["Curves"], str]:
    """One set of curves a search, and what they are."""
    from carbon_midl.selection.candidates import rows_where
    from carbon_midl.selection.replay import curves_of_study, curves_of_table, drawn
    from carbon_midl.study.results import read_csv

    candidate = tuple(options.candidate.split(","))
    if options.table.is_dir():
        found = list(curves_of_study(options.table, candidate).values())
        return found, f"{len(found)} seed{'' if len(found) == 1 else 's'}, each a search of {len(found[0])} candidates"
    missing = [f"--{name}" for name in ("size", "cost", "curve") if getattr(options, name) is None]
    if missing:
        raise InputError(f"{options.table}: a CSV file needs {', '.join(missing)}. See: carbon-midl replay --help")
    table = read_csv(options.table)
    for name, value in equations("--where", options.where).items():
        table = rows_where(table, name, value, str(options.table))
    whole = curves_of_table(table, candidate, options.size, options.cost, options.curve)
    return drawn(whole, options.draws, options.seed), f"{options.draws} draws of {len(whole)} candidates, each a search"
