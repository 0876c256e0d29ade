"""Suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def similar(name: str, names: Collection[str]) -> str | None:
    """The most similar of the names, or None if none is similar."""
    return next(iter(get_close_matches(name, sorted(names), n=1)), None)
