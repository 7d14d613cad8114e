"""``carbon-midl report``: what a run or a study used, in words for papers, checklists and model cards."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    from carbon_midl.footprint.report import Compute
    from carbon_midl.study.results import Results

_EPILOG = """\
examples:
  carbon-midl report runs/demo/filters-4-seed-0
  carbon-midl report runs/demo/results --only model-card --location "Copenhagen, Denmark"
"""
_PARTS = ("paragraph", "checklist", "model-card")


def add_actions(rooms: Any) -> None:
    """Add the action ``report``."""
    report = action(
        rooms,
        "report",
        _report,
        "report the footprint of a run or a study: for a paper, a checklist and a model card",
        _EPILOG,
    )
    report.add_argument("run", type=Path, metavar="RUN", help="directory of a run, or of a study's results")
    report.add_argument("--only", choices=_PARTS, help="only this part (default: all three)")
    report.add_argument("--out", type=Path, metavar="FILE", help="write to a file (default: print)")
    report.add_argument(
        "--location", metavar="WHERE", help="where the machine stood, for the model card (default: not recorded)"
    )
    report.add_argument(
        "--training-type",
        choices=("pre-training", "fine-tuning"),
        default="pre-training",
        help="for the model card (default: %(default)s)",
    )


def _report(options: argparse.Namespace) -> None:
    from carbon_midl.files import write_text
    from carbon_midl.footprint.report import checklist, model_card, paragraph, to_markdown

    compute = read_compute(options.run)
    card = (options.location, options.training_type)
    text = {
        "paragraph": lambda: paragraph(compute) + "\n",
        "checklist": lambda: checklist(compute) + "\n",
        "model-card": lambda: model_card(compute, *card) + "\n",
        None: lambda: to_markdown(compute, *card),
    }[options.only]()
    if options.out is None:
        print(text, end="")
    else:
        write_text(options.out, text)
        print(f"Report: {options.out}")


def read_compute(path: Path | str) -> "Compute":
    """What a run used, or all runs of a study.

    Args:
        path: directory of a run (``result.json``, or ``footprint.json`` of one that is unfinished), a study's directory
            of results (``runs.csv``, ``manifest.json``), or a study's directory, with ``results/`` in it.

    Raises:
        InputError: it is none of these, or damaged.
    """
    from carbon_midl.footprint.record import FOOTPRINT, RESULT
    from carbon_midl.footprint.report import compute_of_run
    from carbon_midl.study.results import MANIFEST, RUNS, read_results

    directory = Path(path)
    if any((results / MANIFEST).is_file() for results in (directory, directory / "results")):
        return _compute_of_study(read_results(directory))
    if any((directory / name).is_file() for name in (RESULT, FOOTPRINT)):
        return compute_of_run(directory)
    raise InputError(
        f"{directory}: neither a run ({RESULT} or {FOOTPRINT}) nor a study's results ({RUNS} and {MANIFEST}); "
        "expected a directory such as runs/demo/filters-4-seed-0 or runs/demo/results"
    )


def _compute_of_study(results: "Results") -> "Compute":
    from carbon_midl.footprint.report import Compute, machine_text

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
