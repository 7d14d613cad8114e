"""The chapter on recipes: same Dice, less energy, from the recorded study of both."""

from pathlib import Path
from typing import Any

from carbon_midl.book import wording as w
from carbon_midl.files import read_json
from carbon_midl.selection.recipes import RecipePair, read_recipes

NOT_RECORDED = (
    "The comparison has not been recorded in this copy of the book. `carbon-midl study run studies/recipes.toml` makes "
    "it, in `runs/recipes/results`.\n"
)
_HEADER = ("F", "Reference", "Efficient", "Difference (95 %)", "Energy, Wh", "Share, %")


def recipes_text(directory: Path) -> str:
    """Sentences and a table of the recorded comparison, as Markdown, or that there is none."""
    if not directory.is_dir():
        return NOT_RECORDED
    pairs = read_recipes(directory)
    manifest = read_json(directory / "manifest.json")
    kind, hardware = manifest["crops"]["kind"], manifest["hardware"]
    lines = [
        f":::{{list-table}} {_caption(pairs[0], kind)}",
        ":name: table-recipes",
        ":header-rows: 1",
        ":class: numbers",
        "",
        *_row(_HEADER),
        *(line for pair in pairs for line in _row(_cells(pair))),
        ":::",
    ]
    return (
        "\n\n".join([*(_sentence(pair) for pair in pairs), _origin(pairs, hardware)]) + "\n\n" + "\n".join(lines) + "\n"
    )


def _caption(pair: RecipePair, kind: str) -> str:
    crops = "phantom crops" if kind == "phantom" else "crops of LIDC-IDRI"
    n = f"{w.plural(pair.patients, 'test patient')}, {w.plural(pair.seeds, 'seed')} each"
    return (
        f"Both recipes on {crops} ({n}): test Dice of each; difference, efficient minus reference, paired over "
        "patients, in points; energy of a training before PUE, reference → efficient; share of the reference's energy, "
        "range over seeds."
    )


def _cells(pair: RecipePair) -> tuple[str, ...]:
    _, least, most = pair.energy_share
    return (
        str(pair.filters),
        w.dice(pair.reference.estimate),
        w.dice(pair.efficient.estimate),
        w.points_interval(pair.difference).replace(" points", ""),
        f"{w.significant(1000 * pair.reference_kwh)} → {w.significant(1000 * pair.efficient_kwh)}",
        " – ".join(w.percent(part).removesuffix(" %") for part in (least, most)),
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
    estimated = "The energies are *estimates*" if "estimated" in pairs[0].method else "The energies are measured"
    machine = w.joined([hardware["cpu"], *hardware["gpu"]])
    without = "" if hardware["gpu"] else ", without a GPU; on another machine the shares differ"
    return f"{estimated} ({pairs[0].method}), on {machine}{without}."


def _row(cells: tuple[str, ...]) -> list[str]:
    return [f"{'* ' if position == 0 else '  '}- {cell}" for position, cell in enumerate(cells)]
