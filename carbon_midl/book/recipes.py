"""The chapter on recipes: same Dice, less energy, from the recorded study of both."""

from pathlib import Path

from carbon_midl.book import wording as w
from carbon_midl.selection.recipes import RecipePair, read_recipes

NOT_RECORDED = (
    "The comparison has not been recorded in this copy of the book. `carbon-midl study run studies/recipes.toml` makes "
    "it, in `runs/recipes/results`.\n"
)
_HEADER = ("F", "Dice, reference", "Dice, efficient", "Difference (95 %)", "Energy", "Share (seeds)")


def recipes_text(directory: Path) -> str:
    """Sentences and a table of the recorded comparison, as Markdown, or that there is none."""
    if not directory.is_dir():
        return NOT_RECORDED
    pairs = read_recipes(directory)
    lines = [
        f":::{{list-table}} {_caption(pairs[0])}",
        ":name: table-recipes",
        ":header-rows: 1",
        ":class: numbers",
        "",
        *_row(_HEADER),
        *(line for pair in pairs for line in _row(_cells(pair))),
        ":::",
    ]
    return "\n\n".join([*(_sentence(pair) for pair in pairs), _origin(pairs)]) + "\n\n" + "\n".join(lines) + "\n"


def _caption(pair: RecipePair) -> str:
    n = f"{w.plural(pair.patients, 'test patient')}, {w.plural(pair.seeds, 'seed')} each"
    return (
        f"Both recipes ({n}): test Dice; difference, efficient minus reference, paired over patients, in points; "
        "energy of a training before PUE, reference to efficient; share of the reference's energy, mean and range "
        "over seeds."
    )


def _cells(pair: RecipePair) -> tuple[str, ...]:
    share, least, most = pair.energy_share
    return (
        str(pair.filters),
        w.dice(pair.reference.estimate),
        w.dice(pair.efficient.estimate),
        w.points_interval(pair.difference).replace(" points", ""),
        f"{w.energy(pair.reference_kwh)} → {w.energy(pair.efficient_kwh)}",
        f"{w.percent(share)} ({w.percent(least).removesuffix(' %')}–{w.percent(most)})",
    )


def _sentence(pair: RecipePair) -> str:
    share = w.percent(pair.energy_share[0])
    said = (
        f"At F = {pair.filters} the efficient recipe took {share} of the reference's energy and "
        f"{w.percent(pair.duration_share[0])} of its time. "
    )
    points = w.points_interval(pair.difference)
    if pair.difference.excludes_zero:
        better = "higher" if pair.difference.estimate > 0 else "lower"
        return w.unbroken(f"{said}Its Dice was {better}: {points}. The two are not the same, then.")
    return w.unbroken(f"{said}No difference in Dice was shown: {points}.")


def _origin(pairs: list[RecipePair]) -> str:
    estimated = "The energies are *estimates*" if "estimated" in pairs[0].method else "The energies are measured"
    return f"{estimated} ({pairs[0].method})."


def _row(cells: tuple[str, ...]) -> list[str]:
    return [f"{'* ' if position == 0 else '  '}- {cell}" for position, cell in enumerate(cells)]
