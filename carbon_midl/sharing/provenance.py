"""Check what a manifest says of its tables: hashes, fingerprints, counts, parts."""

import hashlib
import json
import math
from collections import Counter
from itertools import combinations

from carbon_midl.options import fingerprinted
from carbon_midl.sharing.axes import axes, options_of
from carbon_midl.sharing.findings import Group, positions
from carbon_midl.sharing.stored import MANIFEST, PART, RUNS, SLICES, SPLIT_PART, TABLES, StoredResults, sha256


def hashes(stored: StoredResults) -> Group:
    """Each table is the one that was collected, to the last byte."""
    group = Group("hashes of the tables")
    for file in TABLES:
        said = stored.manifest["sha256"].get(file, f"none in {MANIFEST}")
        group.holds(sha256(stored.files[file]) == said, file, "SHA-256", sha256(stored.files[file]), said)
    return group


def fingerprints(stored: StoredResults) -> Group:
    """The options' fingerprint is recomputed from the row and the manifest; the code's is one."""
    group = Group("fingerprints of options, crops and code")
    for column in ("filters", "seed", "epochs"):
        stored.counts(RUNS, column)
    whole = stored.manifest["crops"]["fingerprint"]
    codes = stored.runs["fingerprint"].str.rpartition("-")[2]
    group.holds(codes.nunique() == 1, RUNS, "fingerprint (code)", ", ".join(sorted(codes.unique())), "one in all rows")
    for row, cells in enumerate(stored.runs.to_dict("records"), start=1):
        options, crops, *_ = [*str(cells["fingerprint"]).split("-"), "", ""]
        content = json.dumps(fingerprinted(options_of(stored.manifest, cells)), sort_keys=True).encode()
        short = hashlib.sha256(content).hexdigest()[:12]
        group.same(RUNS, "fingerprint (options)", options, short, cells["run"], row)
        group.same(RUNS, "fingerprint (crops)", crops, whole[:12], cells["run"], row)
    return group


def counts(stored: StoredResults) -> Group:
    """Runs, widths, seeds, patients, slices, sensors and dates against the tables."""
    group, manifest = Group("counts of the manifest"), stored.manifest
    group.same(MANIFEST, "runs_done", manifest["runs_done"], len(stored.runs))
    both = sorted(set(manifest["runs_left_out"]) & set(stored.names))
    group.holds(not both, MANIFEST, "runs_left_out", ", ".join(both), f"no run of {RUNS}")
    for key, column in (("widths", "filters"), ("seeds", "seed")):
        more = sorted(set(stored.counts(RUNS, column)) - set(manifest[key]))
        group.holds(not more, MANIFEST, key, manifest[key], f"also {more}")
    studies = sorted(set(stored.runs["study"]))
    group.holds(studies == [manifest["study"]], MANIFEST, "study", manifest["study"], ", ".join(studies))
    methods = sorted(set(stored.runs["energy_method"]))
    group.holds(manifest["sensors"] == methods, MANIFEST, "sensors", manifest["sensors"], methods)
    first, last = manifest["dates"]["first"], manifest["dates"]["last"]
    group.holds(first <= last, MANIFEST, "dates", f"{first} to {last}", "the first before the last")
    factors = stored.numbers(RUNS, "pue") * stored.numbers(RUNS, "intensity_g_per_kwh")
    if factors.nunique() == 1:
        abandoned = manifest["abandoned"]
        group.close(MANIFEST, "abandoned.carbon_g", abandoned["carbon_g"], abandoned["energy_kwh"] * factors[0])
    _split(stored, group)
    return group


def _split(stored: StoredResults, group: Group) -> None:
    """The patients of a split that all runs share."""
    patients = stored.manifest["split_patients"]
    for part, count in stored.manifest["split"].items():
        group.same(MANIFEST, f"split.{part}", count, len(patients.get(part, [])))
    for one, other in combinations(sorted(patients), 2):
        both = sorted(set(patients[one]) & set(patients[other]))
        group.holds(not both, MANIFEST, f"split_patients.{one}", ", ".join(both), f"no patient of {other}")
    varying = axes(stored.manifest, stored.runs)
    if "split_seed" in varying:
        return
    part_of = {patient: part for part, members in patients.items() for patient in members}
    for position in positions(stored.slices["patient_id"].map(part_of) != stored.slices[SPLIT_PART]):
        row = stored.slices.iloc[position]
        expected = f"a patient of the {row[SPLIT_PART]} set"
        group.holds(False, SLICES, "patient_id", row["patient_id"], expected, row["run"], position + 1)
    # What is scored depends on the readers that are asked for.
    if "readers" not in varying:
        for number, (run, count) in enumerate(zip(stored.names, stored.counts(RUNS, "test_slices"), strict=True)):
            group.same(RUNS, "test_slices", count, stored.manifest["slices"].get("test"), run, number + 1)


def parts(stored: StoredResults) -> Group:
    """A merged study's parts against its rows."""
    group = Group("parts of a merged study")
    listed = {str(part["part"]): part for part in stored.manifest.get("parts", [])}
    said = Counter(stored.runs[PART]) if PART in stored.runs.columns else Counter()
    for name in sorted(listed.keys() | said.keys()):
        group.same(MANIFEST, f"parts.{name}.runs", listed.get(name, {}).get("runs", "not listed"), said[name])
    for key in ("attempts", "energy_kwh", "carbon_g"):
        total = math.fsum(part["abandoned"][key] for part in listed.values())
        group.close(MANIFEST, f"abandoned.{key}", stored.manifest["abandoned"][key], total)
    return group
