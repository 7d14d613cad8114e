"""What a build says of itself: before, in a dry run, and at the end."""

from pathlib import Path

from carbon_midl.lidc.build.archive import Built
from carbon_midl.lidc.build.plan import Plan
from carbon_midl.lidc.build.projection import Projection
from carbon_midl.lidc.build.settings import Settings

_SHOWN = 5


def plan_text(plan: Plan, settings: Settings) -> str:
    """What will be cut."""
    lines = [
        f"{plan.series_found:,} of {plan.series_of_collection:,} series of LIDC-IDRI found"
        + (f" (phantom: {plan.phantom})" if plan.phantom is not None else ""),
        f"  to cut       {plan.crops:,} crops of {plan.nodules:,} nodules, {len(plan.patients):,} patients, "
        f"{len(plan.series):,} series",
        f"  to read      {plan.slices:,} slices",
        f"  to write     {plan.crops * settings.crop_bytes / 1e9:.3f} GB ({settings})",
    ]
    if plan.missing:
        lines.append(f"  not there    {_some(plan.missing)}")
    if plan.beyond:
        lines.append(f"  too much     {_some(plan.beyond)} (--max-gb)")
    return "\n".join(lines)


def projection_text(projection: Projection, jobs: int) -> str:
    """What all of LIDC-IDRI would take."""
    hours = projection.hours
    duration = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"
    return "\n".join(
        [
            "All of LIDC-IDRI with these settings:",
            f"  crops        {projection.crops:,} of {projection.nodules:,} nodules, from {projection.slices:,} slices",
            f"  archive      {projection.written_gb:.2f} GB, and three times that while it is built",
            f"  to read      {projection.read_gb:.1f} GB (estimate: those slices, and the headers of "
            f"{projection.files:,} files)",
            f"  time         {duration} with {jobs} jobs (estimate from "
            f"{projection.calibrated_on} series of this tree, if the disk keeps up)",
        ]
    )


def built_text(built: Built, plan: Plan, out: Path) -> str:
    """What was written, and what was left out and why."""
    lines = [
        f"{built.crops:,} crops of {built.nodules:,} nodules, {built.patients:,} patients, written to {out}. "
        f"Look at them with: carbon-midl crops info {out}"
    ]
    if built.left_out:
        lines.append(
            f"Left out: {plan.crops - built.crops:,} of {plan.crops:,} crops, "
            f"{len(plan.series) - built.series:,} of {len(plan.series):,} series. First of "
            f"{len(built.left_out):,} lines of {out / 'report.csv'}:"
        )
        lines += [
            f"  {line.file or line.series_uid}: {line.reason} (left out: {line.left_out})".encode(
                "utf-8", "backslashreplace"
            ).decode()
            for line in built.left_out[:_SHOWN]
        ]
    return "\n".join(lines)


def _some(patients: tuple[str, ...]) -> str:
    more = f" and {len(patients) - _SHOWN:,} more" if len(patients) > _SHOWN else ""
    return f"{len(patients):,} patients: {', '.join(patients[:_SHOWN])}{more}"
