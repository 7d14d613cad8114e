"""What everything took that was trained on the crops of the book's study: trials and attempts without a result, too."""

from pathlib import Path
from typing import Any

from carbon_midl.book import wording as w
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.list_table import list_table
from carbon_midl.files import read_json
from carbon_midl.footprint import read_footprint
from carbon_midl.study.results import FORMAT, MANIFEST, Results, read_results

BUILD = Path("results/book-build/footprint.json")


def whole_price_text(evidence: Evidence, root: Path) -> str:
    """A sentence and a table of the recorded studies whose networks were trained for the book's study.

    Args:
        evidence: the study.
        root: the repository, with other studies below ``results/``.
    """
    own = evidence.results
    studies = {own.manifest["study"]: own}
    for path in sorted((root / "results").glob(f"*/{MANIFEST}")):
        manifest = read_json(path)
        # An archive for the leak holds the same crops under other names, hence another fingerprint.
        if (
            manifest.get("format") == FORMAT
            and manifest["study"] not in studies
            and _collection(manifest) == _collection(own.manifest)
        ):
            studies[manifest["study"]] = read_results(path.parent)
    rows = [_row_of(study) for study in studies.values()]
    total = {unit: sum(_whole(study, unit) for study in studies.values()) for unit in ("energy_kwh", "carbon_g")}
    known = w.how_known(*(method for study in studies.values() for method in study.runs["energy_method"].unique()))
    attempts = sum(study.manifest["abandoned"]["attempts"] for study in studies.values())
    runs_done = sum(len(study.runs) for study in studies.values())
    said = (
        f"The {w.plural(runs_done, 'run')} and {w.plural(attempts, 'attempt')} without a result that were recorded on "
        f"these crops, trials included, took {w.energy(total['energy_kwh'])} before PUE, or "
        f"{w.carbon(total['carbon_g'])} CO₂eq ({known})."
    )
    caption = (
        "Everything that was recorded on these crops: runs with a result and attempts without, energy before PUE and "
        "carbon of both, training and evaluation, and how the energy is known."
    )
    header = ["Study", "Runs", "Attempts", "Machine", "Energy", "CO₂eq", "Known"]
    return f"{w.unbroken(said)}\n\n{list_table('table-everything', caption, header, rows, 'numbers wrapped')}"


def own_footprint(shown: Results, root: Path) -> str:
    """What the book itself took: the notebooks it shows, and one build of its pages where that was recorded.

    Args:
        shown: results of the study whose notebooks are shown.
        root: the repository.
    """
    kwh, grams = (float(shown.runs[unit].sum()) for unit in ("energy_whole_run_kwh", "carbon_whole_run_g"))
    known = w.how_known(*shown.runs["energy_method"].unique())
    said = (
        f"The book has a footprint, too. The notebooks of its appendix took {w.energy(kwh)} before PUE, or "
        f"{w.carbon(grams)} CO₂eq ({known})"
    )
    if not (root / BUILD).is_file():
        return w.unbroken(f"{said}; what building its pages takes was not recorded.")
    build = read_footprint(root / BUILD)
    how = w.how_known(*(window.method for window in build.windows))
    return w.unbroken(
        f"{said}; building its pages from recorded results takes {w.energy(build.energy_kwh)}, or "
        f"{w.carbon(build.carbon_g(build.energy_kwh))} CO₂eq, each time ({how})."
    )


def _collection(manifest: dict[str, Any]) -> tuple[Any, Any, Any]:
    crops = manifest.get("crops", {})
    return crops.get("kind"), crops.get("slices"), crops.get("source", {}).get("citation")


def _row_of(study: Results) -> list[str]:
    manifest, runs = study.manifest, study.runs
    machines = {w.machine(one["hardware"]) for one in manifest["environments"]}
    return [
        manifest["title"], str(len(runs)), str(manifest["abandoned"]["attempts"]), w.joined(sorted(machines)),
        w.unbroken(w.energy(_whole(study, "energy_kwh"))), w.unbroken(w.carbon(_whole(study, "carbon_g"))),
        w.how_known(*runs["energy_method"].unique()),
    ]  # fmt: skip


def _whole(study: Results, unit: str) -> float:
    name = {"energy_kwh": "energy_whole_run_kwh", "carbon_g": "carbon_whole_run_g"}[unit]
    return float(study.runs[name].sum()) + float(study.manifest["abandoned"][unit])
