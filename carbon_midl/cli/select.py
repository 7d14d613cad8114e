"""``carbon-midl select`` and ``replay``: choose by performance and cost, and see what early stopping would choose."""

from collections import Counter
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option, Typer

from carbon_midl.cli.command import examples, print_table
from carbon_midl.cli.footprint import PUE, WHERE
from carbon_midl.errors import InputError
from carbon_midl.files import write_json
from carbon_midl.footprint.grid import DEFAULT_PUE
from carbon_midl.units import listed, number

if TYPE_CHECKING:
    import pandas as pd

    from carbon_midl.selection.candidates import Candidates, Columns, Factors
    from carbon_midl.selection.choice import Choice, Uncertainty
    from carbon_midl.selection.criteria import Criterion
    from carbon_midl.selection.replay import Curves

app = Typer()

CandidateColumns = Annotated[str, Option(metavar="COLUMN[,…]", help="columns that name a candidate together")]
Where = Annotated[list[str] | None, Option(metavar="COLUMN=VALUE", help="keep only such rows; may be repeated")]

# Option, the criterion it belongs to, and what that calls it.
_OPTIONS = {
    "budget": ("budget", "limit"),
    "margin": ("noninferior", "margin"),
    "confidence": ("noninferior", "confidence"),
    "weight": ("weighted", "weight"),
    "pepr-range": ("pepr", "limits"),
    "price": ("marginal", "limit"),
}
_NEEDED = {"budget": "budget", "marginal": "price"}
_SHOWN = 20
_WIDTH = 100
_CRITERIA = """\
Criteria:

\b
- best: the best mean performance, whatever it costs
- budget: the best of those within `--budget`
- noninferior: the cheapest that is not worse than the best by more than
  `--margin` (one-sided limit by bootstrap over shared patients and
  trainings; by t where fewer than ten replicates, or none, are shared)
- weighted: the largest `--weight` × performance + (1 - weight) × thrift, each
  scaled to 0–1 over the candidates
- pepr: the largest performance / (1 + resource), the resource scaled to 0–1
  (Selvan et al., arXiv:2403.12562)
- knee: the frontier's point highest above the line from its cheapest to its
  best
- marginal: along the frontier while the next point (0.01) of performance
  costs less than `--price`

"""


@app.command(
    epilog=_CRITERIA
    + examples(
        "carbon-midl select results/lidc --margin 0.01 --grid DK --pue 1.2",
        "carbon-midl select results/lidc --criterion budget --budget 20",
        "carbon-midl select results/lidc --compare --figure choice.svg",
        "carbon-midl select models.csv --candidate model --replicate fold \\",
        "  --paired --performance acc --percent --energy joules --energy-unit J",
        "carbon-midl select pepr-lidc-derma.csv --where dataset=lidc \\",
        "  --candidate model --replicate none --performance best_test \\",
        "  --energy energy --criterion pepr",
        "carbon-midl select models.csv --candidate model --replicate seed \\",
        "  --performance auc --resource memory --unit GB",
    )
)
def select(
    table: Annotated[Path, Argument(metavar="TABLE", help="CSV file, or directory of a recorded study")],
    criterion: Annotated[
        Literal["best", "budget", "noninferior", "weighted", "pepr", "knee", "marginal"], Option(help="see below")
    ] = "noninferior",
    budget: Annotated[float | None, Option(help="budget: in g, or the unit of the cost; needed there")] = None,
    margin: Annotated[float | None, Option(help="noninferior: loss that does not matter", show_default="0.01")] = None,
    confidence: Annotated[float | None, Option(help="noninferior: of the limit", show_default="0.95")] = None,
    weight: Annotated[float | None, Option(help="weighted: of performance, 0 to 1", show_default="0.5")] = None,
    pepr_range: Annotated[
        tuple[float, float] | None,
        Option(help="pepr: cost that counts as 0 and as 1", show_default="the lowest and highest in the table"),
    ] = None,
    price: Annotated[float | None, Option(help="marginal: what a point (0.01) may cost; needed there")] = None,
    grid: Annotated[str | None, Option(help=WHERE, show_default="world")] = None,
    pue: Annotated[float | None, Option(help=PUE, show_default=f"{DEFAULT_PUE}, the average of data centres")] = None,
    embodied_g_per_h: Annotated[float | None, Option(help="also count making the hardware, per hour of use")] = None,
    energy: Annotated[str | None, Option(help="column of energy before PUE", show_default="energy_kwh")] = None,
    energy_unit: Annotated[Literal["kWh", "Wh", "MJ", "J"], Option(help="of `--energy`")] = "kWh",
    carbon: Annotated[str | None, Option(help="column of gCO2eq as recorded, in place of energy")] = None,
    resource: Annotated[str | None, Option(help="column of any other cost, in place of energy")] = None,
    unit: Annotated[str, Option(help="of `--resource`, for words and axes")] = "",
    duration: Annotated[str, Option(help="column of s, for `--embodied-g-per-h`")] = "duration_s",
    candidate: CandidateColumns = "filters",
    replicate: Annotated[
        str,
        Option(
            help="column of seed, fold or patient; none where every row is one of its own",
            show_default="of a recorded study patient_id, where slices are recorded; otherwise seed",
        ),
    ] = "",
    training: Annotated[
        str | None, Option(help="column that tells trainings apart where replicates are patients; both are drawn")
    ] = None,
    performance: Annotated[str, Option(help="column, 0 to 1, larger is better", show_default="validation Dice")] = "",
    percent: Annotated[bool, Option("--percent", help="the performance is in percent")] = False,
    where: Where = None,
    repeats: Annotated[
        Literal["refuse", "mean"], Option(help="what to do with several rows of one candidate and replicate")
    ] = "refuse",
    paired: Annotated[
        bool, Option("--paired", help="all candidates share the replicates, as folds of one split; patients always")
    ] = False,
    draws: Annotated[int, Option(min=1, help="of the bootstrap")] = 10_000,
    seed: Annotated[int, Option(help="of the draws")] = 0,
    grids: Annotated[str | None, Option(metavar="A,B,…", help="also choose on these grids, as DK,PL,world")] = None,
    compare: Annotated[
        bool, Option("--compare", help="also list the differences of all pairs, with tests corrected by Holm")
    ] = False,
    every: Annotated[bool, Option("--all", help="list all candidates", show_default=f"the first {_SHOWN}")] = False,
    json: Annotated[Path | None, Option(help="write all of it as JSON")] = None,
    figure: Annotated[Path | None, Option(help="draw performance against cost: .svg, .png or .pdf")] = None,
) -> None:
    """Choose a model by performance and footprint.

    A recorded study is chosen from by its validation patients, or by its seeds where no validation slices are
    recorded; the test score is told of the chosen one alone. Any other table has a row a candidate and replicate
    (seed, fold or patient). A row without a performance or a cost is left out and counted. Probabilities come from a
    bootstrap over the replicates; a single replicate gives none.
    """
    from carbon_midl.selection import choice as choices
    from carbon_midl.selection.candidates import Columns, read_candidates

    options = (budget, margin, confidence, weight, pepr_range, price)
    rule = _criterion(criterion, dict(zip(_OPTIONS, options, strict=True)))
    if sum(column is not None for column in (energy, carbon, resource)) > 1:
        raise InputError("cost: give one of --energy, --carbon and --resource.")
    columns = Columns(
        candidate=tuple(candidate.split(",")),
        replicate=replicate,
        training=training,
        performance=performance,
        energy=energy or Columns.energy,
        energy_unit=energy_unit,
        carbon=carbon,
        resource=resource,
        resource_unit=unit,
        duration=duration,
    )
    rows, recosted = _equations(where), any(given is not None for given in (grid, pue, embodied_g_per_h))
    factors = _factors(grid, pue, embodied_g_per_h) if recosted else None
    candidates = read_candidates(
        table, columns, factors, rows, percent=percent, mean_of_repeats=repeats == "mean", paired=paired
    )
    choice = choices.choose(candidates, rule)
    found = choices.uncertainty(candidates, rule, draws, seed)
    without = choices.leave_one_out(candidates, rule)
    places = {place: _factors(place, pue, embodied_g_per_h) for place in (grids.split(",") if grids else ())}
    elsewhere = _records(choices.across_factors(candidates, rule, places)) if places else None
    most = len(candidates) if every else _SHOWN
    _print_verdict(candidates, choice, found, without)
    _print_candidates(candidates, choice, found, most)
    tested = _print_test(table, columns, candidates, rows, choice.chosen, draws, seed)
    pairs = _records(choices.compare(candidates)) if compare else None
    if pairs is not None:
        _print_pairs(pairs, most)
    if elsewhere is not None:
        print("\nOn other grids:")
        for row in elsewhere:
            print(f"  {row['label']:<8} {row['g_per_kwh']:7g} g/kWh  {row['chosen'] or row['reason']}")
    if json:
        more = {"table": str(table), "seed": seed, "test": tested, "without": without}
        _write_json(json, candidates, choice, found, more | {"grids": elsewhere, "comparisons": pairs})
    if figure:
        from carbon_midl.selection.picture import alt_text, draw_choice, save_picture

        save_picture(draw_choice(candidates, choice, found), figure)
        print(f"\nFigure: {figure}\nAlt text: {alt_text(candidates, choice, found)}")


def _criterion(name: str, options: dict[str, Any]) -> "Criterion":
    """A criterion with those options that were given; they must be its own."""
    from carbon_midl.selection.criteria import CRITERIA

    given = {}
    for option, value in options.items():
        criterion, attribute = _OPTIONS[option]
        if value is None:
            continue
        if criterion != name:
            raise InputError(
                f"--{option}: belongs to --criterion {criterion}, and the criterion is {name}. "
                "Leave one of the two out."
            )
        given[attribute] = value
    if name in _NEEDED and not given:
        raise InputError(f"--criterion {name}: needs --{_NEEDED[name]}, in g or the unit of the cost.")
    return CRITERIA[name](**given)


def _equations(where: list[str] | None) -> dict[str, str]:
    """What was given as COLUMN=VALUE, by column."""
    for text in where or []:
        if "=" not in text:
            raise InputError(f"--where: found {text!r}; expected NAME=VALUE.")
    return dict(text.split("=", 1) for text in where or [])


def _factors(grid: str | None, pue: float | None, embodied_g_per_h: float | None) -> "Factors":
    """From energy to carbon."""
    from carbon_midl.selection.candidates import Factors

    return Factors.of(grid or "world", DEFAULT_PUE if pue is None else pue, embodied_g_per_h or 0.0)


def _print_verdict(
    candidates: "Candidates", choice: "Choice", found: "Uncertainty", without: dict[str, str | None]
) -> None:
    lines = [f"Chosen: {choice.chosen} ({choice.criterion})", choice.reason]
    if choice.runner_up is not None:
        lines.append(f"Runner-up: {choice.runner_up}.")
    if found.draws and candidates.could_be_best:
        lines.append(f"Could have the best performance, at 95 %: {listed(candidates.could_be_best)}.")
    if found.none_probability:
        lines.append(f"In {found.none_probability:.1%} of draws no candidate may be chosen.")
    if without:
        others = listed([f"{name} it would be {other}" for name, other in without.items()])
        lines.append(f"The choice depends on the company: without {others}.")
    lines.append(f"Assumption: {choice.assumption} Source: {choice.source}.")
    if candidates.factors is not None:
        lines.append(f"Carbon: {candidates.factors.describe()}.")
    lines += [f"Note: {note}" for note in (*candidates.notes, *found.notes)]
    print("\n".join(fill(line, _WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in lines))


def _print_candidates(candidates: "Candidates", choice: "Choice", found: "Uncertainty", most: int) -> None:
    # What a reader looks for first: the chosen, then by rank.
    table = found.table.assign(first=found.table["candidate"] != choice.chosen).sort_values(["first", "rank", "cost"])
    rows = [("candidate", candidates.performance_name, candidates.unit or candidates.cost_name, "frontier", "chosen")]
    for row in _records(table.head(most)):
        cost = number(row["cost"])
        if row["performance_low"] is not None:
            cost += f" [{number(row['cost_low'])}, {number(row['cost_high'])}]"
        frontier = "yes" if row["on_frontier"] else "no"
        chosen = "*" if row["candidate"] == choice.chosen else ""
        if row["chosen_probability"] is not None:
            frontier += f" ({row['frontier_probability']:.0%})"
            chosen = f"{row['chosen_probability']:.1%} {chosen}".rstrip()
        rows.append((row["candidate"], _performance(row), cost, frontier, chosen))
    print()
    print_table(rows)
    if len(table) > most:
        print(f"… and {len(table) - most} more (--all)")
    print(f"Frontier: {int(table['on_frontier'].sum())} of {len(table)} candidates.")
    if found.draws:
        print(f"In brackets 95 % intervals and shares of {found.draws:,} draws of the replicates.")


def _performance(row: dict[str, Any]) -> str:
    """With its interval, where there is one."""
    if row["performance_low"] is None:
        return f"{row['performance']:.4f}"
    return f"{row['performance']:.4f} [{row['performance_low']:.4f}, {row['performance_high']:.4f}]"


def _print_test(
    table: Path, columns: "Columns", candidates: "Candidates", rows: dict[str, str], chosen: str, draws: int, seed: int
) -> dict[str, Any] | None:
    """Print the test Dice of the chosen one alone and return its row; None where a test chose, or none is recorded."""
    from carbon_midl.selection.candidates import TEST_DICE, Columns, is_test, read_candidates
    from carbon_midl.selection.choice import uncertainty
    from carbon_midl.selection.criteria import Best

    if not table.is_dir() or is_test(candidates.performance_name):
        return None
    names = columns.candidate
    its_rows = dict(zip(names, chosen.split(" / ", len(names) - 1), strict=True))
    try:
        alone = read_candidates(table, Columns(candidate=names, performance=TEST_DICE), where=rows | its_rows)
    except InputError as error:
        print(f"Test: none. {error}")
        return None
    table_of_one = uncertainty(alone, Best(), draws, seed).table
    (row,) = _records(table_of_one.filter(regex="candidate|replicates|performance"))
    n = f"seeds: {alone.counts[0]}"
    if alone.paired:
        n = f"patients: {alone.counts[0]}, trainings: {alone.trainings[0]}"
    print(f"Test, of {chosen} alone: {TEST_DICE} {_performance(row)} ({n})")
    return row


def _print_pairs(pairs: list[dict[str, Any]], most: int) -> None:
    print("\nDifferences in mean performance, 95 % interval of each pair, p corrected for all pairs (Holm):")
    for row in pairs[:most]:
        line = f"  {row['second']} − {row['first']}: {row['difference']:+.4f}"
        if row["low"] is not None:
            line += f" [{row['low']:+.4f}, {row['high']:+.4f}]  p {row['p_holm']:.2g}"
        print(line)
    if len(pairs) > most:
        print(f"  … and {len(pairs) - most:,} more (--all)")


def _write_json(
    path: Path, candidates: "Candidates", choice: "Choice", found: "Uncertainty", more: dict[str, Any]
) -> None:
    factors = None if candidates.factors is None else candidates.factors.describe()
    content = {
        "cost": {"name": candidates.cost_name, "unit": candidates.unit, "factors": factors},
        "candidates": _records(found.table),
        "draws": found.draws,
        "none_probability": found.none_probability,
        "could_be_best": candidates.could_be_best or None,
        "notes": [*candidates.notes, *found.notes],
    }
    write_json(path, choice.to_dict() | content | more)
    print(f"\nJSON: {path}")


def _records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as JSON holds them: what is missing is null."""
    cells = table.astype(object)
    return [
        {str(name): value for name, value in row.items()} for row in cells.where(cells.notna(), None).to_dict("records")
    ]


@app.command(
    epilog=examples(
        "carbon-midl replay runs/demo/results",
        "carbon-midl replay results/recipes --candidate recipe,filters",
        "carbon-midl replay pepr-lidc-derma.csv --where dataset=derma \\",
        "  --candidate model --size num_param --cost energy --curve 'test_[0-9]+'",
        "carbon-midl replay runs/demo/results --policy halving --option eta=3",
    )
)
def replay(
    table: Annotated[Path | None, Argument(metavar="TABLE", help="a recorded study, or a CSV file")] = None,
    list_policies: Annotated[bool, Option("--policies", help="list the policies and their options, and end")] = False,
    policy: Annotated[str | None, Option(help="replay this one", show_default="each with default options")] = None,
    option: Annotated[list[str] | None, Option(metavar="NAME=VALUE", help="of `--policy`; may be repeated")] = None,
    tolerance: Annotated[float, Option(help="regret that does not matter")] = 0.005,
    candidate: CandidateColumns = "filters",
    size: Annotated[str | None, Option(help="CSV, needed: column known before training, growing with cost")] = None,
    cost: Annotated[str | None, Option(help="CSV, needed: column of the cost of the whole training")] = None,
    curve: Annotated[str | None, Option(help="CSV, needed: regular expression of the epochs' columns")] = None,
    where: Where = None,
    draws: Annotated[int, Option(min=1, help="CSV: of candidates")] = 200,
    seed: Annotated[int, Option(help="CSV: of the draws")] = 0,
) -> None:
    """Replay on recorded curves how a search goes.

    Every epoch that a policy asks for is taken from the recorded learning curves, and the chosen candidate is trained
    to its end. Regret: score of the full sweep's choice minus that of the policy's; cost: of the search, as share of
    the full sweep's.

    TABLE is the directory of a recorded study (each of its seeds is a search, which decides by validation Dice and
    energy of each epoch; the score is the candidate's mean test Dice over the seeds), or a CSV file with a row a
    candidate and a column an epoch (candidates are drawn again, with replacement; the score is the best of a curve).
    """
    from tqdm import tqdm

    from carbon_midl.selection.candidates import is_test
    from carbon_midl.selection.policies import POLICIES, described, policy_of
    from carbon_midl.selection.replay import curves_of_study, drawn, replay, summarise

    if list_policies:
        print(f"policies:\n{described()}")
        return
    if table is None:
        raise InputError("TABLE: missing; expected a recorded study or a CSV file. See: carbon-midl replay --help")
    if option and policy is None:
        raise InputError("--option: belongs to --policy NAME, and there is none.")
    names = tuple(candidate.split(","))
    if table.is_dir():
        searches = list(curves_of_study(table, names).values())
        what = f"{len(searches)} seed{'s' * (len(searches) > 1)}, each a search of {len(searches[0])} candidates"
    else:
        whole = _curves_of_table(table, names, {"size": size, "cost": cost, "curve": curve}, _equations(where))
        searches = drawn(whole, draws, seed)
        what = f"{draws} draws of {len(whole)} candidates, each a search"
    policies = [policy_of(name, option or []) for name in ([policy] if policy else POLICIES)]
    print(what)
    rows = [("policy", "regret", "within", "cost", "chosen")]
    for one in tqdm(policies, unit="policy", disable=None):
        replays = [replay(curves, one) for curves in searches]
        found = summarise(replays, one, tolerance)
        (name, times), *_ = Counter(one.chosen for one in replays).most_common(1)
        regret, share = f"{found.regret:.4f}", f"{found.share:.1%}"
        if len(replays) > 1:
            regret += f" [{found.regret_low:.4f}, {found.regret_high:.4f}]"
            share += f" [{found.share_low:.1%}, {found.share_high:.1%}]"
        rows.append((one.describe(), regret, f"{found.within:.0%}", share, f"{name} ({times / len(replays):.0%})"))
    print_table(rows)
    score = "best of the curve" if searches[0].score is None else "test Dice"
    print(
        f"regret: mean{' and range of 95 %' if len(searches) > 1 else ''} in {score}; within: share of searches with a "
        f"regret of at most {tolerance:g}; cost: share of the full sweep's; chosen: most often."
    )
    if curve and is_test(curve):
        print(f"Note: --curve {curve} are test scores, and deciding by them uses the test up.")


def _curves_of_table(
    path: Path, candidate: tuple[str, ...], columns: dict[str, str | None], where: dict[str, str]
) -> "Curves":
    """The curves of a CSV file, of which all columns must be named."""
    from carbon_midl.selection.candidates import rows_where
    from carbon_midl.selection.replay import curves_of_table
    from carbon_midl.study.results import read_csv

    named = {name: column for name, column in columns.items() if column is not None}
    if missing := [f"--{name}" for name in columns if name not in named]:
        raise InputError(f"{path}: a CSV file needs {', '.join(missing)}. See: carbon-midl replay --help")
    table = read_csv(path)
    for name, value in where.items():
        table = rows_where(table, name, value, str(path))
    return curves_of_table(table, candidate, named["size"], named["cost"], named["curve"])
