"""Run one command: parse its arguments, check the environment, report its failure in one line."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence

from attachery_service.cli.messages import NOT_CONFIGURED, error_line
from attachery_service.common.spelling import similar
from attachery_service.observability.logs import configure_logs, redact
from attachery_service.settings.environment import (
    rename_former_variables,
    require_known_variables,
)
from attachery_service.settings.process import LoopFactory
from attachery_service.settings.service import Settings

_INTERRUPTED = 130


def run(
    parser: ArgumentParser, arguments: Sequence[str], loop_factory: LoopFactory | None = None
) -> int:
    """Run a command; return its exit code.

    0: done. 1: the database, object storage, Redis or the machine refused or did not answer, or a
    bug. 2: the command line, a setting or a settings file is wrong. 130: interrupted. `audit`
    returns 1 if it found a difference, and 2 if it could not compare.

    `parser` sets the default `run` to the coroutine function of the command.
    """
    options = _parsed(parser, arguments)
    configure_logs()
    try:
        rename_former_variables(os.environ)
        require_known_variables(os.environ, Settings.model_fields)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            code: int = runner.run(options.run(options))
            return code
    except KeyboardInterrupt:
        print("attachery: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:
        message = redact(" ".join(error_line(error).split()))
        print(f"attachery: {message}", file=sys.stderr)
        return 2 if isinstance(error, NOT_CONFIGURED) else getattr(options, "failure", 1)


def _parsed(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Parse; raise SystemExit with the usage and the mistake on standard error."""
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        used: ArgumentParser = getattr(options, "parser", parser)
        used.error(f"unrecognized arguments: {', '.join(_with_hint(used, unknown))}")
    return options


def _with_hint(parser: ArgumentParser, unknown: Sequence[str]) -> Iterator[str]:
    flags = set(re.findall(r"--[a-z0-9-]+", parser.format_help()))
    for argument in unknown:
        suggestion = similar(argument.partition("=")[0], flags)
        is_flag = argument.startswith("-") and suggestion is not None
        yield f"{argument} (did you mean {suggestion}?)" if is_flag else argument
