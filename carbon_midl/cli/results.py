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
The results are verified first. Equal results give equal bytes. Local paths in the study's file are shortened to their
last name; anywhere else, a local path, the name of the host or user, or what looks like a password is refused.

examples:
  carbon-midl results pack results/recipes --out recipes.zip
  carbon-midl results pack studies/demo.toml --out demo.zip --ro-crate --citation CITATION.cff
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
        "--ro-crate", action="store_true", help="describe it as an RO-Crate 1.1, for repositories (default: do not)"
    )
    pack.add_argument(
        "--citation",
        type=Path,
        metavar="FILE",
        help="authors and licence for --ro-crate (default: nearest CITATION.cff)",
    )
    merge = action(results, "merge", _merge, "join the results of a study that was made in parts", _MERGE_EPILOG)
    merge.add_argument("parts", type=Path, nargs="+", metavar="PART", help="results, or packed files, two or more")
    merge.add_argument("--out", type=Path, required=True, metavar="DIR", help="new directory of the merged tables")


def _verify(options: argparse.Namespace) -> None:
    from carbon_midl.sharing.stored import read_stored
    from carbon_midl.sharing.verify import verify

    stored = read_stored(options.results)
    findings = verify(stored)
    for group in findings.groups:
        print(group)
    if findings.disagreements:
        print(f"\n{findings.verdict} in {findings.where}:")
        for disagreement in findings.disagreements:
            print(f"  {disagreement}")
        sys.exit(1)
    if "sha256" not in stored.manifest:
        print("No hashes in the manifest, so that losses and the like are not checked; 'study collect' adds them.")
    print(f"{findings.numbers:,} numbers checked, all agree")


def _pack(options: argparse.Namespace) -> None:
    from carbon_midl.files import write_bytes
    from carbon_midl.sharing.crate import find_citation, read_citation
    from carbon_midl.sharing.pack import find_study, pack
    from carbon_midl.sharing.stored import read_stored
    from carbon_midl.study.spec import read_study

    if options.citation and not options.ro_crate:
        raise InputError("--citation: belongs to --ro-crate. Add that, or leave this out.")
    directory, study = options.results, options.study
    if directory.suffix == ".toml":
        directory, study = _results_of(directory), study or directory
    stored = read_stored(directory)
    study = study or find_study(directory, stored.manifest["study"])
    citation = read_citation(options.citation or find_citation(directory)) if options.ro_crate else None
    if options.weights and study is None:
        raise InputError("--weights: the runs are found by the study's file. Name it with --study.")
    runs = read_study(study).directory if options.weights and study else None
    content = pack(stored, study, citation, runs)
    with _written(options.out):
        write_bytes(options.out, content)
    print(f"{options.out}: {len(stored.runs)} runs, {len(content):,} bytes{', RO-Crate 1.1' if citation else ''}")
    print(f"Whoever gets it checks it with: carbon-midl results verify {options.out.name}")
    if study is None:
        print(
            f"No study file: there is no studies/{stored.manifest['study']}.toml near {directory}; name it by --study."
        )


def _results_of(path: Path) -> Path:
    from carbon_midl.study.spec import read_study

    study = read_study(path)
    recorded = study.root / "results" / study.name
    return study.results if study.results.is_dir() or not recorded.is_dir() else recorded


def _merge(options: argparse.Namespace) -> None:
    from carbon_midl.files import new_directory, refuse_occupied
    from carbon_midl.sharing.merge import merge
    from carbon_midl.sharing.stored import read_stored

    refuse_occupied(options.out)
    merged = merge([read_stored(part) for part in options.parts])
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
