"""Commands of `attachery`, run in this process."""

from __future__ import annotations

from collections.abc import Sequence

from attachery_dev.commands import COMMANDS as DEV_COMMANDS
from attachery_service.cli import main
from attachery_service.commands import COMMANDS as SERVICE_COMMANDS


def run(arguments: Sequence[str]) -> int:
    """Runs a command without the process-wide settings; returns its exit code."""
    name, *rest = arguments
    return main.run((SERVICE_COMMANDS | DEV_COMMANDS)[name].parser(), rest)
