"""What benchmarks found, kept with machine, date and commit, and shown as the table in README.md.

``python -m benchmarks.record`` makes the table anew.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from carbon_midl.files import write_json, write_text
from carbon_midl.study.run import commit, cpu_name

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README = HERE / "README.md"
_BEGIN, _END = "<!-- made by record.py: begin -->", "<!-- end -->"


class Finding(NamedTuple):
    """A line of the table: what was measured, beside what, and the result in words."""

    what: str
    beside: str
    result: str


def record(benchmark: str, findings: list[Finding], machine: str, kind: str = "") -> None:
    """Keep the findings of a benchmark in place of its earlier ones on a machine of this kind, and make the table anew.

    Args:
        benchmark: its file's name, such as "masks.py".
        findings: what it found.
        machine: what of the machine it used, such as "one core"; its name is added.
        kind: of machine, where each is recorded, such as "bf16".
    """
    RESULTS.mkdir(exist_ok=True)
    content = {
        "benchmark": benchmark,
        "machine": f"{machine}, {cpu_name()}",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "findings": [finding._asdict() for finding in findings],
    }
    write_json(RESULTS / f"{'-'.join(filter(None, [Path(benchmark).stem, kind]))}.json", content)
    write_text(README, with_table(README.read_text(encoding="utf-8")))


def with_table(readme: str) -> str:
    """Return the text with the table of all that is recorded."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


def table() -> str:
    """The recorded findings as a Markdown table."""
    lines = ["| benchmark | what | beside | result | machine, date |", "|---|---|---|---|---|"]
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        lines += [
            f"| `{found['benchmark']}` | {one['what']} | {one['beside']} | {one['result']} "
            f"| {found['machine']}, {found['date']} |"
            for one in found["findings"]
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    write_text(README, with_table(README.read_text(encoding="utf-8")))
