"""Sphinx extension: what tells a reader nothing is not shown.

Members: the fields of named tuples where Python alone described them ("Alias for field number 0"), and pydantic's
settings of a model. Signatures: "(*args, **kwargs)" of a network, whose base class is not loaded when the book is
built, becomes that of its own constructor, and that of a protocol is left out.
"""

import inspect
from typing import Any

from sphinx.application import Sphinx


def without_noise(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave such a member out; None leaves the decision to others."""
    alias = str(getattr(member, "__doc__", "")).startswith("Alias for field number")
    return True if alias or name == "model_config" else None


def own_signature(
    app: Sphinx, what: str, name: str, member: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, None] | None:
    """Give a class the signature of its own constructor; None leaves it to autodoc."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    if getattr(member, "_is_protocol", False) or "__init__" not in vars(member):
        return "", None
    own = inspect.signature(member.__init__)
    shown = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in own.parameters.values()]
    return str(own.replace(parameters=shown[1:], return_annotation=inspect.Signature.empty)), None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-skip-member", without_noise)
    app.connect("autodoc-process-signature", own_signature)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
