"""What a run or a study used, for a paper, a checklist and a model card."""

from collections.abc import Iterable
from pathlib import Path

from carbon_midl.errors import InputError
from carbon_midl.footprint.record import FOOTPRINT, RESULT
from carbon_midl.footprint.report import Compute, compute_of_run, machine_text
from carbon_midl.study.results import MANIFEST, RUNS, Results, read_results


def read_compute(path: Path | str) -> Compute:
    """What a run used, or all runs of a study.

    Args:
        path: directory of a run (``result.json``, or ``footprint.json`` of one that is unfinished), a study's directory
            of results (``runs.csv``, ``manifest.json``), or a study's directory, with ``results/`` in it.

    Raises:
        InputError: it is none of these, or damaged.
    """
    directory = Path(path)
    if any((results / MANIFEST).is_file() for results in (directory, directory / "results")):
        return _compute_of_study(read_results(directory))
    if any((directory / name).is_file() for name in (RESULT, FOOTPRINT)):
        return compute_of_run(directory)
    raise InputError(
        f"{directory}: neither a run ({RESULT} or {FOOTPRINT}) nor a study's results ({RUNS} and {MANIFEST}); "
        "expected a directory such as runs/demo/filters-4-seed-0 or runs/demo/results"
    )


def _compute_of_study(results: Results) -> Compute:
    runs, manifest = results.runs, results.manifest
    abandoned = manifest["abandoned"]
    widths = ", ".join(map(str, runs["filters"].unique()))
    planned = len(runs) + len(manifest["runs_left_out"])
    grids = [
        f"{g_per_kwh:.4g} g/kWh ({source})"
        for g_per_kwh, source in zip(runs["intensity_g_per_kwh"], runs["intensity_source"], strict=True)
    ]
    return Compute(
        subject=f"{len(runs)} networks of {planned} planned ({widths} initial filters)",
        runs=len(runs),
        abandoned=abandoned["attempts"],
        duration_s=runs["duration_s"].sum(),
        energy_kwh=runs["energy_whole_run_kwh"].sum() + abandoned["energy_kwh"],
        abandoned_kwh=abandoned["energy_kwh"],
        methods=_distinct(method.strip() for methods in runs["energy_method"] for method in methods.split(";")),
        carbon_g=runs["carbon_whole_run_g"].sum() + abandoned["carbon_g"],
        embodied_g=None,
        pue=f"a PUE of {' and '.join(_distinct(map(str, runs['pue'])))} ({'; '.join(manifest['pue_sources'])})",
        intensity=" and ".join(_distinct(grids)),
        hardware="; ".join(
            _distinct(
                machine_text(one["hardware"]) if "hardware" in one else "hardware not recorded"
                for one in manifest["environments"]
            )
        ),
        versions=manifest.get("versions", {}),
        dates=tuple(manifest["dates"].values()),
    )


def _distinct(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
