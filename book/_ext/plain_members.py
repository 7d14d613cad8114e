"""Sphinx extension: members that tell a reader nothing are not listed.

Those are the fields of named tuples where Python alone described them ("Alias for field number 0"), and pydantic's
settings of a model.
"""

from typing import Any

from sphinx.application import Sphinx


def without_noise(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave such a member out; None leaves the decision to others."""
    alias = str(getattr(member, "__doc__", "")).startswith("Alias for field number")
    return True if alias or name == "model_config" else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-skip-member", without_noise)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
