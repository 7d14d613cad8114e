"""``carbon-midl results`` and ``book``: check, pack and merge the tables of studies, and make the book from them."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, Typer

from carbon_midl.cli.command import examples
from carbon_midl.files import new_directory
from carbon_midl.units import plural

app = Typer()
results = Typer(help="Results: check, pack and merge them.", no_args_is_help=True)
app.add_typer(results, name="results")
book = Typer(help="The book.", no_args_is_help=True)
app.add_typer(book, name="book")


@results.command(
    epilog=examples("carbon-midl results verify results/recipes", "carbon-midl results verify recipes.zip")
)
def verify(where: Annotated[Path, Argument(metavar="DIR", help="a study's results, or a packed file")]) -> None:
    """Recompute a study's numbers and compare them.

    Recomputed from the other tables: Dice of each slice and run, counts of slices and patients, epochs and the best of
    them, energy up to that, carbon, sizes of the networks, fingerprints, and what the manifest counts. Whole tables are
    checked against their hashes. Exit code 1 where something disagrees, 2 where a file cannot be read.
    """
    from carbon_midl.study.results import read_results
    from carbon_midl.study.share import verify

    read = read_results(where)
    findings = verify(read)
    for file in dict.fromkeys(file for file, _ in findings.numbers):
        columns = {column: count for (name, column), count in findings.numbers.items() if name == file}
        print(f"{file}: {sum(columns.values()):,} numbers compared, of {', '.join(columns)}")
    if wrong := findings.disagreements:
        print(f"\n{plural(len(wrong), 'disagreement')} in {read.where}:", *wrong, sep="\n  ")
        raise Exit(1)
    print(f"{findings.numbers.total():,} numbers checked, all agree")


@results.command(
    epilog=examples(
        "carbon-midl results pack results/recipes --out recipes.zip",
        "carbon-midl results pack studies/demo.toml --out demo.zip",
    )
)
def pack(
    where: Annotated[Path, Argument(metavar="STUDY_OR_DIR", help="a study's file, or its results")],
    out: Annotated[Path, Option(help="the packed file, such as lidc.zip")],
    weights: Annotated[bool, Option("--weights", help="take each run's weights along, from runs/")] = False,
) -> None:
    """Put a study's results into one file to share.

    The results are verified first. The file is a zip that describes itself as an RO-Crate 1.1, which repositories such
    as Zenodo read, with the study's file from `studies/` and the nearest CITATION.cff, which names authors and licence.
    """
    from carbon_midl.study.results import read_results
    from carbon_midl.study.share import find_above, pack
    from carbon_midl.study.spec import read_study

    study = None
    if where.suffix == ".toml":
        study, planned = where, read_study(where)
        recorded = planned.root / "results" / planned.name
        where = planned.results if planned.results.is_dir() or not recorded.is_dir() else recorded
    read = read_results(where)
    study = study or find_above(where, f"studies/{read.manifest['study']}.toml")
    citation = find_above(where, "CITATION.cff")
    pack(read, out, study, citation, weights)
    print(f"{out}: {len(read.runs)} runs, {out.stat().st_size:,} bytes, RO-Crate 1.1")
    if citation is None:
        print(f"No authors and no licence: there is no CITATION.cff near {where}.")


@results.command(epilog=examples("carbon-midl results merge laptop.zip cluster.zip --out results/lidc"))
def merge(
    parts: Annotated[list[Path], Argument(metavar="PART", help="results, or packed files, two or more")],
    out: Annotated[Path, Option(help="new directory of the merged tables")],
) -> None:
    """Join the results of a study made in parts.

    Parts need the same crops, code, options, split, grid and PUE, and no run in common; machines, dates and sensors
    may differ and are recorded by part. The order of the parts changes nothing.
    """
    from carbon_midl.study.results import read_results
    from carbon_midl.study.share import merge

    merged = merge([read_results(part) for part in parts])
    with new_directory(out) as directory:
        for name, content in merged.files.items():
            (directory / name).write_bytes(content)
    manifest = merged.manifest
    print(f"{out}: {manifest['runs_done']} runs of {len(manifest['parts'])} parts")
    for part in manifest["parts"]:
        print(f"  {part['part']}  {part['runs']:3d} runs  {part['dates']['first'][:10]}")
    if manifest["runs_left_out"]:
        print(f"Left out, as no part has them: {', '.join(manifest['runs_left_out'])}")
    if len(manifest["sensors"]) > 1:
        print(f"Energy was obtained in several ways: {' | '.join(manifest['sensors'])}. Compare it within a part.")


@book.command(
    epilog=examples(
        "carbon-midl book build",
        "carbon-midl book build --study studies/mine.toml   # yours in the appendix",
    )
)
def build(
    study: Annotated[Path, Option(help="whose tables, figures and notebooks the appendix shows")] = Path(
        "studies/demo.toml"
    ),
    address: Annotated[str, Option(help="URL where it will be: adds a site map, canonical links and cards")] = "",
    repository: Annotated[str, Option(help="OWNER/NAME on GitHub: lets readers open the labs on Binder")] = "",
) -> None:
    """Render the recorded studies as a book.

    Its appendix shows one of your own.

    The chapters speak of what is recorded in results/. The build fails where a sentence claims what the record does
    not say.
    """
    from carbon_midl.book.build import build, prepare
    from carbon_midl.study.spec import read_study

    shown = read_study(study)
    prepare(shown.directory, shown.root)
    print(f"Book: {build(shown.root, address, repository)}")
