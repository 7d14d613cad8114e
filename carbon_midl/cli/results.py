"""``carbon-midl results``: check, pack and merge the tables of studies."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carbon_midl.cli.parsing import action, room
from carbon_midl.errors import InputError

_VERIFY_EPILOG = """\
Recomputed from the other tables: Dice of each slice and run, counts of slices and patients, epochs and the best of
them, energy up to that, carbon, sizes of the networks, fingerprints, and what the manifest counts. Energies that hold
more than their epochs are checked against their lower bound, and whole tables against their hashes where the manifest
has them. Exit code 1 where something disagrees, 2 where a file cannot be read.

examples:
  carbon-midl results verify results/recipes
  carbon-midl results verify recipes.zip
"""
_PACK_EPILOG = """\
The results are verified first. The file is a zip that describes itself as an RO-Crate 1.1, which repositories such as
Zenodo read, with authors and licence from the citation file.

examples:
  carbon-midl results pack results/recipes --out recipes.zip
  carbon-midl results pack studies/demo.toml --out demo.zip --citation CITATION.cff
"""
_MERGE_EPILOG = """\
Parts need the same crops, code, options, split, grid and PUE, and no run in common; machines, dates and sensors may
differ and are recorded by part. The order of the parts changes nothing.

examples:
  carbon-midl results merge laptop.zip cluster.zip --out results/lidc
  carbon-midl results verify results/lidc
"""


def add_actions(rooms: Any) -> None:
    """Add the room ``results``."""
    results = room(rooms, "results", "results of studies: check, pack and merge them")
    verify = action(
        results, "verify", _verify, "recompute the numbers of a study's tables and compare them", _VERIFY_EPILOG
    )
    verify.add_argument("results", type=Path, metavar="DIR", help="a study's results, or a packed file")
    pack = action(results, "pack", _pack, "put a study's results into one file to hand on", _PACK_EPILOG)
    pack.add_argument("results", type=Path, metavar="STUDY_OR_DIR", help="a study's file, or its results")
    pack.add_argument("--out", type=Path, required=True, metavar="FILE", help="the packed file, such as lidc.zip")
    pack.add_argument(
        "--study", type=Path, metavar="FILE", help="the study's file (default: found in studies/, or left out)"
    )
    pack.add_argument(
        "--weights", action="store_true", help="take each run's weights along, from runs/ (default: tables alone)"
    )
    pack.add_argument(
        "--citation", type=Path, metavar="FILE", help="authors and licence (default: nearest CITATION.cff, or left out)"
    )
    merge = action(results, "merge", _merge, "join the results of a study that was made in parts", _MERGE_EPILOG)
    merge.add_argument("parts", type=Path, nargs="+", metavar="PART", help="results, or packed files, two or more")
    merge.add_argument("--out", type=Path, required=True, metavar="DIR", help="new directory of the merged tables")


def _verify(options: argparse.Namespace) -> None:
    from carbon_midl.study.results import read_results
    from carbon_midl.study.share import verify

    results = read_results(options.results)
    findings = verify(results)
    for file in dict.fromkeys(file for file, _ in findings.numbers):
        columns = {column: count for (name, column), count in findings.numbers.items() if name == file}
        print(f"{file}: {sum(columns.values()):,} numbers compared, of {', '.join(columns)}")
    if wrong := findings.disagreements:
        print(f"\n{len(wrong):,} disagreement{'s' * (len(wrong) > 1)} in {results.where}:")
        for disagreement in wrong:
            print(f"  {disagreement}")
        sys.exit(1)
    if "sha256" not in results.manifest:
        print("No hashes in the manifest, so that losses and the like are not checked; 'study collect' adds them.")
    print(f"{findings.numbers.total():,} numbers checked, all agree")


def _pack(options: argparse.Namespace) -> None:
    from carbon_midl.study.results import read_results
    from carbon_midl.study.share import find_above, pack
    from carbon_midl.study.spec import read_study

    directory, study = options.results, options.study
    if directory.suffix == ".toml":
        directory, study = _results_of(directory), study or directory
    results = read_results(directory)
    file = f"studies/{results.manifest['study']}.toml"
    study = study or find_above(directory, file)
    citation = options.citation or find_above(directory, "CITATION.cff")
    if options.weights and study is None:
        raise InputError("--weights: the runs are found by the study's file. Name it with --study.")
    runs = read_study(study).directory if options.weights and study else None
    with _written(options.out):
        pack(results, options.out, study, citation, runs)
    print(f"{options.out}: {len(results.runs)} runs, {options.out.stat().st_size:,} bytes, RO-Crate 1.1")
    print(f"Whoever gets it checks it with: carbon-midl results verify {options.out.name}")
    if study is None:
        print(f"No study file: there is no {file} near {directory}; name it by --study.")
    if citation is None:
        print(f"No authors and no licence: there is no CITATION.cff near {directory}; name it by --citation.")


def _results_of(path: Path) -> Path:
    from carbon_midl.study.spec import read_study

    study = read_study(path)
    recorded = study.root / "results" / study.name
    return study.results if study.results.is_dir() or not recorded.is_dir() else recorded


def _merge(options: argparse.Namespace) -> None:
    from carbon_midl.files import new_directory, refuse_occupied
    from carbon_midl.study.results import read_results
    from carbon_midl.study.share import merge

    refuse_occupied(options.out)
    merged = merge([read_results(part) for part in options.parts])
    with _written(options.out), new_directory(options.out) as out:
        for name, content in merged.files.items():
            (out / name).write_bytes(content)
    manifest = merged.manifest
    print(f"{options.out}: {manifest['runs_done']} runs of {len(manifest['parts'])} parts")
    for part in manifest["parts"]:
        machines = "; ".join(dict.fromkeys(str(one.get("hardware", {}).get("cpu")) for one in part["environments"]))
        print(f"  {part['part']}  {part['runs']:3d} runs  {part['dates']['first'][:10]}  {machines}")
    if manifest["runs_left_out"]:
        print(f"Left out, as no part has them: {', '.join(manifest['runs_left_out'])}")
    if len(manifest["sensors"]) > 1:
        print(f"Energy was obtained in several ways: {' | '.join(manifest['sensors'])}. Compare it within a part.")
    print(f"What it used, for a paper: carbon-midl report {options.out}")


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Say in words why something cannot be written; :mod:`carbon_midl.files` leaves nothing half-written."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); nothing was left there. Make room, or choose "
            "another place with --out."
        ) from None
