"""The error of a command."""

from __future__ import annotations


class CommandError(RuntimeError):
    """A command cannot do its work; the text says why, in one line."""
