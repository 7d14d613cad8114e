"""The chapter on recipes: same Dice, less energy, from the recorded studies of both."""

from pathlib import Path
from typing import Any

from carbon_midl.book import wording as w
from carbon_midl.book.list_table import list_table
from carbon_midl.files import read_json
from carbon_midl.selection.recipes import RECORDED, RecipePair, read_recipes

NOT_RECORDED = (
    "The comparison has not been recorded in this copy of the book. `carbon-midl study run studies/recipes.toml` makes "
    "it, in `runs/recipes/results`.\n"
)
_HEADER = ("F", "Reference", "Efficient", "Difference (95 %)", "Energy, Wh", "Share, %")


def recipes_text(root: Path) -> str:
    """Sentences and a table of each recorded comparison, as Markdown, or that there is none.

    Args:
        root: the repository.
    """
    found = [directories for directories in RECORDED if all((root / part).is_dir() for part in directories)]
    if not found:
        return NOT_RECORDED
    return "\n".join(_comparison([root / part for part in directories]) for directories in found)


def _comparison(directories: list[Path]) -> str:
    pairs = read_recipes(*directories)
    manifest = read_json(directories[0] / "manifest.json")
    kind, hardware = manifest["crops"]["kind"], manifest["hardware"]
    table = list_table(f"table-recipes-{kind}", _caption(pairs, kind), _HEADER, (_cells(pair) for pair in pairs))
    said = "\n\n".join([*(_sentence(pair) for pair in pairs), _origin(pairs, hardware)])
    return f"**On {_crops(kind)}, {'on a GPU' if hardware['gpu'] else 'without a GPU'}.** {said}\n\n{table}"


def _caption(pairs: list[RecipePair], kind: str) -> str:
    seeds = [pair.seeds for pair in pairs]
    many = "" if max(seeds) == 1 else "s"
    n = f"{w.plural(pairs[0].patients, 'test patient')}, {w.span(min(seeds), max(seeds))} seed{many} each"
    return (
        f"Both recipes on {_crops(kind)} ({n}): test Dice of each; difference, efficient minus reference, paired over "
        "patients, in points; energy of a training before PUE, reference → efficient; share of the reference's energy"
        f"{', range over seeds' if max(seeds) > 1 else ''}."
    )


def _crops(kind: str) -> str:
    return "phantom crops" if kind == "phantom" else "crops of LIDC-IDRI"


def _cells(pair: RecipePair) -> tuple[str, ...]:
    _, least, most = pair.energy_share
    return (
        str(pair.filters),
        w.dice(pair.reference.estimate),
        w.dice(pair.efficient.estimate),
        w.points_interval(pair.difference).replace(" points", ""),
        f"{w.significant(1000 * pair.reference_kwh)} → {w.significant(1000 * pair.efficient_kwh)}",
        " – ".join(dict.fromkeys(w.percent(part).removesuffix(" %") for part in (least, most))),
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


def _origin(pairs: list[RecipePair], hardware: dict[str, Any]) -> str:
    kind = {"measured": "measured", "estimated": "*estimates*", "partly estimated": "partly *estimates*"}
    estimated = f"The energies are {kind[w.how_known(pairs[0].method)]}"
    alone = any(pair.seeds == 1 for pair in pairs)
    once = " One seed tells nothing about what another would change." if alone else ""
    machine = w.joined([hardware["cpu"], *hardware["gpu"]])
    without = "" if hardware["gpu"] else ", without a GPU; on another machine the shares differ"
    return f"{estimated} ({pairs[0].method}), on {machine}{without}.{once}"
