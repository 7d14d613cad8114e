"""Policies by name with options as text, as they are given on a command line."""

from collections.abc import Sequence
from dataclasses import fields
from types import NoneType
from typing import get_args, get_type_hints

from carbon_midl.errors import InputError
from carbon_midl.selection.policies import POLICIES
from carbon_midl.selection.policy import Policy


def policy_of(name: str, options: Sequence[str] = ()) -> Policy:
    """Make a policy.

    Args:
        name: one of `POLICIES`.
        options: as ``eta=3``; "none" where an option may be none.

    Raises:
        InputError: there is no such policy or option, or a value that the option cannot have.
    """
    if name not in POLICIES:
        raise InputError(f"policy: found {name!r}; expected one of {', '.join(POLICIES)}.")
    kind = POLICIES[name]
    types = {field.name: get_type_hints(kind)[field.name] for field in fields(kind)}  # type: ignore[arg-type]
    given = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or key not in types:
            known = ", ".join(f"{known}=…" for known in types) or "none"
            raise InputError(f"{name}: found option {option!r}; its options are: {known}.")
        given[key] = _value(f"{name}: {key}", text, types[key])
    return kind(**given)


def described() -> str:
    """All policies with what they do, assume and come from, and their options with defaults; for a help text."""
    lines = []
    for name, kind in POLICIES.items():
        policy = kind()
        options = ", ".join(f"{field.name}={getattr(policy, field.name)}" for field in fields(kind))  # type: ignore[arg-type]
        lines += [
            f"  {name:<17} {kind.summary}",
            f"{'':<20}Assumes: {kind.assumption}",
            f"{'':<20}Source: {kind.source}.",
        ]
        if options:
            lines.append(f"{'':<20}Options: {options}")
    return "\n".join(lines)


def _value(what: str, text: str, kind: object) -> object:
    allowed = get_args(kind) or (kind,)
    if NoneType in allowed and text.lower() == "none":
        return None
    number = int if int in allowed else float
    try:
        return number(text)
    except ValueError:
        expected = "a whole number" if number is int else "a number"
        also = " or none" if NoneType in allowed else ""
        raise InputError(f"{what}: found {text!r}; expected {expected}{also}.") from None
