"""A study's results as one file to hand on."""

from pathlib import Path
from typing import Any

from carbon_midl import __version__
from carbon_midl.errors import InputError
from carbon_midl.run_files import WEIGHTS
from carbon_midl.sharing.archive import packed
from carbon_midl.sharing.crate import CRATE, Citation, crate
from carbon_midl.sharing.privacy import machines, refuse_local, without_paths
from carbon_midl.sharing.stored import MANIFEST, StoredResults
from carbon_midl.sharing.verify import checked
from carbon_midl.study.spec import read_study

STUDY = "study.toml"
_LEVELS = 4


def pack(
    stored: StoredResults, study: Path | None = None, citation: Citation | None = None, runs: Path | None = None
) -> bytes:
    """The bytes of a packed file: the results, the study's file, and what machines they come from.

    Args:
        stored: results, which are checked first.
        study: the study's file; local paths in it are shortened to their last name.
        citation: authors and licence; with them, the file is an RO-Crate as well.
        runs: the directory of the study's runs, whose weights are taken along as ``RUN.safetensors``; None for none.

    Raises:
        InputError: the results disagree with themselves or name a local path or this host, or ``study`` is the file of
            another study.
    """
    findings = checked(stored)
    refuse_local(f"{stored.where}/{MANIFEST}", stored.manifest)
    for file, table in stored.tables.items():
        refuse_local(f"{stored.where}/{file}", table.to_csv(index=False))
    files = dict(stored.files)
    if study is not None:
        files[STUDY] = _study_text(study, stored).encode()
        refuse_local(str(study), files[STUDY].decode())
    if runs is not None:
        for name in stored.names:
            if not (weights := runs / name / WEIGHTS).is_file():
                raise InputError(f"{weights}: no such file. Pack where the runs were made, or leave out --weights.")
            files[f"{name}.safetensors"] = weights.read_bytes()
    about: dict[str, Any] = {
        "study": stored.manifest["study"],
        "title": stored.manifest["title"],
        "packed_by": f"carbon-midl {__version__}",
        "runs": len(stored.runs),
        "numbers_checked": findings.numbers,
        "machines": machines(stored.manifest["environments"]),
    }
    if citation is not None:
        files[CRATE] = crate(stored, files, citation)
    return packed(about, files)


def find_study(directory: Path, name: str) -> Path | None:
    """The file of the study ``name`` in a ``studies/`` beside one of the directories that ``directory`` lies in."""
    for parent in list(Path(directory).absolute().parents)[:_LEVELS]:
        path = parent / "studies" / f"{name}.toml"
        if path.is_file():
            return path
    return None


def _study_text(path: Path, stored: StoredResults) -> str:
    study = read_study(path)
    unplanned = sorted(set(stored.names) - {run.name for run in study.runs})
    if study.name != stored.manifest["study"] or unplanned:
        what = f"does not plan {unplanned[0]}" if unplanned else f"is the study {study.name!r}"
        raise InputError(
            f"{path}: {what}, and {stored.where} holds runs of {stored.manifest['study']!r}. Name the file that the "
            "study was run with: --study FILE"
        )
    return without_paths(path.read_text(encoding="utf-8"))
