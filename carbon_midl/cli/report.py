"""``carbon-midl report``: what a run or a study used, in words for papers, checklists and model cards."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    from carbon_midl.footprint.report import Compute

RESULTS_FILES = ("runs.csv", "manifest.json")
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

    directory = Path(path)
    for results in (directory, directory / "results"):
        if all((results / name).is_file() for name in RESULTS_FILES):
            return _compute_of_study(results)
    if any((directory / name).is_file() for name in (RESULT, FOOTPRINT)):
        return compute_of_run(directory)
    raise InputError(
        f"{directory}: neither a run ({RESULT} or {FOOTPRINT}) nor a study's results ({' and '.join(RESULTS_FILES)}); "
        "expected a directory such as runs/demo/filters-4-seed-0 or runs/demo/results"
    )


def _compute_of_study(results: Path) -> "Compute":
    import csv

    from carbon_midl.files import read_json
    from carbon_midl.footprint.report import Compute, machine_text

    manifest = read_json(results / "manifest.json")
    try:
        with (results / "runs.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        abandoned = manifest["abandoned"]
        widths = _distinct(row["filters"] for row in rows)
        planned = len(rows) + len(manifest["runs_left_out"])
        sources = "; ".join(manifest["pue_sources"])
        return Compute(
            subject=f"{len(rows)} networks of {planned} planned ({', '.join(widths)} initial filters)",
            runs=len(rows),
            abandoned=int(abandoned["attempts"]),
            duration_s=sum(float(row["duration_s"]) for row in rows),
            energy_kwh=sum(float(row["energy_whole_run_kwh"]) for row in rows) + float(abandoned["energy_kwh"]),
            abandoned_kwh=float(abandoned["energy_kwh"]),
            methods=_distinct(method.strip() for row in rows for method in row["energy_method"].split(";")),
            carbon_g=sum(float(row["carbon_whole_run_g"]) for row in rows) + float(abandoned["carbon_g"]),
            embodied_g=None,
            pue=f"a PUE of {' and '.join(_distinct(row['pue'] for row in rows))} ({sources})",
            intensity=" and ".join(
                _distinct(f"{float(row['intensity_g_per_kwh']):.4g} g/kWh ({row['intensity_source']})" for row in rows)
            ),
            hardware="; ".join(
                _distinct(machine_text(one["hardware"]) for one in manifest.get("environments", [manifest]))
            ),
            versions=manifest.get("versions", {}),
            dates=tuple(manifest["dates"].values()),
        )
    except (KeyError, TypeError, ValueError, AttributeError, csv.Error) as error:
        raise InputError(
            f"{results}: not the results of a study ({type(error).__name__}: {error}). Collect the study again."
        ) from None


def _distinct(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
