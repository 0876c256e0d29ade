"""List and start the commands of the installed distributions: `attachery COMMAND`.

A command is an entry point in the group `attachery.commands`; see `Command`. This module imports
the standard library only, so that a command can prepare its process before it imports gRPC.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from types import FrameType
from typing import Protocol

from attachery_client.cli.help import COMMANDS_OF, help_text, usage_error

GROUP = "attachery.commands"

_INTERRUPTED = 130
_HELP_FLAGS = ("-h", "--help", "help")


class Command(Protocol):
    """The object that an entry point names. Loading it must not import gRPC."""

    @property
    def summary(self) -> str:
        """One line for `attachery --help`."""

    def __call__(self, arguments: Sequence[str]) -> int:
        """Run with the arguments after the command's name; return the exit code."""


def main(own: Mapping[str, Command] | None = None) -> int:
    """Run the command line of this process; return the exit code.

    `own`: commands that need no entry point, as for `python -m attachery_service`.
    """
    signal.signal(signal.SIGINT, _interrupted)  # importing a command takes up to a second
    try:
        return _run(sys.argv[1:], dict(own or {}))
    except KeyboardInterrupt:
        _interrupted()
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the interpreter's exit is left


def _run(arguments: Sequence[str], own: dict[str, Command]) -> int:
    name = arguments[0] if arguments else ""
    if name == "--version":
        print(f"attachery {_version()}")
        return 0
    commands = _installed_commands() | own
    if name in _HELP_FLAGS or (name not in commands and _asks_for_help(arguments)):
        print(help_text({found: commands[found].summary for found in commands}), end="")
        return 0
    if name not in commands:
        return _refuse(usage_error(name, commands))
    try:
        return commands[name](arguments[1:])
    except ModuleNotFoundError as error:
        return _refuse(f"{error.name} is not installed; {name} needs it")


def _installed_commands() -> dict[str, Command]:
    return {entry.name: entry.load() for entry in metadata.entry_points(group=GROUP)}


def _asks_for_help(arguments: Sequence[str]) -> bool:
    """Check for the help of a command whose distribution is not installed."""
    is_known = any(name in arguments[:1] for names in COMMANDS_OF.values() for name in names)
    return is_known and any(argument in _HELP_FLAGS for argument in arguments)


def _refuse(text: str) -> int:
    print(f"attachery: {text}; see attachery --help", file=sys.stderr)
    return 2


def _interrupted(_: int = 0, __: FrameType | None = None) -> None:
    """End the process with one line while no clean-up is needed."""
    os.write(2, b"attachery: interrupted\n")
    os._exit(_INTERRUPTED)


def _version() -> str:
    try:
        return metadata.version("attachery-client")
    except metadata.PackageNotFoundError:
        return "(not installed: run from its source)"
