"""Arguments that several commands have in common, and their types."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from attachery_service.settings.quantities import PositiveSeconds, Seconds

_MAX_SECONDS = 366 * 86_400
_SECONDS: TypeAdapter[float] = TypeAdapter(Annotated[Seconds, Field(le=_MAX_SECONDS)])
_LIFETIME: TypeAdapter[float] = TypeAdapter(PositiveSeconds)

Run = Callable[[Namespace], Coroutine[Any, Any, int]]


def add_ready_file(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="act on a running `attachery dev`"
    )


def add_verb(
    verbs: argparse._SubParsersAction[ArgumentParser], name: str, run: Run, summary: str
) -> ArgumentParser:
    """Add the parser of `attachery COMMAND NAME`."""
    parser = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    parser.set_defaults(run=run, parser=parser)
    return parser


def seconds(text: str) -> float:
    """Read a duration, such as 90s. Raises ArgumentTypeError."""
    try:
        return _SECONDS.validate_python(text)
    except ValidationError:
        raise ArgumentTypeError(
            f"must be 0 to {_MAX_SECONDS} seconds, or a time such as 90s, 36h or 7d"
        ) from None


def lifetime(text: str) -> timedelta:
    """Read a duration above zero, such as 90d. Raises ArgumentTypeError."""
    try:
        return timedelta(seconds=_LIFETIME.validate_python(text))
    except ValidationError:
        raise ArgumentTypeError(
            "must be a time above 0 and up to 3650 days, such as 36h or 90d"
        ) from None
