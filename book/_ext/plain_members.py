"""Sphinx extension: fields of named tuples are listed where their class describes them, or not at all.

Python gives each the docstring "Alias for field number 0", which tells a reader nothing.
"""

from typing import Any

from sphinx.application import Sphinx


def without_aliases(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out a field whose docstring is Python's own."""
    return True if str(getattr(member, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-skip-member", without_aliases)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
