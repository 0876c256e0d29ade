"""One JSON object per line on standard error, with nothing in it that gives access."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from structlog.typing import EventDict, WrappedLogger

# Signed URLs and keys are credentials for whoever reads them. What stands before a secret, in a
# URL, a header or the text of a dict, is kept, and may be quoted or escaped in any way.
_IS = r"[\"'\\]*(?:\s*[:=]\s*|%3D)[\"'\\]*"
_SECRETS = re.compile(
    rf"""
      (X-Amz-(?:Signature|Credential|Security-Token){_IS}) [^&\s"'\\]+
    | (\bSignature=) [0-9a-f]+
    | (\bBearer\s+) [^\s"'\\]{{8,}}
    | (\battk_[0-9a-f]{{1,16}}_?) [0-9a-f]+
    | (\batts_[0-9a-f]{{1,12}}_?) [\w-]+
    | (\bpostgres(?:ql)?://[^:@/\s]*:) \S+ (?=@)
    | ([?&]password=) [^&\s"'\\]+
    """,
    re.IGNORECASE | re.VERBOSE,
)


_level: int = logging.INFO
_console: structlog.dev.ConsoleRenderer | None = None

# Made once: `json.dumps` makes one for each line, and takes twice as long.
_JSON = json.JSONEncoder(default=repr)

# One of them is in every text that the pattern finds something in. Looking for them first spares
# most lines the pattern, which takes ten times as long as all else that makes a line.
_SIGNS = ("x-amz-", "signature=", "bearer", "attk_", "atts_", "postgres", "password=")


def redact(text: str) -> str:
    """`text` with every secret of a known form blotted out."""
    folded = text.casefold()
    if not any(sign in folded for sign in _SIGNS):
        return text
    return _SECRETS.sub(lambda match: f"{match[match.lastindex or 0]}[redacted]", text)


def write_info(line: str) -> None:
    """Writes a line that is an INFO event as JSON already, unless the level is above that."""
    if _level <= logging.INFO:
        _write(redact(line) if _console is None else _for_humans(json.loads(redact(line))))


def configure_logs(level: str = "info", *, human: bool = False) -> None:
    """Configures the whole process; from libraries only WARNING and above are let through.

    `human`: lines for a terminal in place of JSON; coloured unless NO_COLOR is set.
    """
    global _level, _console  # noqa: PLW0603 - as the configuration they go with
    _level = logging.getLevelName(level.upper())
    colors = not os.environ.get("NO_COLOR")
    _console = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=24) if human else None
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level),
        logger_factory=_factory,
        cache_logger_on_first_use=True,
    )
    handler = _Handler()
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def _write(line: str) -> None:
    """To standard error as it is now, for tests and supervisors may replace it.

    When nobody reads the log any more, that is no reason to fail a call.
    """
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")


class _Logger:
    """What structlog hands its lines to."""

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, line: str) -> None:
        _write(line)

    debug = info = warning = error = exception = critical = msg


class _Handler(logging.Handler):
    """What the standard library hands its records to."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write(self.format(record))
        except Exception:
            self.handleError(record)


def _factory(*names: str) -> _Logger:
    return _Logger(names[0] if names else "attachery")


def _add_logger_name(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event


def _render(_: WrappedLogger, __: str, event: EventDict) -> str:
    line = redact(_JSON.encode(event))
    return line if _console is None else _for_humans(json.loads(line))


def _for_humans(event: EventDict) -> str:
    """The event, redacted already, without what only machines read."""
    if _console is None:
        return ""
    event["timestamp"] = datetime.now().astimezone().strftime("%H:%M:%S")
    event.pop("logger", None)
    return str(_console(None, "", event))


class _JsonFormatter(logging.Formatter):
    """What libraries log, in the same form."""

    def format(self, record: logging.LogRecord) -> str:
        event: EventDict = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="microseconds")
            .replace("+00:00", "Z"),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = self.formatStack(record.stack_info)
        return _render(None, "", event)
