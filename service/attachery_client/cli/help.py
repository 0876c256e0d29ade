"""The text of `attachery --help`, with the distributions that provide further commands."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

# Distribution to the commands that it provides.
COMMANDS_OF: Mapping[str, tuple[str, ...]] = {
    "attachery": ("serve", "worker", "migrate", "check", "audit", "bucket", "keys"),
    "attachery-dev": ("dev", "demo"),
}

_USAGE = """\
usage: attachery COMMAND [OPTION ...]
       attachery --version

Upload sessions over gRPC.
"""
# By distribution: how to install it from a checkout.
_FROM_CHECKOUT: Mapping[str, str] = {
    "attachery": "pip install ./packages/client .",
    "attachery-dev": "pip install ./packages/client . ./packages/dev",
}


def help_text(summaries: Mapping[str, str]) -> str:
    """Lists the installed commands by name, and each distribution whose commands are missing."""
    return "\n".join([_USAGE, *_installed(summaries), *_missing(summaries)])


def usage_error(name: str, installed: Collection[str]) -> str:
    """Explains why there is no command of this name, and which distribution provides it."""
    if not name:
        return "a command is required"
    for distribution, commands in COMMANDS_OF.items():
        if name in commands:
            source = (
                f"the distribution {distribution} (in a checkout: {_FROM_CHECKOUT[distribution]})"
            )
            return f"{name} is not installed; it comes with {source}"
    known = {*installed, *(command for commands in COMMANDS_OF.values() for command in commands)}
    similar = get_close_matches(name, sorted(known), n=1)
    return f"no such command: {name}" + (f" (did you mean {similar[0]}?)" if similar else "")


def _installed(summaries: Mapping[str, str]) -> Iterator[str]:
    if summaries:
        lines = [f"  {name:<10}{summary}" for name, summary in summaries.items()]
        yield "\n".join(["commands:", *lines, ""])
        yield "`attachery COMMAND --help` describes a command.\n"


def _missing(installed: Collection[str]) -> Iterator[str]:
    missing = {
        distribution: ", ".join(commands)
        for distribution, commands in COMMANDS_OF.items()
        if not set(commands) <= set(installed)
    }
    if missing:
        lines = [f"  {name:<14} {commands}" for name, commands in missing.items()]
        yield "\n".join(["not installed, by distribution:", *lines, ""])
        last = list(missing)[-1]
        yield f"In a checkout, install from it: {_FROM_CHECKOUT[last]}\n"
