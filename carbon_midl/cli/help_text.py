"""Help that fits the terminal: what comes after the options is wrapped, too, which argparse leaves as written."""

import argparse
import re
import textwrap

# A column of names or commands, two blanks or more, and what is said of each.
_COLUMNS = re.compile(r"  (\S(?:.*?\S)?) {2,}(\S.*)")
_CONTINUED = " " * 6


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Wraps paragraphs, two-column lists and examples, which begin with a line such as "examples:".

    A line that is indented by more than two blanks belongs to the one above it.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = re.split(r"\n\s*\n", text.strip("\n"))
        return "\n\n".join(indent + _block(block.splitlines(), width - len(indent)) for block in blocks)


def _block(lines: list[str], width: int) -> str:
    first, entries = lines[0], _entries(lines[1:])
    if not entries or not first.endswith(":"):
        return textwrap.fill(" ".join(line.strip() for line in lines), width, break_on_hyphens=False)
    wrapped = _examples(entries, width) if first.startswith("example") else _list(entries, width)
    return "\n".join([first, *wrapped])


def _entries(lines: list[str]) -> list[str]:
    """The lines that are indented by two blanks, each with those that belong to it; none where some is not indented."""
    entries: list[str] = []
    for line in lines:
        if line.startswith("   ") and entries:
            entries[-1] = entries[-1].removesuffix(" \\") + f" {line.strip()}"
        elif line.startswith("  "):
            entries.append(line)
        else:
            return []
    return entries


def _examples(entries: list[str], width: int) -> list[str]:
    """Commands, with what they do beside them where all fit, and above them where one does not."""
    if all(len(entry) <= width for entry in entries):
        return entries
    lines = []
    for entry in entries:
        command, about = _split(entry)
        if about:
            lines += textwrap.wrap(f"# {about}", width, initial_indent="  ", subsequent_indent="  # ")
        parts = _wrapped_command(command, width - 2)
        lines += [*(f"{part} \\" for part in parts[:-1]), parts[-1]]
    return lines


def _wrapped_command(command: str, width: int) -> list[str]:
    """In lines that begin with an option, so that each stays with its value."""
    lines: list[str] = []
    for part in re.split(r" (?=-)", command):
        if lines and len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += f" {part}"
        else:
            lines.append((_CONTINUED if lines else "  ") + part)
    return lines


def _list(entries: list[str], width: int) -> list[str]:
    column = max(len(_split(entry)[0]) for entry in entries) + 4
    lines = []
    for entry in entries:
        name, about = _split(entry)
        begin = f"  {name:<{column - 4}}  "
        lines += textwrap.wrap(
            about, width, initial_indent=begin, subsequent_indent=" " * column, break_on_hyphens=False
        )
    return lines


def _split(entry: str) -> tuple[str, str]:
    columns = _COLUMNS.fullmatch(entry)
    return (columns[1], columns[2]) if columns else (entry.strip(), "")
