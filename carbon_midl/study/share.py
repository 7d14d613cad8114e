"""Results that leave their machine: verified, packed into one file, and merged from the parts of several machines."""

import hashlib
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import compressed, replaced
from carbon_midl.study.results import EPOCHS, MANIFEST, PART, RUNS, SLICES, TABLES, Results, distinct
from carbon_midl.study.spec import read_study
from carbon_midl.training.checkpoint import WEIGHTS
from carbon_midl.training.network import unet_size
from carbon_midl.training.options import BUILT_IN, fingerprinted

TOLERANCE = 1e-9
"""Relative. Sums in another order differ by far less."""
_SPLIT_OPTIONS = {"split_seed", "readers"}
"""If these vary within a study, its runs differ in test slices or targets."""
_ABOUT = {
    RUNS: ("text/csv", "One row per run: Dice, energy before PUE in kWh, carbon in gCO2eq, with their factors"),
    EPOCHS: ("text/csv", "One row per run and epoch: losses, validation Dice, energy before PUE in kWh"),
    SLICES: ("application/gzip", "One row per run and validation or test slice: areas in px and Dice; CSV, compressed"),
    MANIFEST: ("application/json", "Where the results come from: crops, split, options, machines, versions, sensors"),
    "study.toml": ("application/toml", "The study: which runs, on which crops, with which options"),
    "CITATION.cff": ("application/yaml", "Authors, licence and how to cite it, in the Citation File Format"),
}
_OF_PARTS = ("abandoned", "dates", "environments", "sensors", "pue_sources", "footprint_notes", "calibration")
"""What a merged manifest keeps of each part."""


class Findings(NamedTuple):
    """What `verify` found."""

    numbers: Counter[tuple[str, str]]  #: how many were compared, by table (or manifest) and column (or key).
    disagreements: list[str]  #: sentences that name table, row, run and column, what was found and what expected.


def verify(results: Results) -> Findings:
    """Recompute each number that follows from others, and compare.

    Numbers that follow from nothing, such as losses, are protected by the hashes of the tables.
    """
    numbers, disagreements = Counter[tuple[str, str]](), list[str]()
    for file, key, found, expected in _manifest_entries(results):
        numbers[file, key] += 1
        if found != expected and not (isinstance(found, float) and math.isclose(found, expected, rel_tol=TOLERANCE)):
            disagreements.append(f"{file}, {key}: found {found}, expected {expected}")
    for file, column, values in _recomputed(results):
        table, known = results.tables[file], values.notna()
        cells = table[column]
        if pd.api.types.is_numeric_dtype(cells):
            agree = pd.Series(np.isclose(cells, values.astype(float), rtol=TOLERANCE, atol=1e-15), cells.index)
        else:
            agree = cells == values
        numbers[file, column] += int(known.sum())
        disagreements += [
            f"{file}, row {row + 1}, {table['run'][row]}, {column}: found {_text(cells[row])}, expected "
            f"{_text(values[row])}"
            for row in table.index[known & ~agree]
        ]
    return Findings(numbers, disagreements)


def _manifest_entries(results: Results) -> Iterator[tuple[str, str, Any, Any]]:
    """File and key of an entry of the manifest, its value, and the value that follows from the tables."""
    manifest, runs = results.manifest, results.runs
    for file, expected in manifest.get("sha256", {}).items():
        yield file, "SHA-256", _sha256(results.files[file]), expected
    patients, abandoned, parts = manifest["split_patients"], manifest["abandoned"], manifest.get("parts", [])
    yield MANIFEST, "study", manifest["study"], ", ".join(sorted(runs["study"].unique()))
    yield MANIFEST, "runs_done", manifest["runs_done"], len(runs)
    yield MANIFEST, "runs_left_out", sorted(set(manifest["runs_left_out"]) & set(runs["run"])), []
    for key, column in (("widths", "filters"), ("seeds", "seed")):
        yield MANIFEST, key, manifest[key], sorted({*manifest[key], *runs[column].tolist()})
    yield MANIFEST, "sensors", manifest["sensors"], sorted(runs["energy_method"].unique())
    yield MANIFEST, "split", manifest["split"], {part: len(patients.get(part, [])) for part in manifest["split"]}
    for one, other in combinations(sorted(patients), 2):
        yield MANIFEST, f"split_patients of {one} and {other}", sorted({*patients[one]} & {*patients[other]}), []
    if len(factors := (runs["pue"] * runs["intensity_g_per_kwh"]).unique()) == 1:
        yield MANIFEST, "abandoned.carbon_g", float(abandoned["carbon_g"]), abandoned["energy_kwh"] * factors[0]
    if parts or PART in runs:
        counts = runs[PART].value_counts().to_dict() if PART in runs else {}
        yield MANIFEST, "parts", {part["part"]: part["runs"] for part in parts}, counts
        for key, value in abandoned.items():
            yield MANIFEST, f"abandoned.{key}", float(value), math.fsum(part["abandoned"][key] for part in parts)


def _recomputed(results: Results) -> Iterator[tuple[str, str, "pd.Series[Any]"]]:
    """Table, column, and what follows for it from the other columns and tables; NaN where nothing is known."""
    runs, epochs, slices, manifest = results.runs, results.epochs, results.slices, results.manifest
    run, of_run, varying = runs["run"], runs.drop_duplicates("run").set_index("run"), _varying(results)
    for file in (EPOCHS, SLICES):
        for column in ("filters", "seed"):
            yield file, column, results.tables[file]["run"].map(of_run[column])

    # Slices: Dice from pixels, the part of the split, and the same targets in all runs.
    pixels = slices["target_px"] + slices["predicted_px"]
    yield SLICES, "dice", (2 * slices["overlap_px"] / pixels).mask(pixels == 0, 1.0)
    if "split_seed" not in varying:
        part_of = {patient: part for part, patients in manifest["split_patients"].items() for patient in patients}
        yield SLICES, PART, slices["patient_id"].map(part_of).fillna("no part of the split")
    if not varying & _SPLIT_OPTIONS:
        for column in ("target_px", "readers_dice"):
            yield SLICES, column, slices.groupby(["patient_id", "nodule", "slice"])[column].transform("median")
        yield RUNS, "test_slices", pd.Series(manifest["slices"].get("test", -1), runs.index)

    # Runs: Dice over slices and over patients, and how many there are.
    for part, column in (("validation", "val_dice_patients"), ("test", "test_dice_patients")):
        scored = results.slices_of(part)
        by_run = scored.groupby("run")["dice"]
        by_patient = scored.groupby(["run", "patient_id"])["dice"].mean().groupby("run")
        if column in runs:
            yield RUNS, column, run.map(by_patient.mean())
    yield RUNS, "test_dice", run.map(by_run.mean())
    yield RUNS, "test_slices", run.map(by_run.size()).fillna(0)
    yield RUNS, "test_patients", run.map(by_patient.size()).fillna(0)

    # Epochs count from 1 without a gap; the best is the first with the largest validation Dice, as in checkpoint.py.
    trained = epochs.groupby("run")
    best = epochs.loc[trained["val_dice"].idxmax()].set_index("run")
    yield EPOCHS, "epoch", trained["epoch"].rank(method="first")
    yield RUNS, "epochs_trained", run.map(trained.size()).fillna(0)
    yield RUNS, "best_epoch", run.map(best["epoch"])
    yield RUNS, "val_dice", run.map(best["val_dice"])

    # Energy is the sum of the components; up to the best epoch it is that less the later epochs.
    after_best = epochs[epochs["epoch"] > epochs["run"].map(of_run["best_epoch"])].groupby("run")["energy_kwh"].sum()
    yield RUNS, "energy_kwh", runs[["energy_cpu_kwh", "energy_gpu_kwh", "energy_memory_kwh"]].sum(axis=1)
    yield RUNS, "energy_to_best_kwh", runs["energy_kwh"] - run.map(after_best).fillna(0)
    for of in ("", "_to_best", "_whole_run"):
        yield RUNS, f"carbon{of}_g", runs[f"energy{of}_kwh"] * runs["pue"] * runs["intensity_g_per_kwh"]

    options, crops = manifest["options"], manifest["crops"]
    if "depth" in options and options.get("model", BUILT_IN) == BUILT_IN and not varying & {"depth", "model"}:
        sizes = [unet_size(width, options["depth"], size=crops["size"]) for width in runs["filters"].tolist()]
        yield RUNS, "parameters", pd.Series([size.parameters for size in sizes], runs.index)
        yield RUNS, "macs", pd.Series([size.macs for size in sizes], runs.index)
    crops_and_code = f"-{crops['fingerprint'][:12]}-{runs['fingerprint'].str.rpartition('-')[2].mode()[0]}"
    yield RUNS, "fingerprint", runs.apply(lambda row: _options_fingerprint(options, row) + crops_and_code, axis=1)


def _varying(results: Results) -> set[str]:
    """The options that vary besides width and seed: they are part of the runs' names, or have a column of their own."""
    columns = set(results.runs.columns) - {"epochs", "recipe"}
    return {
        option
        for option in results.manifest["options"]
        if option in columns or results.runs["run"].str.contains(f"(?:^|-){option.replace('_', '-')}-").any()
    }


def _options_fingerprint(options: dict[str, Any], row: pd.Series) -> str:
    """The fingerprint of a run's options: those of the study, where its row has none."""
    of_run = {name: type(value)(row[name]) if name in row else value for name, value in options.items()}
    values = fingerprinted({"filters": int(row["filters"]), "seed": int(row["seed"]), **of_run})
    return _sha256(json.dumps(values, sort_keys=True).encode())[:12]


def _text(value: Any) -> str:
    """Write a cell as a table does: counts without a decimal point, all digits of other numbers."""
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check_shareable(results: Results) -> None:
    """Verify results before they are packed or merged; nothing may disagree or be made with code in no commit."""
    commits = results.runs.get("commit", pd.Series("", results.runs.index)).fillna("")
    if dirty := results.runs.loc[commits.str.endswith("-dirty"), "run"].tolist():
        raise InputError(
            f"{results.where}: {len(dirty)} runs, first {dirty[0]}, were made from a working tree with changes that "
            "are in no commit, so nobody could make them again. Commit the changes and make these runs again."
        )
    if wrong := verify(results).disagreements:
        raise InputError(
            f"{results.where}: {len(wrong)} disagreement{'s' * (len(wrong) > 1)}, first {wrong[0]}. See all by "
            "'carbon-midl results verify', and restore the files or collect the study again."
        )


def find_above(directory: Path, name: str) -> Path | None:
    """The nearest file of this name in ``directory`` or a directory above it; None if there is none."""
    directory = directory.absolute()
    return next((parent / name for parent in (directory, *directory.parents) if (parent / name).is_file()), None)


def pack(
    results: Results, out: Path, study: Path | None = None, citation: Path | None = None, weights: bool = False
) -> None:
    """Write results into one zip file, an RO-Crate 1.1 (https://w3id.org/ro/crate/1.1), which repositories read.

    Args:
        results: to pack; they are verified first.
        out: the zip file, written whole or not at all.
        study: the study's file, to include.
        citation: a file with authors and licence in the Citation File Format, to include.
        weights: whether to include each run's weights from beside ``study``, as ``RUN.safetensors``.

    Raises:
        InputError: the results disagree with themselves, or ``study`` plans other runs or is missing for the weights.
    """
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    if weights and study is None:
        raise InputError("--weights: the runs are found by the study's file. Name that file in place of the results.")
    check_shareable(results)
    manifest, files = results.manifest, dict(results.files)
    if study is not None:
        planned = read_study(study)
        if planned.name != manifest["study"] or set(results.runs["run"]) - {run.name for run in planned.runs}:
            raise InputError(
                f"{study}: does not plan the runs of {manifest['study']!r} in {results.where}. Restore the file that "
                "the study was run with, or pack them where it is not near."
            )
        files["study.toml"] = study.read_bytes()
        for run in results.runs["run"] if weights else ():
            if not (path := planned.directory / run / WEIGHTS).is_file():
                raise InputError(f"{path}: no such file. Pack where the runs were made, or leave out --weights.")
            files[f"{run}.safetensors"] = path.read_bytes()
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms["sha256"] = "https://schema.org/sha256"  # 1.1 has no term for a hash
    crate.name = f"{manifest['title']} (study {manifest['study']})"
    crate.description = f"Dice, energy and carbon footprint of {len(results.runs)} networks trained with carbon-midl."
    crate.datePublished = manifest["dates"]["last"]
    if citation is not None:
        files["CITATION.cff"] = citation.read_bytes()
        if licence := re.search(rb"^license: *[\"']?([\w.+-]+)", files["CITATION.cff"], re.MULTILINE):
            crate.license = f"https://spdx.org/licenses/{licence[1].decode()}"
    for name, content in files.items():
        kind, text = _ABOUT.get(name, ("application/octet-stream", "Weights of a run, as safetensors"))
        about = {"name": name, "description": text, "encodingFormat": kind, "sha256": _sha256(content)}
        crate.add_file(io.BytesIO(content), name, properties=about, record_size=True)
    crops = manifest["crops"]["fingerprint"]
    about = {"@type": "Dataset", "name": f"Crops {crops[:12]}", "identifier": crops}
    crate.isBasedOn = crate.add(ContextEntity(crate, "#crops", about))
    with replaced(out) as temporary:
        crate.write_zip(temporary)


def merge(parts: Sequence[Results]) -> Results:
    """Join the parts of a study that were made on several machines; their order makes no difference.

    In the merged ``runs.csv`` the column ``part`` says where each run was made, and ``parts`` in the manifest how each
    part was made. Merged results can be merged again. `InputError` for a single part, one that disagrees with itself,
    parts of different studies, or a run that is in two parts.
    """
    if len(parts) < 2:
        raise InputError("merge: one part; expected two or more of the same study. Name the results of each machine.")
    for part in parts:
        check_shareable(part)
    for one, other in combinations(parts, 2):
        _check_same_study(one, other)
    order = ["filters", "seed", "run"]
    parts = sorted(map(_named, parts), key=lambda part: min(part.runs[order].itertuples(index=False, name=None)))
    tables = {name: pd.concat([part.tables[name] for part in parts]) for name in TABLES}
    tables = {name: table.sort_values(order, kind="stable") for name, table in tables.items()}
    files = {name: table.to_csv(index=False).encode() for name, table in tables.items()}
    files[SLICES] = compressed(files[SLICES])
    manifest = _merged_manifest([part.manifest for part in parts], tables[RUNS])
    manifest["sha256"] = {name: _sha256(files[name]) for name in TABLES}
    files[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    merged = Results.of_files("the merged results", files)
    check_shareable(merged)
    return merged


def _check_same_study(one: Results, other: Results) -> None:
    first, second = _identity(one), _identity(other)
    for name in dict.fromkeys([*first, *second]):
        if first.get(name) != second.get(name):
            raise InputError(
                f"{name}: {first.get(name)} in {one.where}, {second.get(name)} in {other.where}. Train the runs of one "
                "part again as those of the other were. Where only PUE or intensity differ, nothing needs to be "
                "trained again: collect both parts with the same [footprint] in the study's file."
            )
    if twice := sorted(set(one.runs["run"]) & set(other.runs["run"])):
        raise InputError(
            f"{one.where} and {other.where}: run {twice[0]} is in both; {len(twice)} such in all. A study has each run "
            "once. Leave out the part that the other contains. Where a run was trained twice, rename its directory on "
            f"one machine to {twice[0]}.superseded-twice, so that its energy counts, and collect there again."
        )


def _identity(part: Results) -> dict[str, str]:
    """What must be equal in all parts of a study, by name."""
    manifest, varying = part.manifest, _varying(part)
    factors = part.runs[["pue", "intensity_g_per_kwh", "intensity_source"]].drop_duplicates().to_numpy().tolist()
    split = json.dumps([manifest["split_patients"], manifest["slices"]], sort_keys=True)
    return {
        "study": manifest["study"],
        "crops": manifest["crops"]["fingerprint"][:12],
        "code": ", ".join(sorted(part.runs["fingerprint"].str.rpartition("-")[2].unique())),
        "axes": ", ".join(sorted(varying)) or "none",
        **{f"option {name}": repr(value) for name, value in manifest["options"].items() if name not in varying},
        "split": "several" if varying & _SPLIT_OPTIONS else _sha256(split.encode())[:12],
        "PUE and carbon intensity": "; ".join(f"PUE {pue}, {g} g/kWh ({source})" for pue, g, source in sorted(factors)),
    }


def _named(part: Results) -> Results:
    """Name a part in the column ``part`` of its runs and in its manifest; merged results already have such names."""
    if PART in part.runs:
        return part
    # The name depends on the content alone; the word in front keeps it from being read as a number.
    name = f"part-{_sha256(b''.join(part.files.values()))[:12]}"
    kept = {key: part.manifest[key] for key in _OF_PARTS if key in part.manifest}
    entry = {"part": name, "runs": len(part.runs), **kept}
    return replace(part, runs=part.runs.assign(**{PART: name}), manifest=part.manifest | {"parts": [entry]})


def _merged_manifest(manifests: Sequence[dict[str, Any]], runs: pd.DataFrame) -> dict[str, Any]:
    """The manifest of the part with the first run, with sums and unions over all parts."""

    def united(key: str) -> list[Any]:
        return distinct(item for manifest in manifests for item in manifest[key])

    abandoned, dates = ([manifest[key] for manifest in manifests] for key in ("abandoned", "dates"))
    names = runs[PART].unique().tolist()
    return manifests[0] | {
        **{key: sorted(united(key)) for key in ("widths", "seeds", "sensors", "pue_sources")},
        **{key: united(key) for key in ("environments", "footprint_notes")},
        "runs_done": len(runs),
        "runs_left_out": sorted(set(united("runs_left_out")) - set(runs["run"])),
        "abandoned": {key: sum(one[key] for one in abandoned) for key in abandoned[0]},
        "dates": {"first": min(one["first"] for one in dates), "last": max(one["last"] for one in dates)},
        "parts": sorted(united("parts"), key=lambda entry: names.index(entry["part"])),
    }
