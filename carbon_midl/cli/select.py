"""``carbon-midl select`` and ``replay``: choose by performance and cost, and see what early stopping would choose."""

from collections.abc import Callable
from dataclasses import asdict, replace
from math import isnan
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option, Typer

from carbon_midl.cli.command import examples, print_table
from carbon_midl.cli.footprint import PUE, WHERE
from carbon_midl.errors import InputError
from carbon_midl.files import write_json
from carbon_midl.footprint.grid import DEFAULT_PUE
from carbon_midl.footprint.meter import J_PER_KWH
from carbon_midl.footprint.uncertainty import asked_spread
from carbon_midl.units import listed, number, significant

if TYPE_CHECKING:
    import pandas as pd

    from carbon_midl.selection.candidates import Candidates, Columns
    from carbon_midl.selection.choice import Choice, Uncertainty
    from carbon_midl.selection.criteria import Criterion

app = Typer()

Separator = Annotated[str | None, Option(help="of a CSV file's cells", show_default="recognised")]
Decimal = Annotated[Literal[".", ","] | None, Option(help="mark in a CSV file", show_default="recognised")]
Encoding = Annotated[str | None, Option(help="of a CSV file, such as cp1252", show_default="UTF-8, UTF-16")]
CandidateColumns = Annotated[str, Option(metavar="COLUMN[,…]", help="columns that name a candidate together")]

# Option, the criterion it belongs to, what that calls it, and whether it is needed there.
_OPTIONS = {
    "budget": ("budget", "limit", True),
    "margin": ("noninferior", "margin", False),
    "weight": ("weighted", "weight", False),
    "price": ("marginal", "limit", True),
}
_SHOWN = 20
_WIDTH = 100
_CRITERIA = """\
Criteria:

\b
- best: the best mean performance, whatever it costs
- budget: the best of those within `--budget`
- noninferior: the cheapest that is not worse than the best by more than
  `--margin` (lower confidence limit of the difference)
- weighted: the largest `--weight` × performance + (1 - weight) × thrift, each
  scaled to 0–1 over the candidates
- pepr: the largest performance / (1 + cost), the cost scaled to 0–1
  (Selvan et al., arXiv:2403.12562)
- knee: the frontier's point highest above the line between its ends
- marginal: along the frontier while a point (0.01) costs less than `--price`

"""


@app.command(
    epilog=_CRITERIA
    + examples(
        "carbon-midl select results/lidc --margin 0.01 --grid DK --pue 1.2",
        "carbon-midl select results/lidc --criterion budget --budget 20",
        "carbon-midl select models.csv --candidate model --replicate fold \\",
        "  --paired --performance acc --percent --cost joules --unit J",
        "carbon-midl select models.csv --candidate model --replicate none \\",
        "  --performance auc --cost memory --unit GB --criterion pepr",
        "carbon-midl select results/lidc-length --candidate filters,epochs \\",
        "  --uses 1000000 --use-energy results/lidc-use",
    )
)
def select(  # long, since its options are its signature
    table: Annotated[Path, Argument(metavar="TABLE", help="CSV file, or directory of a recorded study")],
    criterion: Annotated[
        Literal["best", "budget", "noninferior", "weighted", "pepr", "knee", "marginal"], Option(help="see below")
    ] = "noninferior",
    budget: Annotated[float | None, Option(help="budget: in g, or the unit of the cost; needed there")] = None,
    margin: Annotated[float | None, Option(help="noninferior: loss that does not matter", show_default="0.01")] = None,
    weight: Annotated[float | None, Option(help="weighted: of performance, 0 to 1", show_default="0.5")] = None,
    price: Annotated[float | None, Option(help="marginal: what a point (0.01) may cost; needed there")] = None,
    grid: Annotated[str | None, Option(help=WHERE, show_default="world")] = None,
    pue: Annotated[float | None, Option(help=PUE, show_default=f"{DEFAULT_PUE}, the average of data centres")] = None,
    embodied_g_per_h: Annotated[float | None, Option(help="count making the hardware, by hours in duration_s")] = None,
    uses: Annotated[int, Option(min=0, help="count so many uses of the chosen one, by `--use-energy`")] = 0,
    use_energy: Annotated[str | None, Option(help="column of a use's energy, or a record of uses")] = None,
    trainings: Annotated[int, Option(min=1, help="count so many trainings of the chosen one")] = 1,
    cost: Annotated[str, Option(help="column of what a candidate costs, smaller is better")] = "energy_kwh",
    unit: Annotated[str | None, Option(help="of `--cost`, see above", show_default="kWh of energy_kwh")] = None,
    candidate: CandidateColumns = "filters",
    replicate: Annotated[
        str, Option(help="column of seed, fold or patient, or none", show_default="patient_id or seed, see above")
    ] = "",
    training: Annotated[str | None, Option(help="column that tells a candidate's trainings of a patient apart")] = None,
    performance: Annotated[str, Option(help="column, 0 to 1, larger is better", show_default="validation Dice")] = "",
    percent: Annotated[bool, Option("--percent", help="the performance is in percent")] = False,
    where: Annotated[list[str] | None, Option(metavar="COLUMN=VALUE", help="keep only such rows")] = None,
    separator: Separator = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    paired: Annotated[bool, Option("--paired", help="all share the replicates, as folds; patients always")] = False,
    draws: Annotated[int, Option(min=1, help="of the bootstrap")] = 10_000,
    grams_uncertainty: Annotated[
        str | None, Option(help="published (± 40 %), none, or a number as 0.3", show_default="by meter, PUE and grid")
    ] = None,
    json: Annotated[Path | None, Option(help="write all of it as JSON")] = None,
) -> None:
    """Choose a model by performance and footprint.

    A recorded study is chosen from by its validation patients, or by its seeds where no validation slices are
    recorded; the test score is told of the chosen one alone. Any other table has a row a candidate and replicate
    (seed, fold or patient; with none, every row is one of its own). A row without a performance or a cost is left out
    and counted. Probabilities come from a bootstrap over the replicates; a single replicate gives none.

    A cost in kWh, Wh, MJ or J is energy before PUE and becomes carbon by `--grid` and `--pue`; one in g is carbon as
    it was recorded; one in any other unit, as memory in GB, stays as it is.

    With `--uses` the cost is that of `--trainings` and of all uses. `--use-energy` is a column of TABLE in the unit of
    `--cost`, or the directory of a record by width, as `studies/use.py` makes it of what `model use` measures.

    Carbon that was made from energy is as uncertain as meters, PUE and carbon intensity, carbon in g is taken as known.
    What is shared by all candidates changes no comparison between them, but what fits a budget or a price in g.
    """
    import numpy as np

    from carbon_midl.selection.candidates import CARBON_UNIT, Columns, Factors, read_candidates, read_use_kwh
    from carbon_midl.selection.choice import choose, uncertainty
    from carbon_midl.selection.frontier import use_counts

    rule = _criterion(criterion, budget=budget, margin=margin, weight=weight, price=price)
    names = tuple(candidate.split(","))
    if wrong := [text for text in where or [] if "=" not in text]:
        raise InputError(f"--where: found {wrong[0]!r}; expected COLUMN=VALUE.")
    rows = dict(text.split("=", 1) for text in where or [])
    columns = Columns(
        names, replicate, training, performance, cost, unit, percent, paired, separator, decimal, encoding
    )
    asked = {"grid": grid, "pue": pue, "embodied_g_per_h": embodied_g_per_h}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    candidates = read_candidates(table, columns, Factors.of(**given) if given else None, rows)
    if uses and not use_energy:
        raise InputError("--uses: needs --use-energy, a column of TABLE or a record of uses such as results/lidc-use.")
    counts, use_kwh, trained = None, np.zeros(len(candidates)), candidates.energy_kwh
    if use_energy:
        use_kwh = read_use_kwh(use_energy, candidates, table, columns, rows)
    if use_energy or trainings > 1:
        candidates = candidates.with_uses(use_kwh, uses, trainings)
    if use_energy and trained is not None:
        of_patients = replicate.lower().startswith("patient")  # whose rows share a training
        selection_kwh = np.nansum(trained.mean(axis=1) if of_patients else trained)
        counts = use_counts(np.nanmean(trained, axis=(1, 2)), use_kwh, selection_kwh).assign(candidate=candidates.names)
    if grams_uncertainty is not None:
        if candidates.unit != CARBON_UNIT:
            raise InputError(f"--grams-uncertainty: the cost, {candidates.cost_name}, is not in grams. Leave it out.")
        candidates = replace(candidates, spread=asked_spread(grams_uncertainty))
    choice, found = choose(candidates, rule), uncertainty(candidates, rule, draws)
    tested = _tested(table, columns, candidates, rows, choice.chosen, draws)
    if json:
        by_use = counts if counts is None else _records(counts.replace(np.inf, np.nan))
        more = {"table": str(table), "test": tested and tested[0], "uses": by_use}
        write_json(json, _as_json(candidates, rule, choice, found) | more)
    _print_verdict(candidates, rule, choice, found)
    _print_candidates(candidates, choice, found)
    if counts is not None:
        _print_use_counts(counts)
    if tested:
        print(tested[1])
    if json:
        print(f"\nJSON: {json}")


def _criterion(name: str, **options: float | None) -> "Criterion":
    """A criterion with those options that were given; they must be its own."""
    from carbon_midl.selection.criteria import CRITERIA

    given = {}
    for option, (criterion, attribute, needed) in _OPTIONS.items():
        value = options[option]
        if value is not None and criterion != name:
            raise InputError(f"--{option}: belongs to --criterion {criterion}, and the criterion is {name}.")
        if value is None and criterion == name and needed:
            raise InputError(f"--criterion {name}: needs --{option}, in g or the unit of the cost.")
        if value is not None:
            given[attribute] = value
    return CRITERIA[name](**given)


def _print_verdict(candidates: "Candidates", rule: "Criterion", choice: "Choice", found: "Uncertainty") -> None:
    lines = [f"Chosen: {choice.chosen} ({choice.criterion})", choice.reason]
    if found.draws and candidates.could_be_best:
        lines.append(f"Could have the best performance, at 95 %: {listed(candidates.could_be_best)}.")
    if found.none_probability:
        lines.append(f"In {found.none_probability:.1%} of draws no candidate may be chosen.")
    lines.append(f"Assumption: {rule.assumption} Source: {rule.source}.")
    if candidates.factors is not None:
        lines.append(f"Carbon: {candidates.factors.describe()}.")
    if candidates.spread is not None:
        lines.append(f"Grams: {candidates.spread.describe()}.")
    lines += [f"Note: {note}" for note in (*candidates.notes, *found.notes)]
    print("\n".join(fill(line, _WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in lines))


def _print_candidates(candidates: "Candidates", choice: "Choice", found: "Uncertainty") -> None:
    # What a reader looks for first: the chosen, then by rank.
    table = found.table.assign(first=found.table["candidate"] != choice.chosen).sort_values(["first", "rank", "cost"])
    rows = [("candidate", candidates.performance_name, candidates.unit or candidates.cost_name, "frontier", "chosen")]
    for row in _records(table.head(_SHOWN)):
        performance, cost = _with_interval(row, "performance", "{:.4f}".format), _with_interval(row, "cost", number)
        frontier = "yes" if row["on_frontier"] else "no"
        chosen = "*" if row["candidate"] == choice.chosen else ""
        if found.draws:
            frontier += f" ({row['frontier_probability']:.0%})"
            chosen = f"{row['chosen_probability']:.1%} {chosen}".rstrip()
        rows.append((row["candidate"], performance, cost, frontier, chosen))
    print()
    print_table(rows)
    if len(table) > _SHOWN:
        print(f"… and {len(table) - _SHOWN} more (--json writes all)")
    print(f"Frontier: {int(table['on_frontier'].sum())} of {len(table)} candidates.")
    if found.draws:
        print(f"In brackets 95 % intervals and shares of {found.draws:,} draws.")


def _print_use_counts(counts: "pd.DataFrame") -> None:
    rows = [("candidate", "J a use", "uses that take as much as its training", "uses that repay the selection")]
    for name, kwh, *until in counts[["candidate", "use_kwh", "until_training", "until_repaid"]].to_numpy():
        rows.append((name, number(kwh * J_PER_KWH), *map(significant, until)))
    print()
    print_table(rows)
    print("The selection is every training in the table; what repays it is saved against the most energy a use.")


def _tested(
    table: Path, columns: "Columns", candidates: "Candidates", rows: dict[str, str], chosen: str, draws: int
) -> tuple[dict[str, Any], str] | None:
    """The test Dice of the chosen one alone, as a row and in words; None where a test chose, or none is recorded."""
    from carbon_midl.selection.candidates import TEST_DICE, Columns, is_test, read_candidates
    from carbon_midl.selection.choice import uncertainty
    from carbon_midl.selection.criteria import Best

    if not table.is_dir() or is_test(candidates.performance_name):
        return None
    names = columns.candidate
    its_rows = rows | dict(zip(names, chosen.split(" / ", len(names) - 1), strict=True))
    alone = read_candidates(table, Columns(names, performance=TEST_DICE), where=its_rows)
    (row,) = _records(uncertainty(alone, Best(), draws).table.filter(regex="candidate|replicates|performance"))
    n = f"patients: {alone.counts[0]}, trainings: {alone.trainings[0]}" if alone.paired else f"seeds: {alone.counts[0]}"
    return row, f"Test, of {chosen} alone: {TEST_DICE} {_with_interval(row, 'performance', '{:.4f}'.format)} ({n})"


def _as_json(candidates: "Candidates", rule: "Criterion", choice: "Choice", found: "Uncertainty") -> dict[str, Any]:
    factors = candidates.factors
    return {
        **asdict(choice),
        "scores": {name: None if isnan(score) else score for name, score in choice.scores.items()},
        **{name: getattr(rule, name) for name in ("score_name", "assumption", "source")},
        "cost": {"name": candidates.cost_name, "unit": candidates.unit, "factors": factors and factors.describe()},
        "uncertainty": candidates.spread and candidates.spread.describe(),
        "candidates": _records(found.table),
        "draws": found.draws,
        "none_probability": found.none_probability,
        "could_be_best": candidates.could_be_best,
        "notes": [*candidates.notes, *found.notes],
    }


def _records(table: "pd.DataFrame") -> list[Any]:
    """Rows by column, as JSON holds them: what is missing is null."""
    cells = table.astype(object)
    return cells.where(cells.notna(), None).to_dict("records")


def _with_interval(row: dict[str, Any], name: str, text: Callable[[float], str]) -> str:
    """A mean in a table's row, with its interval where there is one."""
    mean, low, high = (row[column] for column in (name, f"{name}_low", f"{name}_high"))
    return text(mean) if low is None else f"{text(mean)} [{text(low)}, {text(high)}]"


_POLICIES = """\
Policies, with the defaults of their options:

\b
- full: every candidate, for all its epochs
- early-stopping: every candidate until patience=5 epochs bring no improvement
- halving: equal energy for all survivors, at first that of first=1 mean
  epochs; one of eta=2 goes on, to eta times as much
- screened-halving: one of screen=4 passes first=2 mean epochs, then halving
  by eta=1.5, with trend=0.5 of what the curves promise
- widen: from the smallest up, stage=1 at once, each with patience=5, while a
  doubling of the cost gains at least gain=0.005

"""


@app.command(
    epilog=_POLICIES
    + examples(
        "carbon-midl replay runs/demo/results",
        "carbon-midl replay results/recipes --candidate recipe,filters",
        "carbon-midl replay runs/demo/results --policy halving --option eta=3",
        "carbon-midl replay models.csv --candidate model --size params \\",
        "  --cost kwh --curve 'val_[0-9]+'",
    )
)
def replay(
    table: Annotated[Path, Argument(metavar="TABLE", help="recorded study's directory, or CSV file")],
    policy: Annotated[str | None, Option(help="replay this one", show_default="each with default options")] = None,
    option: Annotated[list[str] | None, Option(metavar="NAME=VALUE", help="of `--policy`; may be repeated")] = None,
    candidate: CandidateColumns = "filters",
    size: Annotated[str | None, Option(help="CSV: column known before training, growing with cost")] = None,
    cost: Annotated[str | None, Option(help="CSV: column of the cost of the whole training")] = None,
    curve: Annotated[str | None, Option(help="CSV: regular expression of the epochs' columns")] = None,
    separator: Separator = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
) -> None:
    """Replay on recorded curves how a search goes.

    Each seed of a recorded study is a search, which decides by validation Dice and energy of each epoch. Every epoch
    that a policy asks for is taken from the recorded learning curves, and the chosen candidate is trained to its end.
    Regret: mean test Dice of the full sweep's choice minus that of the policy's; cost: of the search, as share of the
    full sweep's.

    A CSV file has a row a candidate and a column an epoch, and is one search; the regret is in the best of a curve.
    """
    from carbon_midl.selection.candidates import read_table
    from carbon_midl.selection.policies import POLICIES, policy_of
    from carbon_midl.selection.replay import TOLERANCE, curves_of_study, curves_of_table, replay_all

    if option and policy is None:
        raise InputError("--option: belongs to --policy NAME, and there is none.")
    policies = [policy_of(name, option or []) for name in ([policy] if policy else POLICIES)]
    names, layout = tuple(candidate.split(",")), {"separator": separator, "decimal": decimal, "encoding": encoding}
    if table.is_dir():
        of_file = {"size": size, "cost": cost, "curve": curve} | layout
        if given := [f"--{name}" for name, value in of_file.items() if value is not None]:
            raise InputError(f"{', '.join(given)}: of a CSV file, and {table} is a recorded study.")
        searches = list(curves_of_study(table, names).values())
    elif size and cost and curve:
        searches = [curves_of_table(read_table(table, **layout), names, size, cost, curve)]
    else:
        raise InputError(f"{table}: a CSV file needs --size, --cost and --curve. See: carbon-midl replay --help")
    rows = [("policy", "regret", "within", "cost", "chosen")]
    for row in _records(replay_all(searches, policies)):
        regret, share = _with_interval(row, "regret", "{:.4f}".format), _with_interval(row, "share", "{:.1%}".format)
        rows.append((row["policy"], regret, f"{row['within']:.0%}", share, row["chosen"]))
    print_table(rows)
    print(
        f"Seeds, each a search: {len(searches)}. Regret: mean and range of 95 % in "
        f"{'test Dice' if table.is_dir() else 'the best of a curve'}; within: share "
        f"of searches with a regret of at most {TOLERANCE:g}; cost: share of the full sweep's; chosen: by any seed."
    )
