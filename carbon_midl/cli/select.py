"""``carbon-midl select``: choose from a table of candidates by performance and cost, with reasons and uncertainty."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action, equations, positive
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from carbon_midl.selection.candidates import Candidates, Factors
    from carbon_midl.selection.choice import Choice, Uncertainty
    from carbon_midl.selection.criteria import Criterion

_NAMES = ("best", "budget", "noninferior", "weighted", "pepr", "knee", "marginal")
# Option, the criterion it belongs to, and what that calls it.
_OPTIONS = {
    "budget": ("budget", "limit"),
    "margin": ("noninferior", "margin"),
    "confidence": ("noninferior", "confidence"),
    "weight": ("weighted", "weight"),
    "pepr_range": ("pepr", "limits"),
    "price": ("marginal", "limit"),
}
_NEEDED = {"budget": "budget", "marginal": "price"}
_SHOWN = 20
_WIDTH = 100
_EPILOG = """\
criteria:
  best         the best mean performance, whatever it costs
  budget       the best of those within --budget
  noninferior  the cheapest that is not worse than the best by more than --margin (one-sided limit by bootstrap over
               shared patients and trainings; by t where fewer than ten replicates, or none, are shared)
  weighted     the largest --weight × performance + (1 - weight) × thrift, each scaled to 0–1 over the candidates
  pepr         the largest performance / (1 + resource), the resource scaled to 0–1 (Selvan et al., arXiv:2403.12562)
  knee         the frontier's point highest above the line from its cheapest to its best
  marginal     along the frontier while the next point (0.01) of performance costs less than --price

A recorded study is chosen from by its validation patients, or by its seeds where no validation slices are recorded; the
test score is told of the chosen one alone. Any other table has a row a candidate and replicate (seed, fold or patient).
A row without a performance or a cost is left out and counted. Probabilities come from a bootstrap over the replicates;
a single replicate gives none.

examples:
  carbon-midl select results/lidc --criterion noninferior --margin 0.01 --grid DK --pue 1.2
  carbon-midl select results/lidc --criterion budget --budget 20 --figure choice.svg
  carbon-midl select results/lidc --margin 0.005 --compare
  carbon-midl select models.csv --candidate model --replicate fold --paired --performance acc --percent \\
      --energy joules --energy-unit J
  carbon-midl select pepr-lidc-derma.csv --where dataset=lidc --candidate model --replicate none \\
      --performance best_test --energy energy --criterion pepr
  carbon-midl select models.csv --candidate model --replicate seed --performance auc --resource memory --unit GB
"""


def add_actions(rooms: Any) -> None:
    """Add the action ``select``."""
    select = action(rooms, "select", _select, "choose a model by its performance and its footprint", _EPILOG)
    select.add_argument("table", type=Path, metavar="TABLE", help="CSV file, or directory of a recorded study")
    select.add_argument("--criterion", choices=_NAMES, default="noninferior", help="(default: %(default)s)")
    _add_options(select.add_argument_group("options of the criteria"))
    _add_cost(select.add_argument_group("cost"))
    _add_columns(select.add_argument_group("columns and rows"))
    output = select.add_argument_group("output")
    output.add_argument("--draws", type=positive, default=10_000, metavar="N", help="of the bootstrap (default: 10000)")
    output.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: %(default)s)")
    output.add_argument(
        "--grids", metavar="A,B,…", help="also say what would be chosen on these grids, as DK,PL,world (default: none)"
    )
    output.add_argument(
        "--compare",
        action="store_true",
        help="also list the differences of all pairs, with intervals and tests corrected by Holm (default: do not)",
    )
    output.add_argument("--all", action="store_true", help=f"list all candidates (default: the first {_SHOWN})")
    output.add_argument("--json", type=Path, metavar="FILE", help="write all of it as JSON (default: do not)")
    output.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw performance against cost: .svg, .png, .pdf (default: do not)"
    )


def _add_options(group: Any) -> None:
    group.add_argument("--budget", type=float, metavar="G", help="budget: in g, or the unit of the cost; needed there")
    group.add_argument(
        "--margin", type=float, metavar="P", help="noninferior: loss that does not matter (default: 0.01, one point)"
    )
    group.add_argument(
        "--confidence", type=float, metavar="P", help="noninferior: of the one-sided limit (default: 0.95)"
    )
    group.add_argument("--weight", type=float, metavar="W", help="weighted: of the performance, 0 to 1 (default: 0.5)")
    group.add_argument(
        "--pepr-range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="pepr: cost that counts as 0 and as 1 (default: the lowest and highest in the table)",
    )
    group.add_argument("--price", type=float, metavar="G", help="marginal: what a point (0.01) may cost; needed there")


def _add_cost(group: Any) -> None:
    group.add_argument(
        "--grid",
        metavar="WHERE",
        help="carbon intensity: world, a country code such as DK, or g/kWh (default: world)",
    )
    group.add_argument(
        "--pue", type=float, metavar="P", help="power usage effectiveness (default: 1.58, the average of data centres)"
    )
    group.add_argument(
        "--embodied-g-per-h",
        type=float,
        metavar="G",
        help="also count making the hardware, gCO2eq for an hour of its use (default: leave it out)",
    )
    group.add_argument("--energy", metavar="COLUMN", help="energy before PUE (default: energy_kwh)")
    group.add_argument(
        "--energy-unit", choices=("kWh", "Wh", "MJ", "J"), default="kWh", help="of --energy (default: %(default)s)"
    )
    group.add_argument("--carbon", metavar="COLUMN", help="gCO2eq as recorded, in place of energy (default: none)")
    group.add_argument("--resource", metavar="COLUMN", help="any other cost, in place of energy (default: none)")
    group.add_argument("--unit", default="", metavar="U", help="of --resource, for words and axes (default: none)")
    group.add_argument(
        "--duration", default="duration_s", metavar="COLUMN", help="s, for --embodied-g-per-h (default: %(default)s)"
    )


def _add_columns(group: Any) -> None:
    group.add_argument(
        "--candidate", default="filters", metavar="COLUMN[,…]", help="one or several together (default: %(default)s)"
    )
    group.add_argument(
        "--replicate",
        default="",
        metavar="COLUMN",
        help="seed, fold or patient; none where every row is one of its own (default: of a recorded study patient_id, "
        "which draws its runs, too, where slices of the performance's part are recorded; otherwise seed)",
    )
    group.add_argument(
        "--training",
        metavar="COLUMN",
        help="where replicates are patients: what tells a candidate's trainings apart, as the seed; both are drawn "
        "(default: none, in a recorded study the run)",
    )
    group.add_argument(
        "--performance",
        default="",
        metavar="COLUMN",
        help="0 to 1, larger is better (default: validation Dice, val_dice_patients by patient, val_dice by seed)",
    )
    group.add_argument("--percent", action="store_true", help="the performance is in percent (default: a fraction)")
    group.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="keep only such rows (default: all)"
    )
    group.add_argument(
        "--repeats",
        choices=("refuse", "mean"),
        default="refuse",
        help="several rows of one candidate and replicate: refuse or average them (default: %(default)s)",
    )
    group.add_argument(
        "--paired",
        action="store_true",
        help="all candidates share the replicates, as folds of one split: compare on each that every candidate has "
        "(default: patients only)",
    )


def _select(options: argparse.Namespace) -> None:
    from carbon_midl.selection.choice import choose, compare, leave_one_out, uncertainty

    criterion = _criterion(options)
    candidates = _candidates(options)
    choice = choose(candidates, criterion)
    found = uncertainty(candidates, criterion, options.draws, options.seed)
    moves = leave_one_out(candidates, criterion)
    grids = _grids(options, candidates, criterion)
    _print_verdict(candidates, choice, found, moves)
    most = len(candidates) if options.all else _SHOWN
    _print_table(candidates, choice, found, most)
    tested = _print_test(options, candidates, choice.chosen)
    pairs = compare(candidates) if options.compare else None
    if pairs is not None:
        _print_pairs(pairs, most)
    if grids is not None:
        print("\nOn other grids:")
        for row in grids.to_dict("records"):
            print(f"  {row['label']:<8} {row['g_per_kwh']:7g} g/kWh  {row['chosen'] or row['reason']}")
    if options.json:
        _write_json(options, candidates, choice, found, tested, moves, grids, pairs)
    if options.figure:
        from carbon_midl.selection.picture import alt_text, draw_choice, save_picture

        save_picture(draw_choice(candidates, choice, found), options.figure)
        print(f"\nFigure: {options.figure}\nAlt text: {alt_text(candidates, choice, found)}")


def _criterion(options: argparse.Namespace) -> "Criterion":
    from carbon_midl.selection.criteria import CRITERIA

    given = {}
    for option, (criterion, name) in _OPTIONS.items():
        value = getattr(options, option)
        if value is None:
            continue
        if criterion != options.criterion:
            raise InputError(
                f"--{option.replace('_', '-')}: belongs to --criterion {criterion}, and the criterion is "
                f"{options.criterion}. Leave one of the two out."
            )
        given[name] = tuple(value) if isinstance(value, list) else value
    needed = _NEEDED.get(options.criterion)
    if needed and not given:
        raise InputError(f"--criterion {options.criterion}: needs --{needed}, in g or the unit of the cost.")
    return CRITERIA[options.criterion](**given)


def _candidates(options: argparse.Namespace) -> "Candidates":
    from carbon_midl.selection.candidates import Columns, read_candidates

    if sum(value is not None for value in (options.energy, options.carbon, options.resource)) > 1:
        raise InputError("cost: give one of --energy, --carbon and --resource.")
    columns = Columns(
        candidate=tuple(options.candidate.split(",")),
        replicate=options.replicate,
        training=options.training,
        performance=options.performance,
        energy=options.energy or Columns.energy,
        energy_unit=options.energy_unit,
        carbon=options.carbon,
        resource=options.resource,
        resource_unit=options.unit,
        duration=options.duration,
    )
    return read_candidates(
        options.table,
        columns,
        _factors(options, options.grid),
        where=equations("--where", options.where),
        percent=options.percent,
        mean_of_repeats=options.repeats == "mean",
        paired=options.paired,
    )


def _factors(options: argparse.Namespace, grid: str | None) -> "Factors | None":
    from carbon_midl.footprint.grid import DEFAULT_PUE
    from carbon_midl.selection.candidates import Factors

    if grid is None and options.pue is None and options.embodied_g_per_h is None:
        return None
    return Factors.of(
        "world" if grid is None else grid,
        DEFAULT_PUE if options.pue is None else options.pue,
        options.embodied_g_per_h or 0.0,
    )


def _grids(options: argparse.Namespace, candidates: "Candidates", criterion: "Criterion") -> "pd.DataFrame | None":
    from carbon_midl.selection.choice import across_factors

    if options.grids is None:
        return None
    factors = {place: _factors(options, place) for place in options.grids.split(",")}
    return across_factors(candidates, criterion, {place: there for place, there in factors.items() if there})


def _print_verdict(
    candidates: "Candidates", choice: "Choice", found: "Uncertainty", moves: dict[str, str | None]
) -> None:
    from textwrap import fill

    from carbon_midl.units import listed

    lines = [f"Chosen: {choice.chosen} ({choice.criterion})", choice.reason]
    if choice.runner_up is not None:
        lines.append(f"Runner-up: {choice.runner_up}.")
    if found.draws and candidates.could_be_best:
        lines.append(f"Could have the best performance, at 95 %: {listed(candidates.could_be_best)}.")
    if found.none_probability:
        lines.append(f"In {found.none_probability:.1%} of draws no candidate may be chosen.")
    if moves:
        lines.append(
            f"The choice depends on the company: without "
            f"{listed([f'{name} it would be {other}' for name, other in moves.items()])}."
        )
    lines.append(f"Assumption: {choice.assumption} Source: {choice.source}.")
    if candidates.factors is not None:
        lines.append(f"Carbon: {candidates.factors.describe()}.")
    lines += [f"Note: {note}" for note in (*candidates.notes, *found.notes)]
    print("\n".join(fill(line, _WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in lines))


def _print_table(candidates: "Candidates", choice: "Choice", found: "Uncertainty", most: int) -> None:
    from carbon_midl.units import number

    # What a reader looks for first: the chosen, then by rank.
    table = found.table.assign(first=found.table["candidate"] != choice.chosen).sort_values(["first", "rank", "cost"])
    rows = [("candidate", candidates.performance_name, candidates.unit or candidates.cost_name, "frontier", "chosen")]
    for row in table.head(most).to_dict("records"):
        performance, cost = _performance(row), number(row["cost"])
        if row["performance_low"] == row["performance_low"]:
            cost += f" [{number(row['cost_low'])}, {number(row['cost_high'])}]"
        frontier = "yes" if row["on_frontier"] else "no"
        chosen = "*" if row["candidate"] == choice.chosen else ""
        if row["chosen_probability"] == row["chosen_probability"]:
            frontier += f" ({row['frontier_probability']:.0%})"
            chosen = f"{row['chosen_probability']:.1%} {chosen}".rstrip()
        rows.append((row["candidate"], performance, cost, frontier, chosen))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for cells in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())
    if len(table) > most:
        print(f"… and {len(table) - most} more (--all)")
    print(f"Frontier: {int(table['on_frontier'].sum())} of {len(table)} candidates.")
    if found.draws:
        print(f"In brackets 95 % intervals and shares of {found.draws:,} draws of the replicates.")


def _performance(row: dict[Any, Any]) -> str:
    interval = f" [{row['performance_low']:.4f}, {row['performance_high']:.4f}]"
    return f"{row['performance']:.4f}{interval if row['performance_low'] == row['performance_low'] else ''}"


def _print_test(options: argparse.Namespace, candidates: "Candidates", chosen: str) -> "pd.DataFrame | None":
    """Print the test Dice of the chosen one alone and return its row; None where a test chose, or none is recorded."""
    from carbon_midl.selection.candidates import TEST_DICE, Columns, is_test, read_candidates
    from carbon_midl.selection.choice import uncertainty
    from carbon_midl.selection.criteria import Best

    if not options.table.is_dir() or is_test(candidates.performance_name):
        return None
    names = options.candidate.split(",")
    its_rows = dict(zip(names, chosen.split(" / ", len(names) - 1), strict=True))
    try:
        alone = read_candidates(
            options.table,
            Columns(candidate=tuple(names), performance=TEST_DICE),
            where=equations("--where", options.where) | its_rows,
        )
    except InputError as error:
        print(f"Test: none. {error}")
        return None
    row = uncertainty(alone, Best(), options.draws, options.seed).table.filter(regex="candidate|replicates|performance")
    n = f"seeds: {alone.counts[0]}"
    if alone.paired:
        n = f"patients: {alone.counts[0]}, trainings: {alone.trainings[0]}"
    print(f"Test, of {chosen} alone: {TEST_DICE} {_performance(row.iloc[0].to_dict())} ({n})")
    return row


def _print_pairs(pairs: "pd.DataFrame", most: int) -> None:
    print("\nDifferences in mean performance, 95 % interval of each pair, p corrected for all pairs (Holm):")
    for row in pairs.head(most).to_dict("records"):
        interval = (
            f" [{row['low']:+.4f}, {row['high']:+.4f}]  p {row['p_holm']:.2g}" if row["low"] == row["low"] else ""
        )
        print(f"  {row['second']} − {row['first']}: {row['difference']:+.4f}{interval}")
    if len(pairs) > most:
        print(f"  … and {len(pairs) - most:,} more (--all)")


def _write_json(
    options: argparse.Namespace,
    candidates: "Candidates",
    choice: "Choice",
    found: "Uncertainty",
    tested: "pd.DataFrame | None",
    moves: dict[str, str | None],
    grids: "pd.DataFrame | None",
    pairs: "pd.DataFrame | None",
) -> None:
    from carbon_midl.files import write_json

    content = choice.to_dict() | {
        "table": str(options.table),
        "cost": {
            "name": candidates.cost_name,
            "unit": candidates.unit,
            "factors": None if candidates.factors is None else candidates.factors.describe(),
        },
        "candidates": _records(found.table),
        "test": None if tested is None else _records(tested)[0],
        "draws": found.draws,
        "seed": options.seed,
        "none_probability": found.none_probability,
        "could_be_best": candidates.could_be_best or None,
        "without": moves,
        "grids": None if grids is None else _records(grids),
        "comparisons": None if pairs is None else _records(pairs),
        "notes": [*candidates.notes, *found.notes],
    }
    write_json(options.json, content)
    print(f"\nJSON: {options.json}")


def _records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as JSON holds them: what is missing is null."""
    cells = table.astype(object)
    return [
        {str(name): value for name, value in row.items()} for row in cells.where(cells.notna(), None).to_dict("records")
    ]
